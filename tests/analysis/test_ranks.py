"""Shifts by ranks: the test against SciPy's, its interval, ties, sides of unlike scatter, samples that are apart."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from devbench.analysis import ranks
from devbench.analysis.ranks import RankShift, rank_shifts

RNG = np.random.default_rng


def one(a: object, b: object, confidence: float = 0.95) -> RankShift:
    return rank_shifts([(a, b)], confidence)[0]  # type: ignore[list-item]


@pytest.mark.parametrize("sizes", [(5, 5), (5, 9), (10, 10), (30, 30), (7, 60), (90, 90)])
def test_p_is_that_of_the_exact_test(sizes: tuple[int, int]) -> None:
    for seed in range(10):
        a, b = RNG(seed).normal(0, 1, sizes[0]), RNG(seed + 50).normal(0.5, 1.2, sizes[1])
        expected = scipy.stats.mannwhitneyu(a, b, method="exact").pvalue
        assert one(a, b).p == pytest.approx(expected, rel=0.35 if _unlike(a, b) else 1e-9, abs=1e-12)


def _unlike(a: np.ndarray, b: np.ndarray) -> bool:
    inner = [np.subtract(*np.quantile(side, (0.75, 0.25))) for side in (a, b)]
    return bool(max(inner) > 1.5 * min(inner))


def test_with_very_many_values_the_normal_distribution_is_good_enough() -> None:
    a, b = RNG(1).normal(0, 1, 150), RNG(2).normal(0.2, 1, 150)
    assert one(a, b).p == pytest.approx(scipy.stats.mannwhitneyu(a, b, method="asymptotic").pvalue, rel=1e-6)


@pytest.mark.parametrize("sizes", [(5, 5), (8, 8), (10, 10), (30, 30), (6, 25)])
def test_the_interval_has_the_shifts_that_are_not_rejected(sizes: tuple[int, int]) -> None:
    samples = [(RNG(k).normal(0, 1, sizes[0]), RNG(k + 999).normal(0.6, 1, sizes[1])) for k in range(300)]
    found = rank_shifts(samples, 0.95)  # type: ignore[arg-type]
    for each in found:
        assert (each.p <= 0.05) == (each.low > 0 or each.high < 0)
        assert each.low <= each.shift <= each.high
    assert sum(each.low <= 0.6 <= each.high for each in found) >= 0.93 * len(found)


@pytest.mark.parametrize("levels", [2, 3, 6])
@pytest.mark.parametrize("n", [5, 10, 30])
def test_values_that_repeat_give_no_more_false_alarms(levels: int, n: int) -> None:
    rng = RNG(levels * n)
    samples = [tuple(rng.integers(0, levels, (2, n)).astype(float)) for _ in range(2000)]
    assert sum(each.p <= 0.05 for each in rank_shifts(samples, 0.95)) <= 0.065 * len(samples)  # type: ignore[arg-type]


def test_equal_values_are_no_shift() -> None:
    found = one([3.0] * 6, [3.0] * 6)
    assert (found.shift, found.low, found.high, found.p, found.apart) == (0, 0, 0, 1, False)


@pytest.mark.parametrize("sizes", [(10, 10), (30, 30), (30, 10)])
def test_a_side_that_scatters_three_times_as_much_is_no_shift(sizes: tuple[int, int]) -> None:
    rng = RNG(3)
    samples = [(rng.normal(0, 1, sizes[0]), rng.normal(0, 3, sizes[1])) for _ in range(2000)]
    wrong = np.mean([each.p <= 0.05 for each in rank_shifts(samples, 0.95)])  # type: ignore[arg-type]
    assert wrong <= (0.07 if sizes[0] == sizes[1] else 0.1)
    plain = np.mean([scipy.stats.mannwhitneyu(a, b).pvalue <= 0.05 for a, b in samples])
    assert wrong <= plain


def test_samples_that_do_not_overlap_are_apart() -> None:
    assert one([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]).apart
    assert one([6, 7, 8, 9, 10], [1, 2, 3, 4, 5]).apart
    assert not one([1, 2, 3, 4, 6], [5, 7, 8, 9, 10]).apart


def test_sides_change_places() -> None:
    a, b = RNG(1).normal(0, 1, 12), RNG(2).normal(0.4, 1, 9)
    there, back = one(a, b), one(b, a)
    assert there.p == pytest.approx(back.p)
    assert (there.low, there.shift, there.high) == pytest.approx((-back.high, -back.shift, -back.low))


def test_samples_in_parts_are_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [(RNG(k).normal(0, 1, 5 + k % 3), RNG(k + 9).normal(0, 1, 6)) for k in range(20)]
    whole = rank_shifts(samples, 0.95)  # type: ignore[arg-type]
    monkeypatch.setattr(ranks, "_AT_ONCE", 100)
    assert rank_shifts(samples, 0.95) == whole  # type: ignore[arg-type]


def test_the_interval_s_ends_are_those_of_the_published_tables() -> None:
    """Two samples of 5: the critical U at 5 % is 2, at 1 % it is 0 (D. Auble, 1953)."""
    a, b = [1.0, 2.1, 3.3, 4.6, 6.0], [4.05, 5.3, 6.75, 8.3, 10.1]
    differences = sorted(y - x for x in a for y in b)
    wide, narrow = one(a, b, 0.99), one(a, b, 0.95)
    assert (wide.low, wide.high) == (differences[0], differences[-1])
    assert (narrow.low, narrow.high) == (differences[2], differences[-3])
    assert wide.shift == narrow.shift == differences[12]


def test_samples_with_one_middle_are_no_shift_at_all() -> None:
    found = one([1.0, 2.0, 4.0, 5.0, 6.0], [1.5, 2.5, 3.5, 4.5, 5.5, 6.5])
    assert found.shift == pytest.approx(0.5)
    even = one([1.0, 4.0, 5.0, 8.0, 9.0, 12.0], [2.0, 3.0, 6.0, 7.0, 10.0, 11.0])
    assert (even.p, even.shift) == (1.0, 0.0)
