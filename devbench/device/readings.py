"""Temperatures and battery as a device reports them, and which values are not readings; knows no connection and decides
no unit.

Sources of the formats: `dumpsys thermalservice` is ThermalManagerService.dump (Android 10 and newer, degrees; types as
in android.hardware.thermal TemperatureType), zones are /sys/class/thermal as in the kernel's documentation. A zone may
be anything that a driver wants thermal governors to act on: Qualcomm's battery current limiter registers volts, amperes
and the battery's level, Google's counts of brown-outs, cooling devices their steps. `dumpsys battery` is
BatteryService.dump (temperature in tenths of a degree, status as in BatteryManager, charge counter in µAh); Samsung
adds lines of its own, among them the current in mA. The kernel's files are /sys/class/power_supply as in its
documentation: µA and µAh, which not every maker follows (`device/gauge.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Literal

from devbench import numbers
from devbench.device.sections import clean
from devbench.frozen import dataclass

THERMAL_STATUS_NAMES = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")

StatusProblem = Literal["", "not_ready", "overridden"]

_MAX_SENSORS = 64
# Outside of these limits a reading is a sensor that is not there, or not a temperature.
COLDEST_C, HOTTEST_C = -40.0, 200.0
# Types that do not give degrees: unknown (any unit), and the battery's current limit (voltage, current, percentage).
_NOT_DEGREES = frozenset({-1, 6, 7, 8})
_TEMPERATURE = re.compile(r"\bTemperature\{mValue=([^,}]{1,32}), mType=(-?\d{1,4}), mName=(.{0,200}?), mStatus=")
# What AOSP's example of a thermal HAL reports for a missing sensor.
_EXAMPLE_SENSOR = re.compile(r"test (temperature )?sensor", re.IGNORECASE)
# Thermal zones that give no temperature, by the words of their type; `-`, `_`, `.` and blanks separate words.
_NO_ZONE = re.compile(
    r"((pm[a-z0-9]*|bms|bat|batt|battery|fg|fuel[-_ .]?gauge)[-_ .])?soc"
    r"|(.*[-_ .])?("
    r"socd|[iv](bat|bus|batt|ph|sys|out|in|ref|dd|usb|chg)[a-z0-9]*|bcl[a-z0-9]*|volt(age)?[0-9]*|curr(ent)?[0-9]*"
    r"|ocp[0-9]*|uvlo[0-9]*|smpl|vdroop[0-9]*|batoilo[0-9]*|isense[0-9]*"
    r"|steps?|lowf|cdev[0-9]*|cooling|lvl[0-9]*|level|capacity|percent(age)?|pct|cycles?|power|watts?|mw"
    r")([-_ .].*)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Thermal:
    """Attributes:
    status: Android's throttling status, 0 none to 6 shutdown; `None` if it is not known.
    problem: why a status that the service prints is no reading: it has no values from the hardware yet, or a command
        set it.
    temperatures_c: degrees by the sensor's name.
    """

    status: int | None = None
    problem: StatusProblem = ""
    temperatures_c: dict[str, float] = field(default_factory=dict)


def parse_thermal(lines: Sequence[str]) -> Thermal:
    """Of lines of `dumpsys thermalservice` and lines `zone VALUE TYPE`; never raises.

    Temperatures are what the hardware says now, else the kernel's zones. The service's cached values are from the last
    time that a sensor changed its severity, maybe hours ago, so they are not used.
    """
    status: int | None = None
    problem: StatusProblem = ""
    now: dict[str, float] = {}
    zones: dict[str, float] = {}
    current = False
    for line in lines:
        if line.startswith("zone "):
            _add_zone(zones, line)
            continue
        key, colon, value = (part.strip() for part in line[:400].partition(":"))
        if "{" not in line and colon:
            current = key.startswith("Current temperatures")
            if key == "Thermal Status":
                status = numbers.whole(value, maximum=len(THERMAL_STATUS_NAMES) - 1)
            elif key == "IsStatusOverride" and value == "true":
                problem = "overridden"
            elif key == "HAL Ready" and value == "false":
                problem = problem or "not_ready"
        elif current and (match := _TEMPERATURE.search(line[:400])):
            reading, kind, name = match.groups()
            if int(kind) not in _NOT_DEGREES and not _EXAMPLE_SENSOR.fullmatch(name):
                _add(now, name, numbers.real(reading, minimum=COLDEST_C, maximum=HOTTEST_C))
    return Thermal(None if problem else status, problem, now or zones)


def is_temperature(zone_type: str) -> bool:
    """Whether a thermal zone of the kernel is one of a temperature, by its type."""
    return not _NO_ZONE.fullmatch(zone_type.strip()[:200])


def _add_zone(zones: dict[str, float], line: str) -> None:
    """A line `zone VALUE TYPE`. The kernel documents thousandths of a degree; some vendors give whole degrees."""
    words = line[:400].split(None, 2)
    reading = numbers.whole(words[1], minimum=-(10**6), maximum=10**6) if len(words) == 3 else None
    if reading is not None and is_temperature(words[2]):
        degrees = reading / 1000 if abs(reading) >= 1000 else float(reading)
        _add(zones, words[2], degrees if COLDEST_C <= degrees <= HOTTEST_C else None)


def _add(sensors: dict[str, float], name: str, degrees: float | None) -> None:
    """Keep a reading; of two sensors of one name the hotter. Exactly 0.0 is the value of sensors that do not exist."""
    name = clean(name, 60)
    if degrees and name and (name in sensors or len(sensors) < _MAX_SENSORS):
        sensors[name] = round(max(degrees, sensors.get(name, degrees)), 2)


CHARGING = 2
DISCHARGING = 3
_STATUSES = frozenset({2, 3, 4, 5})
# Lines that only Samsung's service prints; its `current now` is in mA.
_SAMSUNG = re.compile(r"msec\w+|batterymiscevent|batterycurrentevent|led charging|llb \w+|msaved\w+|use_fake_battery")


@dataclass(frozen=True, slots=True)
class Battery:
    """`None` if it is not known.

    Attributes:
        level: percent, 0 to 100.
        status: as BatteryManager has it: 2 charging, 3 discharging, 4 not charging, 5 full.
        current_raw: the current in a unit that the maker chose; `current_ma` if the source's unit is known.
        charge_raw: the charge counter, usually in µAh.
        plugged: whether any source of power is connected.
        overridden: a command set the values; they are no readings.
    """

    level: int | None = None
    temperature_c: float | None = None
    status: int | None = None
    current_raw: int | None = None
    current_ma: float | None = None
    charge_raw: int | None = None
    plugged: bool | None = None
    overridden: bool = False


def parse_battery(lines: Iterable[str]) -> Battery:
    """What `dumpsys battery` reports; never raises."""
    values: dict[str, str] = {}
    samsung = overridden = False
    for line in lines:
        overridden = overridden or "UPDATES STOPPED" in line[:200]
        key, colon, value = (part.strip() for part in line[:200].partition(":"))
        samsung = samsung or bool(_SAMSUNG.fullmatch(key.lower()))
        if colon:
            # Vendors append lines of their own, so the first of each key counts.
            values.setdefault(key.lower(), value)
    if overridden:
        return Battery(overridden=True)
    if values.get("present") == "false":
        return Battery()
    powered = [value for key, value in values.items() if key.endswith(" powered")]
    plugged = "true" in powered if powered else None
    # No battery that is in use has 0 V: the service prints its defaults then.
    no_volts = numbers.whole(values.get("voltage", "")) == 0
    if no_volts and values.get("health") == "1":
        return Battery(plugged=plugged)
    tenths = numbers.whole(values.get("temperature", ""), minimum=int(COLDEST_C * 10), maximum=int(HOTTEST_C * 10))
    status = numbers.whole(values.get("status", ""), maximum=9)
    current = numbers.whole(values.get("current now", ""), minimum=-(10**8), maximum=10**8)
    return Battery(
        level=_percent(values),
        temperature_c=None if tenths is None or (no_volts and not tenths) else tenths / 10,
        status=status if status in _STATUSES else None,
        current_raw=None if samsung else current,
        current_ma=float(current) if samsung and current is not None else None,
        charge_raw=numbers.whole(values.get("charge counter", ""), minimum=1, maximum=10**9),
        plugged=plugged,
    )


def _percent(values: Mapping[str, str]) -> int | None:
    level, scale = (
        numbers.whole(values.get("level", ""), maximum=10**6),
        numbers.whole(values.get("scale", "100"), minimum=1),
    )
    percent = None if level is None or scale is None else round(100 * level / scale)
    return percent if percent is not None and percent <= 100 else None
