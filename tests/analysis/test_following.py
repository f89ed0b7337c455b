"""A series that grows point by point has the changes of its last evaluation, which comes when its newest points differ."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from devbench.analysis import following
from devbench.analysis.changes import ChangePoint, ChangeSettings, change_points, change_points_of_many
from devbench.analysis.following import Floats, Remembered, follow, remembered
from tests.analysis.labelled import KINDS, SCENES, make, traces


def noisy(level: Sequence[float], seed: int = 1) -> Floats:
    return np.array(level) * np.exp(np.random.default_rng(seed).normal(0, 0.01, len(level)))


def same(one: Sequence[ChangePoint], other: Sequence[ChangePoint]) -> bool:
    """The same changes, each within three points."""
    return len(one) == len(other) and all(abs(a.index - b.index) <= 3 for a, b in zip(one, other, strict=True))


def test_an_evaluation_gives_what_the_detection_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """At each evaluation of a series that grows, random and recorded, the answer is the detection's, field by field."""
    rng = np.random.default_rng(5)
    names = sorted(traces())
    made = [make(names, str(rng.choice(KINDS)), str(rng.choice(SCENES)), rng).values for _ in range(12)]
    made += [np.exp(rng.normal(0, 0.02, 80)), rng.normal(0, 1, 80), np.full(80, 7.0)]
    memories: list[Remembered | None] = [None] * len(made)
    evaluated: list[int] = []

    def counted(many: Sequence[Floats], rules: ChangeSettings | None = None) -> list[tuple[ChangePoint, ...]]:
        evaluated.append(len(many))
        return change_points_of_many(many, rules)

    monkeypatch.setattr(following, "change_points_of_many", counted)
    for share in np.linspace(0.5, 1.0, 20):
        values = [one[: round(share * len(one))] for one in made]
        before = memories
        found = follow(values, before)
        memories = list(found.memories)
        for series, memory, old, changes in zip(values, found.memories, before, found.changes, strict=True):
            if memory is not old:
                assert memory.points == len(series)
                assert changes == change_points(series)
            else:
                assert changes == old.changes
    assert sum(evaluated) < 0.8 * 20 * len(made)


def test_answers_are_those_of_the_whole_detection_at_nearly_every_step() -> None:
    rng = np.random.default_rng(11)
    names = sorted(traces())
    differ = steps = 0
    for kind in KINDS:
        values = make(names, kind, "one", rng).values[:90]
        memory: Remembered | None = None
        whole = change_points_of_many([values[:n] for n in range(50, len(values) + 1)])
        for n, expected in zip(range(50, len(values) + 1), whole, strict=True):
            found = follow([values[:n]], [memory])
            (memory,) = found.memories
            differ += not same(found.changes[0], expected)
            steps += 1
    assert differ <= 0.03 * steps


def test_a_clear_change_is_found_with_the_points_that_the_detection_needs() -> None:
    values = np.concatenate([noisy([100.0] * 120), noisy([112.0] * 10, 2)])
    memory: Remembered | None = None
    late = []
    for n in range(100, len(values) + 1):
        found = follow([values[:n]], [memory])
        (memory,) = found.memories
        late.append([one.index for one in found.changes[0]])
    whole = [[one.index for one in change_points(values[:n])] for n in range(100, len(values) + 1)]
    first = next(k for k, changes in enumerate(whole) if changes)
    assert late[first] == whole[first] == [120]
    assert late[-1] == [120]


def test_points_that_do_not_differ_cost_no_evaluation() -> None:
    values = noisy([100.0] * 300)
    memory: Remembered | None = None
    count = 0
    for n in range(250, 300):
        found = follow([values[:n]], [memory])
        (memory,) = found.memories
        count += found.evaluated
    assert count <= 10


@pytest.mark.parametrize("change", ["an old value", "fewer points", "a value at the front"])
def test_another_history_is_evaluated_again(change: str) -> None:
    values = noisy([100.0] * 60)
    first = follow([values], [None])
    assert follow([values], first.memories).evaluated == 0
    other = values.copy()
    if change == "an old value":
        other[3] *= 1.0001
    other = {"fewer points": other[:-5], "a value at the front": np.concatenate([[100.0], other])}.get(change, other)
    found = follow([other], first.memories)
    assert found.evaluated == 1
    assert found.changes[0] == change_points(other)


def test_a_memory_survives_json() -> None:
    values = [noisy([100.0] * 60 + [110.0] * 60), np.array([]), np.array([np.nan, 1.0, -2.0] * 20)]
    first = follow(values, [None] * 3)
    again = [remembered(json.loads(json.dumps(one.plain()))) for one in first.memories]
    assert again == first.memories
    assert follow(values, again).evaluated == 0
    assert [one.index for one in first.changes[0]] == [60]


def evaluated(values: Floats, after: int) -> int:
    """Whether a series is evaluated again once it has grown beyond its first `after` points."""
    return follow([values], follow([values[:after]], [None]).memories).evaluated


@pytest.mark.parametrize("sign", [1, -1])
def test_a_series_below_zero_is_followed_as_one_above_it(sign: int) -> None:
    level = sign * noisy([100.0] * 210)
    assert evaluated(level, 200) == 0
    shifted = np.concatenate([level[:200], 1.2 * level[200:]])
    assert evaluated(shifted, 200) == 1


def test_a_value_that_is_not_above_zero_makes_another_series_of_it() -> None:
    values = noisy([100.0] * 105)
    for odd in (0.0, -100.0):
        other = values.copy()
        other[-1] = odd
        assert evaluated(other, 100) == 1
    gap = values.copy()
    gap[-1] = np.nan
    assert evaluated(gap, 100) == 0


def test_a_series_that_grew_much_is_evaluated_even_if_nothing_differs() -> None:
    values = noisy([100.0] * 300)
    assert evaluated(values, 100) == 1
    assert evaluated(values[:103], 100) == 0


def test_more_scatter_is_a_difference_too() -> None:
    values = noisy([100.0] * 235)
    wild = values.copy()
    wild[220:] = 100.0 * np.exp(5 * np.log(values[220:] / 100.0))
    assert (evaluated(values, 220), evaluated(wild, 220)) == (0, 1)


def test_one_memory_for_each_series_is_needed() -> None:
    with pytest.raises(ValueError, match="zip"):
        follow([noisy([1.0] * 30)] * 2, [None])


def test_the_newest_values_differ_by_their_mean_in_standard_errors() -> None:
    assert following._difference(np.full(16, 3.0), 2.0, 2.0, 3) == pytest.approx(0.5 * 4), "16 values, half a noise off"
    newest = np.r_[np.zeros(13), 2.0, 2.0, 2.0]
    assert following._difference(newest, 0.0, 1.0, 3) >= 6 / np.sqrt(3), "three points are enough"
    assert following._difference(newest[:5], 0.0, 1.0, 3) == np.inf


def test_a_tenth_is_counted_from_the_last_change_on() -> None:
    steady = np.tile([99.0, 100.0, 101.0, 100.0], 40)
    for values, allowed in ((steady, 10), (np.r_[steady[:60], 1.2 * steady], 4)):
        first = follow([values[:100]], [None]).memories
        assert np.isfinite(first[0].difference)
        assert [len(one.changes) for one in first] == [int(allowed == 4)]
        assert (evaluated(values[: 100 + allowed], 100), evaluated(values[: 101 + allowed], 100)) == (0, 1)
