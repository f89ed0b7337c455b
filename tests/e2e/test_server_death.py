"""Another tool's `adb kill-server` in the middle of a run: the run waits, connects again and misses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbench.adb.device import Device
from devbench.adb.server import AdbServer, find_adb
from devbench.errors import DevbenchError
from devbench.results.store import Store
from tests.conftest import DATA, BenchPhone, connected_phone
from tests.made.adb_servers import adb_server
from tests.waiting import wait_until

MODEL = DATA / "small_cnn.tflite"
# Long enough to be in the middle of the first process when the server ends.
SLOW = (
    "--repetitions",
    "3",
    "--no-profile",
    "--cold-starts",
    "0",
    "--no-report",
    "--min-secs",
    "2.5",
    "--unreliable-retries",
    "0",
)


@pytest.fixture
def own_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Port of a server of this test alone, which it may end."""
    with adb_server() as port:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        monkeypatch.delenv("ANDROID_ADB_SERVER_HOST", raising=False)
        yield port


def adb(port: int, *words: str) -> None:
    subprocess.run([str(find_adb()), "-P", str(port), *words], check=False, timeout=30, capture_output=True)


def run_and_kill(
    port: int, command: list[object], root: Path, *, start: bool, timeout: float = 150
) -> subprocess.CompletedProcess[str]:
    """Run devbench; once a process of the tool is at work on the device, end the server, and start it if asked to."""
    ended = threading.Event()

    def end() -> None:
        wait_until(lambda: any((root / "data/local/tmp/devbench/lease").glob("*.pid.*")))
        time.sleep(1.0)
        adb(port, "kill-server")
        if start:
            adb(port, "start-server")
        ended.set()

    threading.Thread(target=end, daemon=True).start()
    words = [sys.executable, "-m", "devbench.cli.app", *map(str, command)]
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=timeout, check=False, env={**os.environ, "COLUMNS": "200"}
    )
    assert ended.is_set(), done.stderr
    return done


def check(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    assert "waiting for the connection" in done.stderr
    with Store() as store:
        (job,) = store.run().jobs
    latency = [(one.index, one.status) for one in job.repetitions if one.purpose == "latency"]
    assert latency[:3] == [(0, "ok"), (1, "ok"), (2, "ok")], "each repetition once, none lost"
    assert not any(one.failure_kind for one in job.repetitions)


@pytest.mark.campaign
@pytest.mark.parametrize("start", [False, True], ids=["killed", "restarted-by-another-tool"])
def test_a_run_on_a_virtual_device_survives_the_server(own_server: int, *, start: bool) -> None:
    with connected_phone(name="survivor") as phone:
        command = ["run", MODEL, "-d", phone.address, "-D", "cpu", *SLOW]
        check(run_and_kill(own_server, command, phone.root, start=start))


@pytest.mark.bench_phone
def test_a_run_on_a_bench_phone_survives_the_server(bench_phone: BenchPhone, own_server: int) -> None:
    from devbench.tool.binaries import add

    add(bench_phone.binary, name="stock", version="2.14.1")
    adb(own_server, "connect", bench_phone.serial)
    command = ["run", MODEL, "-d", bench_phone.serial, "-D", "cpu", "--binary", "stock", *SLOW]
    check(run_and_kill(own_server, command, bench_phone.root, start=False))


@pytest.mark.campaign
def test_a_nightly_does_not_call_the_device_missing(own_server: int, tmp_path: Path) -> None:
    suite = tmp_path / "night.toml"
    with connected_phone(name="survivor") as phone:
        suite.write_text(
            f'models = ["{MODEL}"]\ndevices = ["{phone.address}"]\ndelegates = ["cpu"]\nrepetitions = 2\n'
            "profile = false\ncold_starts = 0\nmin_secs = 2.5\nunreliable_retries = 0\n"
        )
        junit = tmp_path / "junit.xml"
        done = run_and_kill(own_server, ["nightly", suite, "--junit", junit], phone.root, start=False)
    assert "<failure" not in junit.read_text(), done.stderr
    assert "<error" not in junit.read_text()
    assert "survivor" in junit.read_text()


def test_a_device_that_stays_away_is_given_up_after_its_time(own_server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from devbench.adb.errors import DeviceLost
    from devbench.bench.events import ConnectionLost
    from devbench.bench.waiting import Reconnector

    monkeypatch.setattr("devbench.bench.waiting._DEVICE_BACK_S", 1.0)
    told: list[ConnectionLost] = []
    with connected_phone(name="goner") as phone:
        device = Device(AdbServer(), phone.address)
        device.recover = Reconnector(device, threading.Event(), told.append)
        assert device.shell("echo", timeout_s=20).exit_code == 0
        phone.unplug()
        with pytest.raises(DeviceLost):
            device.shell("echo", timeout_s=20)
        with pytest.raises(DevbenchError):
            device.shell("echo", timeout_s=20)
    assert [event.back for event in told] == [False], "given up once, not waited for again"


def test_a_device_that_comes_back_answers_the_same_call(own_server: int) -> None:
    from devbench.bench.waiting import Reconnector

    with connected_phone(name="back") as phone:
        device = Device(AdbServer(), phone.address)
        device.recover = Reconnector(device, threading.Event(), lambda event: None)
        assert device.shell("echo", timeout_s=20).exit_code == 0
        phone.unplug()
        threading.Timer(1.5, phone.plug_in).start()
        assert device.shell("echo again", timeout_s=20).stdout == b"again\n"


def test_another_board_in_its_place_is_not_taken_for_it(own_server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from devbench.adb.errors import DeviceLost
    from devbench.bench.waiting import Reconnector
    from devbench.device.facts import read_facts

    monkeypatch.setattr("devbench.bench.waiting._DEVICE_BACK_S", 2.0)
    with connected_phone(name="first") as phone:
        device = Device(AdbServer(), phone.address)
        device.recover = reconnector = Reconnector(device, threading.Event(), lambda event: None)
        reconnector.facts = read_facts(device)
        properties = phone.root / "system/properties"
        properties.write_text(properties.read_text().replace("[first]", "[second]"))
        phone.unplug()
        threading.Timer(0.3, phone.plug_in).start()
        with pytest.raises(DeviceLost):
            device.shell("echo", timeout_s=20)
