"""A run whose process died goes on in the same run: nothing twice, nothing lost, also where a device is not back."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from devbench.adb.device import Device
from devbench.adb.server import AdbServer
from devbench.results.counting import RunView
from devbench.results.store import Store
from tests.conftest import DATA, BenchPhone
from tests.made.command import tool
from tests.waiting import wait_until

MODELS = [str(DATA / "tiny_groupnorm.tflite"), str(DATA / "tiny_conv.tflite")]
LINE = "Inference timings in us: Init: 1, First inference: 1, Warmup (avg): 1, Inference (avg): 5"


def command(folder: Path, device: str, *more: str) -> list[str]:
    binary = folder / "benchmark_model"
    if not binary.exists():
        tool(folder, f'sleep 0.2; echo "{LINE}"')
    return [
        sys.executable, "-m", "devbench.cli.app", "run", *MODELS, "-d", device, "-D", "cpu", "--binary", str(binary),
        "-r", "4", "--unreliable-retries", "0", "--cool-down", "0", "--no-report", "--quiet", *more,
    ]  # fmt: skip


def stored() -> RunView:
    with Store() as store:
        return store.run("latest")


def kill_after(command: list[str], repetitions: int) -> None:
    """kill -9 once so many repetitions are stored."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def enough() -> bool:
        assert process.poll() is None, "it ended before it was killed"
        with Store() as store:
            return sum(run.repetitions for run in store.runs()) >= repetitions

    wait_until(enough)
    process.kill()
    process.wait()


def counted(view: RunView) -> Counter[tuple[int, str, str, int]]:
    return Counter(
        (item.job.number, item.job.model.name, r.purpose, r.index) for item in view.jobs for r in item.repetitions
    )


@pytest.mark.campaign
@pytest.mark.parametrize("after", [1, 7])
def test_what_is_stored_is_not_made_again_and_nothing_is_missing(
    after: int, tmp_path: Path, adb_server_port: int
) -> None:
    words = command(tmp_path, "virtual:2")
    kill_after(words, after)
    before = stored()
    assert before.status == "running"
    # One of the two devices is not back at first.
    alone = subprocess.run(
        [*command(tmp_path, "virtual"), "--resume", "latest"], capture_output=True, text=True, timeout=90, check=False
    )
    assert alone.returncode in (0, 1), alone.stderr  # jobs of the other device may not have a repetition yet
    done = subprocess.run([*words, "--resume", "latest"], capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    view = stored()
    assert (view.run.run_id, view.status) == (before.run.run_id, "done")
    assert view.run.started_utc == before.run.started_utc
    assert [item.job.number for item in view.jobs] == [1, 2, 3, 4]
    assert set(counted(view).values()) == {1}
    assert len(counted(view)) == 2 * 2 * (4 + 1), "two devices, two models, four latencies and a profile"
    kept = {r.raw_path: r for item in view.jobs for r in item.repetitions}
    for item in before.jobs:
        for repetition in item.repetitions:
            assert kept[repetition.raw_path] == repetition, "what was stored is as it was"


def test_a_run_that_is_complete_measures_nothing_more(tmp_path: Path, adb_server_port: int) -> None:
    words = command(tmp_path, "virtual", "-r", "1")
    assert subprocess.run(words, capture_output=True, timeout=90, check=False).returncode == 0
    before = stored()
    assert subprocess.run([*words, "--resume", "latest"], capture_output=True, timeout=90, check=False).returncode == 0
    assert stored().jobs == before.jobs


def test_a_run_with_another_plan_does_not_go_on(tmp_path: Path, adb_server_port: int) -> None:
    assert subprocess.run(command(tmp_path, "virtual"), capture_output=True, timeout=90, check=False).returncode == 0
    other = [*command(tmp_path, "virtual", "-t", "1"), "--resume", "latest"]
    done = subprocess.run(other, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 2
    assert "another plan" in done.stderr
    assert stored().status == "done"


@pytest.mark.bench_phone
def test_a_run_on_a_bench_phone_goes_on_and_ends_what_the_dead_one_left_there(
    tmp_path: Path, bench_phone: BenchPhone
) -> None:
    words = [
        sys.executable, "-m", "devbench.cli.app", "run", *MODELS, "-d", bench_phone.serial, "-D", "cpu,xnnpack",
        "--binary", str(bench_phone.binary), "-r", "3", "--min-secs", "0.5", "--unreliable-retries", "0", "--cool-down",
        "0", "--cold-starts", "0", "--no-report", "--quiet",
    ]  # fmt: skip
    kill_after(words, 3)
    done = subprocess.run([*words, "--resume", "latest"], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    view = stored()
    assert set(counted(view).values()) == {1}
    assert len(view.jobs) == 4
    assert all(len(item.repetitions) == 4 for item in view.jobs)
    left = Device(AdbServer(), bench_phone.serial).shell(
        "ls /data/local/tmp/devbench/run", timeout_s=10, doing="looking"
    )
    assert b".pid" not in left.stdout
