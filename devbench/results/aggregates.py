"""What a job's repetitions come to: medians with intervals, and time by type of operator; knows no database."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from devbench.analysis.operators import Place, ProfiledRow, counted
from devbench.analysis.stats import estimate
from devbench.metrics import of_repetitions
from devbench.results.counting import Counted, started, timed

_KERNEL_NUMBER = re.compile(r" \d+\b")
_LONGEST_TYPE = 200


class Measured(Counted, Protocol):
    """A repetition with the columns of the metrics of repetitions."""

    @property
    def id(self) -> int: ...


@dataclass(frozen=True, slots=True)
class JobMetric:
    """A metric over the repetitions of a job that count.

    Attributes:
        metric: its name; values are in its unit.
        value: median.
        low, high: its interval, `None` where one value has none.
        n: how many repetitions.
        unreliable: all of them are.
    """

    metric: str
    value: float
    low: float | None
    high: float | None
    n: int
    unreliable: bool


@dataclass(frozen=True, slots=True)
class Totals:
    """What a job comes to: its metrics, and the ids of the repetitions whose latency and whose start count."""

    metrics: tuple[JobMetric, ...]
    latency: frozenset[int]
    start: frozenset[int]


@dataclass(frozen=True, slots=True)
class TypeTime:
    """Operators of one type in a profile, once each: how many, ms an inference, share of the profiled time."""

    type: str
    place: Place
    count: int
    total_ms: float
    share: float


def total(repetitions: Sequence[Measured]) -> Totals:
    """What the repetitions of one job come to."""
    timed_ones, started_ones = timed(repetitions), started(repetitions)
    counting = {"latency": timed_ones, "start": started_ones, "ok": [r for r in repetitions if r.status == "ok"]}
    metrics = []
    for name, metric in of_repetitions().items():
        known = [r for r in counting[metric.counts] if getattr(r, metric.column) is not None]
        found = estimate([getattr(r, metric.column) * metric.scale for r in known])
        if found is not None:
            low, high = (None, None) if found.coverage is None else (found.low, found.high)
            unreliable = all(r.verdict == "unreliable" for r in known)
            metrics.append(JobMetric(name, found.median, low, high, found.n, unreliable))
    return Totals(tuple(metrics), frozenset(r.id for r in timed_ones), frozenset(r.id for r in started_ones))


def operator_place_is_xnnpack(delegate: str, options: Mapping[str, Any]) -> bool:
    """Whether the delegate that was asked for is XNNPACK itself, by what the tool calls it."""
    names = options.get("reported_as")
    return delegate.startswith("xnnpack") if names is None else "XNNPACK" in names


def type_times(rows: Sequence[ProfiledRow], *, xnnpack: bool, tool: str) -> tuple[TypeTime, ...]:
    """The runs' operators of a profile by type and place, the dearest first.

    Args:
        rows: of the phase "runs".
        xnnpack: as `operator_place_is_xnnpack` says.
        tool: "tflite" or "litert"; the latter prints the calls of all inferences together.
    """
    sums: dict[tuple[str, Place], list[float]] = {}
    for row, ms, place in counted(rows, xnnpack=xnnpack, calls_of_all_runs=tool == "litert"):
        sums.setdefault((operator_type(row.type, place), place), []).append(ms)
    whole = sum(map(sum, sums.values()))
    found = [
        TypeTime(kind, place, len(times), sum(times), sum(times) / whole if whole else 0.0)
        for (kind, place), times in sums.items()
    ]
    return tuple(sorted(found, key=lambda one: -one.total_ms))


@lru_cache(maxsize=4096)
def operator_type(text: str, place: str) -> str:
    """The type without what the tool adds: the GPU delegate numbers its kernels (`softmax 3`)."""
    kind = text.removeprefix("Delegate/")
    return (kind if place == "cpu" else _KERNEL_NUMBER.sub("", kind))[:_LONGEST_TYPE]
