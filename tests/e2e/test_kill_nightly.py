"""kill -9 of a nightly at random moments, then the same command: the benchmark of that name, with fewer moments."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.kill_nightly import run


@pytest.mark.campaign
@pytest.mark.timeout(300)
def test_a_nightly_that_is_killed_anywhere_is_finished_by_the_next_call(tmp_path: Path, adb_server_port: int) -> None:
    farm = run(moments=5, seed=11, folder=tmp_path)
    assert farm.wrong == []
    assert sum(farm.phases.values()) == 5
