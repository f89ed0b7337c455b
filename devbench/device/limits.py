"""Limits of a device's conditions: whether it is cool enough to measure; knows no connection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from devbench.device.conditions import Conditions


@dataclass(frozen=True, slots=True)
class ThermalLimits:
    """The highest readings at which a device may measure.

    Attributes:
        thermal_status: Android's throttling status, 0 none to 6 shutdown.
        battery_c: the battery's temperature in °C; None for no limit.
        sensors_c: pairs of a pattern, searched for in sensor names, and °C.
    """

    thermal_status: int = 0
    battery_c: float | None = None
    sensors_c: tuple[tuple[re.Pattern[str], float], ...] = ()


def to_json(limits: ThermalLimits) -> dict[str, Any]:
    """A JSON-ready mapping with the field names as keys; sensors by the text of their pattern."""
    return {
        "thermal_status": limits.thermal_status,
        "battery_c": limits.battery_c,
        "sensors_c": {pattern.pattern: degrees for pattern, degrees in limits.sensors_c},
    }


def over_limits(conditions: Conditions, limits: ThermalLimits) -> tuple[str, ...]:
    """What is over its limit, in words; empty if the device is fit. An unknown reading is ignored."""
    over: list[str] = []
    status = conditions.thermal_status
    if status is not None and status > limits.thermal_status:
        over.append(f"thermal status {conditions.thermal_status_name}")
    battery = conditions.battery_temperature_c
    if battery is not None and limits.battery_c is not None and battery > limits.battery_c:
        over.append(f"battery {battery:.1f} °C above {limits.battery_c:g} °C")
    for name, degrees in conditions.temperatures_c.items():
        highest = min((limit for pattern, limit in limits.sensors_c if pattern.search(name)), default=None)
        if highest is not None and degrees > highest:
            over.append(f"{name} {degrees:.1f} °C above {highest:g} °C")
    return tuple(over)
