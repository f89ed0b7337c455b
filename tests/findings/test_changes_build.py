"""Changes over the history: changes of models grouped by nights, drift that is removed, and searches in a store."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from devbench.analysis.changes import ChangePoint, ChangeSettings
from devbench.analysis.device_events import MetricEffect
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
from devbench.findings.changes_build import change_notices, find_changes, model_changes, without_drift, worse_way
from devbench.notices import Notice, NoticeKind
from devbench.results.history import History
from devbench.results.store import Store
from tests.made.nights import START, Made, night


def at(number: int) -> datetime:
    return START + timedelta(days=number)


def change(number: int, size: float | None = 0.1, *, own: bool = True) -> Change:
    """A change in the night with this number, with the ids of the runs before and after it."""
    up = size is None or size > 0
    point = ChangePoint(number, 1.0, 1.1, size, "up" if up else "down", 0.001, 5, 5)
    return Change(point, Sides(at(number), at(number - 1), f"r{number - 1}", f"r{number}", {}), worse=up, own=own)


def series(
    *changes: Change,
    model: str = "unet",
    metric: str = "latency",
    device: str = "A",
    delegate: str = "gpu",
    kind: str = "",
    values: Sequence[float] = (),
    unit: str = "ms",
    virtual: bool = False,
) -> MeasuredSeries:
    times = tuple(at(k) for k in range(len(values)))
    return MeasuredSeries(
        device, f"Phone ({device})", virtual, f"{model} · {delegate}", model, delegate, None, metric, unit, kind, times,
        tuple(f"r{k}" for k in range(len(values))), tuple(values), changes,
    )  # fmt: skip


def found(*of: MeasuredSeries, tolerance: int = 2) -> tuple[ModelChange, ...]:
    return model_changes(of, [at(k) for k in range(30)], tolerance)


def nights(entry: ModelChange) -> list[int]:
    return [(member.sides.at_utc - START).days for _, member in entry.members]


def test_changes_of_a_model_in_neighbouring_nights_are_one_entry_around_the_night_with_the_most() -> None:
    entries = found(*(series(change(k), device=str(n)) for n, k in enumerate((5, 5, 6, 8, 12))))
    # Four changes are within two nights of night 6; the entry has the time of night 6.
    assert [nights(one) for one in entries] == [[6, 5, 5, 8], [12]]
    assert [one.sides.at_utc for one in entries] == [at(6), at(12)]
    even = found(*(series(change(k), device=str(k)) for k in (0, 2, 4, 6)))
    assert [nights(one) for one in even] == [[2, 0, 4], [6]], "of equal nights the earliest"
    assert [nights(one) for one in found(*(series(change(k)) for k in (1, 2)), tolerance=0)] == [[1], [2]]
    apart = found(
        series(change(9), model="b"), series(change(9), model="a"), series(change(3), change(7, own=False), model="c")
    )
    assert [(one.model, nights(one)) for one in apart] == [("c", [3]), ("a", [9]), ("b", [9])]


def test_an_entry_has_a_shift_for_each_metric_the_one_with_the_most_series_first() -> None:
    (entry,) = found(
        series(change(5, -0.05), metric="init"), series(change(5, 0.3), metric="peak_memory", virtual=True),
        series(change(5, 0.2)), series(change(5, 0.1), delegate="cpu"), series(change(6, 0.4), device="B"),
        series(change(5, None), device="C"), series(change(5, 0.3), metric="operator_time", kind="ADD"),
    )  # fmt: skip
    assert entry.shifts == (
        Shift("latency", "", "up", (0.1, 0.4), 3, 2), Shift("init", "", "down", (-0.05, -0.05), 1, 1),
        Shift("peak_memory", "", "up", (0.3, 0.3), 1, 1), Shift("operator_time", "ADD", "up", (0.3, 0.3), 1, 1),
    )  # fmt: skip
    assert (entry.worse, entry.virtual, len(entry.members)) == (True, True, 7)
    (better,) = found(series(change(5, -0.3)), series(change(5, -0.1), device="B"))
    assert (better.worse, better.virtual, better.shifts) == (
        False,
        False,
        (Shift("latency", "", "down", (-0.1, -0.3), 2, 1),),
    )
    (unknown,) = found(series(change(5, None)))
    assert unknown.shifts[0].sizes is None
    assert (worse_way("latency", "up"), worse_way("latency", "down"), worse_way("delegated_node_share", "down")) == (
        True, False, True
    )  # fmt: skip


RAMP = [math.exp(0.1 * min(max(k - 10, 0), 20) / 20) for k in range(40)]


def ramped(model: int, metric: str = "latency", sign: float = 1.0, **of: Any) -> MeasuredSeries:
    draw = np.random.default_rng(model)
    values = [5.0 * (model + 1) * level**sign * math.exp(draw.normal(0, 0.001)) for level in RAMP]
    return series(model=f"m{model}", metric=metric, values=values, **of)


def test_drift_that_five_models_share_is_removed_from_their_times_only() -> None:
    five = [ramped(k) for k in range(5)]
    memory, zero = ramped(9, "peak_memory", unit="MB"), series(model="z", values=[0.0, *[1.0] * 39])
    other = [ramped(k, device="B", sign=-1.0, virtual=True) for k in range(5)]
    flat = [series(model=f"m{k}", device="flat", values=[5.0] * 40) for k in range(5)]
    values, drifts = without_drift([*other, *five, memory, zero, series(model="none")])
    assert without_drift([*flat, *five, *other])[1] == drifts, "whatever devices without drift there are"
    for one, own in zip(values[:10], [*other, *five], strict=True):
        assert max(own.values) / min(own.values) > 1.09 and max(one) / min(one) < 1.03
        assert float(np.median(one)) == pytest.approx(float(np.median(own.values)), rel=0.02)
    assert [one.tolist() for one in values[10:]] == [list(memory.values), list(zero.values), []]
    up, down = drifts
    assert (up.device_key, up.device, up.virtual, up.metric) == ("A", "Phone (A)", False, "latency")
    assert (down.device_key, down.virtual) == ("B", True)
    assert up.size == pytest.approx(math.expm1(0.1), abs=0.01) and down.size == pytest.approx(
        math.expm1(-0.1), abs=0.01
    )
    for one in drifts:
        assert at(0) <= one.from_utc <= at(12) and at(28) <= one.to_utc <= at(39)
    assert without_drift(five[:4])[1] == (), "four models may have changed by themselves"
    assert without_drift([*five[:4], ramped(3, delegate="cpu")])[1] == (), "two cases of one model are one"


def test_changes_have_the_notices_of_the_runs_on_both_sides() -> None:
    stored = {
        "r4": [Notice(NoticeKind.THERMAL_STATUS, "Phone (A)", "before", device_key="A")],
        "r5": [
            Notice(NoticeKind.OPEN_SHAPES, "unet", "model", device_key="A", job_number=3),
            Notice(NoticeKind.OPEN_SHAPES, "other", "of another model", job_number=4),
            Notice(NoticeKind.THERMAL_STATUS, "Phone (B)", "of another device", device_key="B"),
            Notice(NoticeKind.STORE_DAMAGED, "store", "of the run"),
        ],
    }
    asked = []

    def notices(runs: Sequence[str]) -> Mapping[str, Sequence[Notice]]:
        asked.append(list(runs))
        return stored

    history: Any = SimpleNamespace(store=SimpleNamespace(notices=notices))
    two = series(change(5)), series(change(5), delegate="cpu", virtual=True)
    drift = DeviceDrift("A", "Phone (A)", False, "init", -0.05, at(0), at(9))
    told = change_notices(history, two, [drift], list(found(*two)))
    assert asked == [["r4", "r5"]]
    assert [one.text for one in told if one.kind is not NoticeKind.VIRTUAL_DEVICE] == [
        "init drifted by −5.0 % from 2026-09-01 to 2026-09-10, taken off before the search",
        "before (run r4)", "model (run r5)", "of the run (run r5)",
    ]  # fmt: skip
    assert [one.subject for one in told if one.kind is NoticeKind.VIRTUAL_DEVICE] == ["Phone (A)"]
    assert all(one.job_number is None for one in told)


# Devices A and B change as a whole, B earlier; on C one model changes, and is measured twice a night.
NIGHTS, LATER, EARLIER = 14, 8, 5
LEVELS = {"m1": 5.0, "m2": 9.0, "m3": 20.0}


def jobs(number: int) -> list[Made]:
    def ms(level: float, seed: int) -> tuple[float]:
        return (level * math.exp(np.random.default_rng(100 * seed + number).normal(0, 0.002)),)

    made = [
        Made(ms(level * (1.2 if number >= changed else 1.0), seed + 10 * (device == "B")), model, device=device,
             facts={"build_id": "new" if number >= changed else "old"}, title=f"Phone {device}")
        for device, changed in (("A", LATER), ("B", EARLIER))
        for seed, (model, level) in enumerate(LEVELS.items())
    ]  # fmt: skip
    first = Made((1.0,), "m1", device="C", title="Phone C")
    last = replace(first, latencies=ms(2.0 if number < LATER else 1.5, 30), unreliable=int(number == 2))
    return [*made, first, last]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = str(tmp_path_factory.mktemp("changes") / "r.db")
    with Store(url) as store:
        for number in range(NIGHTS):
            night(store, number, jobs(number), {"commit": "a" if number < LATER else "b", "suite": "s"})
    return url


def report(url: str, **settings: Any) -> ChangesReport:
    with History(url) as history:
        return find_changes(history, ChangesSettings(**{"metrics": ("latency",), **settings}))


def run_id(number: int) -> str:
    return f"{at(number):%Y%m%d-%H%M%S}-{number:04x}"


def test_changes_of_whole_devices_are_events_in_the_order_of_time(url: str) -> None:
    data = report(url)
    assert [(one.device, one.sides.at_utc, one.worse, len(one.members)) for one in data.events] == [
        ("Phone B", at(EARLIER), True, 3), ("Phone A", at(LATER), True, 3)
    ]  # fmt: skip
    for one in data.events:
        (effect,) = one.effects
        assert isinstance(effect, MetricEffect)
        assert (effect.metric, effect.direction, effect.models, effect.of) == ("latency", "up", 3, 3)
        assert effect.size == pytest.approx(0.2, abs=0.01)
    sides = data.events[1].sides
    assert (sides.run_before, sides.run_after, sides.before_utc) == (run_id(LATER - 1), run_id(LATER), at(LATER - 1))
    assert sides.labels == {"commit": ("a", "b")}
    assert sides.facts == (FactChange(at(LATER), "build_id", "old", "new"),)
    assert data.events[0].sides.labels == {}
    (own,) = data.models
    assert (own.model, own.worse, own.sides.run_after, own.members[0][0].device) == (
        "m1",
        False,
        run_id(LATER),
        "Phone C",
    )
    assert [(one.device_key, member.worse) for one, member in data.own] == [("C", False)]


def test_a_history_has_its_runs_and_a_point_for_each_reliable_measurement_the_later_of_two(url: str) -> None:
    data = report(url)
    assert (data.runs, data.first_utc, data.last_utc, data.least, data.virtual) == (NIGHTS, at(0), at(13), 6, False)
    assert [(one.device_key, one.model) for one in data.series] == [
        (device, model) for device in "AB" for model in LEVELS
    ] + [("C", "m1")]
    twice = data.series[-1]
    reliable = [k for k in range(NIGHTS) if k != 2]
    assert twice.values == pytest.approx([2.0 if k < LATER else 1.5 for k in reliable], rel=0.02)
    assert twice.run_ids == tuple(map(run_id, reliable)) and twice.times_utc == tuple(map(at, reliable))
    assert (twice.threads, twice.unit, twice.operator_type, twice.delegate) == (None, "ms", "", "gpu")
    assert data.run_labels[run_id(0)] == {"commit": "a", "suite": "s"}
    assert data.device_titles == {"A": "Phone A", "B": "Phone B", "C": "Phone C"} and not data.too_short
    assert len(report(url, until=at(6), devices=("C",)).too_short) == 1
    assert report(url, changes=ChangeSettings(min_points=4)).least == 8
    by_type = report(url, metrics=("operator_time",), devices=("C",)).series
    assert [(one.operator_type, one.values[0], len(one.values)) for one in by_type] == [
        ("ADD", 1.0, len(reliable)), ("CONV_2D", 4.0, len(reliable))
    ]  # fmt: skip
    nothing = report(url, devices=("none",))
    assert (nothing.runs, nothing.first_utc, nothing.last_utc, nothing.series) == (0, None, None, ())


def test_earlier_changes_are_not_reported_but_the_whole_history_is_searched(url: str) -> None:
    since = report(url, changed_since=at(LATER))
    assert [one.device for one in since.events] == ["Phone A"] and len(since.models) == 1
    assert report(url, changed_since=at(LATER + 1)).events == ()


def test_a_search_fails_for_the_given_reasons(url: str) -> None:
    data = report(url)
    assert [what for what in ("worse", "up", "down", "any", "never") if data.fails(what)] == [
        "worse",
        "up",
        "down",
        "any",
    ]
    better = replace(data, events=(), series=data.series[-1:])
    assert [what for what in ("worse", "up", "down", "any") if better.fails(what)] == ["down", "any"]
    event: DeviceChange = data.events[0]
    assert not replace(better, events=(replace(event, worse=False),)).fails("worse")
    assert replace(better, models=(replace(data.models[0], worse=True),)).fails("worse")
    assert not replace(data, events=(), models=(), series=()).fails("any")
