"""Drift: slow movement is separated from steps, and a slope is not taken for a step."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from devbench.analysis.drift import common_drift, drift_under, line_does_as_well


def noise(count: int, size: float, seed: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, size, count)


@pytest.mark.parametrize("before", [15, 30, 100])
@pytest.mark.parametrize("after", [15, 30, 100])
def test_a_slope_is_a_line_and_a_step_is_none(before: int, after: int) -> None:
    many = before + after
    assert line_does_as_well(np.linspace(0, 0.02 * many, many) + noise(many, 0.01), before, 0.01)
    step = np.repeat([0.0, 1.0], [before, after])
    assert not line_does_as_well(step + noise(many, 0.1), before, 0.1)


def test_what_is_far_from_a_step_does_not_make_it_a_slope() -> None:
    slope = np.concatenate([np.full(200, 5.0), np.linspace(0, 1.2, 60), np.full(200, -5.0)])
    assert line_does_as_well(slope + noise(460, 0.01), 230, 0.01), "levels beyond 30 points do not count"
    step = np.concatenate([np.linspace(-8, 0, 200), np.zeros(30), np.ones(30), np.linspace(1, 9, 200)])
    assert not line_does_as_well(step + noise(460, 0.1), 230, 0.1)


def test_with_few_points_on_a_side_nothing_is_said_of_a_slope() -> None:
    slope = np.linspace(0, 2, 60)
    assert line_does_as_well(slope, 12, 0.01)
    assert not line_does_as_well(slope, 11, 0.01)
    assert not line_does_as_well(slope, 49, 0.01)


def test_the_curve_under_steps_is_found_with_the_mean_zero() -> None:
    at = np.linspace(-1, 1, 200)
    curve = 0.3 * at**3 - 0.2 * at**2
    found = drift_under(5.0 + curve + (at > 0.2) + noise(200, 0.01), [120], 1e-3)
    assert found is not None
    assert found.mean() == pytest.approx(0, abs=1e-9)
    assert np.abs(found - (curve - curve.mean())).max() < 0.02


def test_a_slope_that_was_cut_into_steps_is_a_curve_without_them() -> None:
    slope = np.linspace(0, 1, 200)
    found = drift_under(slope + noise(200, 0.005), [50, 100, 150], 1e-3)
    assert found is not None
    assert np.abs(found - (slope - 0.5)).max() < 0.02


def test_steps_alone_have_no_curve_under_them() -> None:
    steps = np.repeat([1.0, 3.0, 2.0], [70, 70, 60])
    assert drift_under(steps + noise(200, 0.05), [70, 140], 1e-3) is None
    assert drift_under(1.0 + noise(200, 0.05), [], 1e-3) is None


NIGHTS = np.arange(120)
WAVE = 0.05 * np.sin(2 * math.pi * NIGHTS / 120)


def fleet(shared: NDArray[np.float64], models: int = 8) -> NDArray[np.float64]:
    """Series of a device: levels of their own, and what all share, as a logarithm."""
    levels = np.exp(np.linspace(0, 4, models))[:, None]
    return np.asarray(
        levels * np.exp(shared[None, :] + np.array([noise(len(shared), 0.003, k) for k in range(models)]))
    )


def test_what_all_series_share_is_drift_with_the_median_zero() -> None:
    found = common_drift(fleet(WAVE))
    assert found is not None
    assert np.median(found) == pytest.approx(0, abs=1e-3)
    assert np.abs(found - (WAVE - np.median(WAVE))).max() < 0.02


@pytest.mark.parametrize("size", [0.1, -0.1, 0.02])
def test_a_step_that_all_series_share_is_no_drift(size: float) -> None:
    found = common_drift(fleet(WAVE + size * (NIGHTS >= 60)))
    assert found is not None
    assert np.abs(found - (WAVE - np.median(WAVE))).max() < 0.02
    assert common_drift(fleet(size * (NIGHTS >= 60))) is None


def test_drift_is_known_between_nights_without_values() -> None:
    values = fleet(WAVE)
    values[:, 40:50] = np.nan
    values[7] = np.nan
    found = common_drift(values)
    assert found is not None
    assert np.isfinite(found).all() and len(found) == 120
    assert np.abs(found - (WAVE - np.median(WAVE))).max() < 0.02


def test_small_drift_and_few_nights_give_no_correction() -> None:
    assert common_drift(fleet(0.15 * WAVE)) is None, "it spans less than 2 %"
    assert common_drift(fleet(WAVE)[:, :27]) is None
    assert common_drift(fleet(0.1 * np.arange(28.0) / 27)) is not None


def test_models_that_come_one_after_the_other_at_other_levels_are_no_drift() -> None:
    values = np.full((30, 120), np.nan)
    for k, series in enumerate(values):
        series[3 * k : 3 * k + 33] = np.exp(0.05 * k + noise(33, 0.003, k))
    assert common_drift(values) is None


def test_a_step_of_nine_noises_is_no_drift() -> None:
    """The noise of the median of five series is about half of that of one."""
    shared = np.where(NIGHTS < 70, 0.0, 0.06)
    assert common_drift(np.exp(shared + np.array([noise(120, 0.011, k) for k in range(5)]))) is None
