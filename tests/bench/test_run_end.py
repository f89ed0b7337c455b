"""How a run ends, and why, is stored: stopped before it measured anything, failed on a device, broken off."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from devbench.results.store import Store
from tests.conftest import DATA
from tests.made.command import tool
from tests.waiting import wait_until

# Shells that run tests in the background have Ctrl-C ignored in all that they start.
LISTENS = (
    "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "runpy.run_module('devbench.cli.app', run_name='__main__')"
)
MODEL = DATA / "tiny_groupnorm.tflite"


def devbench(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devbench.cli.app", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


def test_a_run_whose_device_fails_at_once_is_not_the_latest_and_tells_why(adb_server_port: int) -> None:
    short = (
        "-d",
        "virtual",
        "-D",
        "cpu",
        "-r",
        "1",
        "--no-profile",
        "--no-report",
        "--num-runs",
        "2",
        "--min-secs",
        "0",
    )
    assert devbench("run", MODEL, *short).returncode == 0
    assert devbench("run", MODEL, *short, "--fault", "free-bytes=1000").returncode == 3
    with Store() as store:
        failed, measured = store.runs()
        assert store.run("latest").run.run_id == measured.run_id
    assert (failed.status, failed.repetitions) == ("failed", 0)
    assert "127.0.0.1:" in failed.end_reason
    shown = devbench("show", failed.run_id)
    assert "failed: " in shown.stdout
    assert failed.end_reason[:60] in shown.stdout.replace("\n", " ")
    assert failed.end_reason[:60] in devbench("runs").stdout
    assert f"the newest run, {failed.run_id}, has no results" in devbench("show", "latest").stdout


def planned(process: subprocess.Popen[bytes], runs: int) -> bool:
    """Whether there are so many runs, and the newest has its jobs."""
    assert process.poll() is None
    with Store() as store:
        found = store.runs()
    return len(found) == runs and found[0].jobs > 0


def test_a_run_that_was_stopped_or_killed_before_it_measured_says_so(tmp_path: Path, adb_server_port: int) -> None:
    words = ["run", str(MODEL), "-d", "virtual", "-D", "cpu", "--binary", tool(tmp_path, "sleep 60"), "--no-report"]
    for number, how in enumerate((signal.SIGINT, signal.SIGKILL), start=1):
        process = subprocess.Popen(
            [sys.executable, "-c", LISTENS, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(lambda process=process, number=number: planned(process, number), pause_s=0.2)
        process.send_signal(how)
        process.wait(60)
    with Store() as store:
        killed, stopped = store.runs()
    assert (stopped.status, stopped.end_reason) == ("interrupted", "stopped by Ctrl-C or a signal")
    assert killed.status == "running"
    listed = devbench("runs").stdout
    assert "interrupted: stopped by Ctrl-C" in listed
    assert f"{killed.run_id} running: its process ended without closing it" in listed
    assert "has measured anything yet" in devbench("show", "latest").stderr
