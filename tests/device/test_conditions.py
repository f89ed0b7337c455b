"""Conditions: dumpsys of several Androids, kernel zones, and readings that make no sense."""

from __future__ import annotations

import json

import pytest

from devbench.adb.device import Device
from devbench.adb.server import AdbServer
from devbench.device.conditions import from_json, parse_conditions, read_conditions, to_json
from tests.conftest import BenchPhone
from tests.device.transcripts import BATTERY, NOW, THERMAL, conditions_transcript


def test_a_phone_s_state_is_read() -> None:
    kernel = "uptime 12345.67\nload 1.50\navailable_kb 2000000\nkhz 0 1800000\nkhz 2 2900000"
    found = parse_conditions(conditions_transcript(kernel, BATTERY, THERMAL), NOW)
    assert (found.battery_level, found.battery_temperature_c, found.battery_charging) == (83, 27.4, True)
    assert (found.thermal_status, found.thermal_status_name, found.throttled) == (1, "light", True)
    assert found.temperatures_c == {"VIRTUAL-SKIN": 36.5, "CPU0": 55.25}, "not voltages, not sensors that are not there"
    assert found.hottest_c == 55.25
    assert found.cpu_khz == (1800000, None, 2900000)
    assert (found.uptime_s, found.load_1min, found.memory_available_bytes) == (12345.67, 1.5, 2000000 * 1024)


def test_it_comes_back_from_the_store_the_same() -> None:
    found = parse_conditions(conditions_transcript("load 0.5", BATTERY, THERMAL), NOW)
    assert from_json(json.loads(json.dumps(to_json(found)))) == found


def test_the_kernel_s_zones_are_taken_where_there_is_no_thermal_service() -> None:
    found = parse_conditions(
        conditions_transcript(thermal="zone 41500 cpu-0-0\nzone 38 battery\nzone -273000 broken"), NOW
    )
    assert found.temperatures_c == {"cpu-0-0": 41.5, "battery": 38.0}
    assert found.throttled is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        conditions_transcript(),
        conditions_transcript("load NaN\nuptime 1e999", "level: 9999999\nscale: 0"),
    ],
)
def test_what_is_missing_or_senseless_is_none(text: str) -> None:
    found = parse_conditions(text, NOW)
    assert found.battery_level is None
    assert found.load_1min is None
    assert found.temperatures_c == {}
    assert found.throttled is None


def test_a_device_without_a_battery_has_none() -> None:
    found = parse_conditions(conditions_transcript(battery=BATTERY.replace("present: true", "present: false")), NOW)
    assert (found.battery_level, found.battery_temperature_c) == (None, None)


def test_cut_and_hostile_text_never_raises() -> None:
    whole = conditions_transcript("load 1", BATTERY, THERMAL * 500)
    for end in range(0, 3000, 11):
        parse_conditions(whole[:end], NOW)
    assert (
        len(
            parse_conditions(
                conditions_transcript(thermal="".join(f"zone 40000 z{n}\n" for n in range(9999))), NOW
            ).temperatures_c
        )
        <= 64
    )


@pytest.mark.bench_phone
def test_the_bench_phone_s_state_is_what_it_was_set_to(bench_phone: BenchPhone) -> None:
    found = read_conditions(Device(AdbServer(), bench_phone.serial))
    assert found.battery_level == 80
    assert found.thermal_status == 0
    assert found.hottest_c is not None
    assert found.load_1min is not None
