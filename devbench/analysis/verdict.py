"""Was a device in a fit state while it measured: a verdict on the conditions around a repetition; knows no device.

A device that throttles, runs out of battery or works for somebody else gives numbers of that state and not of the
model. Such repetitions are kept, marked and left out of estimates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Word = Literal["valid", "suspect", "unknown"]

# Android's power saving begins at this level on most devices.
_LOW_BATTERY_PCT = 15
# Runnable processes per CPU, one minute's average: the tool itself is one or a few of them.
_MOST_LOAD_PER_CPU = 1.5


@dataclass(frozen=True, slots=True)
class Verdict:
    """`suspect` with its reasons, `valid`, or `unknown` where nothing is known of the device's state."""

    word: Word
    reasons: tuple[str, ...] = ()


def judge(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, cpu_count: int | None) -> Verdict:
    """The verdict on a repetition.

    Args:
        before, after: conditions as the store keeps them (`thermal_status`, `battery_level`, `battery_charging`,
            `load_1min`); `None` where they could not be read.
        cpu_count: CPUs of the device.

    Returns:
        `suspect` where a thermal status is above none before or after (as AndroidX takes it), the battery is low and
        not charging, or more runs on the device than the tool.
    """
    if before is None and after is None:
        return Verdict("unknown", ("conditions unknown",))
    reasons = []
    statuses = [sample.get("thermal_status") or 0 for sample in (before, after) if sample is not None]
    if any(statuses):
        reasons.append(f"throttled: thermal status {' → '.join(map(str, statuses))}")
    last = after or before or {}
    level = last.get("battery_level")
    if level is not None and level < _LOW_BATTERY_PCT and not last.get("battery_charging"):
        reasons.append(f"battery low: {level} %")
    load = (before or {}).get("load_1min")
    if load is not None and cpu_count and load > _MOST_LOAD_PER_CPU * cpu_count:
        reasons.append(f"other load: {load:.1f} on {cpu_count} CPUs")
    return Verdict("suspect", tuple(reasons)) if reasons else Verdict("valid")
