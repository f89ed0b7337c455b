"""The power of USB ports: which port belongs to which device, and what uhubctl is called with."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from devbench.adb.device import Device
from devbench.adb.server import AdbServer
from devbench.bench.events import ConnectionLost
from devbench.bench.waiting import Reconnector
from devbench.device import hub
from devbench.device.facts import read_facts
from devbench.device.hub import load_ports, ports_file, power_cycle, set_port
from devbench.errors import EnvironmentProblem, InputError
from tests.conftest import connected_phone
from tests.made.command import devbench


@pytest.fixture
def uhubctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A uhubctl that writes its arguments to a file, and runs the file `then`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "then").write_text("")
    program = folder / "uhubctl"
    program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/called\n. {folder}/then\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


@pytest.mark.parametrize(
    ("port", "words"), [("1-4.2", "-l 1-4 -p 2"), ("3-1.4.12", "-l 3-1.4 -p 12"), ("2-3", "-l 2 -p 3")]
)
def test_the_last_part_of_a_port_is_the_port_of_its_hub(port: str, words: str, uhubctl: Path) -> None:
    set_port("KEY", port)
    assert power_cycle("KEY") == port
    assert (uhubctl / "called").read_text() == f"{words} -a cycle -d 5\n"


def test_a_device_without_a_port_is_left_alone(uhubctl: Path) -> None:
    assert power_cycle("KEY") == ""
    set_port("KEY", "1-4.2")
    set_port("KEY", "")
    assert power_cycle("KEY") == "" and not (uhubctl / "called").exists()


@pytest.mark.parametrize("port", ["1", "-l 1", "1-4.2; reboot", "1-4.2\n", "usb1", "1-4.", "1-1.1.1.1.1.1.1.1.1"])
def test_only_usb_ports_are_kept(port: str) -> None:
    with pytest.raises(InputError, match="is not a USB port"):
        set_port("KEY", port)
    ports_file().write_text('{"KEY": "-a off"}')
    with pytest.raises(InputError, match="is not a USB port"):
        load_ports()


def test_a_failing_or_absent_or_hanging_uhubctl_is_named(uhubctl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_port("KEY", "1-4.2")
    (uhubctl / "then").write_text("echo 'No compatible devices detected!' >&2; exit 1")
    with pytest.raises(EnvironmentProblem, match=r"port 1-4\.2: No compatible devices"):
        power_cycle("KEY")
    (uhubctl / "then").write_text("exec sleep 30")
    monkeypatch.setattr(hub, "_TIMEOUT_S", 0.5)
    with pytest.raises(EnvironmentProblem, match="did not end"):
        power_cycle("KEY")
    (uhubctl / "uhubctl").unlink()
    with pytest.raises(EnvironmentProblem, match="is not installed"):
        power_cycle("KEY")


def test_a_lost_device_comes_back_by_the_power_of_its_port(
    adb_server_port: int, uhubctl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devbench.bench.waiting._DEVICE_BACK_S", 3.0)
    told: list[ConnectionLost] = []
    with connected_phone(name="stuck") as phone:
        device = Device(AdbServer(), phone.address)
        device.recover = reconnector = Reconnector(device, threading.Event(), told.append)
        reconnector.facts = read_facts(device)
        set_port(reconnector.facts.key, "1-4.2")
        phone.unplug()
        # Switching the power is what brings it back.
        switched = threading.Event()
        monkeypatch.setattr(
            "devbench.bench.waiting.power_cycle", lambda key: (power_cycle(key), phone.plug_in(), switched.set())[0]
        )
        assert device.shell("echo back", timeout_s=60).stdout == b"back\n"
        assert switched.is_set()
    assert (uhubctl / "called").read_text() == "-l 1-4 -p 2 -a cycle -d 5\n"
    assert "the power of its USB port 1-4.2 was switched" in told[1].words


def test_the_power_of_a_device_is_switched_by_hand(adb_server_port: int, uhubctl: Path) -> None:
    with connected_phone(name="by-hand") as phone:
        assert devbench("devices", "hub", phone.address).returncode == 2, "it is not connected by USB"
        assert devbench("devices", "reboot", phone.address, "--power").returncode == 2, "its port is not known"
        assert devbench("devices", "hub", phone.address, "1-4.2").returncode == 0
        done = devbench("devices", "reboot", phone.address, "--power")
        assert done.returncode == 0 and "USB port 1-4.2" in done.stdout, done.stderr
        assert devbench("devices", "hub", phone.address, "--forget").returncode == 0
    assert load_ports() == {}
    assert (uhubctl / "called").read_text() == "-l 1-4 -p 2 -a cycle -d 5\n"
