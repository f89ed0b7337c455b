"""A lock belongs to a living process, and is nothing once that is gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from devbench.host.locks import Held, hold

HOLDER = (
    "import sys, time; from pathlib import Path; from devbench.host.locks import hold\n"
    "with hold(Path(sys.argv[1]), held='taken'): print('held', flush=True); time.sleep(float(sys.argv[2]))"
)


def _holder(path: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, path, str(seconds)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_one_is_told_who_holds_it_until_that_one_is_dead(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "a.lock"
    process = _holder(path, 60)
    with pytest.raises(Held, match=f"taken \\(process {process.pid} on .+ since "), hold(path, held="taken"):
        raise AssertionError
    process.kill()
    process.wait()
    assert path.exists(), "what a killed process leaves behind"
    with hold(path, held="taken"):
        pass
    assert not path.exists()


def test_one_that_waits_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    process = _holder(path, 0.5)
    with hold(path, held="taken", wait_s=10):
        assert path.exists()
    process.wait()
