"""Errors of standard output end in one line; result files are written also if nobody reads what is printed."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from devbench.cli import app
from tests.conftest import DATA

_FULL = Path("/dev/full")


def call(words: list[str], stdout: int | None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "devbench", *words],
        stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=120, check=False, env={**os.environ, **env},
    )  # fmt: skip


@pytest.mark.skipif(not _FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["runs"], ["delegates"], ["doctor", "--json"], ["--version"], ["--help"]])
def test_output_that_cannot_be_written_is_one_line(words: list[str], tmp_path: Path) -> None:
    with _FULL.open("w") as full:
        done = call(words, full.fileno(), DEVBENCH_HOME=str(tmp_path))
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: cannot write the output: No space left on device")


@pytest.mark.parametrize("words", [["runs"], ["delegates"]])
def test_a_closed_standard_output_is_no_traceback(words: list[str], tmp_path: Path) -> None:
    command = f"exec {sys.executable} -m devbench {' '.join(words)} >&-"
    environment = {**os.environ, "DEVBENCH_HOME": str(tmp_path)}
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_json_file_is_written_through_a_closed_pipe(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = ["run", str(DATA / "tiny_conv.tflite"), "-d", "virtual", "-D", "cpu", "-r", "1", "--quiet"]
    words += ["--max-secs", "0.1", "--json", str(tmp_path / "r.json"), "--csv", str(tmp_path / "r.csv")]
    done = call(words, writing, DEVBENCH_HOME=str(tmp_path / "home"))
    os.close(writing)
    assert "Traceback" not in done.stderr
    assert json.loads((tmp_path / "r.json").read_text())["jobs"]
    assert (tmp_path / "r.csv").stat().st_size


def test_doctor_answers_where_no_folder_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = call(["doctor", "--json"], subprocess.PIPE, DEVBENCH_HOME=str(tmp_path / "file" / "home"))
    assert "Traceback" not in done.stderr
    findings = {one["subject"]: one for one in json.loads(done.stdout)}
    assert findings["disk"]["grade"] == "bad"
    assert "DEVBENCH_HOME" in findings["disk"]["mend"]


@pytest.mark.campaign
def test_a_name_that_is_too_long_for_a_file_is_one_line(tmp_path: Path) -> None:
    env = {"DEVBENCH_HOME": str(tmp_path)}
    run = ["run", str(DATA / "tiny_conv.tflite"), "-d", "virtual", "-D", "cpu", "-r", "1", "--quiet", "--no-report"]
    assert call([*run, "--max-secs", "0.1"], subprocess.DEVNULL, **env).returncode == 0
    name = str(tmp_path / ("x" * 300 + ".png"))
    for words in ("report latest --out", "chart latency latest --out", "publish", "compare latest latest --out"):
        done = call([*words.split(), name], subprocess.DEVNULL, **env)
        assert done.returncode == 2, words
        assert done.stderr.startswith(f"error: cannot use {name}") and "File name too long → check" in done.stderr
        assert done.stderr.count("error:") == 1 and "Traceback" not in done.stderr


def test_a_file_that_cannot_be_used_is_named() -> None:
    long = app._problem_of(OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300))
    other = app._problem_of(PermissionError(errno.EACCES, "Permission denied", "report.html"))
    assert (long.exit_code, other.exit_code) == (2, 3)
    assert other.what == "cannot use report.html: Permission denied"
    with pytest.raises(OSError, match="odd"):
        app._problem_of(OSError(errno.EINVAL, "odd"))
