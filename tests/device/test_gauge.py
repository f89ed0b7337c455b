"""The unit and sign of a fuel gauge are decided once per device, from evidence, and not from one reading's size."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from devbench.device.conditions import Conditions
from devbench.device.facts import DeviceFacts
from devbench.device.gauge import MICRO, MILLI, Gauge, recall, remember
from devbench.device.profiles import GENERIC, read_profile
from devbench.errors import InputError

NOW = datetime(2026, 11, 28, tzinfo=timezone.utc)


def read(raw: int | None, status: int | None = 3, seconds: float = 0, **more: object) -> Conditions:
    one = Conditions(NOW + timedelta(seconds=seconds), battery_current_raw=raw, battery_status=status)
    return replace(one, **more)  # type: ignore[arg-type]


def currents(gauge: Gauge, *conditions: Conditions) -> list[float | None]:
    return [one.battery_current_ma for one in gauge.settle(conditions)]


@pytest.mark.parametrize("status", [2, 3, 4, 5, None])
@pytest.mark.parametrize("raw", [0, 976, -976, 347, 9999, -8613])
def test_one_reading_below_ten_thousand_proves_nothing(raw: int, status: int | None) -> None:
    assert currents(Gauge(), read(raw, status)) == [None]


def test_one_large_reading_decides_for_all_of_the_device() -> None:
    gauge = Gauge()
    assert currents(gauge, read(976), read(-412000), read(-8613)) == [0.976, -412.0, -8.613]
    assert currents(gauge, read(976)) == [0.976]


def test_a_fast_charger_s_twelve_amperes_are_no_proof() -> None:
    assert currents(Gauge(), read(12000, status=2)) == [None]
    assert currents(Gauge(), read(-10316, status=3)) == [-10.316]


def test_a_driver_that_counts_charge_in_thousandths_gives_milliamperes() -> None:
    assert currents(Gauge(), read(-412, battery_full_raw=2900)) == [-412.0]


def test_another_source_of_a_known_unit_decides() -> None:
    gauge = Gauge()
    gauge.settle([read(355000, status=2, battery_current_ma=347.0)])
    assert gauge.unit_ma == MICRO
    gauge = Gauge()
    gauge.settle([read(355, status=2, battery_current_ma=347.0)])
    assert gauge.unit_ma == MILLI


def test_three_readings_without_any_power_decide_and_a_repeated_one_does_not() -> None:
    unplugged = {"battery_plugged": False}
    assert Gauge().settle([read(-412, **unplugged)] * 9)[-1].battery_current_ma is None
    assert currents(Gauge(), *(read(raw, **unplugged) for raw in (-412, -430, -405)))[-1] == -405.0


def test_the_sign_is_that_of_discharging() -> None:
    gauge = Gauge()
    assert currents(gauge, read(412_000)) == [-412.0]
    (later,) = gauge.settle([read(-300_000, status=2)])
    assert (later.battery_current_ma, later.battery_current_signed) == (300.0, True)


def test_without_discharging_the_sign_is_the_maker_s_own() -> None:
    (found,) = Gauge().settle([read(-300_000, status=2)])
    assert (found.battery_current_ma, found.battery_current_signed) == (-300.0, False)


def test_a_profile_decides(tmp_path: Path) -> None:
    file = tmp_path / "rig.toml"
    file.write_text('current_unit = "mA"\ncurrent_positive = "discharging"\n')
    gauge = recall(DeviceFacts("k", "s"), read_profile(file))
    assert currents(gauge, read(412), read(-50_000)) == [-412.0, 50_000.0]
    file.write_text('current_unit = "A"\n')
    with pytest.raises(InputError, match="current_unit 'A' is unknown"):
        read_profile(file)


def test_what_was_decided_is_remembered_for_that_device_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVBENCH_HOME", str(tmp_path))
    gauge, phone = Gauge(), DeviceFacts("k", "s", model="Mi A1")
    remember(phone, gauge)
    gauge.settle([read(412_000)])
    remember(phone, gauge)
    assert currents(recall(phone, GENERIC), read(976)) == [-0.976]
    assert currents(recall(replace(phone, model="other"), GENERIC), read(976)) == [None]


def test_a_damaged_memory_is_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVBENCH_HOME", str(tmp_path))
    phone = DeviceFacts("k", "s")
    remember(phone, Gauge(MICRO, 1))
    for text in ("{", "[]", '{"k   ": 7}', '{"k   ": {"unit_ma": "x", "sign": []}}'):
        (tmp_path / "fuel_gauges.json").write_text(text)
        assert recall(phone).unit_ma is None
