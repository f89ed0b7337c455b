"""Conditions as Androids 10 to 15, Samsung and kernels without a thermal service print them; hostile readings."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from devbench.device.conditions import THERMAL_STATUS_NAMES, Conditions, from_json, parse_conditions, to_json
from tests.device.transcripts import BATTERY, NOW, THERMAL, conditions_transcript

ANDROID_10 = """IsStatusOverride: false
ThermalEventListeners:
	callbacks: 1
	killed: false
	broadcasts count: -1
ThermalStatusListeners:
	callbacks: 1
	killed: false
	broadcasts count: -1
Thermal Status: 0
Cached temperatures:
 Temperature{mValue=30.801, mType=3, mName=skin-therm, mStatus=0}
HAL Ready: true
HAL connection:
	ThermalHAL 2.0 connected: yes
Current temperatures from HAL:
	Temperature{mValue=31.25, mType=3, mName=skin-therm, mStatus=0}
	Temperature{mValue=44.1, mType=1, mName=GPU0, mStatus=0}
	Temperature{mValue=43.0, mType=9, mName=nsp, mStatus=0}
	Temperature{mValue=0.31, mType=-1, mName=odd, mStatus=0}
	Temperature{mValue=97.0, mType=8, mName=soc, mStatus=0}
Current cooling devices from HAL:
	CoolingDevice{mValue=0, mType=2, mName=thermal-cpufreq-0}
"""
# Newer Androids list thresholds below, which are no readings.
ANDROID_13_ON = """IsStatusOverride: false
Thermal Status: 2
Cached temperatures:
	Temperature{mValue=38.0, mType=3, mName=VIRTUAL-SKIN, mStatus=2}
HAL Ready: true
HAL connection:
	ThermalHAL AIDL 1  connected: yes
Current temperatures from HAL:
	Temperature{mValue=39.1, mType=3, mName=VIRTUAL-SKIN, mStatus=2}
	Temperature{mValue=61.0, mType=10, mName=TPU, mStatus=0}
	Temperature{mValue=58.4, mType=13, mName=soc_therm, mStatus=0}
Current cooling devices from HAL:
	CoolingDevice{mValue=3, mType=3, mName=thermal-devfreq-0}
Temperature static thresholds from HAL:
	TemperatureThreshold{mType=3, mName=VIRTUAL-SKIN, mHotThrottlingThresholds=[NaN, 39.0, 43.0, 45.0, 46.5, 52.0, 55.0], mColdThrottlingThresholds=[NaN, NaN, NaN, NaN, NaN, NaN, NaN]}
"""
ANDROID_15 = ANDROID_13_ON + "Temperature headroom thresholds:\n\t[NaN, 0.8, 0.93, 1.0, 1.05, 1.23, 1.33]\n"
SAMSUNG_BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Dock powered: false
  Max charging current: 0
  Charge counter: 3071000
  status: 5
  health: 2
  present: true
  level: 100
  scale: 100
  voltage: 4348
  temperature: 301
  technology: Li-ion
  batteryMiscEvent: 65536
  mSavedBatteryUsage: 12345
  LLB CAL:
  level: 7
  temperature: 0
  status: 2
"""


@pytest.mark.parametrize(
    ("text", "status", "temperatures"),
    [
        (ANDROID_10, 0, {"skin-therm": 31.25, "GPU0": 44.1, "nsp": 43.0}),
        (ANDROID_13_ON, 2, {"VIRTUAL-SKIN": 39.1, "TPU": 61.0, "soc_therm": 58.4}),
        (ANDROID_15, 2, {"VIRTUAL-SKIN": 39.1, "TPU": 61.0, "soc_therm": 58.4}),
    ],
    ids=["10", "13 and 14", "15"],
)
def test_each_android_s_thermal_service_is_read(text: str, status: int, temperatures: dict[str, float]) -> None:
    found = parse_conditions(conditions_transcript(thermal=text), NOW)
    assert (found.thermal_status, found.temperatures_c) == (status, temperatures)
    assert found.throttled is (status > 0)


@pytest.mark.parametrize("battery", [BATTERY, SAMSUNG_BATTERY])
def test_android_s_own_lines_count_and_not_what_the_vendor_appends(battery: str) -> None:
    found = parse_conditions(conditions_transcript(battery=battery), NOW)
    assert (found.battery_level, found.battery_temperature_c) in {(83, 27.4), (100, 30.1)}


@pytest.mark.parametrize(
    ("status", "charging"),
    [("1", None), ("2", True), ("3", False), ("4", False), ("5", False), ("9", None), ("", None)],
)
def test_a_battery_charges_only_while_current_flows_into_it(status: str, charging: bool | None) -> None:
    text = BATTERY.replace("status: 2", f"status: {status}")
    assert parse_conditions(conditions_transcript(battery=text), NOW).battery_charging is charging


@pytest.mark.parametrize(
    ("level", "scale", "percent"),
    [("83", "100", 83), ("41", "50", 82), ("0", "100", 0), ("200", "100", None), ("-1", "100", None), ("1", "0", None),
     ("9" * 30, "100", None), ("50", "9" * 30, None), ("50", "x", None), ("50.5", "100", None), ("", "", None)],
)  # fmt: skip
def test_the_battery_s_level_is_percent_of_its_scale(level: str, scale: str, percent: int | None) -> None:
    text = f"  level: {level}\n  scale: {scale}\n"
    assert parse_conditions(conditions_transcript(battery=text), NOW).battery_level == percent


@pytest.mark.parametrize(
    ("said", "degrees"),
    [("274", 27.4), ("0", 0.0), ("-105", -10.5), ("-2147483648", None), ("27.4", None), ("99999", None), ("x", None)],
)
def test_the_battery_s_temperature_is_tenths_of_a_degree(said: str, degrees: float | None) -> None:
    assert (
        parse_conditions(conditions_transcript(battery=f"  temperature: {said}"), NOW).battery_temperature_c == degrees
    )


@pytest.mark.parametrize(
    "said", ["NaN", "Infinity", "-273.0", "1.0E10", "36,5", "0x20", "0.0", "", "9" * 33, "\x1b[31m36.5"]
)
def test_a_reading_that_is_no_temperature_is_left_out(said: str) -> None:
    text = f"Current temperatures from HAL:\n\tTemperature{{mValue={said}, mType=0, mName=CPU, mStatus=0}}"
    assert parse_conditions(conditions_transcript(thermal=text), NOW).temperatures_c == {}


def test_what_the_service_remembers_is_no_reading_of_now() -> None:
    text = ANDROID_10[: ANDROID_10.index("Current temperatures")]
    assert parse_conditions(conditions_transcript(thermal=text), NOW).temperatures_c == {}


def test_of_two_sensors_of_one_name_the_hotter_counts() -> None:
    text = "zone 41000 cpu\nzone 45500 cpu\nzone 40000 cpu"
    assert parse_conditions(conditions_transcript(thermal=text), NOW).temperatures_c == {"cpu": 45.5}


def test_zones_are_thousandths_or_whole_degrees() -> None:
    text = "zone 38500 a\nzone 41 b\nzone -5000 c\nzone 385 tenths\nzone 0 absent\nzone x d\nzone 40000\nzone 40000 my zone"
    found = parse_conditions(conditions_transcript(thermal=text), NOW).temperatures_c
    assert found == {"a": 38.5, "b": 41.0, "c": -5.0, "my zone": 40.0}


@pytest.mark.parametrize("said", ["7", "-1", "x", "", "99999999999999999999", "0x1"])
def test_a_thermal_status_that_android_does_not_know_is_not_known(said: str) -> None:
    found = parse_conditions(conditions_transcript(thermal=f"Thermal Status: {said}"), NOW)
    assert (found.thermal_status, found.throttled, found.thermal_status_name) == (None, None, "")


def test_every_thermal_status_has_its_name_and_any_above_none_is_throttling() -> None:
    found = [parse_conditions(conditions_transcript(thermal=f"Thermal Status: {n}"), NOW) for n in range(7)]
    assert tuple(conditions.thermal_status_name for conditions in found) == THERMAL_STATUS_NAMES
    assert [conditions.throttled for conditions in found] == [False] + [True] * 6


def test_the_battery_counts_for_the_hottest_and_nothing_known_is_none() -> None:
    assert (
        parse_conditions(conditions_transcript(battery="temperature: 455", thermal=ANDROID_10), NOW).hottest_c == 45.5
    )
    assert parse_conditions("", NOW).hottest_c is None


def test_services_that_are_missing_or_refused_are_no_readings() -> None:
    found = parse_conditions(
        conditions_transcript(
            battery="Can't find service: battery", thermal="Permission Denial: can't dump thermalservice"
        ),
        NOW,
    )
    assert found == Conditions(taken_utc=NOW)


@pytest.mark.parametrize(
    "kernel",
    ["uptime -1\nload -0.5\navailable_kb -3", "uptime 1,5\nload 0,5\navailable_kb 1.5", "uptime\nload\navailable_kb",
     "uptime inf\nload nan\navailable_kb " + "9" * 25, "khz 256 1\nkhz 0 0\nkhz 0 99999999999\nkhz x 1\nkhz 0 1 2 3"],
)  # fmt: skip
def test_kernel_numbers_that_make_no_sense_are_none(kernel: str) -> None:
    assert parse_conditions(conditions_transcript(kernel), NOW) == Conditions(taken_utc=NOW)


def test_a_sensor_s_name_is_one_short_line_without_control_characters() -> None:
    text = THERMAL.replace("VIRTUAL-SKIN", "\x1b[31mVIR\u202eTUAL" + "x" * 150)
    names = parse_conditions(conditions_transcript(thermal=text), NOW).temperatures_c
    assert len(names) == 2
    assert all(name.isprintable() and len(name) <= 60 for name in names)


@pytest.mark.parametrize("word", ["battery", "thermal"])
def test_a_sensor_s_name_cannot_start_a_section(word: str) -> None:
    found = parse_conditions(
        conditions_transcript(battery=BATTERY, thermal=f"@@guess:{word}\nlevel: 1\nzone 40000 @@guess:{word}"), NOW
    )
    assert found.battery_level == 83
    assert list(found.temperatures_c.values()) == [40.0]


@pytest.mark.parametrize(
    "taken", [NOW, NOW.replace(microsecond=123456), NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))]
)
def test_conditions_come_back_from_json_the_same(taken: datetime) -> None:
    kernel = "uptime 1.5 2.5\nload 0.00 0.1 0.2 1/2 3\navailable_kb 0\nkhz 3 1800000"
    for text in (
        "",
        conditions_transcript(),
        conditions_transcript(kernel, SAMSUNG_BATTERY, ANDROID_15),
        conditions_transcript(thermal="zone 41 a"),
    ):
        found = parse_conditions(text, taken)
        assert from_json(json.loads(json.dumps(to_json(found), allow_nan=False))) == found


def test_what_an_older_devbench_did_not_write_is_missing() -> None:
    assert from_json({"taken_utc": NOW.isoformat()}) == Conditions(taken_utc=NOW)
    assert from_json({"taken_utc": NOW.isoformat(), "temperatures_c": None, "cpu_khz": None}) == Conditions(
        taken_utc=NOW
    )


@pytest.mark.parametrize("values", [{}, {"taken_utc": None}, {"taken_utc": "yesterday"}])
def test_conditions_without_a_time_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises((KeyError, ValueError)):
        from_json(values)
