"""Steps that steady a device: done, recorded, undone in reverse, also by the next run where this one could not."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from devbench.adb.server import AdbServer
from devbench.bench.stabilise import STEPS, Stabiliser, Stabilising, parse_stabilising
from devbench.errors import InputError
from devbench.results.store import Store
from devbench.virtual.phone import VirtualPhone
from tests.conftest import DATA

MODEL = DATA / "tiny_groupnorm.tflite"


def devbench(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devbench.cli.app", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def asked(phone: VirtualPhone) -> list[str]:
    log = phone.root / "data/local/commands.log"
    return log.read_text().splitlines() if log.exists() else []


def test_steps_are_typed_in_words() -> None:
    assert parse_stabilising(["awake,performance", "affinity=0xF0"]) == Stabilising(("awake", "performance"), "f0")
    for text, words in (("sleepy", "unknown"), ("affinity=big", "not a mask"), ("affinity=0", "not a mask")):
        with pytest.raises(InputError, match=words):
            parse_stabilising([text])


def test_steps_are_done_recorded_and_undone_in_reverse(virtual_phone: VirtualPhone) -> None:
    done = devbench(
        "run", MODEL, "-d", virtual_phone.address, "-D", "cpu", "-r", "1", "--no-profile", "--no-report", "--num-runs", "2",
        "--min-secs", "0", "--warmup-min-secs", "0", "--stabilise", "awake,performance,affinity=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert asked(virtual_phone) == [
        "svc power stayon true",
        "cmd power set-fixed-performance-mode-enabled true",
        "cmd power set-fixed-performance-mode-enabled false",
        "svc power stayon false",
    ]
    with Store() as store:
        job = store.run("latest").jobs[0]
    assert job.job.options["stabilised"] == {"awake": True, "performance": True, "affinity": "1"}
    assert job.repetitions[0].argv[:2] == ("taskset", "1")
    assert not (virtual_phone.root / "data/local/tmp/devbench/run/undo.sh").exists()


def test_what_a_killed_run_changed_is_undone_by_the_next(virtual_phone: VirtualPhone, tmp_path: Path) -> None:
    slow = tmp_path / "benchmark_model"
    slow.write_text("#!/bin/sh\n# devbench-virtual\nsleep 30\n")
    slow.chmod(0o755)
    words = [sys.executable, "-m", "devbench.cli.app", "run", str(MODEL), "-d", virtual_phone.address, "-D", "cpu", "-r", "1",
             "--no-profile", "--no-report", "--binary", str(slow), "--stabilise", "awake"]  # fmt: skip
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not asked(virtual_phone) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait(10)
    assert asked(virtual_phone) == ["svc power stayon true"]
    done = devbench("run", MODEL, "-d", virtual_phone.address, "-D", "cpu", "-r", "1", "--no-profile", "--no-report",
                    "--num-runs", "2", "--min-secs", "0", "--warmup-min-secs", "0")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert asked(virtual_phone) == ["svc power stayon true", "svc power stayon false"]


def test_airplane_mode_never_cuts_the_connection_it_is_asked_over() -> None:
    device = AdbServer().device("192.168.1.7:5555")
    with pytest.raises(InputError, match="would cut the connection"):
        Stabiliser(device, "/d", Stabilising(("airplane",))).start()


def test_every_step_says_what_it_is_for() -> None:
    assert all(step.do and step.help for step in STEPS.values())
