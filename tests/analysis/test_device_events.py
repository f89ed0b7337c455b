"""Events of a device: one for all its models; models that change by themselves are not put together."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from devbench.analysis.changes import ChangePoint, change_points_of_many
from devbench.analysis.device_events import EventSettings, SeriesChanges, group
from tests.analysis.labelled import noise_of, traces


def change(index: int, size: float = 0.05, p: float = 1e-6) -> ChangePoint:
    return ChangePoint(index, 100.0, 100 * (1 + size), size, "up" if size > 0 else "down", p, index, 50)


def series(
    model: int, *changes: ChangePoint, metric: str = "latency", case: str = "xnnpack", n: int = 200
) -> SeriesChanges:
    return SeriesChanges(f"m{model}", case, metric, tuple(range(n)), changes)


def test_a_night_that_shifts_most_models_is_one_event() -> None:
    ones = [series(k, change(100 + k % 2, 0.05 + k / 1000)) for k in range(8)] + [series(8), series(9)]
    found = group(ones)
    (event,) = found.events
    assert event.time == 100
    assert len(event.members) == 8
    (effect,) = event.effects
    assert (effect.metric, effect.direction, effect.models, effect.of) == ("latency", "up", 8, 10)
    assert effect.size == pytest.approx(0.0535)
    assert effect.p < 1e-3
    assert found.own == ()


def test_changes_of_single_models_stay_their_own() -> None:
    ones = [series(k, change(20 * k + 10)) for k in range(8)]
    found = group(ones)
    assert found.events == ()
    assert len(found.own) == 8


def test_a_model_s_own_change_stands_beside_the_event() -> None:
    ones = [series(k, change(100)) for k in range(8)]
    ones[3] = series(3, change(100), change(150, -0.2))
    found = group(ones)
    assert len(found.events[0].members) == 8
    assert [(one.model, point.index) for one, point in found.own] == [("m3", 150)]


def test_a_model_that_changed_much_more_than_the_device_is_told_as_well() -> None:
    found = group([series(k, change(100, 0.3 if k == 2 else 0.05 + k / 2000)) for k in range(8)])
    assert len(found.events[0].members) == 8
    assert [one.model for one, _ in found.own] == ["m2"]


def test_opposite_changes_are_no_common_shift() -> None:
    found = group([series(k, change(100, 0.05 if k % 2 else -0.05)) for k in range(6)], EventSettings(min_share=0.6))
    assert found.events == ()
    assert len(found.own) == 6


def test_two_models_are_too_few_to_speak_of_the_device() -> None:
    found = group([series(0, change(100)), series(1, change(100))])
    assert found.events == ()


def test_cases_of_one_model_are_one_model() -> None:
    ones = [series(0, change(100), case=f"c{k}") for k in range(6)] + [series(k) for k in range(1, 5)]
    assert group(ones).events == ()
    # A model of which most cases stay where they were has not changed.
    ones = [series(k, *([change(100)] if c == 0 else []), case=f"c{c}") for k in range(5) for c in range(3)]
    assert group(ones).events == ()


def test_several_metrics_and_directions_of_one_night_are_one_event() -> None:
    ones = [series(k, change(100)) for k in range(5)]
    ones += [series(k, change(101, -0.1), metric="init") for k in range(5)]
    (event,) = group(ones).events
    assert {(effect.metric, effect.direction) for effect in event.effects} == {("latency", "up"), ("init", "down")}


def test_two_events_are_two() -> None:
    found = group([series(k, change(60), change(120, 0.1)) for k in range(5)])
    assert [event.time for event in found.events] == [60, 120]
    assert found.own == ()


def test_models_measured_on_other_nights_meet_in_time() -> None:
    odd = tuple(range(1, 200, 2))
    even = tuple(range(0, 200, 2))
    ones = [SeriesChanges(f"m{k}", "c", "latency", odd if k % 2 else even, [change(50)]) for k in range(6)]
    (event,) = group(ones).events
    assert len(event.members) == 6
    assert event.time in (100, 101)


def test_a_model_that_came_later_does_not_count() -> None:
    ones = [series(k, change(100)) for k in range(4)]
    ones += [SeriesChanges(f"late{k}", "c", "latency", tuple(range(150, 200)), ()) for k in range(6)]
    (event,) = group(ones).events
    assert event.effects[0].of == 4


@given(st.lists(st.lists(st.tuples(st.integers(3, 190), st.sampled_from([0.02, 0.1, -0.1])), max_size=3), max_size=8))
@settings(deadline=None, max_examples=100)
def test_each_change_is_somewhere_and_once(made: list[list[tuple[int, float]]]) -> None:
    ones = [series(k, *(change(i, size) for i, size in sorted(dict(some).items()))) for k, some in enumerate(made)]
    found = group(ones)
    in_events = [id(point) for event in found.events for _, point in event.members]
    alone = [id(point) for _, point in found.own]
    assert len(in_events) == len(set(in_events))
    assert len(alone) == len(set(alone))
    assert set(in_events) | set(alone) == {id(point) for one in ones for point in one.changes}


def test_models_that_change_by_chance_hardly_ever_make_an_event() -> None:
    """False grouping: 12 models with three changes each over 200 nights, all at random."""
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(300):
        ones = [series(k, *(change(int(i)) for i in sorted(rng.choice(190, 3, replace=False) + 5))) for k in range(12)]
        wrong += bool(group(ones).events)
    assert wrong <= 3


def test_events_in_real_noise() -> None:
    """Forty cases of ten models in recorded noise: an update of 4 %, and one model with a regression of its own."""
    rng = np.random.default_rng(2)
    steady = [trace for name, trace in traces().items() if noise_of(trace) < 0.02]
    values = []
    for k in range(40):
        nights = np.median(rng.choice(steady[k % len(steady)], (200, 5)), axis=1)
        nights[120:] *= 1.04
        if k in (4, 5, 6, 7):
            nights[60:] *= 1.1
        values.append(nights)
    ones = [
        SeriesChanges(f"m{k // 4}", f"c{k % 4}", "latency", tuple(range(200)), points)
        for k, points in enumerate(change_points_of_many(values))
    ]
    found = group(ones)
    (event,) = found.events
    assert event.time == 120
    assert event.effects[0].models >= 9
    assert event.effects[0].size == pytest.approx(0.04, abs=0.01)
    assert {one.model for one, point in found.own if point.p < 1e-6} == {"m1"}


def test_three_models_of_three_are_enough_and_half_of_a_model_s_cases() -> None:
    assert len(group([series(k, change(100)) for k in range(3)]).events) == 1
    assert group([series(k, change(100)) for k in range(2)]).events == ()
    halves = [series(k, change(100)) for k in range(4)] + [series(k, case="cpu") for k in range(4)]
    (event,) = group(halves).events
    assert event.effects[0].models == 4, "one of two cases of each model changed"


def test_of_the_faster_ones_too_that_which_changed_much_more_is_told_as_well() -> None:
    found = group([series(k, change(100, -0.3 if k == 2 else -0.05 - k / 2000)) for k in range(8)])
    assert len(found.events[0].members) == 8
    assert [one.model for one, _ in found.own] == ["m2"]


def test_effects_of_an_event_begin_with_that_on_most_models() -> None:
    ones = [series(k, change(100)) for k in range(6)]
    ones += [series(k, change(100), metric="init") for k in range(8)]
    (event,) = group(ones).events
    assert [(effect.metric, effect.models) for effect in event.effects] == [("init", 8), ("latency", 6)]


def test_a_model_measured_from_the_night_of_the_event_on_does_not_count() -> None:
    ones = [series(k, change(100)) for k in range(6)]
    late = SeriesChanges("late", "xnnpack", "latency", tuple(range(100, 200)), ())
    ended = SeriesChanges("ended", "xnnpack", "latency", tuple(range(100)), ())
    until = SeriesChanges("until", "xnnpack", "latency", tuple(range(101)), ())
    (event,) = group([*ones, late, ended, until]).events
    assert (event.effects[0].models, event.effects[0].of) == (6, 7)


def test_a_change_without_a_size_is_part_of_the_event_and_never_apart() -> None:
    ones = [series(k, change(100, 0.05 + k / 2000)) for k in range(8)]
    for size in (None, -1.0):
        odd = ChangePoint(100, 0.0, 5.0, size, "up", 1e-6, 100, 50)
        found = group([*ones, series(8, odd)])
        assert len(found.events[0].members) == 9
        assert found.own == ()


def test_p_of_an_event_is_the_binomial_one_times_the_number_of_nights() -> None:
    """Nothing else changed in 200 nights: half a change among 5 models, in a window of 5 nights."""
    (event,) = group([series(k, change(100)) for k in range(5)]).events
    rate = 0.5 / 5 * 5 / 200
    assert event.effects[0].p == pytest.approx(scipy.stats.binom.sf(4, 5, rate) * 200 / 5)
