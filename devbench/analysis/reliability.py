"""Whether a repetition is reliable, by the conditions around it, and its reasons as text; knows no device.

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

# Why a status of Android's thermal service cannot be used, by the value of `Conditions.thermal_status_problem`.
STATUS_PROBLEMS: Mapping[str, str] = {
    "not_ready": "thermal status unknown: no answer from the device's thermal hardware",
    "overridden": "thermal status unknown: overridden by a command",
}
# Android's power saving begins at this level on most devices.
_LOW_BATTERY_PCT = 15
# Runnable processes per CPU, one minute's average: the tool itself is one or a few of them.
MAX_LOAD_PER_CPU = 1.5
# Drivers round a limit to a step of their table; the steps of a phone's CPU are some 5 % apart.
_SAME_CLOCK = 0.98


@dataclass(frozen=True, slots=True)
class Reliability:
    """`unreliable` with its reasons, or `valid`."""

    word: Word
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fitness:
    """What the conditions of a device are compared with.

    Attributes:
        cpu_count: its CPUs; `None` if not known: the load is not judged then.
        thermal_status: the highest at which it may measure.
        cpu_cap_khz, gpu_cap_khz: the highest clocks that were allowed since the run began, by CPU.
    """

    cpu_count: int | None = None
    thermal_status: int = 0
    cpu_cap_khz: tuple[int | None, ...] = ()
    gpu_cap_khz: int | None = None

    def raised(self, sample: Reading | None) -> Fitness:
        """The same with the clocks that are allowed in `sample`, if they are higher."""
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
    """Conditions around a repetition as the store keeps them: before, while the tool ran, after; `None` if not read."""

    before: Reading | None
    after: Reading | None
    during: Sequence[Reading] = field(default=())

    @property
    def known(self) -> list[Reading]:
        """All of them in the order of time."""
        return [sample for sample in (self.before, *self.during, self.after) if sample is not None]


def judge(around: Around, fitness: Fitness, *, over_limits: Sequence[str] = ()) -> Reliability:
    """Whether a repetition is reliable.

    Args:
        around: the conditions.
        fitness: what they are compared with.
        over_limits: in words, which limits of the device's profile were passed before or after.

    Returns:
        `unreliable` if a thermal status is above what is allowed before, while or after the tool ran, clocks are
        capped below what the device allowed earlier, a limit was passed, the battery is low and not charging, other
        programs are busy on the device, or the device's state is not known.
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
    """The CPU that is capped most, and the GPU."""
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
    """Reasons; those that differ only in their figures are shown once: `other load: 4.0 on 2 CPUs (3 times alike)`.

    The number of times is shown only if `counted`.
    """
    alike = grouped((_FIGURE.sub("", reason), reason) for reason in reasons)
    return ", ".join(_once(those) if counted else those[0] for those in alike.values())


def _once(reasons: Sequence[str]) -> str:
    """The first of reasons that are alike, and how many there are."""
    alike = "" if len(set(reasons)) == 1 else " alike"
    return reasons[0] + (f" ({len(reasons)} times{alike})" if len(reasons) > 1 else "")
