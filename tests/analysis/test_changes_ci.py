"""Change points of series as a CI has them: each of their traits, on made series with known changes."""

from __future__ import annotations

import numpy as np
import pytest

from devbench.analysis.changes import change_points
from tests.analysis.labelled import Labelled, matched
from tests.analysis.labelled_ci import CI_KINDS, CI_SCENES, make_ci

_MARGIN = 5


def made(kind: str, scene: str, count: int = 10) -> list[Labelled]:
    rng = np.random.default_rng(CI_KINDS.index(kind) * 100 + CI_SCENES.index(scene))
    return [make_ci(kind, scene, rng) for _ in range(count)]


def scored(series: list[Labelled]) -> tuple[float, float, float]:
    """Recall, precision, and false points per 1,000."""
    hit = said = true = points = 0
    for one in series:
        found = [point.index for point in change_points(one.values)]
        hit += len(matched(found, one.changes, _MARGIN))
        said, true, points = said + len(found), true + len(one.changes), points + len(one.values)
    return hit / max(true, 1), hit / max(said, 1), 1000 * (said - hit) / points


@pytest.mark.parametrize("kind", CI_KINDS)
def test_long_series_without_a_change_raise_few_alarms(kind: str) -> None:
    _, _, false = scored(made(kind, "none"))
    assert false <= (0.8 if kind == "wander" else 0.15)


@pytest.mark.parametrize(
    ("kind", "recall", "precision"),
    [("plain", 0.75, 0.9), ("quantised", 0.7, 0.9), ("bimodal", 0.25, 0.9), ("noise by level", 0.7, 0.9),
     ("wander", 0.6, 0.7)],
)  # fmt: skip
def test_five_to_eight_lasting_steps_near_the_noise_are_found(kind: str, recall: float, precision: float) -> None:
    """6 to 9 %, at a noise of 1 to 8 %; of a bimodal series the noise includes what its modes are apart."""
    found, right, _ = scored(made(kind, "many"))
    assert found >= recall
    assert right >= precision


def test_two_steps_a_few_points_apart_are_two() -> None:
    for seed in range(10):
        level = np.repeat([100.0, 108.0, 116.0], [300, 6, 300])
        values = level * np.exp(np.random.default_rng(seed).normal(0, 0.01, len(level)))
        assert [point.index for point in change_points(values)] == pytest.approx([300, 306], abs=1)


@pytest.mark.parametrize("kind", ["plain", "quantised", "noise by level"])
def test_steps_beside_others_a_few_points_apart_are_found(kind: str) -> None:
    found, precision, _ = scored(made(kind, "pairs"))
    assert found >= 0.65
    assert precision >= 0.8


def test_one_mode_that_turns_into_two_is_a_change_and_so_is_the_return() -> None:
    missed = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        second = (np.arange(600) // 200 == 1) & (rng.random(600) < 0.5)
        values = 250 * np.exp(rng.normal(0, 0.025, 600)) * np.where(second, 1.35, 1.0)
        found = [point.index for point in change_points(values)]
        # Where the modes take turns, the first points after the change may be all of the old one.
        missed += 2 - len(matched(found, [200, 400], 15))
        assert len(found) <= 3
    assert missed <= 5


def test_two_quantised_modes_that_turn_into_one_are_a_change_at_its_place() -> None:
    rng = np.random.default_rng(4)
    modes = np.where(rng.random(60) < 0.5, 233.0, 266.0)
    values = np.concatenate([modes, np.round(rng.normal(257, 6, 300), 1)])
    assert [point.index for point in change_points(values)] == pytest.approx([60], abs=4)


def test_a_plateau_of_ten_points_is_two_changes() -> None:
    rng = np.random.default_rng(2)
    values = 255 * np.exp(rng.normal(0, 0.02, 700))
    values[520:530] *= 1.08
    assert [point.index for point in change_points(values)] == pytest.approx([520, 530], abs=2)


def test_a_step_near_the_noise_that_stays_is_no_slope() -> None:
    """The points around a step of 1.2 noises are nearly as close to a straight line as to two levels."""
    hit = 0
    for seed in range(20):
        values = np.exp(np.random.default_rng(seed).normal(0, 0.06, 700)) * np.repeat([100.0, 107.5], [350, 350])
        found = [point.index for point in change_points(values)]
        hit += len(found) == 1 and abs(found[0] - 350) <= 15
    assert hit >= 17


def test_a_slow_wander_is_not_taken_for_steps() -> None:
    false = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        wave = 0.25 * np.sin(rng.uniform(0, 6) + 2 * np.pi * np.arange(700) / 500)
        false += len(change_points(250 * np.exp(0.02 * (wave + rng.normal(0, 1, 700)))))
    assert false <= 3


def test_steps_of_quantised_values_are_no_slopes() -> None:
    """Medians of quantised values are off by up to half a grain, which made a straight line look nearer."""
    hit = 0
    for seed in range(10):
        level = np.repeat([100.0, 108.0, 100.0, 108.0], [155, 115, 110, 120])
        values = level * np.exp(np.random.default_rng(seed).normal(0, 0.05, len(level)))
        found = [point.index for point in change_points(np.round(values / 6) * 6)]
        hit += len(matched(found, [155, 270, 380], 8))
    assert hit >= 25
