"""Who has a device is shown by every command that looks at it, and a device can be taken away from a run."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from devbench.adb.device import Device
from devbench.adb.server import AdbServer
from devbench.device import lease
from devbench.device.owner import Owner
from devbench.results.store import Store
from devbench.virtual.phone import VirtualPhone
from tests.conftest import DATA, connected_phone
from tests.waiting import wait_until

MODEL = DATA / "tiny_conv.tflite"
ELSEWHERE = Owner("rig-2", "ci", "another-boot", "pid_1", 77, 1)
TOOL = """#!/bin/sh
# devbench-virtual
sleep @SECONDS@
echo "Inference timings in us: Init: 1000, First inference: 900, Warmup (avg): 800, Inference (avg): 700"
"""
COMMAND = [sys.executable, "-m", "devbench.cli.app"]


def devbench(*words: object, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, words)], capture_output=True, text=True, timeout=100, check=False,
        env={**os.environ, "COLUMNS": "250", **env}, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture
def phone(empty_adb_server: int) -> Iterator[VirtualPhone]:
    with connected_phone() as found:
        yield found


def device_of(phone: VirtualPhone) -> Device:
    return Device(AdbServer(), phone.address)


def taken_elsewhere(phone: VirtualPhone, *, expired: bool = False) -> lease.Lease:
    held = lease.take(device_of(phone), lease.ROOT, lease.Request("elsewhere", ELSEWHERE))
    if expired:
        file = phone.root / held.until_file.lstrip("/")
        file.write_text(f"{file.read_text().split()[0]} 1\n")
    return held


def tool(folder: Path, seconds: float) -> Path:
    path = folder / "benchmark_model"
    path.write_text(TOOL.replace("@SECONDS@", str(seconds)))
    path.chmod(0o755)
    return path


def test_devices_shows_who_has_a_device_and_since_when(phone: VirtualPhone) -> None:
    assert "in use by" not in devbench("devices").stdout
    assert json.loads(devbench("devices", "--json").stdout)[0]["lease"] is None
    held = taken_elsewhere(phone)
    said = devbench("devices").stdout
    assert "in use by" in said and "ci@rig-2, process 77, for " in said
    (found,) = json.loads(devbench("devices", "--json").stdout)
    assert (found["lease"]["host"], found["lease"]["user"], found["lease"]["pid"]) == ("rig-2", "ci", 77)
    assert found["lease"]["active"] and 0 < found["lease"]["left_s"] <= 60
    lease.leave(device_of(phone), held)
    assert json.loads(devbench("devices", "--json").stdout)[0]["lease"] is None


def test_doctor_shows_leases_and_expired_ones_with_what_to_do(phone: VirtualPhone) -> None:
    taken_elsewhere(phone)

    def finding() -> dict[str, str]:
        found = json.loads(devbench("doctor", "--json").stdout)
        (one,) = (one for one in found if one["subject"].endswith(" lease"))
        return one

    one = finding()
    assert one["grade"] == "warning" and "in use by ci@rig-2, process 77 for" in one["words"]
    assert f"devbench devices release {phone.address}" in one["mend"]
    (file,) = phone.root.glob("data/local/tmp/devbench/lease/*.until.*")
    file.write_text(f"{file.read_text().split()[0]} 1\n")
    one = finding()
    assert "expired lease: ci@rig-2, process 77 did not release the device" in one["words"]
    assert "the next run takes the device" in one["mend"]


def test_release_asks_at_the_terminal_and_needs_yes_without_one(phone: VirtualPhone) -> None:
    held = taken_elsewhere(phone)
    done = devbench("devices", "release", phone.address)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "no terminal to ask at" in line and "--yes" in line and "ci@rig-2, process 77" in line
    assert lease.renew(device_of(phone), held)
    main, sub = pty.openpty()
    os.write(main, b"n\n")
    refused = subprocess.run(
        [*COMMAND, "devices", "release", phone.address], stdin=sub, capture_output=True, timeout=60
    )
    assert refused.returncode == 0 and b"Nothing was changed" in refused.stdout
    assert lease.renew(device_of(phone), held)
    os.write(main, b"y\n")
    done = subprocess.run([*COMMAND, "devices", "release", phone.address], stdin=sub, capture_output=True, timeout=60)
    assert done.returncode == 0 and b"released from ci@rig-2, process 77" in done.stdout
    assert not lease.renew(device_of(phone), held)
    os.close(main)
    os.close(sub)


def test_release_takes_any_shown_name_and_says_if_nobody_has_the_device(phone: VirtualPhone) -> None:
    done = devbench("devices", "release", "virtual-test", "--yes")
    assert done.returncode == 0 and "the device is not in use" in done.stdout
    taken_elsewhere(phone)
    done = devbench("devices", "release", "Virtual device", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["released"]["pid"] == 77
    done = devbench("devices", "release", "nowhere", "--yes")
    assert done.returncode == 3 and len(done.stderr.strip().splitlines()) == 1


@contextmanager
def running(phone: VirtualPhone, folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A run whose second repetition is at work."""
    command = [
        *COMMAND, "run", str(MODEL), "-d", phone.address, "-D", "cpu", "--binary", str(tool(folder, 1.5)), "-r", "6",
        "--no-profile", "--no-report", "--cold-starts", "0", "--unreliable-retries", "0", "--cool-down", "0", *words,
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def at_work() -> bool:
        with Store() as store:
            return process.poll() is not None or any(run.repetitions for run in store.runs(1))

    try:
        wait_until(at_work)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_run_whose_device_is_released_stores_what_it_has_says_so_and_stops(
    phone: VirtualPhone, tmp_path: Path
) -> None:
    results = tmp_path / "results.json"
    with running(phone, tmp_path, "--json", str(results)) as run:
        done = devbench("devices", "release", phone.address, "--yes")
        assert done.returncode == 0, done.stderr
        stdout, stderr = run.communicate(timeout=60)
    assert run.returncode == 3, stdout + stderr
    assert "the lease on the device was lost to another run or revoked" in stderr
    with Store() as store:
        view = store.run("latest")
    (job,) = view.jobs
    assert 1 <= len(job.repetitions) < 6
    assert all(repetition.status == "ok" for repetition in job.repetitions), "the one in progress does not count"
    assert [notice.kind.value for notice in view.notices if notice.kind.value == "lease_lost"] == ["lease_lost"]
    assert any(notice["kind"] == "lease_lost" for notice in json.loads(results.read_text())["notices"])
    assert view.status == "failed"


def test_a_device_that_another_run_has_is_waited_for_by_every_command_that_runs_the_tool(
    phone: VirtualPhone, tmp_path: Path
) -> None:
    taken_elsewhere(phone)
    commands = [
        ["run", MODEL, "-d", phone.address, "--no-report"],
        ["accuracy", MODEL, "-d", phone.address],
        ["delegates", "-d", phone.address],
        ["models", "rewrite", MODEL, tmp_path / "out.tflite", "-d", phone.address, "--only", "serialize-conv"],
    ]
    for words in commands:
        done = devbench(*words)
        assert done.returncode == 3, (words, done.stdout, done.stderr)
        assert "is busy: in use by ci@rig-2, process 77" in done.stderr, words
        assert devbench(*words, "--wait", "soon").returncode == 2
    assert devbench("devices", "release", phone.address, "--yes").returncode == 0
    assert devbench("delegates", "-d", phone.address).returncode == 0


def test_a_nightly_names_a_busy_device_and_measures_the_others(empty_adb_server: int, tmp_path: Path) -> None:
    with connected_phone(name="virtual-one") as one, connected_phone(name="virtual-two") as two:
        taken_elsewhere(one)
        (tmp_path / "suite.toml").write_text(
            f'name = "s"\nmodels = ["{MODEL}"]\ndevices = ["{one.address}", "{two.address}"]\ndelegates = ["cpu"]\n'
            f'binary = "{tool(tmp_path, 0.1)}"\nrepetitions = 1\nunreliable_retries = 0\ncool_down = 0\n'
            f'[nightly]\ndevice_wait = "1s"\nreports = "{tmp_path}/reports"\njunit = "{tmp_path}/junit.xml"\n'
        )
        done = devbench("nightly", tmp_path / "suite.toml", "--quiet")
        assert done.returncode == 3, done.stdout + done.stderr
        assert "1 device busy" in done.stdout and "missing" not in done.stdout.splitlines()[0]
        assert "is busy: in use by ci@rig-2, process 77" in done.stdout
        assert 'type="device_busy"' in (tmp_path / "junit.xml").read_text()
        with Store() as store:
            (job,) = store.run("latest").jobs
        assert job.job.device.serial == two.address
        held = lease.read_holder(device_of(one), lease.ROOT)
        assert held is not None and lease.revoke(device_of(one), lease.ROOT, held)
        done = devbench("nightly", tmp_path / "suite.toml", "--quiet")
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_frozen_run_does_not_undo_what_its_successor_changed(phone: VirtualPhone) -> None:
    from devbench.bench.lease_keeper import LeaseKeeper

    request = lease.new_request()
    keeper = LeaseKeeper(device_of(phone), lease.ROOT, request)
    keeper.take()
    assert keeper.is_held()
    later = lease.Request("later", ELSEWHERE, "", 0)
    holder = lease.read_holder(device_of(phone), lease.ROOT)
    assert holder is not None and lease.revoke(device_of(phone), lease.ROOT, holder)
    held = lease.take(device_of(phone), lease.ROOT, replace(later))
    assert not keeper.is_held()
    with pytest.raises(lease.LeaseLost):
        keeper.check()
    with pytest.raises(lease.LeaseLost):
        keeper.raise_if_lost()
    keeper.end_process()
    keeper.leave()
    assert lease.renew(device_of(phone), held)
