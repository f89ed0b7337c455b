"""Groups changes of series by model: a new version of a model is one change on all devices. Knows no form."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from datetime import datetime

from devbench.analysis.changes import Direction
from devbench.findings.changes import Change, MeasuredSeries, ModelChange, Shift
from devbench.metrics import METRICS

_Member = tuple[MeasuredSeries, Change]


def worse_way(metric: str, direction: Direction) -> bool:
    """Whether a change in that direction is one to the worse."""
    return direction == METRICS[metric].worse


def model_changes(
    series: Sequence[MeasuredSeries], nights: Sequence[datetime], tolerance: int
) -> tuple[ModelChange, ...]:
    """Changes that belong to no event of a device. Those of one model in neighbouring nights are one entry; by time.

    Args:
        series: with their changes.
        nights: starts of all runs, ascending.
        tolerance: the largest distance of such changes in nights; noise moves the place that is found.
    """
    by_model: dict[str, list[tuple[int, _Member]]] = {}
    for one in series:
        for change in one.changes:
            if change.own:
                night = bisect.bisect_left(nights, change.sides.at_utc)
                by_model.setdefault(one.model, []).append((night, (one, change)))
    found = []
    for model, members in by_model.items():
        found += [_told(model, part) for part in _parts(members, tolerance)]
    return tuple(sorted(found, key=lambda one: (one.sides.at_utc, one.model)))


def _parts(members: list[tuple[int, _Member]], tolerance: int) -> list[list[_Member]]:
    """The night with the most changes takes those around it, then the next."""
    left = members
    parts = []
    while left:
        nights = [night for night, _ in left]
        middle = max(set(nights), key=lambda at: (sum(abs(night - at) <= tolerance for night in nights), -at))
        # A change in exactly that night comes first, because its time is the entry's time.
        near = sorted((one for one in left if abs(one[0] - middle) <= tolerance), key=lambda one: abs(one[0] - middle))
        parts.append([member for _, member in near])
        left = [one for one in left if abs(one[0] - middle) > tolerance]
    return parts


def _told(model: str, members: Sequence[_Member]) -> ModelChange:
    by_metric: dict[tuple[str, str, Direction], list[_Member]] = {}
    for one, change in members:
        by_metric.setdefault((one.metric, one.operator_type, change.point.direction), []).append((one, change))
    shifts = [_shift(key, of) for key, of in by_metric.items()]
    counts = {id(shift): len(of) for shift, of in zip(shifts, by_metric.values(), strict=True)}
    return ModelChange(
        model=model,
        virtual=any(one.virtual for one, _ in members),
        sides=members[0][1].sides,
        shifts=tuple(sorted(shifts, key=lambda shift: (-counts[id(shift)], list(METRICS).index(shift.metric)))),
        worse=any(change.worse for _, change in members),
        members=tuple(members),
    )


def _shift(key: tuple[str, str, Direction], members: Sequence[_Member]) -> Shift:
    sizes = [change.point.size for _, change in members if change.point.size is not None]
    return Shift(
        *key,
        sizes=(min(sizes, key=abs), max(sizes, key=abs)) if sizes else None,
        devices=len({one.device_key for one, _ in members}),
        cases=len({one.case for one, _ in members}),
    )
