"""Delegates are ranked right over the noise of real processes; `benchmarks/ranking.py` does it twenty times."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from devbench.findings.run import JobReport
from devbench.findings.run_build import build_report
from devbench.results.store import Store
from tests.conftest import DATA

MODEL = DATA / "small_cnn.tflite"
# Recorded with `benchmarks/ranking.py --record`: the demo model under XNNPACK, one thread.
NOISE = DATA / "noise_unet.json"


def run(*words: str | Path) -> tuple[dict[str, JobReport], Store]:
    done = subprocess.run(
        [sys.executable, "-m", "devbench.cli.app", "run", str(MODEL), "-d", "virtual", "--num-runs", "50", "--min-secs", "0",
         "--warmup-min-secs", "0", "--no-profile", "--no-report", "--unreliable-retries", "0", *map(str, words)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    store = Store()
    return {job.job.delegate: job for job in build_report(store.run("latest")).jobs}, store


@pytest.mark.campaign
def test_at_one_percent_a_delegate_that_is_five_percent_slower_is_ranked_right(adb_server_port: int) -> None:
    fault = f"noise={NOISE},seed=1,slower=xnnpack:5"
    jobs, store = run("-D", "cpu,xnnpack", "--fault", fault, "--precision", "1%", "--max-repetitions", "60")
    fast, slow = jobs["cpu"].latency, jobs["xnnpack"].latency
    assert fast is not None
    assert slow is not None
    for one in (fast, slow):
        assert one.n >= 6
        assert one.half_width_pct is not None
        assert one.half_width_pct <= 1 or one.n == 60
    assert fast.high < slow.low, "the intervals are apart"
    assert 0.02 < slow.median / fast.median - 1 < 0.08
    # Nothing was run, and every stored output says so.
    with store:
        for name, job in jobs.items():
            for repetition in job.repetitions:
                raw = store.artifacts.read(repetition.raw_path).decode()
                assert "WARN: This cannot count as a measurement: process" in raw
                assert ("are made 5 % longer" in raw) == (name == "xnnpack")
                assert any("is replayed" in warning for warning in repetition.measurement["warnings"])


@pytest.mark.campaign
def test_equal_cases_have_intervals_that_overlap(tmp_path: Path, adb_server_port: int) -> None:
    delegates = tmp_path / "twins.toml"
    delegates.write_text('[a]\nflags = { use_xnnpack = "true" }\n\n[b]\nflags = { use_xnnpack = "true" }\n')
    jobs, store = run(
        "-D", "a,b", "--delegates-file", delegates, "--fault", f"noise={NOISE},seed=1", "--repetitions", "12"
    )
    store.close()
    a, b = jobs["a"].latency, jobs["b"].latency
    assert a is not None
    assert b is not None
    assert a.n == b.n == 12
    assert a.low <= b.high
    assert b.low <= a.high


def test_a_fault_that_makes_no_sense_is_one_line(adb_server_port: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "devbench.cli.app", "run", str(MODEL), "-d", "virtual", "--fault", "slower=gpu"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--fault slower: 'gpu' is not NAME:PCT, such as gpu:5" in done.stderr
    assert "Traceback" not in done.stderr
