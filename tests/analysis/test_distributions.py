"""Cuts of the distribution: soft histograms, the cut with the least cost, and the bound of their p."""

from __future__ import annotations

import numpy as np
import pytest

from devbench.analysis.cuts import distribution_cuts, largest_tail, moved, soft_histogram, stretches_of

RNG = np.random.default_rng


def test_a_value_belongs_to_the_two_nearest_cells() -> None:
    values = RNG(1).normal(0, 1, 300)
    histogram = soft_histogram(values, 1.0)
    assert histogram.rows.sum(axis=1) == pytest.approx(np.ones(300))
    assert ((histogram.rows > 0).sum(axis=1) <= 2).all()
    assert histogram.sums[-1] == pytest.approx(histogram.rows.sum(axis=0))
    assert histogram.squares[10] == pytest.approx((histogram.rows[:10] ** 2).sum())
    assert histogram.rows.shape[1] <= 8


def test_far_values_share_the_outer_cells_and_their_number_is_bounded() -> None:
    values = np.r_[RNG(1).normal(0, 1, 300), 1e6, -1e6]
    assert soft_histogram(values, 1.0).rows.shape[1] <= 8
    assert soft_histogram(np.linspace(0, 1e6, 300), 1.0).rows.shape[1] <= 41
    assert soft_histogram(np.zeros(10), 5e-4).rows.sum() == pytest.approx(10)


def test_a_mode_that_splits_around_its_level_is_cut_and_a_steady_one_is_not() -> None:
    rng = RNG(3)
    apart = np.where(rng.random(200) < 0.5, -4.0, 4.0)
    values = rng.normal(0, 1, 400) + np.r_[np.zeros(200), apart]
    histogram = soft_histogram(values, 1.0)
    assert distribution_cuts(histogram, (), 0.5) == pytest.approx([200], abs=3)
    assert distribution_cuts(soft_histogram(values[:200], 1.0), (), 0.5) == []


def test_a_cut_is_moved_to_where_it_divides_best() -> None:
    histogram = soft_histogram(np.r_[RNG(4).normal(0, 1, 100), RNG(5).normal(6, 1, 100)], 1.0)
    assert moved(histogram, [80], 3) == [100]
    assert moved(histogram, [100], 3) == [100]
    assert moved(histogram, [], 3) == []


def test_the_means_and_weights_of_stretches() -> None:
    histogram = soft_histogram(np.r_[RNG(4).normal(0, 1, 100), RNG(5).normal(6, 1, 60)], 1.0)
    stretches = stretches_of(histogram, [0, 100, 160])
    assert stretches.means[1] == pytest.approx(histogram.rows[100:].mean(axis=0))
    off = histogram.rows - np.repeat(stretches.means, [100, 60], axis=0)
    assert stretches.weights.sum() == pytest.approx((off**2).sum() / 158)


def test_the_bound_of_a_sum_of_chi_squared_variables_is_above_its_tail() -> None:
    rng = RNG(6)
    weights = np.array([0.0, 0.1, 0.5, 1.0])
    drawn = (rng.normal(0, 1, (200_000, 4)) ** 2) @ weights
    for value in (3.0, 6.0, 10.0):
        tail = float((drawn > value).mean())
        assert tail <= largest_tail(value, weights) <= 30 * tail
    assert largest_tail(1.0, weights) == 1.0
    assert largest_tail(1e6, weights) < 1e-300
    assert largest_tail(0.0, np.zeros(3)) == 1.0


def test_a_very_long_series_has_a_bounded_number_of_candidates() -> None:
    values = RNG(7).normal(0, 1, 40_000) + np.repeat([0.0, 4.0], 20_000)
    assert distribution_cuts(soft_histogram(values, 1.0), (), 0.5) == pytest.approx([20_000], abs=3)


def test_the_place_in_the_cells_grows_with_the_value() -> None:
    """A cell is 1.5 noises wide; in between, a value belongs to both cells in shares."""
    values = np.linspace(-3, 3, 40)
    rows = soft_histogram(values, 0.5).rows
    places = rows @ np.arange(rows.shape[1])
    assert np.diff(places) == pytest.approx(np.diff(values) / (1.5 * 0.5))


def test_the_bound_of_one_chi_squared_variable_is_chernoff_s() -> None:
    """sqrt(v) * e^(-(v - 1) / 2), at s = (1 - 1/v) / 2."""
    for value in (2.0, 5.0, 20.0):
        expected = np.sqrt(value) * np.exp(-(value - 1) / 2)
        assert largest_tail(3 * value, np.array([3.0])) == pytest.approx(expected, rel=0.02)
