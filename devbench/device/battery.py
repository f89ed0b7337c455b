"""A battery as `dumpsys battery` and the kernel's fuel gauge report it; knows no connection and decides no unit.

Sources of the formats: `dumpsys battery` is BatteryService.dump (temperature in tenths of a degree, status as in
BatteryManager, charge counter in µAh); Samsung adds lines of its own, among them the current in mA. The kernel's files
are /sys/class/power_supply as in its documentation: µA and µAh, which not every maker follows (`device/gauge.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from devbench import numbers
from devbench.device.thermal import COLDEST_C, HOTTEST_C

CHARGING = 2
DISCHARGING = 3
_STATUSES = frozenset({2, 3, 4, 5})
# Lines that only Samsung's service prints; its `current now` is in mA.
_SAMSUNG = re.compile(r"msec\w+|batterymiscevent|batterycurrentevent|led charging|llb \w+|msaved\w+|use_fake_battery")


@dataclass(frozen=True, slots=True)
class Battery:
    """`None` where it is not known.

    Attributes:
        level: percent, 0 to 100.
        status: as BatteryManager has it: 2 charging, 3 discharging, 4 not charging, 5 full.
        current_raw: the current in a unit that the maker chose; current_ma where the source's unit is known.
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
