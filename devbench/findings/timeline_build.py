"""Builds timelines of devices (`findings/timeline.py`) from a run.

Computed from the conditions that are stored with each repetition (before, during, after); knows no chart. Times are
seconds from the start of the run. A reading is used only if it is a finite number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from itertools import pairwise
from typing import Any

from devbench.findings.readings import degrees, number, reading
from devbench.findings.run import JobReport
from devbench.findings.timeline import Clock, TimedProcess, Timeline, Trace
from devbench.frozen import dataclass
from devbench.grouped import grouped
from devbench.results.records import RepetitionRecord
from devbench.text import clean

# Between two processes this far apart the state of the device is not known: a line has a gap there.
_LONGEST_PAUSE_S = 3.0
_MOST_SENSORS = 6
# The largest number of points of a line. If there are more, only the lowest and the highest point of each group are
# kept.
_MOST_POINTS = 400
_ALWAYS_SHOWN = re.compile(r"batt|skin", re.IGNORECASE)
_NUMBERED = re.compile(r"[ _-]*\d+")
# If a sample's time is this far from its process, its clock was wrong, and the time of the process is used.
_FARTHEST_S = 3600.0


@dataclass(frozen=True, slots=True)
class _Sample:
    """`idle`: taken before or after a process that also has samples from while it ran."""

    at_s: float
    process: int
    conditions: Mapping[str, Any]
    idle: bool


_Pick = Callable[[Mapping[str, Any]], float | None]


def build_timelines(jobs: Sequence[JobReport], started_utc: datetime) -> tuple[Timeline, ...]:
    """Return a timeline for each device that ran anything, in order of appearance."""
    by_device = grouped((job.job.device.key, job) for job in jobs)
    return tuple(_timeline(those, started_utc) for those in by_device.values() if any(job.repetitions for job in those))


def _timeline(jobs: Sequence[JobReport], started_utc: datetime) -> Timeline:
    def at(moment: datetime) -> float:
        return (moment - started_utc).total_seconds()

    repetitions = sorted((r for job in jobs for r in job.repetitions), key=lambda r: r.started_utc)
    samples = _samples(repetitions, at)
    dots = [
        TimedProcess(at(p.repetition.started_utc), at(p.repetition.finished_utc), p.latency_ms, job.subject, job.title,
            p.unreliable, p.outlier)
        for job in jobs
        for p in job.processes
    ]  # fmt: skip
    device = jobs[0].job.device
    temperatures, sensors = _temperatures(samples, device.facts.get("sensors") or ())
    return Timeline(
        device=device,
        dots=tuple(sorted(dots, key=lambda dot: dot.start_s)),
        spans=tuple((at(r.started_utc), at(r.finished_utc)) for r in repetitions),
        throttled=_throttled(samples),
        temperatures=temperatures,
        sensors=sensors,
        cpu=_cpu_clocks(samples, device.facts),
        gpu=Clock(
            _line("GPU", samples, _key("gpu_khz", 1e-3), at_work=True),
            _line("highest", samples, _key("gpu_cap_khz", 1e-3)),
        ),
        battery_level=_line("battery", samples, _key("battery_level")),
        battery_ma=_line("current", samples, _key("battery_current_ma"), at_work=True),
        load=_line("load", samples, _key("load_1min")),
        memory_gb=_line("free memory", samples, _key("memory_available_bytes", 1e-9)),
    )


# -- samples and lines ----------------------------------------------------------------------------------------------


def _samples(repetitions: Sequence[RepetitionRecord], at: Callable[[datetime], float]) -> list[_Sample]:
    found = []
    for process, r in enumerate(repetitions):
        start_s, end_s = at(r.started_utc), at(r.finished_utc)
        for conditions, otherwise_s in ((r.conditions_before, start_s), (r.conditions_after, end_s)):
            if isinstance(conditions, Mapping):
                taken = _taken(conditions)
                taken_s = otherwise_s if taken is None else at(taken)
                at_s = taken_s if abs(taken_s - otherwise_s) <= _FARTHEST_S else otherwise_s
                found.append(_Sample(at_s, process, conditions, bool(r.conditions_during)))
        for conditions in r.conditions_during:
            after_s = reading(conditions, "t_s")
            if after_s is not None and 0 <= after_s <= end_s - start_s + _FARTHEST_S:
                found.append(_Sample(start_s + after_s, process, conditions, False))
    return sorted(found, key=lambda sample: sample.at_s)


def _taken(conditions: Mapping[str, Any]) -> datetime | None:
    try:
        taken = datetime.fromisoformat(str(conditions["taken_utc"]))
    except (KeyError, ValueError):
        return None
    return taken if taken.tzinfo else taken.replace(tzinfo=timezone.utc)


def _key(name: str, factor: float = 1.0) -> _Pick:
    def pick(conditions: Mapping[str, Any]) -> float | None:
        value = reading(conditions, name)
        return None if value is None else value * factor

    return pick


def _line(label: str, samples: Sequence[_Sample], pick: _Pick, *, at_work: bool = False) -> Trace | None:
    """Return a line through the samples that have a value, with a gap if two processes are too far apart.

    `None` if no sample has a value.

    Args:
        at_work: only samples taken while a process ran count, with a gap after each process. For values that fall as
            soon as a process ends.
    """
    if at_work and any(pick(sample.conditions) is not None for sample in samples if not sample.idle):
        samples = [sample for sample in samples if not sample.idle]
    longest_pause_s = 0.0 if at_work else _LONGEST_PAUSE_S
    times: list[float] = []
    values: list[float | None] = []
    last: _Sample | None = None
    for sample in samples:
        value = pick(sample.conditions)
        if value is None:
            continue
        if last is not None and last.process != sample.process and sample.at_s - last.at_s > longest_pause_s:
            times.append(last.at_s)
            values.append(None)
        times.append(sample.at_s)
        values.append(value)
        last = sample
    return _thin(Trace(label, tuple(times), tuple(values))) if times else None


def _thin(line: Trace) -> Trace:
    if len(line.times_s) <= _MOST_POINTS:
        return line
    size = math.ceil(2 * len(line.times_s) / _MOST_POINTS)
    kept: list[int] = []
    for start in range(0, len(line.times_s), size):
        stretch = range(start, min(start + size, len(line.times_s)))
        known = [(value, n) for n in stretch if (value := line.values[n]) is not None]
        gaps = {n for n in stretch if line.values[n] is None}
        kept += sorted(gaps | ({min(known)[1], max(known)[1]} if known else set()))
    return Trace(line.label, tuple(line.times_s[n] for n in kept), tuple(line.values[n] for n in kept))


# -- heat -----------------------------------------------------------------------------------------------------------


def _temperatures(samples: Sequence[_Sample], telling: Sequence[str]) -> tuple[tuple[Trace, ...], int]:
    """Return lines of the useful sensors, hottest first, and their number; numbered ones (CPU0, CPU1, …) are one line.

    Args:
        telling: patterns of the useful sensors of this device; empty if its profile names none.
    """
    patterns = [re.compile(text, re.IGNORECASE) for text in telling]
    names: dict[str, dict[str, None]] = {}
    for sample in samples:
        for name in degrees(sample.conditions):
            if patterns and not any(pattern.search(name) for pattern in patterns):
                continue
            names.setdefault(_NUMBERED.sub("", name) or name, {})[name] = None
    lines = []
    for kind, those in names.items():
        label = clean(next(iter(those)) if len(those) == 1 else f"{kind} (hottest of {len(those)})", 34)

        def hottest(conditions: Mapping[str, Any], those: Iterable[str] = tuple(those)) -> float | None:
            known = degrees(conditions)
            return max((known[name] for name in those if name in known), default=None)

        line = _line(label, samples, hottest)
        if line is not None:
            lines.append(line)
    lines.sort(key=lambda line: -_highest(line))
    first = [line for line in lines if _ALWAYS_SHOWN.search(line.label)][: _MOST_SENSORS // 2]
    rest = [line for line in lines if line not in first][: _MOST_SENSORS - len(first)]
    return tuple(sorted([*first, *rest], key=lambda line: -_highest(line))), sum(map(len, names.values()))


def _highest(line: Trace) -> float:
    return max(value for value in line.values if value is not None)


def _throttled(samples: Sequence[_Sample]) -> tuple[tuple[float, float, int], ...]:
    """Return the throttled stretches; between two samples, but not across a gap, the higher status counts."""
    known = [(s, status) for s in samples if (status := reading(s.conditions, "thermal_status")) is not None]
    found: list[tuple[float, float, int]] = []
    for (sample, status), (after, status_after) in pairwise(known):
        gap = sample.process != after.process and after.at_s - sample.at_s > _LONGEST_PAUSE_S
        worst = int(max(status, status_after))
        if worst < 1 or gap:
            continue
        if found and found[-1][1:] == (sample.at_s, worst):
            found[-1] = (found[-1][0], after.at_s, worst)
        else:
            found.append((sample.at_s, after.at_s, worst))
    return tuple(found)


# -- clocks ---------------------------------------------------------------------------------------------------------


def _cpu_clocks(samples: Sequence[_Sample], facts: Mapping[str, Any]) -> tuple[Clock, ...]:
    """Return the clock of each cluster in GHz, the fastest first: that of its fastest CPU."""
    clocks = []
    for label, cpus in _clusters(samples, facts):
        now = _line(label, samples, _highest_of("cpu_khz", cpus), at_work=True)
        cap = _line(f"{label}, highest", samples, _highest_of("cpu_cap_khz", cpus))
        if now or cap:
            clocks.append(Clock(now, cap))
    return tuple(sorted(clocks, key=lambda clock: -max(_highest(line) for line in (clock.now, clock.cap) if line)))


def _highest_of(key: str, cpus: Sequence[int]) -> _Pick:
    def pick(conditions: Mapping[str, Any]) -> float | None:
        listed = _listed(conditions, key)
        known = [khz for cpu in cpus if cpu < len(listed) and (khz := number(listed[cpu])) is not None]
        return max(known) / 1e6 if known else None

    return pick


def _listed(conditions: Mapping[str, Any], key: str) -> Sequence[Any]:
    found = conditions.get(key)
    return found if isinstance(found, (list, tuple)) else ()


def _clusters(samples: Sequence[_Sample], facts: Mapping[str, Any]) -> list[tuple[str, list[int]]]:
    """Return the CPUs by cluster, as the device's facts name them; others are grouped by highest clock."""
    count = max((len(_listed(s.conditions, key)) for s in samples for key in ("cpu_khz", "cpu_cap_khz")), default=0)
    left = dict.fromkeys(range(count))
    found: list[tuple[str, list[int]]] = []
    listed = facts.get("cpus")
    for cluster in listed if isinstance(listed, (list, tuple)) else ():
        members = cluster.get("cpus") if isinstance(cluster, Mapping) else ()
        cpus = [cpu for cpu in members or () if isinstance(cpu, int) and cpu in left]
        for cpu in cpus:
            left.pop(cpu, None)
        if cpus:
            found.append((f"{clean(cluster.get('core') or 'CPU', 20)} ({_numbers(cpus)})", cpus))
    alike: dict[float, list[int]] = {}
    for cpu in left:
        # CPUs of a cluster share their clock, so CPUs with the same highest clock are shown as one cluster.
        seen = [_highest_of(key, [cpu])(s.conditions) for s in samples for key in ("cpu_cap_khz", "cpu_khz")]
        known = [ghz for ghz in seen if ghz is not None]
        if known:
            alike.setdefault(max(known), []).append(cpu)
    return found + [(f"CPU ({_numbers(cpus)})", cpus) for cpus in alike.values()]


def _numbers(cpus: Sequence[int]) -> str:
    """Return `4–7` or `0, 2`."""
    ordered = sorted(cpus)
    if len(ordered) > 1 and ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"{ordered[0]}–{ordered[-1]}"
    return ", ".join(map(str, ordered))
