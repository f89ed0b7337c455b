"""Readings of a device's state from stored conditions. A reading is a finite number or `None`. Knows no form.

The store keeps conditions as mappings (the keys of `devbench.device.conditions.to_json`); any key may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from devbench.analysis.reliability import STATUS_PROBLEMS
from devbench.results.records import RepetitionRecord

# The largest absolute value of a reading; NaN fails the comparison, too.
_MOST = 1e15


def number(value: object) -> float | None:
    """Return `value` as a finite number of sensible size, else `None`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -_MOST < value < _MOST:
        return None
    return float(value)


def reading(conditions: Mapping[str, Any] | None, key: str) -> float | None:
    return None if conditions is None else number(conditions.get(key))


def degrees(conditions: Mapping[str, Any]) -> dict[str, float]:
    """Return °C by the sensor's name; also the battery's own reading, if no sensor has that name."""
    listed = conditions.get("temperatures_c")
    pairs = listed.items() if isinstance(listed, Mapping) else ()
    found = {str(name): known for name, value in pairs if (known := number(value)) is not None}
    battery = reading(conditions, "battery_temperature_c")
    if battery is not None and not any("batt" in name.casefold() for name in found):
        found["battery"] = battery
    return found


def hottest(conditions: Mapping[str, Any] | None) -> float | None:
    return None if conditions is None else max(degrees(conditions).values(), default=None)


def condition_words(repetitions: Sequence[RepetitionRecord]) -> str:
    """Describe a device during a job: ranges of temperature and load, throttling, battery."""
    samples = [
        c
        for r in repetitions
        for c in (r.conditions_before, *r.conditions_during, r.conditions_after)
        if isinstance(c, Mapping)
    ]
    words = []
    heat = [value for value in map(hottest, samples) if value is not None]
    if heat:
        words.append(f"{min(heat):.1f}–{max(heat):.1f} °C" if min(heat) != max(heat) else f"{heat[0]:.1f} °C")
    statuses = _known(samples, "thermal_status")
    if statuses:
        words.append("throttled" if any(statuses) else "not throttled")
    problems = dict.fromkeys(sample.get("thermal_status_problem") for sample in samples)
    words += [text for problem, text in STATUS_PROBLEMS.items() if problem in problems]
    battery = _known(samples, "battery_level")
    if battery:
        words.append(
            f"battery {battery[-1]:.0f} %" + (" charging" if samples[-1].get("battery_charging") is True else "")
        )
    loads = _known(samples, "load_1min")
    if loads:
        words.append(f"load {min(loads):.1f}–{max(loads):.1f}")
    return ", ".join(words) or "unknown"


def _known(samples: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    return [value for sample in samples if (value := reading(sample, key)) is not None]
