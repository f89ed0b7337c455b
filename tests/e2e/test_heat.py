"""A device that heats up: suspect repetitions are found, repeated, left out, waited for, and shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from devbench.results.store import Store
from tests.conftest import DATA

MODEL = DATA / "tiny_groupnorm.tflite"
SUMMARY = 'echo "Inference timings in us: Init: 1, First inference: 1, Warmup (avg): 1, Inference (avg): {us}"'


def devbench(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devbench.cli.app", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


def heating_tool(folder: Path, cools_after_s: float) -> Path:
    """Its second process makes the device throttle and is slow; the device cools down by itself later."""
    tool = folder / "benchmark_model"
    state = '"$DEVBENCH_VIRTUAL_ROOT/data/local/thermal"'
    count = '"$DEVBENCH_VIRTUAL_ROOT/data/local/count"'
    tool.write_text(
        f"#!/bin/sh\n# devbench-virtual\necho x >> {count}\nn=$(wc -l < {count})\n"
        f'if [ "$n" = 2 ]; then echo 2 > {state}; (sleep {cools_after_s}; echo 0 > {state}) >/dev/null 2>&1 &\n'
        f"{SUMMARY.format(us=900)}\nelse {SUMMARY.format(us=500)}; fi\n"
    )
    tool.chmod(0o755)
    return tool


def test_a_suspect_repetition_is_repeated_after_cooling_down_and_left_out(tmp_path: Path, adb_server_port: int) -> None:
    done = devbench(
        "run", MODEL, "-d", "virtual", "-D", "cpu", "--binary", heating_tool(tmp_path, 3), "-r", "3", "--no-profile",
        "--out", tmp_path / "report", "--cool-down", "30",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cooling down: thermal status moderate" in done.stderr
    assert "1 of 4 repetitions suspect, left out: throttled: thermal status" in done.stdout
    with Store() as store:
        repetitions = store.run("latest").jobs[0].repetitions
    assert [r.verdict for r in repetitions] == ["valid", "suspect", "valid", "valid"]
    assert repetitions[1].latency_avg_us == 900, "it is kept"
    assert "0.500" in done.stdout
    html = (tmp_path / "report" / "report.html").read_text()
    assert "1 of 4 repetitions suspect" in html


def test_a_device_that_stays_hot_is_measured_and_marked(tmp_path: Path, adb_server_port: int) -> None:
    done = devbench(
        "run", MODEL, "-d", "virtual", "-D", "cpu", "-r", "2", "--no-profile", "--no-report", "--num-runs", "3", "--min-secs",
        "0", "--warmup-min-secs", "0", "--fault", "thermal=3", "--cool-down", "1", "--suspect-retries", "1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "3 of 3 repetitions suspect, all of them" in done.stdout
    with Store() as store:
        assert {r.verdict for r in store.run("latest").jobs[0].repetitions} == {"suspect"}


def test_a_precision_adds_processes_until_it_is_reached(tmp_path: Path, adb_server_port: int) -> None:
    tool = tmp_path / "benchmark_model"
    tool.write_text(f"#!/bin/sh\n# devbench-virtual\n{SUMMARY.format(us=500)}\n")
    tool.chmod(0o755)
    words = ["run", MODEL, "-d", "virtual", "-D", "cpu", "--binary", tool, "-r", "2", "--no-profile", "--no-report"]
    assert devbench(*words, "--precision", "1%", "--suspect-retries", "0").returncode == 0
    with Store() as store:
        assert len(store.run("latest").jobs[0].repetitions) == 6, "the least number with 95 % coverage"
    wrong = devbench(*words, "--precision", "much")
    assert wrong.returncode == 2
    assert "--precision 'much'" in wrong.stderr
