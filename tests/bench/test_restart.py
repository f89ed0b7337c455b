"""A restart: it counts when the same board is back with another boot id and has booted; else an error names the state."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from devbench.adb.device import Device
from devbench.adb.server import AdbServer
from devbench.bench import care as module
from devbench.bench.care import NotRestarted, restart
from devbench.bench.lease_keeper import holding
from devbench.device.facts import read_facts
from devbench.device.lease import ROOT, read_holder
from devbench.virtual.faults import Faults
from devbench.virtual.phone import VirtualPhone
from tests.conftest import BenchPhone, connected_phone


def test_a_restarted_device_has_another_boot_id_and_its_files(virtual_phone: VirtualPhone) -> None:
    device = Device(AdbServer(), virtual_phone.address)
    before = read_facts(device)
    device.shell("echo kept > /data/local/tmp/kept", timeout_s=10)
    took_s = restart(device, before, 60)
    after = read_facts(device)
    assert after.key == before.key and after.identity.boot != before.identity.boot and took_s > 0
    assert device.shell("cat /data/local/tmp/kept", timeout_s=10).stdout == b"kept\n"


def test_the_lease_ends_with_a_restart(virtual_phone: VirtualPhone) -> None:
    device = Device(AdbServer(), virtual_phone.address)
    with holding(device) as keeper:
        restart(device, read_facts(device), 60)
        holder = read_holder(device, ROOT)
        assert holder is None or not holder.active
        keeper.take()
        assert keeper.is_held()


def test_a_device_that_stays_away_is_named(adb_server_port: int) -> None:
    with connected_phone(Faults(boot_s=600)) as phone:
        device = Device(AdbServer(), phone.address)
        with pytest.raises(NotRestarted, match="has not come back after"):
            restart(device, read_facts(device), 3)


def test_a_device_that_has_not_booted_is_waited_for(
    virtual_phone: VirtualPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, state = threading.Event(), module._state

    def stop_when_seen(*words: Any) -> tuple[bool, str]:
        found = state(*words)
        if found[1] == "has not finished booting":
            stop.set()
        return found

    monkeypatch.setattr(module, "_state", stop_when_seen)
    device = Device(AdbServer(), virtual_phone.address)
    facts = read_facts(device)
    prop = virtual_phone.root / "system" / "build.prop"
    prop.write_text(prop.read_text().replace("sys.boot_completed=1", "sys.boot_completed=0"))
    with pytest.raises(NotRestarted, match="has not finished booting"):
        restart(device, facts, 60, stop)


@pytest.mark.bench_phone
def test_a_device_that_does_not_restart_is_named(bench_phone: BenchPhone) -> None:
    """The bench phone's adbd has nothing to restart."""
    device = Device(AdbServer(), bench_phone.serial)
    with pytest.raises(NotRestarted, match=r"is still running|has not come back"):
        restart(device, read_facts(device), 5)
