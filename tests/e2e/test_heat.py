"""A device that heats up: unreliable repetitions are found, repeated, left out, waited for, and shown."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbench.host.paths import data_dir
from devbench.results.store import Store
from devbench.virtual.faults import Faults
from devbench.virtual.phone import VirtualPhone
from tests.conftest import DATA, connected_phone

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


def test_a_unreliable_repetition_is_repeated_after_cooling_down_and_left_out(
    tmp_path: Path, adb_server_port: int
) -> None:
    done = devbench(
        "run", MODEL, "-d", "virtual", "-D", "cpu", "--binary", heating_tool(tmp_path, 3), "-r", "3", "--no-profile",
        "--out", tmp_path / "report", "--cool-down", "30", "--fault", "quiet",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cooling down: thermal status moderate" in done.stderr
    assert "1 of 4 repetitions is unreliable (throttled: thermal status" in done.stdout
    with Store() as store:
        repetitions = store.run("latest").jobs[0].repetitions
    assert [r.verdict for r in repetitions] == ["valid", "unreliable", "valid", "valid"]
    assert repetitions[1].latency_avg_us == 900, "it is kept"
    assert "0.500" in done.stdout
    html = (tmp_path / "report" / "report.html").read_text()
    assert "1 of 4 repetitions is unreliable" in html


def test_a_device_that_stays_hot_is_measured_and_marked(tmp_path: Path, adb_server_port: int) -> None:
    done = devbench(
        "run", MODEL, "-d", "virtual", "-D", "cpu", "-r", "2", "--no-profile", "--no-report", "--num-runs", "3", "--min-secs",
        "0", "--warmup-min-secs", "0", "--fault", "thermal=3,quiet", "--cool-down", "1", "--unreliable-retries", "1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "all 3 repetitions are unreliable" in done.stdout
    with Store() as store:
        assert {r.verdict for r in store.run("latest").jobs[0].repetitions} == {"unreliable"}


@pytest.fixture
def quiet_phone(adb_server_port: int) -> Iterator[VirtualPhone]:
    """A virtual device whose verdicts do not depend on what else this machine does."""
    with connected_phone(Faults(quiet=True)) as phone:
        yield phone


@pytest.fixture
def skin_limit() -> None:
    """A profile of the user's own that says how warm a virtual device may be."""
    folder = data_dir() / "device_profiles"
    folder.mkdir()
    (folder / "warm.toml").write_text(
        'title = "Rig"\nvirtual = true\n[match]\n"ro.devbench.virtual" = "1"\n[limits.sensors]\nskin = 41\n'
    )


def short_run(phone: VirtualPhone, *words: object) -> subprocess.CompletedProcess[str]:
    return devbench(
        "run", MODEL, "-d", phone.address, "-D", "cpu", "-r", "2", "--no-profile", "--no-report", "--num-runs", "3",
        "--min-secs", "0", "--warmup-min-secs", "0", "--unreliable-retries", "1", *words,
    )  # fmt: skip


def test_a_device_over_its_profile_s_limit_is_waited_for(quiet_phone: VirtualPhone, skin_limit: None) -> None:
    skin = quiet_phone.root / "data/local/skin"
    skin.write_text("44.5\n")
    cooling = threading.Timer(4, skin.write_text, ["38.0\n"])
    cooling.start()
    done = short_run(quiet_phone, "--cool-down", "60")
    cooling.join()
    assert done.returncode == 0, done.stderr
    assert "cooling down: skin 44.5 °C above 41 °C" in done.stderr
    with Store() as store:
        job = store.run("latest").jobs[0]
    assert [r.verdict for r in job.repetitions] == ["valid", "valid"], "not one process ran while it was hot"
    assert job.job.device.facts["limits"]["sensors_c"] == {"skin": 41.0}
    assert (job.repetitions[0].conditions_before or {})["temperatures_c"] == {"skin": 38.0}


def test_a_device_that_stays_over_a_limit_is_unreliable_for_that_reason(
    quiet_phone: VirtualPhone, skin_limit: None
) -> None:
    (quiet_phone.root / "data/local/skin").write_text("44.5\n")
    done = short_run(quiet_phone, "--cool-down", "0")
    assert done.returncode == 0, done.stderr
    assert "all 3 repetitions are unreliable" in done.stdout
    assert "skin 44.5 °C above 41 °C" in done.stdout
    with Store() as store:
        reasons = [r.verdict_reasons for r in store.run("latest").jobs[0].repetitions]
    assert reasons == [("skin 44.5 °C above 41 °C",)] * 3


def test_a_precision_adds_processes_until_it_is_reached(tmp_path: Path, adb_server_port: int) -> None:
    tool = tmp_path / "benchmark_model"
    tool.write_text(f"#!/bin/sh\n# devbench-virtual\n{SUMMARY.format(us=500)}\n")
    tool.chmod(0o755)
    words = ["run", MODEL, "-d", "virtual", "-D", "cpu", "--binary", tool, "-r", "2", "--no-profile", "--no-report",
             "--fault", "quiet"]  # fmt: skip
    assert devbench(*words, "--precision", "1%", "--unreliable-retries", "0").returncode == 0
    with Store() as store:
        assert len(store.run("latest").jobs[0].repetitions) == 6, "the least number with 95 % coverage"
    wrong = devbench(*words, "--precision", "much")
    assert wrong.returncode == 2
    assert "--precision 'much'" in wrong.stderr
