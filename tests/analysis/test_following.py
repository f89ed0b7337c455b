"""A series that grows point by point has the changes that a look at the whole of it finds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from devbench.analysis import following
from devbench.analysis.changes import ChangeSettings, change_points
from devbench.analysis.following import Follower
from tests.analysis.labelled import matched
from tests.analysis.labelled_ci import CI_KINDS, CI_SCENES, make_ci


def noisy(level: list[float], seed: int = 1) -> list[float]:
    return (np.array(level) * np.exp(np.random.default_rng(seed).normal(0, 0.01, len(level)))).tolist()


def followed(values: list[float], begin: int = 0) -> Follower:
    follower = Follower(values[:begin])
    for value in values[begin:]:
        follower.add(value)
    return follower


@pytest.mark.parametrize("begin", [0, 30, 110])
def test_the_changes_are_those_of_the_whole_series(begin: int) -> None:
    values = noisy([100.0] * 100 + [108.0] * 80 + [97.0] * 60)
    found = followed(values, begin).changes
    assert [one.index for one in found] == pytest.approx([one.index for one in change_points(values)], abs=1)
    assert [one.direction for one in found] == ["up", "down"]
    assert all(one.p <= ChangeSettings().alpha for one in found)


def test_a_clear_change_is_known_a_few_points_later() -> None:
    follower = Follower(noisy([100.0] * 120))
    late = [follower.add(value) for value in noisy([112.0] * 10, 2)]
    first = next(k for k, changes in enumerate(late) if changes)
    assert first <= 5
    assert late[-1][0].index == 120


def test_a_settled_change_is_not_evaluated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []

    def counted(values: np.ndarray, rules: ChangeSettings) -> object:
        lengths.append(len(values))
        return change_points(values, rules)

    monkeypatch.setattr(following, "change_points", counted)
    follower = followed(noisy([100.0] * 200 + [110.0] * 200), 100)
    before = follower.changes
    assert [one.index for one in before] == [200]
    assert lengths[-1] <= 200
    evaluations = follower.evaluations
    for value in noisy([110.0] * 100, 5):
        assert follower.add(value)[0] == before[0]
    assert follower.evaluations - evaluations <= 10


def test_gaps_count_as_indices_and_zero_is_a_value() -> None:
    values = noisy([100.0] * 80 + [110.0] * 60)
    values[10:20] = [math.nan] * 10
    values[90:95] = [math.inf] * 5
    assert [one.index for one in followed(values).changes] == [80]
    shares = [0.0] * 40 + [0.9] * 40
    assert [one.index for one in followed(shares, 10).changes] == [40]
    assert followed([0.5] * 20 + [0.0] * 20, 15).changes[0].index == 20


def test_the_same_points_give_the_same_changes_and_few_evaluations() -> None:
    rng = np.random.default_rng(3)
    true = said = hit = points = evaluations = 0
    for kind in CI_KINDS:
        for scene in CI_SCENES:
            one = make_ci(kind, scene, rng)
            values = one.values.tolist()
            follower = followed(values, 60)
            places = [change.index for change in follower.changes]
            assert places == sorted(set(places))
            hit += len(matched(places, one.changes, 5))
            true, said = true + len(one.changes), said + len(places)
            points, evaluations = points + len(values) - 60, evaluations + follower.evaluations
    assert 2 * hit / (true + said) >= 0.78
    assert evaluations / points <= 0.1
    again = followed(values, 60)
    assert again.changes == follower.changes
