"""Explains a regression: which operators take longer, and which ones a delegate no longer runs.

Pure functions over numbers; knows no store. The times are those of profile repetitions. Their sum is not the latency
that was compared, so the part that the operators do not explain is reported too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from devbench.analysis.operators import Place

Kind = Literal["slower", "faster", "new", "gone", "moved to cpu", "moved to delegate", "delegation"]

# A change is a cause if it is at least this share of the whole time.
_MIN_SHARE = 0.01
_MAX_CAUSES = 50


@dataclass(frozen=True, slots=True)
class TypeTime:
    """The operators of one type that ran in one place.

    Attributes:
        type: its name in the profile.
        place: where they ran (`operators.counted`).
        ms: their time in one inference.
        count: their number; `None` if it is not known.
    """

    type: str
    place: Place
    ms: float
    count: int | None = None


@dataclass(frozen=True, slots=True)
class DelegatedNodes:
    """The nodes of the graph that the delegate runs; `None` if the tool did not report a number.

    Attributes:
        nodes_delegated, nodes_total: operators of the graph.
        partitions: the parts of the graph that the delegate runs as one kernel; each costs the time of a hand-over.
        whole: the delegate runs the whole graph; known even if the tool did not report the number of operators.
    """

    nodes_delegated: int | None = None
    nodes_total: int | None = None
    partitions: int | None = None
    whole: bool | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the comparison."""

    operators: Sequence[TypeTime] = ()
    delegation: DelegatedNodes | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that changed.

    Attributes:
        kind: "delegation" is the delegate as a whole; the others are one type of operator.
        name: the type; empty for the delegation.
        baseline_ms, candidate_ms: time per inference; `None` if the type did not run or the time is not known.
        change_ms: how much longer each inference takes because of it.
        share: the share of the change of all operators together; `None` if those did not change. Shares of causes that
            overlap (a delegation and the types that it moved) do not add up.
        baseline, candidate: the delegation of both sides; only for the kind "delegation".
        counts: the numbers of operators of the type in baseline and candidate; `None` if not known.
    """

    kind: Kind
    name: str
    baseline_ms: float | None
    candidate_ms: float | None
    change_ms: float
    share: float | None
    baseline: DelegatedNodes | None = None
    candidate: DelegatedNodes | None = None
    counts: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The causes, the most expensive first; those that became faster are last.

    Attributes:
        change_ms: the change of all operators together.
        unexplained_ms: the part of the latency's change that the operators do not show; `None` if either is not known.
    """

    causes: tuple[Cause, ...]
    change_ms: float
    unexplained_ms: float | None


def explain(baseline: Side, candidate: Side, *, latency_change_ms: float | None = None) -> Explanation:
    """Find the causes of a slower candidate and sort them by their cost.

    Times of one type are compared over all places. A type that ran on the delegate and now runs on the CPU has moved.
    Its name on the delegate may differ from that on the CPU. So if the delegation shows that nodes moved, one cause
    "delegation" has the change of time of the delegate's partitions and of the types that are new on the CPU or gone
    from it. Types that changed by less than a hundredth of the baseline's time are left out.

    Args:
        baseline, candidate: two sides of the same case; times that are not finite are ignored.
        latency_change_ms: candidate minus baseline, if it is known.
    """
    before, after = _by_type(baseline.operators), _by_type(candidate.operators)
    whole_before = sum(sum(places.values()) for places in before.values())
    whole_after = sum(sum(places.values()) for places in after.values())
    known = bool(before) and bool(after)
    change = whole_after - whole_before if known else 0.0
    causes = _operators(before, after, change, _counts(baseline, candidate)) if known else []
    delegation = _delegation(baseline.delegation, candidate.delegation, before, after, change if known else None)
    least = _MIN_SHARE * max(whole_before, whole_after)
    causes = [one for one in causes if abs(one.change_ms) >= least and one.change_ms]
    # For equal costs, the delegation is listed first, because the types are its effect.
    ranked = sorted([*delegation, *causes], key=lambda one: (-one.change_ms, one.kind != "delegation", one.name))
    unexplained = latency_change_ms - change if latency_change_ms is not None and known else None
    return Explanation(tuple(ranked[:_MAX_CAUSES]), change, unexplained)


def _by_type(rows: Sequence[TypeTime]) -> dict[str, dict[Place, float]]:
    found: dict[str, dict[Place, float]] = {}
    for row in rows:
        if math.isfinite(row.ms):
            places = found.setdefault(row.type, {})
            places[row.place] = places.get(row.place, 0.0) + row.ms
    return found


def _counts(baseline: Side, candidate: Side) -> dict[str, tuple[int, int]]:
    """Return the number of operators of each type on both sides; a type without a number is left out."""
    found: dict[str, list[int]] = {}
    unknown = set()
    for k, side in enumerate((baseline, candidate)):
        for row in side.operators:
            if row.count is None:
                unknown.add(row.type)
            found.setdefault(row.type, [0, 0])[k] += row.count or 0
    return {name: (was, now) for name, (was, now) in found.items() if name not in unknown}


def _operators(
    before: dict[str, dict[Place, float]],
    after: dict[str, dict[Place, float]],
    change: float,
    counts: Mapping[str, tuple[int, int]],
) -> list[Cause]:
    causes = []
    for name in sorted({*before, *after}):
        was, now = before.get(name), after.get(name)
        ms_before = sum(was.values()) if was else None
        ms_after = sum(now.values()) if now else None
        difference = (ms_after or 0.0) - (ms_before or 0.0)
        share = difference / change if change else None
        kind = _kind(was, now, difference)
        causes.append(Cause(kind, name, ms_before, ms_after, difference, share, counts=counts.get(name)))
    return causes


def _kind(was: dict[Place, float] | None, now: dict[Place, float] | None, difference: float) -> Kind:
    if was is None:
        return "new"
    if now is None:
        return "gone"
    # XNNPACK counts as the CPU if another delegate was requested.
    moved = now.get("delegate", 0.0) / (sum(now.values()) or 1.0) - was.get("delegate", 0.0) / (
        sum(was.values()) or 1.0
    )
    if abs(moved) > 0.5:
        return "moved to delegate" if moved > 0 else "moved to cpu"
    return "slower" if difference > 0 else "faster"


def _delegation(
    was: DelegatedNodes | None,
    now: DelegatedNodes | None,
    before: dict[str, dict[Place, float]],
    after: dict[str, dict[Place, float]],
    change: float | None,
) -> list[Cause]:
    """Return one cause if the delegate took other nodes or split the graph into another number of partitions.

    Its cost is the change of time of everything on the delegate, and of the types that ran on the CPU on one side only.
    """
    if was is None or now is None or not _differs(was, now):
        return []
    difference = 0.0
    ms_before = ms_after = 0.0
    for name in {*before, *after}:
        old, new = before.get(name, {}), after.get(name, {})
        for places, other in ((old, new), (new, old)):
            ms = places.get("delegate", 0.0)
            on_cpu = sum(ms for place, ms in places.items() if place != "delegate")
            if not any(place != "delegate" for place in other):
                ms += on_cpu
            difference += ms if places is new else -ms
            if places is new:
                ms_after += ms
            else:
                ms_before += ms
    share = difference / change if change else None
    if change is None:
        return [Cause("delegation", "", None, None, 0.0, None, was, now)]
    return [Cause("delegation", "", ms_before, ms_after, difference, share, was, now)]


def _differs(was: DelegatedNodes, now: DelegatedNodes) -> bool:
    """Whether any number differs that is known on both sides."""
    pairs = (
        (was.nodes_delegated, now.nodes_delegated),
        (was.nodes_total, now.nodes_total),
        (was.partitions, now.partitions),
        (was.whole, now.whole),
    )
    return any(a is not None and b is not None and a != b for a, b in pairs)
