"""The median's interval, its coverage by definition and by simulation; scatter and outliers."""

from __future__ import annotations

import math
import random
import statistics
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devbench.analysis.stats import Estimate, Inferences, estimate, outliers, spread
from tests.calls import calls_of

LATENCIES = st.floats(0.001, 1e9)


def known(values: list[float], confidence: float = 0.95) -> Estimate:
    found = estimate(values, confidence)
    assert found is not None
    return found


def test_no_value_no_estimate_and_one_value_no_interval() -> None:
    assert estimate([]) is None
    assert estimate([math.nan, math.inf]) is None
    one = known([3.0])
    assert (one.median, one.coverage, one.half_width_pct) == (3.0, None, None)


@pytest.mark.parametrize(("n", "coverage"), [(2, 0.5), (3, 0.75), (4, 0.875), (5, 0.9375)])
def test_fewer_than_six_values_give_the_smallest_and_the_largest_for_what_they_are_worth(
    n: int, coverage: float
) -> None:
    found = known([float(value) for value in range(n)])
    assert (found.low, found.high, found.coverage) == (0, n - 1, coverage)
    assert not found.bootstrap


def test_values_that_are_not_finite_are_left_out() -> None:
    assert known([1.0, math.nan, 2.0, -math.inf, 3.0]) == known([1.0, 2.0, 3.0])


def test_equal_values_have_an_interval_without_width() -> None:
    found = known([7.0] * 9)
    assert (found.low, found.median, found.high, found.half_width_pct) == (7, 7, 7, 0)
    assert found.coverage is not None
    assert found.coverage >= 0.95


def test_a_median_of_zero_has_an_interval_and_no_width_in_percent() -> None:
    found = known([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0])
    assert found.half_width_pct is None
    assert found.low < 0 < found.high


def test_nine_values_give_the_second_smallest_and_largest_with_their_exact_coverage() -> None:
    found = known([8, 7, 6, 5, 4, 3, 2, 1, 0])
    assert (found.low, found.median, found.high) == (1, 4, 7)
    assert found.coverage == 1 - 2 * (1 + 9) / 2**9
    assert found.bootstrap


def test_where_the_bootstrap_is_known_to_be_too_narrow_observations_stand_in() -> None:
    """For eleven values its ends are the third ones: 93.5 %. The second ones cover the median with 98.8 %."""
    found = known([float(value) for value in range(11)])
    assert not found.bootstrap
    assert (found.low, found.high) == (1, 9)
    assert found.coverage == 1 - 2 * (1 + 11) / 2**11


@pytest.mark.parametrize("n", [7, 9, 17, 25])
def test_for_an_odd_number_the_ends_are_observations_whatever_their_values(n: int) -> None:
    words = random.Random(n)
    found = [known([words.expovariate(1.0) for _ in range(n)]) for _ in range(200)]
    assert all({one.low, one.high} <= set(one.values) for one in found)
    assert {(one.bootstrap, one.coverage) for one in found} == {(True, found[0].coverage)}


def test_a_confidence_that_six_values_cannot_reach_is_not_claimed() -> None:
    found = known([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], confidence=0.99)
    assert (found.low, found.high, found.coverage) == (1, 6, 0.96875)


def draw_mixture(words: random.Random) -> float:
    """What process averages look like: 1 % of noise, and one process in ten slow by some 10 %."""
    return words.gauss(1.0, 0.01) + (words.expovariate(10.0) if words.random() < 0.1 else 0.0)


DRAWS: dict[str, tuple[Callable[[random.Random], float], float]] = {
    "normal": (lambda words: words.gauss(100.0, 1.0), 100.0),
    "skewed": (lambda words: words.expovariate(1.0), math.log(2)),
    # Median of the mixture, from 2·10^7 draws.
    "slow ones": (draw_mixture, 1.00127),
}


@pytest.mark.parametrize("n", [5, 7, 8, 11, 12, 25])
@pytest.mark.parametrize("kind", list(DRAWS))
def test_the_interval_holds_the_true_median_as_often_as_it_says(kind: str, n: int) -> None:
    draw, true_median = DRAWS[kind]
    words = random.Random(f"{kind}/{n}")
    found = [known([draw(words) for _ in range(n)]) for _ in range(400)]
    hits = sum(one.low <= true_median <= one.high for one in found) / len(found)
    said = min(one.coverage or 0.0 for one in found)
    assert n < 6 or said >= 0.95
    # Two standard errors of 400 draws at 95 %.
    assert hits >= said - 0.022


def test_it_is_narrower_than_the_best_two_observations_where_these_are_coarse() -> None:
    """For eight values the smallest and the largest would be needed: one slow process spoils them."""
    words = random.Random(3)
    ratios = []
    for _ in range(200):
        values = [draw_mixture(words) for _ in range(8)]
        found = known(values)
        ratios.append((found.high - found.low) / (max(values) - min(values)))
    assert statistics.mean(ratios) < 0.85


@given(st.lists(LATENCIES, min_size=2, max_size=40))
@settings(deadline=None)
def test_the_median_lies_in_its_interval(values: list[float]) -> None:
    found = known(values)
    assert min(values) <= found.low <= found.median <= found.high <= max(values)
    assert found.coverage is not None
    assert found.n < 6 or found.coverage >= 0.95


@given(st.lists(LATENCIES, min_size=6, max_size=20), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=50)
def test_the_same_values_give_the_same_interval_in_any_order(values: list[float], words: random.Random) -> None:
    again = list(values)
    words.shuffle(again)
    first, second = known(values), known(again)
    assert (first.low, first.high, first.coverage) == (second.low, second.high, second.coverage)


@given(st.lists(st.integers(1, 10**6), min_size=6, max_size=20))
@settings(deadline=None, max_examples=50)
def test_the_unit_does_not_matter(values: list[int]) -> None:
    us, doubled = known([float(value) for value in values]), known([2.0 * value for value in values])
    assert (doubled.low, doubled.high) == (pytest.approx(2 * us.low), pytest.approx(2 * us.high))


def test_it_is_quick_enough_to_be_asked_after_every_process() -> None:
    words = random.Random(1)
    values = [words.gauss(100, 1) for _ in range(30)]
    estimate(values)
    assert calls_of(lambda: estimate(values)) < 1000


def test_five_values_need_no_scipy() -> None:
    code = "import sys; from devbench.analysis.stats import estimate; estimate([1, 2, 3, 4, 5]); print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"


# -- spread -------------------------------------------------------------------------------------------------------


def test_spread_between_processes_is_robust_beside_what_one_slow_process_makes_of_it() -> None:
    steady = [98.0, 99.0, 100.0, 101.0, 102.0]
    found, spoilt = spread(steady), spread([*steady[:-1], 202.0])
    # The deviations from the median are 2, 1, 0, 1, 2 and 2, 1, 0, 1, 102: both have the median 1.
    assert found.between_mad_pct == pytest.approx(1.4826, abs=1e-4)
    assert spoilt.between_mad_pct == pytest.approx(1.4826, abs=1e-4)
    assert found.between_cv_pct == pytest.approx(100 * math.sqrt(2.5) / 100)
    assert spoilt.between_cv_pct is not None
    assert spoilt.between_cv_pct > 30


def test_spread_of_normal_noise_is_its_standard_deviation() -> None:
    words = random.Random(5)
    found = spread([words.gauss(1000.0, 20.0) for _ in range(4000)])
    assert found.between_mad_pct == pytest.approx(2.0, rel=0.05)
    assert found.between_cv_pct == pytest.approx(2.0, rel=0.05)


def test_spread_within_processes_is_that_of_their_inferences_pooled() -> None:
    processes = [[10.0, 12.0, 11.0], [20.0, 26.0], [30.0]]
    within = [Inferences(statistics.fmean(one), statistics.pstdev(one), len(one)) for one in processes]
    shares = [[value / statistics.fmean(one) for value in one] for one in processes]
    squares = sum((value - 1) ** 2 for one in shares for value in one)
    found = spread([11.0, 23.0, 30.0], within)
    assert found.within_pct == pytest.approx(100 * math.sqrt(squares / (2 + 1)))


def test_differences_between_processes_are_not_in_the_spread_within() -> None:
    found = spread([10.0, 1000.0], [Inferences(10.0, 0.0, 50), Inferences(1000.0, 0.0, 50)])
    assert found.within_pct == 0


def test_too_little_has_no_spread() -> None:
    none = spread([])
    assert (none.between_mad_pct, none.between_cv_pct, none.within_pct) == (None, None, None)
    one = spread([5.0, math.nan], [Inferences(5.0, 0.0, 1), Inferences(0.0, 1.0, 9), Inferences(5.0, math.nan, 9)])
    assert (one.between_mad_pct, one.between_cv_pct, one.within_pct) == (None, None, None)
    around_zero = spread([-1.0, 0.0, 1.0])
    assert (around_zero.between_mad_pct, around_zero.between_cv_pct) == (None, None)


@given(st.lists(LATENCIES, min_size=2, max_size=30), st.floats(0.01, 100))
@settings(deadline=None, max_examples=50)
def test_spread_is_a_share_and_has_no_unit(values: list[float], factor: float) -> None:
    found, other = spread(values), spread([value * factor for value in values])
    assert found.between_mad_pct is not None
    assert found.between_mad_pct >= 0
    assert other.between_mad_pct == pytest.approx(found.between_mad_pct, rel=1e-6, abs=1e-6)
    assert other.between_cv_pct == pytest.approx(found.between_cv_pct, rel=1e-6, abs=1e-6)


# -- outliers -----------------------------------------------------------------------------------------------------


def test_an_outlier_is_marked_at_its_place() -> None:
    assert outliers([100.0, 101.0, 180.0, 99.0, 100.5, 99.5]) == (False, False, True, False, False, False)


def test_the_limit_is_a_modified_z_score_of_three_and_a_half() -> None:
    # Median 3, MAD 1: 0.6745·(x − 3) is 3.5 at x = 8.189.
    assert not any(outliers([1.0, 2.0, 3.0, 4.0, 8.18]))
    assert outliers([1.0, 2.0, 3.0, 4.0, 8.2])[-1]


def test_fewer_than_five_values_have_no_outliers() -> None:
    assert outliers([]) == ()
    assert outliers([1.0, 1.0, 1.0, 900.0]) == (False,) * 4
    assert outliers([1.0, 1.1, 1.2, math.nan, 900.0]) == (False,) * 5


def test_among_equal_values_only_what_is_well_off_is_marked() -> None:
    assert outliers([1000.0, 1000.0, 1000.0, 1001.0, 1010.0]) == (False, False, False, False, True)
    assert outliers([0.0, 0.0, 0.0, 0.0, 5.0]) == (False,) * 5


def test_what_is_no_number_is_no_outlier() -> None:
    assert outliers([1.0, 1.1, 0.9, 1.05, 0.95, math.inf, math.nan]) == (False,) * 7


@given(st.lists(LATENCIES, max_size=40))
@settings(deadline=None)
def test_at_most_half_of_the_values_are_outliers_and_none_in_the_middle(values: list[float]) -> None:
    marks = outliers(values)
    assert len(marks) == len(values)
    assert 2 * sum(marks) <= len(values)
    if values:
        middle = statistics.median(values)
        marked = [abs(value - middle) for value, mark in zip(values, marks, strict=True) if mark]
        kept = [abs(value - middle) for value, mark in zip(values, marks, strict=True) if not mark]
        assert not marked or min(marked) > max(kept)


def _coverage_by_definition(n: int, k: int) -> Fraction:
    return 1 - 2 * Fraction(sum(math.comb(n, i) for i in range(k)), 2**n)


@pytest.mark.parametrize("n", [999, 1000, 1001, 1023, 1024, 1025, 2000, 20_001])
def test_any_number_of_values_has_an_interval_that_covers_the_median(n: int) -> None:
    words = random.Random(n)
    found = known([words.gauss(100.0, 5.0) for _ in range(n)])
    assert found.low < found.median < found.high
    assert found.coverage is not None
    assert found.coverage >= 0.95
    # The standard error of a normal sample's median is 1.2533 sigma / sqrt(n).
    assert found.high - found.low == pytest.approx(2 * 1.96 * 1.2533 * 5.0 / math.sqrt(n), rel=0.35)


@pytest.mark.parametrize("n", [999, 1001, 1025, 3001])
def test_the_coverage_of_many_values_is_the_binomial_one(n: int) -> None:
    found = known([float(value) for value in range(n)])
    assert found.coverage is not None
    assert found.coverage == pytest.approx(float(_coverage_by_definition(n, int(found.low) + 1)), abs=1e-9)


@pytest.mark.parametrize("n", [6, 64, 257, 1000])
def test_resamples_drawn_in_parts_are_those_of_one_draw(n: int) -> None:
    from devbench.analysis import stats

    random_numbers = np.random.default_rng(stats._SEED)
    drawn = np.sort(random_numbers.integers(0, n, (stats._RESAMPLES, n)), axis=1)
    lower, upper, _ = stats._resampled_medians(n, 0.95)
    assert (lower == drawn[:, (n - 1) // 2]).all()
    assert (upper == drawn[:, n // 2]).all()


def test_an_estimate_looks_at_a_coverage_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    from devbench.analysis import stats

    calls = 0
    exact = stats._coverage

    def counted(n: int, low: int, high: int) -> float:
        nonlocal calls
        calls += 1
        return exact(n, low, high)

    monkeypatch.setattr(stats, "_coverage", counted)
    known([float(value) for value in range(1000)])
    assert calls < 20
