"""In which unit and with which sign a device's fuel gauge gives the current: decided once per device, from evidence.

The kernel documents µA. Makers give µA or mA, and either sign, so a single reading tells nothing: 976 is 976 mA on one
phone and 0.976 mA on another. What does tell:

- a reading that no phone can have in mA: more than 30 A, or more than 10 A while not charging; then the unit is µA;
- a charge in mAh although the kernel documents µAh: the driver counts in thousandths, so its current is in mA;
- the same current from a source whose unit is known;
- three different readings below 10,000 while no power is connected: an awake phone takes more than 10 mA;
- the device's profile (`current_unit`, `current_positive`).

The sign is known by readings while the battery is discharging. Knows no connection.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbench.device.readings import CHARGING, DISCHARGING
from devbench.errors import InputError
from devbench.host.paths import data_dir
from devbench.host.tables import changing

if TYPE_CHECKING:
    from devbench.device.conditions import Conditions
    from devbench.device.facts import DeviceFacts
    from devbench.device.profiles import DeviceProfile

MICRO, MILLI = 0.001, 1.0
UNITS = {"uA": MICRO, "mA": MILLI}
POSITIVE = {"charging": 1, "discharging": -1}

# In the gauge's own unit, if that were mA.
_IMPOSSIBLE_MA = 30_000
_IMPOSSIBLE_NOT_CHARGING_MA = 10_000
_AWAKE_MA = 50
_MIN_READINGS = 3
# Capacities of phones and tablets; a charge above is in µAh.
_MIN_MAH, _MAX_MAH = 1_500, 40_000
_MIN_SIGNED_MA = 20.0
_MAX_BYTES = 1 << 20


@dataclass(slots=True)
class Gauge:
    """What is known about one device's gauge.

    Attributes:
        unit_ma: mA per unit of its readings; `None` if it is not known.
        sign: 1 if positive is into the battery, -1 if it is out of it; `None` if it is not known.
    """

    unit_ma: float | None = None
    sign: int | None = None
    _from_profile: bool = False
    _status: int | None = None
    _plugged: bool | None = None
    _unplugged: set[int] = field(default_factory=set)
    _out: list[int] = field(default_factory=lambda: [0, 0])

    def settle(self, conditions: Iterable[Conditions]) -> list[Conditions]:
        """Learn from readings in order of time, then return all of them with their current in mA, if it is known."""
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
            # Android's services are asked less often than the kernel.
            self._status, self._plugged = one.battery_status, one.battery_plugged
        if raw is not None:
            if self.unit_ma is None:
                self.unit_ma = self._unit(one, raw)
            elif self.unit_ma == MILLI and not self._from_profile and self._impossible(raw):
                self.unit_ma = MICRO
            if self._status == DISCHARGING and not self._from_profile:
                self._learn_sign(raw)

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
        may_charge = self._status is None or self._status == CHARGING
        return abs(raw) >= (_IMPOSSIBLE_MA if may_charge else _IMPOSSIBLE_NOT_CHARGING_MA)

    def _learn_sign(self, raw: int) -> None:
        if self.unit_ma is None or abs(raw) * self.unit_ma < _MIN_SIGNED_MA:
            return
        self._out[raw > 0] += 1
        negative, positive = self._out
        if max(negative, positive) > 9 * min(negative, positive):
            self.sign = -1 if positive > negative else 1
        else:
            self.sign = None


def recall(facts: DeviceFacts, profile: DeviceProfile | None = None) -> Gauge:
    """The gauge of a device: from its profile, else from earlier runs on this machine."""
    if profile is not None and profile.current_unit:
        return Gauge(UNITS[profile.current_unit], POSITIVE.get(profile.current_positive), _from_profile=True)
    entry = _read(_file()).get(_key(facts))
    unit, sign = (entry.get("unit_ma"), entry.get("sign")) if isinstance(entry, dict) else (None, None)
    return Gauge(unit if unit in (MICRO, MILLI) else None, sign if unit in (MICRO, MILLI) and sign in (1, -1) else None)


def remember(facts: DeviceFacts, gauge: Gauge) -> None:
    """Store the decision for later runs, if the folder can be written."""
    key, decided = _key(facts), {"unit_ma": gauge.unit_ma, "sign": gauge.sign}
    if gauge.unit_ma is None or gauge._from_profile or _read(_file()).get(key) == decided:
        return
    with suppress(InputError), changing(_file(), lambda: _read(_file())) as book:
        book[key] = decided


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
