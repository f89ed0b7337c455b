"""The virtual device itself: its faults as a user meets them, its paths, its processes, its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from devbench.adb.device import Device
from devbench.adb.errors import SyncFailed
from devbench.adb.server import AdbServer
from devbench.device.conditions import read_conditions
from devbench.device.facts import read_facts
from devbench.errors import EnvironmentProblem
from devbench.virtual.faults import Faults
from devbench.virtual.phone import VirtualPhone
from devbench.virtual.userland import PathFilter
from tests.conftest import connected_phone
from tests.waiting import wait_until


def test_it_says_what_it_is(virtual_phone: VirtualPhone) -> None:
    facts = read_facts(Device(AdbServer(), virtual_phone.address))
    assert facts.virtual
    assert facts.title == "Virtual device (virtual-test)"
    assert facts.abis == ("virtual",)


def test_it_has_no_battery_and_this_machine_s_load(virtual_phone: VirtualPhone) -> None:
    conditions = read_conditions(Device(AdbServer(), virtual_phone.address))
    assert conditions.battery_level is None
    assert conditions.load_1min is not None
    assert conditions.memory_available_bytes


def test_it_reports_the_thermal_state_it_was_told(adb_server_port: int) -> None:
    with connected_phone(Faults(thermal=3)) as phone:
        conditions = read_conditions(Device(AdbServer(), phone.address))
    assert (conditions.thermal_status, conditions.throttled) == (3, True)


@pytest.mark.timeout(60)
def test_a_device_that_never_says_who_it_is_is_one_line(empty_adb_server: int) -> None:
    server = AdbServer()
    with VirtualPhone("mute", faults=Faults(offline=True)) as phone:
        with pytest.raises(EnvironmentProblem, match="does not say who it is within 4 s") as caught:
            server.connect(phone.address, timeout_s=4)
        assert phone.address in caught.value.what
        listed = subprocess.run(
            [sys.executable, "-m", "devbench.cli.app", "devices", "--json"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        entries = {entry["serial"]: entry for entry in json.loads(listed.stdout)}
        if phone.address in entries:
            assert not entries[phone.address]["ready"]
            assert entries[phone.address]["advice"]
        server.disconnect(phone.address)


def test_its_paths_lie_in_a_directory_of_its_own(virtual_phone: VirtualPhone, tmp_path: Path) -> None:
    device = Device(AdbServer(), virtual_phone.address)
    done = device.shell(
        "cd /data/local/tmp && pwd && echo hello > /data/local/tmp/f && ls -d /data/local/tmp/f", timeout_s=10
    )
    assert done.stdout == b"/data/local/tmp\n/data/local/tmp/f\n"
    assert (virtual_phone.root / "data/local/tmp/f").read_bytes() == b"hello\n"
    with pytest.raises(SyncFailed):
        device.pull("/data/../../../etc/passwd", tmp_path / "passwd", max_bytes=1 << 20)
    assert (
        str(virtual_phone.root).encode()
        not in device.shell("env; pwd; mount 2>/dev/null | head -0", timeout_s=10).stdout
    )


@pytest.mark.parametrize("cut", range(1, 12))
def test_its_directory_s_name_is_taken_out_wherever_a_stream_is_cut(cut: int) -> None:
    text = b"a/tmp/root/data b/tmp/roo c/tmp/root"
    paths = PathFilter(b"/tmp/root")
    shown = b"".join(paths.feed(text[i : i + cut]) for i in range(0, len(text), cut)) + paths.end()
    assert shown == b"a/data b/tmp/roo c"


def test_it_leaves_nothing_behind(adb_server_port: int) -> None:
    with connected_phone() as phone:
        device = Device(AdbServer(), phone.address)
        pid = int(device.shell("sleep 300 >/dev/null 2>&1 & echo $!", timeout_s=10).stdout)
        root = phone.root
        assert Path(f"/proc/{pid}").exists()
    assert not root.exists()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), seconds=30)


def test_virtual_devices_can_be_kept_for_several_runs(empty_adb_server: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "devbench.cli.app", "virtual", "--count", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    serials = [process.stdout.readline().strip() for _ in range(2)]
    known = {entry.serial: entry.state for entry in AdbServer().list_devices()}
    assert [known.get(serial) for serial in serials] == ["device", "device"]
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert not {entry.serial for entry in AdbServer().list_devices()} & set(serials)


def test_nothing_of_it_outlives_a_program_that_is_killed(adb_server_port: int, tmp_path: Path) -> None:
    code = (
        "import time\n"
        "from devbench.adb.device import Device\n"
        "from devbench.adb.server import AdbServer\n"
        "from devbench.virtual.phone import VirtualPhone\n"
        "with VirtualPhone('doomed') as phone:\n"
        "    server = AdbServer()\n"
        "    server.connect(phone.address, timeout_s=10)\n"
        "    server.wait_for(phone.address, timeout_s=10)\n"
        "    print(phone.root, flush=True)\n"
        "    Device(server, phone.address).shell('cd /data/local/tmp; sleep 60 & sleep 61', timeout_s=60, doing='x')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    root = process.stdout.readline().strip()

    def alive() -> list[int]:
        return [p.pid for p in psutil.process_iter() if _cwd(p).startswith(root)]

    wait_until(lambda: len(alive()) >= 3)
    process.kill()
    process.wait()
    wait_until(lambda: not alive() and not Path(root).exists())


@pytest.mark.parametrize("at", ["Userland.make", "shutil.rmtree", "subprocess.Popen.communicate"])
def test_no_moment_of_its_start_and_end_leaves_its_directory(tmp_path: Path, at: str) -> None:
    code = (
        "import os, shutil, signal, subprocess\n"
        "from devbench.virtual.phone import VirtualPhone\n"
        "from devbench.virtual.userland import Userland\n"
        f"{at} = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
        "with VirtualPhone('doomed'): pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: not list(tmp_path.iterdir()))


def _cwd(process: psutil.Process) -> str:
    try:
        return process.cwd()
    except psutil.Error:
        return ""
