"""Decides from the conditions around a repetition whether it is reliable, with reasons as text; knows no device.

A repetition is unreliable if the device was throttled, busy or nearly out of battery while it ran: its numbers describe
that state, not the model. It is kept and marked, and estimates leave it out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Literal

from devbench.frozen import dataclass
from devbench.grouped import grouped

Word = Literal["valid", "unreliable"]
Reading = Mapping[str, Any]

# Reasons why the status of Android's thermal service cannot be used, by `Conditions.thermal_status_problem`.
STATUS_PROBLEMS: Mapping[str, str] = {
    "not_ready": "thermal status unknown: no answer from the device's thermal hardware",
    "overridden": "thermal status unknown: overridden by a command",
}
# The battery level, in percent, at which most Android devices begin to save power.
_LOW_BATTERY_PCT = 15
# The highest number of runnable processes per CPU, averaged over one minute; the tool itself is one or a few of them.
MAX_LOAD_PER_CPU = 1.5
# A clock counts as capped below this share of the limit. Drivers round limits to the steps of their tables, which are
# about 5 % apart.
_SAME_CLOCK = 0.98


@dataclass(frozen=True, slots=True)
class Reliability:
    """The verdict on a repetition: `unreliable` with reasons, or `valid`."""

    word: Word
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fitness:
    """The limits with which the conditions of a device are compared.

    Attributes:
        cpu_count: the number of its CPUs; if it is `None` (not known), the load is not judged.
        thermal_status: the highest status at which measurements are reliable.
        cpu_cap_khz, gpu_cap_khz: the highest clocks that were allowed since the run began, by CPU.
    """

    cpu_count: int | None = None
    thermal_status: int = 0
    cpu_cap_khz: tuple[int | None, ...] = ()
    gpu_cap_khz: int | None = None

    def raised(self, sample: Reading | None) -> Fitness:
        """Return a copy with the highest allowed clocks raised to those of `sample`, if these are higher."""
        if sample is None:
            return self
        ours, theirs = list(self.cpu_cap_khz), list(sample.get("cpu_cap_khz") or ())
        width = max(len(ours), len(theirs))
        pairs = zip(ours + [None] * (width - len(ours)), theirs + [None] * (width - len(theirs)), strict=True)
        return Fitness(
            self.cpu_count,
            self.thermal_status,
            tuple(_higher(a, b) for a, b in pairs),
            _higher(self.gpu_cap_khz, sample.get("gpu_cap_khz")),
        )


@dataclass(frozen=True, slots=True)
class Around:
    """The stored conditions around a repetition: before, while the tool ran, and after; `None` if not read."""

    before: Reading | None
    after: Reading | None
    during: Sequence[Reading] = field(default=())

    @property
    def known(self) -> list[Reading]:
        """Return all known conditions in the order of time."""
        return [sample for sample in (self.before, *self.during, self.after) if sample is not None]


def judge(around: Around, fitness: Fitness, *, over_limits: Sequence[str] = ()) -> Reliability:
    """Whether a repetition is reliable.

    Args:
        around: the conditions.
        fitness: what they are compared with.
        over_limits: the limits of the device's profile that were exceeded before or after, as text.

    Returns:
        `unreliable` if one of these is true before, while or after the tool ran: the thermal status is too high, clocks
        are capped below what the device allowed earlier, a limit was exceeded, the battery is low and not charging,
        other programs use the CPU, or the device's state is not known.
    """
    known = around.known
    if not known:
        return Reliability("unreliable", ("conditions unknown",))
    reasons = [*_status(known, fitness), *_clocks(known, fitness), *over_limits]
    level = _last(known, "battery_level")
    if level is not None and level < _LOW_BATTERY_PCT and not _last(known, "battery_charging"):
        reasons.append(f"battery low: {level} %")
    load = (around.before or {}).get("load_1min")
    if load is not None and fitness.cpu_count and load > MAX_LOAD_PER_CPU * fitness.cpu_count:
        reasons.append(f"other load: {load:.1f} on {fitness.cpu_count} CPUs")
    reasons = list(dict.fromkeys(reasons))
    return Reliability("unreliable", tuple(reasons)) if reasons else Reliability("valid")


def _status(known: Sequence[Reading], fitness: Fitness) -> list[str]:
    statuses = [sample["thermal_status"] for sample in known if sample.get("thermal_status") is not None]
    if max(statuses, default=0) <= fitness.thermal_status:
        return []
    changes = [b for a, b in zip([None, *statuses], statuses, strict=False) if a != b]
    return [f"throttled: thermal status {' → '.join(map(str, changes))}"]


def _clocks(known: Sequence[Reading], fitness: Fitness) -> list[str]:
    """Return the reasons for capped clocks: of the CPU that is capped most, and of the GPU."""
    capped: list[tuple[float, int, int, int]] = []
    for sample in known:
        for cpu, (cap, most) in enumerate(zip(sample.get("cpu_cap_khz") or (), fitness.cpu_cap_khz, strict=False)):
            if cap is not None and most and cap < _SAME_CLOCK * most:
                capped.append((cap / most, cpu, cap, most))
    words = []
    if capped:
        _, cpu, cap, most = min(capped)
        words.append(f"throttled: CPU {cpu} capped at {cap / 1e6:.2f} of {most / 1e6:.2f} GHz")
    gpu = min((sample["gpu_cap_khz"] for sample in known if sample.get("gpu_cap_khz") is not None), default=None)
    max_gpu = fitness.gpu_cap_khz
    if gpu is not None and max_gpu and gpu < _SAME_CLOCK * max_gpu:
        words.append(f"throttled: GPU capped at {gpu / 1000:.0f} of {max_gpu / 1000:.0f} MHz")
    return words


def _last(known: Sequence[Reading], key: str) -> Any:
    return next((sample[key] for sample in reversed(known) if sample.get(key) is not None), None)


def _higher(a: int | None, b: int | None) -> int | None:
    return max((value for value in (a, b) if value is not None), default=None)


# Single digits are kept, because each thermal status is a different state.
_FIGURE = re.compile(r"\d+\.\d+|\d{2,}")


def reasons_text(reasons: Sequence[str], *, counted: bool = True) -> str:
    """Join reasons; those that differ only in their figures are shown once: `other load: 4.0 on 2 CPUs (3 times
    alike)`.

    The number of times is shown only if `counted`.
    """
    alike = grouped((_FIGURE.sub("", reason), reason) for reason in reasons)
    return ", ".join(_once(those) if counted else those[0] for those in alike.values())


def _once(reasons: Sequence[str]) -> str:
    """Return the first of several similar reasons, with their number if there are more."""
    alike = "" if len(set(reasons)) == 1 else " alike"
    return reasons[0] + (f" ({len(reasons)} times{alike})" if len(reasons) > 1 else "")
