"""Separates changes of a device from changes of its models: pure functions over change points; knows no store.

A system update, a new driver or a new case around the phone changes most models in the same night. That is one event of
the device, reported once, and not one regression per model.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from devbench.analysis.changes import ChangePoint, Direction

# For normal scatter, the median absolute deviation times this is the standard deviation.
_MAD = 1.4826
_FAR = 3.0


@dataclass(frozen=True, slots=True)
class SeriesChanges:
    """The changes of one series of a device.

    Attributes:
        model, case, metric: what was measured; several cases of a model count as one model.
        times: the time of every row of the series, gaps included, ascending; any unit that all series of the device
            share, such as the number of the night.
        changes: what `change_points` found.
    """

    model: str
    case: str
    metric: str
    times: Sequence[float]
    changes: Sequence[ChangePoint]


@dataclass(frozen=True, slots=True)
class EventSettings:
    """The settings that decide what counts as an event of the device.

    Attributes:
        min_models: the smallest number of models that changed.
        min_share: the smallest share of changed models among those that were measured before and after.
        tolerance: the largest distance between changes of one event, in nights, since noise moves the place that is
            found.
        alpha: the largest p that counts.
        apart: a model is also reported on its own if its change differs from the typical one by more than this
            (natural logarithm: 0.02 is 2 %) and by more than the scatter among the models.
    """

    min_models: int = 3
    min_share: float = 0.5
    tolerance: int = 2
    alpha: float = 0.001
    apart: float = 0.02


@dataclass(frozen=True, slots=True)
class MetricEffect:
    """The effect of an event on one metric.

    Attributes:
        metric, direction: the metric and the direction of its change.
        size: the median relative change of the series that changed; `None` if no change has a size.
        models: the number of models that changed.
        of: the number of models that were measured before and after.
        p: the probability that this many models change in the same nights by chance.
    """

    metric: str
    direction: Direction
    size: float | None
    models: int
    of: int
    p: float


@dataclass(frozen=True, slots=True)
class DeviceEvent:
    """One event of the device.

    Attributes:
        time: the time of the first measurement after the event, in the unit of the series' times. If it differs between
            members, the most frequent one.
        effects: one per metric, the one with the most models first.
        members: the series that changed with it, each with its change.
    """

    time: float
    effects: tuple[MetricEffect, ...]
    members: tuple[tuple[SeriesChanges, ChangePoint], ...]


@dataclass(frozen=True, slots=True)
class Grouped:
    """All changes of a device:

    events, and changes on their own. A change whose size is far from its event's is in both.
    """

    events: tuple[DeviceEvent, ...]
    own: tuple[tuple[SeriesChanges, ChangePoint], ...]


@dataclass(frozen=True, slots=True)
class _Change:
    night: int
    series: SeriesChanges
    point: ChangePoint


def group(series: Sequence[SeriesChanges], settings: EventSettings | None = None) -> Grouped:
    """Separate the events of a device from the changes of single models.

    For each metric and direction, the night around which most models changed is found. A model has changed if half of
    its series did. The night is an event if enough models changed, if they are a large enough share of those measured,
    and if it is improbable that so many change together by chance. That probability is binomial, with the rate at which
    the models change in other nights, times the number of nights. The same is repeated with the remaining changes and
    nights. Events of several metrics in the same nights are merged.

    Args:
        series: all series of one device, of all metrics, also those without a change.
        settings: `None` uses the defaults.
    """
    rules = settings or EventSettings()
    nights = {time: i for i, time in enumerate(sorted({time for one in series for time in one.times}))}
    by_metric: dict[str, list[SeriesChanges]] = defaultdict(list)
    for one in series:
        by_metric[one.metric].append(one)
    found: list[tuple[int, MetricEffect, list[_Change]]] = []
    own: list[_Change] = []
    for metric, ones in by_metric.items():
        directions: tuple[Direction, ...] = ("up", "down")
        for direction in directions:
            left = [
                _Change(nights[one.times[point.index]], one, point)
                for one in ones
                for point in one.changes
                if point.direction == direction
            ]
            events, rest = _events(metric, direction, ones, left, nights, rules)
            found += events
            own += rest
    merged = _merged(found, rules.tolerance)
    apart = [change for _, _, members in found for change in _apart(members, rules.apart)]
    order = {id(one): i for i, one in enumerate(series)}
    own = sorted([*own, *apart], key=lambda one: (order[id(one.series)], one.point.index))
    times = sorted(nights)
    return Grouped(tuple(_event(parts, times) for parts in merged), tuple((one.series, one.point) for one in own))


def _events(
    metric: str,
    direction: Direction,
    series: Sequence[SeriesChanges],
    changes: list[_Change],
    nights: Mapping[float, int],
    rules: EventSettings,
) -> tuple[list[tuple[int, MetricEffect, list[_Change]]], list[_Change]]:
    found: list[tuple[int, MetricEffect, list[_Change]]] = []
    left = list(changes)
    tried: set[int] = set()
    while True:
        near = {night: _near(left, night, rules.tolerance) for night in {one.night for one in left} - tried}
        if not near:
            return found, left
        # The night with the most changed series; of several, the one to which the changes are closest.
        night = max(near, key=lambda at: (len(near[at]), -sum(abs(one.night - at) for one in near[at]), -at))
        tried.add(night)
        hit, of = _models(series, near[night], night, nights)
        elsewhere = len(left) - len(near[night])
        p = _chance(hit, of, elsewhere / max(len(series), 1), len(nights), rules.tolerance)
        if hit < rules.min_models or hit < rules.min_share * of or p > rules.alpha:
            continue
        sizes = [one.point.size for one in near[night] if one.point.size is not None]
        effect = MetricEffect(metric, direction, median(sizes) if sizes else None, hit, of, p)
        found.append((night, effect, near[night]))
        taken = {id(one) for one in near[night]}
        left = [one for one in left if id(one) not in taken]


def _near(changes: Iterable[_Change], night: int, tolerance: int) -> list[_Change]:
    """Return the change of each series that is nearest to the night, if it is within the tolerance."""
    best: dict[int, _Change] = {}
    for one in changes:
        if abs(one.night - night) <= tolerance:
            other = best.get(id(one.series))
            if other is None or abs(one.night - night) < abs(other.night - night):
                best[id(one.series)] = one
    return list(best.values())


def _models(
    series: Sequence[SeriesChanges], changed: Sequence[_Change], night: int, nights: Mapping[float, int]
) -> tuple[int, int]:
    """Return how many models changed, and how many were measured both before and after."""
    measured: dict[str, int] = defaultdict(int)
    hit: dict[str, int] = defaultdict(int)
    changed_series = {id(one.series) for one in changed}
    for one in series:
        if id(one) in changed_series:
            hit[one.model] += 1
        elif not one.times or not nights[one.times[0]] < night <= nights[one.times[-1]]:
            continue
        measured[one.model] += 1
    return sum(2 * hit[model] >= n for model, n in measured.items()), len(measured)


def _chance(hit: int, of: int, changes_elsewhere: float, nights: int, tolerance: int) -> float:
    """Return P(B ≥ hit), B binomial, times the number of nights; `changes_elsewhere` is the average per series."""
    from scipy.special import bdtrc

    width = 2 * tolerance + 1
    # Half a change is added, because changes are possible even if none was found.
    rate = min(1.0, (changes_elsewhere + 0.5 / max(of, 1)) * width / max(nights, width))
    return min(1.0, float(bdtrc(hit - 1, of, rate)) * max(1.0, nights / width)) if hit else 1.0


def _merged(
    found: Sequence[tuple[int, MetricEffect, list[_Change]]], tolerance: int
) -> list[list[tuple[int, MetricEffect, list[_Change]]]]:
    """Merge the events of the same nights, in the order of time; each metric is in an event only once."""
    merged: list[list[tuple[int, MetricEffect, list[_Change]]]] = []
    for one in sorted(found, key=lambda part: part[0]):
        last = merged[-1] if merged else []
        if last and one[0] - last[0][0] <= tolerance and one[1].metric not in {part[1].metric for part in last}:
            last.append(one)
        else:
            merged.append([one])
    return merged


def _event(parts: Sequence[tuple[int, MetricEffect, list[_Change]]], times: Sequence[float]) -> DeviceEvent:
    members = [one for _, _, ones in parts for one in ones]
    nights = [one.night for one in members]
    night = min(set(nights), key=lambda at: (-nights.count(at), at))
    effects = sorted((effect for _, effect, _ in parts), key=lambda effect: (-effect.models, effect.metric))
    return DeviceEvent(times[night], tuple(effects), tuple((one.series, one.point) for one in members))


def _apart(members: Sequence[_Change], least: float) -> list[_Change]:
    """Return the members whose change has another size than those of the others."""
    logs = [_log(one.point) for one in members]
    known = [value for value in logs if value is not None]
    if not known:
        return []
    middle = median(known)
    scatter = _MAD * median(abs(value - middle) for value in known)
    limit = max(least, _FAR * scatter)
    return [one for one, value in zip(members, logs, strict=True) if value is not None and abs(value - middle) > limit]


def _log(point: ChangePoint) -> float | None:
    return math.log1p(point.size) if point.size is not None and point.size > -1 else None
