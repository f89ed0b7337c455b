"""Finds changes in the history of a store: series, change points, events of devices; knows no form of output."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbench.analysis.changes import ChangePoint, Direction, change_points_of_many
from devbench.analysis.device_events import DeviceEvent, SeriesChanges, group
from devbench.analysis.drift import common_drift
from devbench.findings.changes import (
    Change,
    ChangesReport,
    ChangesSettings,
    DeviceChange,
    DeviceDrift,
    FactChange,
    MeasuredSeries,
    ModelChange,
    Shift,
    Sides,
)
from devbench.findings.changes_memory import follow_in
from devbench.findings.comparison_notices import percent, virtual_notices
from devbench.findings.grouping import series_groups
from devbench.grouped import grouped
from devbench.metrics import METRICS
from devbench.notices import Notice, NoticeKind
from devbench.results.cases import subject_of
from devbench.results.columns import Columns, array_of, coded_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from devbench.results.history import History

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Runs:
    """The runs by id: start times and labels; `stamps` has each start time in seconds since 1970."""

    times: Mapping[str, datetime]
    stamps: Mapping[datetime, float]
    labels: Mapping[str, Mapping[str, str]]
    facts: Mapping[str, Sequence[tuple[FactChange, float]]]


def find_changes(
    history: History, settings: ChangesSettings | None = None, memory: Path | None = None
) -> ChangesReport:
    """Find what changed, and when, in all series that the settings select; `None` uses the default settings.

    With a file `memory` from `kept.memory_file`, series whose newest points do not differ are not evaluated.
    """
    settings = settings or ChangesSettings()
    filters: dict[str, Any] = {
        name: getattr(settings, name)
        for name in ("devices", "models", "delegates", "cases", "labels", "since", "until")
    }
    series = _series(history, settings.metrics, filters)
    runs = _runs(history, filters, {run_id for one in series for run_id in one.run_ids})
    values, drifts = without_drift(series)
    found = (
        change_points_of_many(values, settings.changes)
        if memory is None
        else follow_in(memory, series, values, settings.changes)
    )
    by_device = grouped((one.device_key, number) for number, one in enumerate(series))
    events: list[DeviceChange] = []
    for device, numbers in by_device.items():
        events += _of_device(device, numbers, series, found, runs, settings)
    events.sort(key=lambda event: (event.sides.at_utc, event.device))
    times = sorted(runs.times.values())
    models = model_changes(series, times, settings.events.tolerance)
    return ChangesReport(
        series=tuple(series),
        events=tuple(events),
        models=models,
        drifts=drifts,
        runs=len(times),
        first_utc=times[0] if times else None,
        last_utc=times[-1] if times else None,
        virtual=any(one.virtual for one in series),
        notices=change_notices(history, series, drifts, [*events, *models]),
        run_labels=runs.labels,
        least=2 * settings.changes.min_points,
    )


# -- reading ----------------------------------------------------------------------------------------------------------


def _series(history: History, metrics: Sequence[str], filters: Mapping[str, Any]) -> list[MeasuredSeries]:
    found = [one for columns in history.series_columns(metrics, **filters) for one in _series_of(columns)]
    return sorted(found, key=lambda one: (one.device_key, one.case, one.metric, one.operator_type))


def _series_of(columns: Columns) -> Iterator[MeasuredSeries]:
    import numpy as np

    runs, values = coded_of(columns, "run_id"), array_of(columns, "value")
    virtual = array_of(columns, "virtual")
    unreliable = array_of(columns, "unreliable").astype(bool) if "unreliable" in columns else None
    ends = [array_of(columns, name) for name in ("low", "high") if name in columns]
    starts = np.zeros(len(runs.values), dtype="datetime64[us]")
    starts[runs.codes] = array_of(columns, "started_utc")
    whens = [start.replace(tzinfo=timezone.utc) for start in starts.tolist()]
    for (device_key, case, metric, operator_type), whole in series_groups(columns):
        # A case that a run measured twice is one point, the later one.
        codes = runs.codes[whole]
        rows = whole[[*(codes[1:] != codes[:-1]), True]]
        last = rows[-1]
        if unreliable is not None and not METRICS[metric].exact:
            rows = rows[~unreliable[rows]]
        at = runs.codes[rows].tolist()
        lows, highs = (tuple(end[rows].tolist()) for end in ends) if ends else ((), ())
        device, model, delegate, threads, unit = (
            coded_of(columns, name).at(last) for name in ("device", "model", "delegate", "threads", "unit")
        )
        yield MeasuredSeries(
            device_key=device_key,
            device=device,
            virtual=bool(virtual[last]),
            case=case,
            model=model,
            delegate=delegate,
            threads=threads,
            metric=metric,
            unit=unit,
            operator_type=operator_type,
            times_utc=tuple(map(whens.__getitem__, at)),
            run_ids=tuple(map(runs.values.__getitem__, at)),
            values=tuple(values[rows].tolist()),
            changes=(),
            lows=lows,
            highs=highs,
        )


def _runs(history: History, filters: Mapping[str, Any], used: set[str]) -> _Runs:
    """Return the runs that measured any of the series."""
    names = ("labels", "since", "until")
    starts = [run for run in history.starts(**{name: filters[name] for name in names}) if run.run_id in used]
    changed = history.fact_changes(**{name: filters[name] for name in (*names, "devices")})
    facts = grouped(
        (
            one.device_key,
            (FactChange(one.started_utc, one.fact, one.before or "", one.after or ""), one.started_utc.timestamp()),
        )
        for one in changed
    )
    times = {run.run_id: run.started_utc for run in starts}
    stamps = {time: time.timestamp() for time in times.values()}
    return _Runs(times, stamps, {run.run_id: run.labels for run in starts}, facts)


# -- changes of a device ----------------------------------------------------------------------------------------------


def _of_device(
    device: str,
    numbers: Sequence[int],
    series: list[MeasuredSeries],
    found: Sequence[Sequence[ChangePoint]],
    runs: _Runs,
    settings: ChangesSettings,
) -> list[DeviceChange]:
    """Return the device's events; its series in the list get their changes."""
    inputs = [
        SeriesChanges(
            model=series[number].model,
            case=series[number].case,
            metric=_metric(series[number]),
            times=list(map(runs.stamps.__getitem__, series[number].times_utc)),
            changes=found[number],
        )
        for number in numbers
    ]
    grouped = group(inputs, settings.events)
    place = {id(one): number for one, number in zip(inputs, numbers, strict=True)}
    own = {(place[id(one)], point.index) for one, point in grouped.own}
    nights = sorted({time for one in inputs for time in one.times})
    for number in numbers:
        changes = []
        for point in found[number]:
            key = (number, point.index)
            change = _change(series[number], point, runs, nights, settings, own=key in own)
            if settings.changed_since is None or change.sides.at_utc >= settings.changed_since:
                changes.append(change)
        series[number] = replace(series[number], changes=tuple(changes))
    events = [_event(event, place, series, runs, nights, settings) for event in grouped.events]
    return [event for event in events if event is not None]


def _metric(series: MeasuredSeries) -> str:
    """Return the metric's name for the search for events, in which each type of operator is a separate metric."""
    return f"{series.metric} {series.operator_type}".rstrip()


def _change(
    series: MeasuredSeries,
    point: ChangePoint,
    runs: _Runs,
    nights: Sequence[float],
    settings: ChangesSettings,
    *,
    own: bool,
) -> Change:
    at = point.index
    # The point before is the last with a number.
    sides = _sides(series, at - 1, at, runs, nights, settings.events.tolerance)
    return Change(point, sides, worse=worse_way(series.metric, point.direction), own=own)


def _sides(
    series: MeasuredSeries, before: int, after: int, runs: _Runs, nights: Sequence[float], tolerance: int
) -> Sides:
    run_before, run_after = series.run_ids[before], series.run_ids[after]
    was, now = runs.labels.get(run_before, {}), runs.labels.get(run_after, {})
    labels = {key: (was.get(key), now.get(key)) for key in {**was, **now} if was.get(key) != now.get(key)}
    first = bisect.bisect_left(nights, series.times_utc[before].timestamp()) - tolerance + 1
    last = bisect.bisect_left(nights, series.times_utc[after].timestamp()) + tolerance
    start, end = nights[max(first, 0)], nights[min(last, len(nights) - 1)]
    facts = tuple(change for change, at in runs.facts.get(series.device_key, ()) if start <= at <= end)
    return Sides(series.times_utc[after], series.times_utc[before], run_before, run_after, labels, facts)


def _event(
    event: DeviceEvent,
    place: Mapping[int, int],
    series: Sequence[MeasuredSeries],
    runs: _Runs,
    nights: Sequence[float],
    settings: ChangesSettings,
) -> DeviceChange | None:
    """Return the event with its members; `None` if all of it is earlier than the requested period."""
    members = []
    for one, point in event.members:
        changed = series[place[id(one)]]
        change = next((change for change in changed.changes if change.point.index == point.index), None)
        if change is not None:
            members.append((changed, change))
    if not members:
        return None
    # The runs before and after the event are those of a member that changed exactly at the time of the event.
    changed, change = min(members, key=lambda one: abs(one[1].sides.at_utc.timestamp() - event.time))
    worse = any(worse_way(effect.metric.split(" ")[0], effect.direction) for effect in event.effects)
    return DeviceChange(
        changed.device_key, changed.device, changed.virtual, change.sides, event.effects, worse, tuple(members)
    )


# If fewer models share a drift, it may come from the models and not from the device.
_LEAST_MODELS = 5


def without_drift(series: Sequence[MeasuredSeries]) -> tuple[list[Floats], tuple[DeviceDrift, ...]]:
    """Return the values of each series without the drift of its device, and the drifts that were found.

    Only times are corrected: memory and sizes do not drift.
    """
    import numpy as np

    values = [np.asarray(one.values, dtype=np.float64) for one in series]
    by_device = grouped(
        ((one.device_key, one.metric), number)
        for number, one in enumerate(series)
        if one.unit == "ms" and len(one.values) and values[number].min() > 0
    )
    drifts = []
    for numbers in by_device.values():
        if len({series[number].model for number in numbers}) < _LEAST_MODELS:
            continue
        nights = sorted({time for number in numbers for time in series[number].times_utc})
        place = {time: k for k, time in enumerate(nights)}
        places = [[place[time] for time in series[number].times_utc] for number in numbers]
        table = np.full((len(numbers), len(nights)), np.nan)
        for row, at, number in zip(table, places, numbers, strict=True):
            row[at] = values[number]
        curve = common_drift(table)
        if curve is None:
            continue
        for at, number in zip(places, numbers, strict=True):
            values[number] = values[number] * np.exp(-curve[at])
        ends = sorted((int(np.argmin(curve)), int(np.argmax(curve))))
        one, size = series[numbers[0]], math.expm1(float(curve[ends[1]] - curve[ends[0]]))
        drifts.append(
            DeviceDrift(one.device_key, one.device, one.virtual, one.metric, size, nights[ends[0]], nights[ends[1]])
        )
    return values, tuple(sorted(drifts, key=lambda drift: (drift.device, drift.metric)))


def change_notices(
    history: History,
    series: Sequence[MeasuredSeries],
    drifts: Iterable[DeviceDrift],
    changes: Sequence[DeviceChange | ModelChange],
) -> tuple[Notice, ...]:
    """Return the notices that limit the changes, each once."""
    found = [_of_drift(drift) for drift in drifts] + virtual_notices(series)
    members = [member for change in changes for member in change.members]
    stored = history.store.notices(
        sorted({run for _, change in members for run in (change.sides.run_before, change.sides.run_after)})
    )
    for one, change in members:
        names = {one.model, one.case, one.device, subject_of(one.model, one.case)}
        for run_id in (change.sides.run_before, change.sides.run_after):
            for notice in stored.get(run_id, ()):
                if notice.device_key in ("", one.device_key) and (notice.job_number is None or notice.subject in names):
                    found.append(replace(notice, text=f"{notice.text} (run {run_id})", job_number=None))
    return tuple(dict.fromkeys(found))


def _of_drift(drift: DeviceDrift) -> Notice:
    span = f"from {drift.from_utc:%Y-%m-%d} to {drift.to_utc:%Y-%m-%d}"
    text = f"{METRICS[drift.metric].title} drifted by {percent(drift.size)} {span}, taken off before the search"
    return Notice(NoticeKind.DRIFT_REMOVED, drift.device, text, device_key=drift.device_key)


# -- changes of models ------------------------------------------------------------------------------------------------


_Member = tuple[MeasuredSeries, Change]


def worse_way(metric: str, direction: Direction) -> bool:
    """Whether a change in that direction makes the metric worse."""
    return direction == METRICS[metric].worse


def model_changes(
    series: Sequence[MeasuredSeries], nights: Sequence[datetime], tolerance: int
) -> tuple[ModelChange, ...]:
    """Group the changes outside events of devices: those of a model in neighbouring nights are one entry; sorted by
    time.

    Args:
        series: with their changes.
        nights: starts of all runs, ascending.
        tolerance: the largest distance of such changes in nights; noise moves the place that is found.
    """
    by_model = grouped(
        (one.model, (bisect.bisect_left(nights, change.sides.at_utc), (one, change)))
        for one in series
        for change in one.changes
        if change.own
    )
    found = []
    for model, members in by_model.items():
        found += [_model_change(model, part) for part in _parts(members, tolerance)]
    return tuple(sorted(found, key=lambda one: (one.sides.at_utc, one.model)))


def _parts(members: list[tuple[int, _Member]], tolerance: int) -> list[list[_Member]]:
    """Group changes: first the night with the most changes and the changes near it, then the rest in the same way."""
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


def _model_change(model: str, members: Sequence[_Member]) -> ModelChange:
    by_metric = grouped(
        ((one.metric, one.operator_type, change.point.direction), (one, change)) for one, change in members
    )
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
