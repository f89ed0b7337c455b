"""Care for a device before and while it is measured: restarts, charging, stopping at a level of the battery."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from devbench.adb.device import Device
from devbench.adb.server import AdbServer
from devbench.bench import waiting
from devbench.bench.care import BatteryLow, check_battery, prepare
from devbench.bench.events import Waiting
from devbench.bench.plan import Care
from devbench.bench.planning import make_plan
from devbench.device.conditions import read_conditions
from devbench.errors import InputError
from devbench.options import RunOptions
from devbench.virtual.faults import Faults
from devbench.virtual.phone import VirtualPhone
from tests.conftest import DATA, connected_phone
from tests.made.command import devbench

# A battery that gains ten percent with each reading; it is on a charger or not.
BATTERY = """#!/bin/sh
case $1 in
battery) read -r level < "$DEVBENCH_VIRTUAL_ROOT/data/local/level"
  echo $((level + STEP)) > "$DEVBENCH_VIRTUAL_ROOT/data/local/level"
  echo "Current Battery Service state:"; echo "  AC powered: POWERED"; echo "  status: STATUS"; echo "  present: true"
  echo "  level: $level"; echo "  scale: 100";;
*) echo "Can't find service: $1";;
esac
"""


def with_battery(phone: VirtualPhone, level: int, *, powered: bool = True, step: int = 10) -> Device:
    words = {"POWERED": str(powered).lower(), "STATUS": "2" if powered else "3", "STEP": str(step)}
    text = BATTERY
    for word, value in words.items():
        text = text.replace(word, value)
    (phone.root / "system" / "bin" / "dumpsys").write_text(text)
    (phone.root / "data" / "local" / "level").write_text(f"{level}\n")
    return Device(AdbServer(), phone.address)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_COOL_POLL_S", 0.01)


def cared(device: Device, care: Care) -> tuple[object, list[Waiting]]:
    told: list[Waiting] = []
    return prepare(device, care, threading.Event(), told.append, lambda: None), told


def test_the_battery_is_charged_to_the_level(virtual_phone: VirtualPhone) -> None:
    device = with_battery(virtual_phone, 30)
    done, told = cared(device, Care(charge_to=60))
    assert done == {"care": {"charged_from": 30, "charged_to": 60}}
    assert told[0].words == "charging: battery at 30 % of 60 %"
    assert cared(device, Care(charge_to=60)) == ({}, [])


def test_a_battery_that_nothing_charges_is_not_waited_for(virtual_phone: VirtualPhone) -> None:
    with pytest.raises(BatteryLow, match="below 60 %, and not on a charger"):
        cared(with_battery(virtual_phone, 30, powered=False), Care(charge_to=60))


def test_a_battery_that_does_not_charge_ends_the_waiting(
    virtual_phone: VirtualPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devbench.bench.care._CHARGE_S", 0.1)
    with pytest.raises(BatteryLow, match=r"battery at 30 % of 60 % after"):
        cared(with_battery(virtual_phone, 30, step=0), Care(charge_to=60))


def test_a_device_without_a_battery_needs_no_charge(virtual_phone: VirtualPhone) -> None:
    assert cared(Device(AdbServer(), virtual_phone.address), Care(charge_to=60)) == ({}, [])


def test_the_level_at_which_a_run_ends(virtual_phone: VirtualPhone) -> None:
    device = with_battery(virtual_phone, 20, step=0)
    level = read_conditions(device).battery_level
    check_battery(device, Care(battery_stop=19), (0.0, {"battery_level": level}))
    check_battery(device, Care(battery_stop=20), None)
    check_battery(device, Care(battery_stop=20), (0.0, {"battery_level": None}))
    with pytest.raises(BatteryLow, match="battery at 20 %, stopped"):
        check_battery(device, Care(battery_stop=20), (0.0, {"battery_level": level}))


def test_a_device_is_restarted_and_left_until_it_is_calm(adb_server_port: int) -> None:
    with connected_phone(Faults(quiet=True)) as phone:
        load = phone.root / "system" / "loadavg"
        load.write_text("99.00 0.00 0.00 1/1 1\n")
        taken: list[str] = []

        def tell(event: Waiting) -> None:
            if event.words.startswith("waiting until it is calm"):
                load.write_text("0.10 0.00 0.00 1/1 1\n")

        device = Device(AdbServer(), phone.address)
        done = prepare(device, Care(reboot_s=60), threading.Event(), tell, lambda: taken.append("again"))
        assert done["care"]["rebooted_s"] > 0 and taken == ["again"]
        assert load.read_text().startswith("0.10"), "it was waited for"


def test_options_become_care() -> None:
    model = str(DATA / "tiny_conv.tflite")
    options = RunOptions((model,), delegate=("cpu",), reboot="5m", charge_to=80, battery_stop=20)
    assert make_plan(options).care == Care(300.0, 80, 20)
    with pytest.raises(InputError, match="--reboot 'soon' is not a time"):
        make_plan(RunOptions((model,), delegate=("cpu",), reboot="soon"))


def test_a_run_restarts_the_device_and_keeps_that_it_did(tmp_path: Path) -> None:
    result = tmp_path / "run.json"
    done = devbench(
        "run", "demo", "-d", "virtual", "-D", "cpu", "-r", "1", "--num-runs", "2", "--min-secs", "0",
        "--warmup-min-secs", "0", "--no-profile", "--cold-starts", "0", "--cool-down", "0", "--no-report",
        "--fault", "quiet", "--reboot", "1m", "--json", str(result),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (job,) = json.loads(result.read_text())["jobs"]
    assert job["options"]["care"]["rebooted_s"] > 0
    assert [one["status"] for one in job["repetitions"]] == ["ok"]
