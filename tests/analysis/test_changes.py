"""Change points: what is found, what is left alone, and where; on made series and on real noise with known changes."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from devbench.analysis.changes import (
    ChangePoint,
    ChangeSettings,
    _independent_share,
    _p_of_level,
    change_points,
    change_points_of_many,
    confirmed,
)
from devbench.analysis.cuts import _candidates, cuts, running_median, soft_histogram
from tests.analysis.labelled import KINDS, SCENES, make, matched, noise_of, traces
from tests.calls import calls_of

RNG = np.random.default_rng


def indices(values: object, **rules: float) -> list[int]:
    return [one.index for one in change_points(values, ChangeSettings(**rules))]  # type: ignore[arg-type]


def noisy(level: object, sigma: float = 0.01, seed: int = 1) -> np.ndarray:
    wanted = np.asarray(level, dtype=float)
    return wanted * np.exp(RNG(seed).normal(0, sigma, len(wanted)))


def test_a_change_carries_its_evidence() -> None:
    values = noisy([100.0] * 60 + [105.0] * 40)
    (one,) = change_points(values)
    assert one.index == 60
    assert one.direction == "up"
    assert one.size == pytest.approx(0.05, abs=0.006)
    assert one.before == np.median(values[:60])
    assert one.after == np.median(values[60:])
    assert (one.points_before, one.points_after) == (60, 40)
    assert 0 <= one.p < 1e-6


def test_several_changes_are_found_in_order_also_one_that_is_taken_back() -> None:
    values = noisy([100.0] * 50 + [108.0] * 30 + [100.0] * 40 + [90.0] * 40)
    found = change_points(values)
    assert [one.index for one in found] == [50, 80, 120]
    assert [one.direction for one in found] == ["up", "down", "down"]


@pytest.mark.parametrize(("place", "at_least"), [(3, 30), (5, 45), (95, 45), (97, 30)])
def test_a_clear_change_near_an_end_is_mostly_found_from_three_points_on(place: int, at_least: int) -> None:
    level = [100.0] * place + [120.0] * (100 - place)
    assert sum(indices(noisy(level, seed=seed)) == [place] for seed in range(50)) >= at_least


@pytest.mark.parametrize("place", [1, 2, 98, 99])
def test_one_or_two_points_at_an_end_are_no_change(place: int) -> None:
    assert indices(noisy([100.0] * place + [120.0] * (100 - place))) == []


def test_outliers_are_no_change_and_hide_none() -> None:
    values = noisy([100.0] * 60 + [105.0] * 60)
    values[[10, 11, 30, 75, 76, 77, 100]] *= [3, 3, 0.3, 2, 2, 2, 10]
    assert indices(values) == [60]
    values[60:] /= 1.05
    assert indices(values) == []


def test_gaps_keep_their_places() -> None:
    values = noisy([100.0] * 60 + [110.0] * 60)
    values[[0, 1, 20, 58, 59, 60, 61]] = math.nan
    values[100:110] = math.inf
    (one,) = change_points(values)
    assert one.index == 62
    assert one.points_before == 55
    assert [x.index for x in change_points(values.tolist())] == [62]


@pytest.mark.parametrize("slope", [0.03, 0.1, -0.1])
def test_slow_drift_is_no_change(slope: float) -> None:
    assert indices(noisy(100 * (1 + slope * np.linspace(0, 1, 200)), 0.003)) == []


def test_a_step_within_drift_is_found() -> None:
    level = 100 * (1 + 0.03 * np.linspace(0, 1, 200))
    level[120:] *= 1.08
    assert indices(noisy(level, 0.004)) == [120]


def test_a_device_that_switches_between_two_speeds_has_not_changed() -> None:
    rng = RNG(3)
    alarms = 0
    for _ in range(40):
        values = noisy(np.where(rng.random(200) < 0.3, 108.0, 100.0), 0.005, int(rng.integers(1 << 30)))
        alarms += bool(indices(values))
    assert alarms <= 2


def test_values_of_zero_and_below_are_compared_by_their_difference() -> None:
    rng = RNG(4)
    shares = np.r_[rng.normal(0.0, 0.01, 50), rng.normal(0.9, 0.01, 50)]
    (one,) = change_points(shares)
    assert (one.index, one.direction) == (50, "up")
    (other,) = change_points([0.0] * 20 + [1.0] * 20)
    assert other.size is None
    assert (other.index, other.before, other.after) == (20, 0.0, 1.0)
    assert indices([-5.0] * 20 + [-4.0] * 20) == [20]
    assert change_points([-5.0] * 20 + [-4.0] * 20)[0].size == pytest.approx(0.2)


def test_a_value_that_never_varies_changes_at_once_and_by_no_less_than_what_counts() -> None:
    assert indices([10.0] * 20 + [11.0] * 20) == [20]
    assert indices([10.0] * 20 + [10.03] * 20) == []
    assert indices([10.0] * 40) == []


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [math.nan] * 10, [0.0] * 10, [1e308, -1e308] * 10])
def test_where_there_is_nothing_to_find_nothing_is_found(values: list[float]) -> None:
    assert change_points(values) == ()


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=60),
    st.lists(st.sampled_from([0.0, 1.0, 1.0, 1.1, 2.0, math.nan]), max_size=60),
)
@settings(deadline=None, max_examples=150)
def test_any_numbers_give_points_that_make_sense(wild: list[float], tame: list[float]) -> None:
    for values in (wild, tame):
        found = change_points(values)
        places = [one.index for one in found]
        assert places == sorted(set(places))
        assert all(0 < at < len(values) and abs(values[at]) < 1e150 for at in places)
        for one in found:
            assert 0 <= one.p <= ChangeSettings().alpha
            assert min(one.points_before, one.points_after) >= ChangeSettings().min_points
            assert one.direction == ("up" if one.after > one.before else "down")


@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.integers(0, 2))
@settings(deadline=None, max_examples=40)
def test_the_unit_does_not_matter_nor_what_it_is_found_together_with(seed: int, unit: float, others: int) -> None:
    values = noisy([100.0] * 30 + [104.0] * 30, 0.01, seed)
    alone = indices(values)
    assert indices(values * unit) == alone
    beside = [noisy([50.0] * (20 + 30 * k), 0.02, seed + k) for k in range(others)]
    found = change_points_of_many([*beside, values])
    assert [one.index for one in found[-1]] == alone


def test_the_cut_with_the_least_cost_is_found() -> None:
    """Held against all ways to cut a short series, with the exact levels instead of a grid's."""
    from itertools import combinations

    rng = RNG(8)
    for _ in range(30):
        values = np.r_[rng.normal(0, 1, 6), rng.normal(rng.choice([0, 6]), 1, 6)]

        def cost(places: tuple[int, ...], values: np.ndarray = values) -> float:
            parts = np.split(values, list(places))
            grid = np.linspace(values.min(), values.max(), 400)[:, None]
            fit = sum(np.minimum((part - grid) ** 2, 9.0).sum(axis=1).min() for part in parts)
            return float(fit) + 2 * math.log(12) * len(places)

        best = min(cost(places) for n in (0, 1, 2) for places in combinations(range(1, 12), n))
        (found,) = cuts([values], [1.0], 2.0, 3.0)
        assert cost(tuple(found)) <= best + 0.5


def test_a_running_median_is_that_of_the_neighbours() -> None:
    values = RNG(1).normal(size=15)
    found = running_median(values, 3)
    assert len(found) == 15
    for i in range(15):
        reach = min(3, i, 14 - i)
        assert found[i] == np.median(values[i - reach : i + reach + 1])


def test_real_noise_with_known_changes() -> None:
    """The bars of docs/detection.md, below what was measured there by what chance may take."""
    rng = RNG(5)
    names = sorted(traces())
    made = [make(names, kind, scene, rng) for kind in KINDS for scene in SCENES for _ in range(12)]
    found = change_points_of_many([one.values for one in made])
    hit = sum(len(matched([p.index for p in points], one.changes)) for one, points in zip(made, found, strict=True))
    said = sum(map(len, found))
    true = sum(len(one.changes) for one in made)
    clear = [(one, k) for one in made for k, ratio in enumerate(one.ratios) if ratio >= 4]
    by_series = {id(one): [p.index for p in points] for one, points in zip(made, found, strict=True)}
    clear_hit = sum(one.changes[k] in matched(by_series[id(one)], one.changes) for one, k in clear)
    assert hit / said >= 0.8
    assert hit / true >= 0.38
    assert clear_hit / len(clear) >= 0.85


def test_real_noise_without_changes_raises_few_alarms() -> None:
    rng = RNG(6)
    quiet = [make(sorted(traces()), kind, "none", rng).values for kind in ("five processes", "gaps") for _ in range(60)]
    assert sum(map(bool, change_points_of_many(quiet))) <= 6


def test_three_percent_over_a_few_nights_is_found_in_each_steady_trace() -> None:
    steady = {name: trace for name, trace in traces().items() if noise_of(trace) < 0.01}
    assert len(steady) >= 8
    rng = RNG(7)
    for name, trace in steady.items():
        nights = np.median(rng.choice(trace, (120, 5)), axis=1)
        nights[100:] *= 1.03
        (one,) = change_points(nights)
        assert one.index == pytest.approx(100, abs=1), name
        assert one.size == pytest.approx(0.03, abs=0.01), name


@pytest.mark.campaign
def test_a_farm_s_history_takes_work_in_proportion_and_little_memory() -> None:
    """10 devices, 40 cases, 5 metrics, 200 nights: 2,000 series."""
    rng = RNG(9)
    pool = list(traces().values())
    many = []
    for k in range(2000):
        values = np.median(rng.choice(pool[k % len(pool)], (200, 5)), axis=1)
        if k % 4 == 0:
            values[int(rng.integers(20, 180)) :] *= 1.05
        many.append(values)
    change_points_of_many(many[:4])
    few, more = (calls_of(lambda count=count: change_points_of_many(many[:count])) for count in (50, 500))
    assert more < 15 * few, "some series have more change points than others"
    found = change_points_of_many(many)
    assert 200 < sum(map(bool, found)) < 800
    tracemalloc.start()
    change_points_of_many(many[:400])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200 << 20


def test_a_very_long_series_is_no_trouble() -> None:
    values = noisy(np.repeat([100.0, 103.0, 99.0], 10_000), 0.02)
    assert indices(values) == pytest.approx([10_000, 20_000], abs=5)


def test_each_change_has_the_points_between_its_neighbours() -> None:
    found = change_points(noisy([100.0] * 50 + [108.0] * 30 + [100.0] * 40 + [90.0] * 45))
    assert [(one.points_before, one.points_after) for one in found] == [(50, 30), (30, 40), (40, 45)]
    assert [one.size for one in found] == pytest.approx([0.08, -8 / 108, -0.1], abs=0.006)


def test_the_place_of_a_step_is_a_candidate_for_a_cut() -> None:
    for place in (9, 30, 57, 88):
        level = np.where(np.arange(100) < place, 0.0, 1.0)[:, None]
        assert place in _candidates(np.vstack([np.zeros((1, 1)), np.cumsum(level, axis=0)]))


def test_confidence_is_what_p_leaves() -> None:
    assert ChangePoint(1, 1.0, 2.0, 1.0, "up", 0.25, 1, 1).confidence == 0.75


def test_points_that_follow_each_other_count_less_and_never_more_than_one() -> None:
    """The share is (1 - r) / (1 + r), with the correlation r between 0 and 0.9."""
    wave = 0.005 * np.sin(np.arange(400) * math.acos(0.5))
    assert _independent_share([wave]) == pytest.approx((1 - 0.5) / (1 + 0.5), rel=0.02)
    assert _independent_share([np.tile([0.01, -0.01], 50)]) == 1.0
    assert _independent_share([np.linspace(-1, 1, 200)]) == pytest.approx(0.1 / 1.9)
    assert _independent_share([np.full(10, 3.0)]) == 1.0


def test_p_of_a_level_is_that_of_student_s_test() -> None:
    left, right = RNG(1).normal(0, 1, 12), RNG(2).normal(1, 1, 9)
    expected = scipy.stats.ttest_ind(left, right).pvalue
    assert _p_of_level(left, right, 0.1, 1.0, 0.0) == pytest.approx(expected)
    assert _p_of_level(left, right, 0.1, 1.0, 0.5) > expected, "the level itself may wander"


def test_a_candidate_is_moved_to_the_place_of_the_change() -> None:
    values = np.r_[RNG(4).normal(0, 0.01, 60), RNG(5).normal(0.1, 0.01, 60)]
    (step,) = confirmed(values, 0.01, soft_histogram(values, 0.01), [56], ChangeSettings())
    assert step.index == 60
