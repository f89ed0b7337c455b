"""In which unit and with which sign a device's fuel gauge gives the current: decided once per device, from evidence.

The kernel documents µA. Makers give µA or mA, and either sign, so a single reading tells nothing: 976 is 976 mA on one
phone and 0.976 mA on another. What does tell:

- a reading that no phone can have in mA: 30 A at all, 10 A while it is not charging, or three times its capacity an
  hour; then the unit is µA;
- a charge in mAh where the kernel documents µAh: the driver counts in thousandths, and gives mA;
- the same current from a source whose unit is known;
- the charge counter, against the current summed over the same time; it gives the sign too;
- three different readings below 10,000 while no power is connected: an awake phone takes more than 10 mA;
- the device's profile (`current_unit`, `current_positive`).

The sign is known by readings while the battery is discharging. Knows no connection.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbench.device.readings import CHARGING, DISCHARGING
from devbench.host.paths import data_dir

if TYPE_CHECKING:
    from devbench.device.conditions import Conditions
    from devbench.device.facts import DeviceFacts
    from devbench.device.profiles import DeviceProfile

MICRO, MILLI = 0.001, 1.0
UNITS = {"uA": MICRO, "mA": MILLI}
POSITIVE = {"charging": 1, "discharging": -1}

# In the gauge's own unit, if that were mA.
_IMPOSSIBLE_MA = 30_000
_IMPOSSIBLE_UNPLUGGED_MA = 10_000
_MAX_PER_HOUR = 3.0
_AWAKE_MA = 50
_MIN_READINGS = 3
# Capacities of phones and tablets; a charge above is in µAh.
_MIN_MAH, _MAX_MAH = 1_500, 40_000
# A step of the charge counter that is worth comparing, and the longest pause between two readings in its sum.
_MIN_STEP_MAH = 5.0
_LONGEST_PAUSE_S = 20.0
_MIN_SIGNED_MA = 20.0
_MAX_BYTES = 1 << 20
_LOCK_TIMEOUT_S = 2.0


@dataclass(slots=True)
class Gauge:
    """What is known of one device's gauge.

    Attributes:
        unit_ma: mA per unit of its readings; `None` where it is not known.
        sign: 1 if positive is into the battery, -1 if it is out of it; `None` where it is not known.
    """

    unit_ma: float | None = None
    sign: int | None = None
    _from_profile: bool = False
    _capacity_mah: float | None = None
    _status: int | None = None
    _plugged: bool | None = None
    _unplugged: set[int] = field(default_factory=set)
    _out: list[int] = field(default_factory=lambda: [0, 0])
    _last: Conditions | None = None
    _counter: int | None = None
    _counting: bool = False
    _sum: float = 0.0

    def settle(self, conditions: Iterable[Conditions]) -> list[Conditions]:
        """Learn from readings in order of time, then give all of them with their current in mA, if it is known."""
        read = list(conditions)
        for one in read:
            self._learn(one)
        return [self._apply(one) for one in read]

    def _apply(self, one: Conditions) -> Conditions:
        if one.battery_current_ma is not None or one.battery_current_raw is None or self.unit_ma is None:
            return one
        ma = one.battery_current_raw * self.unit_ma * (self.sign or 1)
        return replace(one, battery_current_ma=round(ma, 3), battery_current_signed=self.sign is not None)

    def _learn(self, one: Conditions) -> None:
        raw = one.battery_current_raw
        if one.battery_status is not None:
            # Android's services are asked more seldom than the kernel.
            self._status, self._plugged = one.battery_status, one.battery_plugged
        self._learn_capacity(one)
        if raw is not None:
            if self.unit_ma is None:
                self.unit_ma = self._unit(one, raw)
            elif self.unit_ma == MILLI and not self._from_profile and self._impossible(raw):
                self.unit_ma = MICRO
            if self._status == DISCHARGING and not self._from_profile:
                self._learn_sign(raw)
        self._learn_from_counter(one)

    def _learn_capacity(self, one: Conditions) -> None:
        full, counter, level = one.battery_full_raw, one.battery_charge_raw, one.battery_level
        if full is None and counter is not None and level is not None and level >= 20:
            full = counter * 100 // level
        if full is not None and self._capacity_mah is None:
            mah = full / 1000 if full > _MAX_MAH else float(full)
            self._capacity_mah = mah if _MIN_MAH <= mah <= _MAX_MAH else None

    def _unit(self, one: Conditions, raw: int) -> float | None:
        if self._impossible(raw):
            return MICRO
        known = one.battery_current_ma
        if known and raw:
            share = abs(raw / known)
            return MILLI if 0.3 < share < 3 else MICRO if 300 < share < 3000 else None
        if one.battery_full_raw is not None and _MIN_MAH <= one.battery_full_raw <= _MAX_MAH:
            return MILLI
        if self._status == DISCHARGING and self._plugged is False and abs(raw) >= _AWAKE_MA:
            self._unplugged.add(raw)
            if len(self._unplugged) >= _MIN_READINGS:
                return MILLI
        return None

    def _impossible(self, raw: int) -> bool:
        """Whether no phone has that many mA."""
        if self._status is None or self._status == CHARGING:
            return abs(raw) >= _IMPOSSIBLE_MA
        by_capacity = _MAX_PER_HOUR * self._capacity_mah if self._capacity_mah else _IMPOSSIBLE_UNPLUGGED_MA
        return abs(raw) >= min(by_capacity, _IMPOSSIBLE_UNPLUGGED_MA)

    def _learn_sign(self, raw: int) -> None:
        if self.unit_ma is None or abs(raw) * self.unit_ma < _MIN_SIGNED_MA:
            return
        self._out[raw > 0] += 1
        negative, positive = self._out
        if max(negative, positive) > 9 * min(negative, positive):
            self.sign = -1 if positive > negative else 1
        else:
            self.sign = None

    def _learn_from_counter(self, one: Conditions) -> None:
        """Sum the current from one step of the charge counter to another, then compare."""
        raw, counter, last = one.battery_current_raw, one.battery_charge_raw, self._last
        if raw is None:
            return
        pause_s = -1.0 if last is None else (one.taken_utc - last.taken_utc).total_seconds()
        if last is None or last.battery_current_raw is None or not 0 <= pause_s <= _LONGEST_PAUSE_S:
            self._counter, self._counting = None, False
        else:
            self._sum += (raw + last.battery_current_raw) / 2 * pause_s / 3600
        self._last = one
        if counter is None or counter == self._counter:
            return
        before, self._counter = self._counter, self._counter if self._counting else counter
        if not self._counting:
            # Steps may be a hundredth of the battery: the sum begins with one, not somewhere between two.
            self._counting, self._sum = before is not None, 0.0
            return
        step_mah = (counter - (before or 0)) * (MICRO if counter > _MAX_MAH else MILLI)
        if abs(step_mah) < _MIN_STEP_MAH:
            return
        share = step_mah / self._sum if self._sum else 0.0
        unit = MILLI if 0.3 < abs(share) < 3 else MICRO if 0.0003 < abs(share) < 0.003 else None
        if unit is not None and not self._from_profile:
            self.unit_ma, self.sign = unit, 1 if share > 0 else -1
        self._counter, self._sum = counter, 0.0


def recall(facts: DeviceFacts, profile: DeviceProfile | None = None) -> Gauge:
    """What is known of a device's gauge: by its profile, else as earlier runs on this machine decided it."""
    if profile is not None and profile.current_unit:
        return Gauge(UNITS[profile.current_unit], POSITIVE.get(profile.current_positive), _from_profile=True)
    entry = _read(_file()).get(_key(facts))
    unit, sign = (entry.get("unit_ma"), entry.get("sign")) if isinstance(entry, dict) else (None, None)
    return Gauge(unit if unit in (MICRO, MILLI) else None, sign if unit in (MICRO, MILLI) and sign in (1, -1) else None)


def remember(facts: DeviceFacts, gauge: Gauge) -> None:
    """Keep what was decided for later runs. A folder that cannot be written costs nothing but the memory."""
    from filelock import FileLock, Timeout

    decided = {"unit_ma": gauge.unit_ma, "sign": gauge.sign}
    if gauge.unit_ma is None or gauge._from_profile:
        return
    file = _file()
    try:
        with FileLock(str(file) + ".lock", timeout=_LOCK_TIMEOUT_S):
            book = _read(file)
            if book.get(_key(facts)) == decided:
                return
            fresh = file.with_suffix(".new")
            fresh.write_text(json.dumps({**book, _key(facts): decided}, indent=1, sort_keys=True) + "\n", "utf-8")
            fresh.replace(file)
    except (OSError, Timeout):
        return


def _file() -> Path:
    return data_dir() / "fuel_gauges.json"


def _key(facts: DeviceFacts) -> str:
    """Gauges are of a device with its system: an update may bring another driver."""
    return f"{facts.key} {facts.manufacturer} {facts.model} {facts.fingerprint}"[:300]


def _read(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _MAX_BYTES:
            return {}
        read = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}
