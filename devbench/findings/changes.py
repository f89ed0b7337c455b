"""The result of a search for changes in the history: series with their change points, and events of whole devices.

Types only: `findings/changes_build.py` computes them. `docs/detection.md` says what counts as a change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from devbench.analysis.changes import ChangePoint, ChangeSettings, Direction
from devbench.analysis.device_events import EventSettings, MetricEffect
from devbench.findings.comparison import CaseOnDevice
from devbench.metrics import stored
from devbench.notices import Notice


@dataclass(frozen=True, slots=True)
class ChangesSettings:
    """The settings of a search: which part of the history is searched, and what counts as a change.

    Attributes:
        changes, events: the settings of the detection.
        metrics: names. Times by type of operator are many series; they are searched only on request.
        devices, models, delegates, cases, labels: filters as those of `History`; empty is everything.
        since, until: only runs in this period are searched.
        changed_since: earlier changes are not reported; the whole series is searched nevertheless.
    """

    changes: ChangeSettings = field(default_factory=ChangeSettings)
    events: EventSettings = field(default_factory=EventSettings)
    metrics: tuple[str, ...] = field(default_factory=stored)
    devices: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    delegates: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    changed_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class FactChange:
    """A changed fact of a device, such as the build of its system; the new value was first seen at `at_utc`."""

    at_utc: datetime
    fact: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Sides:
    """The differences between the last run before a change and the first run after it.

    Attributes:
        at_utc: start of the first run after.
        before_utc: start of the last run before.
        run_before, run_after: their ids.
        labels: each label that differs, with its value before and after; `None` if the run does not have it.
        facts: the device's facts that changed around that time.
    """

    at_utc: datetime
    before_utc: datetime
    run_before: str
    run_after: str
    labels: Mapping[str, tuple[str | None, str | None]]
    facts: tuple[FactChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one series.

    Attributes:
        point: the change with its evidence; its index counts the points of the series.
        sides: when it happened, and what else changed then.
        worse: the metric got worse.
        own: it is reported separately, because it is not part of an event of the device or its size is far from the
            event's.
    """

    point: ChangePoint
    sides: Sides
    worse: bool
    own: bool


@dataclass(frozen=True, slots=True)
class MeasuredSeries(CaseOnDevice):
    """One metric of one case on one device over time.

    Attributes:
        metric, unit: as in comparisons.
        operator_type: the type for `operator_time`; empty for all other metrics.
        times_utc, run_ids, values: one for each run with reliable repetitions, oldest first; values are medians in
            `unit`.
        changes: in the order of time.
        lows, highs: the interval of each value, NaN if it has none; empty if no value has one.
    """

    metric: str
    unit: str
    operator_type: str
    times_utc: tuple[datetime, ...]
    run_ids: tuple[str, ...]
    values: tuple[float, ...]
    changes: tuple[Change, ...]
    lows: tuple[float, ...] = ()
    highs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceChange:
    """Something that happened to a device as a whole, such as an update of its system.

    Attributes:
        sides: when, and what changed with it.
        effects: what it did to each metric, the one with the most models first.
        worse: whether any metric got worse.
        members: the series that changed with it, each with its change.
    """

    device_key: str
    device: str
    virtual: bool
    sides: Sides
    effects: tuple[MetricEffect, ...]
    worse: bool
    members: tuple[tuple[MeasuredSeries, Change], ...]


@dataclass(frozen=True, slots=True)
class Shift:
    """The effect of a model's change on one metric.

    Attributes:
        metric, operator_type, direction: what changed, and in which direction.
        sizes: the smallest and the largest relative change; `None` if no change has a size.
        devices, cases: the number of devices, and of cases of the model.
    """

    metric: str
    operator_type: str
    direction: Direction
    sizes: tuple[float, float] | None
    devices: int
    cases: int


@dataclass(frozen=True, slots=True)
class ModelChange:
    """The changes of one model in the same nights, on all devices.

    Attributes:
        sides: when, and what changed with it, on one of the devices.
        shifts: by metric, the one with the most series first.
        worse: whether any metric got worse.
        members: the series that changed, each with its change.
    """

    model: str
    virtual: bool
    sides: Sides
    shifts: tuple[Shift, ...]
    worse: bool
    members: tuple[tuple[MeasuredSeries, Change], ...]


Told = DeviceChange | ModelChange


@dataclass(frozen=True, slots=True)
class DeviceDrift:
    """Slow drift that the models of a device share. It was subtracted from their series before the search.

    Attributes:
        metric: the metric that drifts.
        size: from its lowest to its highest level, as a relative change; below zero where it fell.
        from_utc, to_utc: the starts of the runs with these two levels, the earlier one first.
    """

    device_key: str
    device: str
    virtual: bool
    metric: str
    size: float
    from_utc: datetime
    to_utc: datetime


@dataclass(frozen=True, slots=True)
class ChangesReport:
    """The result of a search for changes in the history.

    Attributes:
        series: all that were looked at, with and without changes.
        events: the events of devices, in the order of time.
        models: the changes that are no part of an event of their device, by model and time, in the order of time.
        drifts: the drifts of devices, by device and metric.
        runs: the number of runs that were searched.
        first_utc, last_utc: starts of the first and the last; `None` without any.
        virtual: whether any of the devices is virtual.
        notices: limits of the result: removed drift, virtual devices, notices of the runs next to a change.
        run_labels: the labels of each run, by its id.
        least: the smallest number of values with which a series can be judged.
    """

    series: tuple[MeasuredSeries, ...]
    events: tuple[DeviceChange, ...]
    models: tuple[ModelChange, ...]
    drifts: tuple[DeviceDrift, ...]
    runs: int
    first_utc: datetime | None
    last_utc: datetime | None
    virtual: bool
    notices: tuple[Notice, ...] = ()
    run_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    least: int = 6

    @property
    def told(self) -> tuple[Told, ...]:
        """Return what changed: events of devices, then changes of models."""
        return (*self.events, *self.models)

    @property
    def too_short(self) -> tuple[MeasuredSeries, ...]:
        """Return the series with too few reliable values for any change to be found."""
        return tuple(one for one in self.series if len(one.values) < self.least)

    @property
    def device_titles(self) -> Mapping[str, str]:
        """Return the titles of the devices by their keys."""
        return {one.device_key: one.device for one in self.series}

    def fails(self, what: str) -> bool:
        """Whether there is a change that is "worse", "up", "down" or "any"."""
        if what == "worse":
            return any(one.worse for one in self.told)
        changes = (change for series in self.series for change in series.changes)
        return any(what in ("any", change.point.direction) for change in changes)

    @property
    def own(self) -> tuple[tuple[MeasuredSeries, Change], ...]:
        """Return the changes that are reported separately, by time."""
        found = [(series, change) for series in self.series for change in series.changes if change.own]
        return tuple(sorted(found, key=lambda one: (one[1].sides.at_utc, one[0].device, one[0].case, one[0].metric)))
