"""Computes by how much one sample is above another: by ranks, or by runs. Pure functions over numbers; knows no
verdict.

One slow process of ten shifts a mean, but hardly a rank. On recorded noise of real processes, ranks therefore find more
changes than means, trimmed or not (docs/compare.md).

A device is warmer in one night than in another, which affects all repetitions of that night. If a side of a comparison
has several runs, each run is therefore one observation: its median. Seven nights are too few to estimate the scatter of
nights, so the scatter of a case is at least the typical scatter of all compared cases.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist, median
from typing import TYPE_CHECKING, Any

import numpy as np

from devbench.grouped import grouped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# With fewer values per side, even samples that do not overlap are not significant at 5 %.
MIN_FOR_RANKS = 5
# Two samples scatter differently if their interquartile ranges have at least this ratio.
_UNLIKE = 1.5
# Up to this number of pairs of values, probabilities are exact; above it, they are from the normal distribution.
_MAX_EXACT = 10_000
# The number of pairs of values in memory at a time: 2 MB fit into the processor's cache.
_AT_ONCE = 250_000


@dataclass(frozen=True, slots=True)
class RankShift:
    """How far the second sample is above the first.

    Attributes:
        shift: the median of all differences between a value of the second and one of the first sample (J. L. Hodges and
            E. L. Lehmann, Annals of Mathematical Statistics 34, 1963).
        low, high: the interval of `shift`: the shifts that the test would not reject.
        p: the two-sided p-value of no shift.
        apart: the samples do not overlap, so that ranks cannot tell how far they are apart; `p` is the smallest that
            the sizes of the samples allow.
    """

    shift: float
    low: float
    high: float
    p: float
    apart: bool


def rank_shifts(samples: Sequence[tuple[Sequence[float], Sequence[float]]], confidence: float) -> list[RankShift]:
    """Compute the shift of each pair of samples; each sample has at least `MIN_FOR_RANKS` finite values.

    The test is that of H. B. Mann and D. R. Whitney (Annals of Mathematical Statistics 18, 1947): exact, or normal from
    10,000 pairs of values on. Ties reduce the variance of U by 1 − Σ(t³ − t)/(N³ − N). If one sample scatters more than
    the other, the variance is at least that of E. Brunner and U. Munzel (Biometrical Journal 42, 2000), so a noisy side
    is not taken for a shift. Samples of equal sizes are computed together.
    """
    places: dict[tuple[int, int], list[int]] = defaultdict(list)
    for place, (a, b) in enumerate(samples):
        places[len(a), len(b)].append(place)
    found: list[RankShift | None] = [None] * len(samples)
    for (n, m), those in places.items():
        step = max(1, _AT_ONCE // max(n * m, (n + m) ** 2))
        for start in range(0, len(those), step):
            some = those[start : start + step]
            first, second = (np.array([samples[k][side] for k in some], dtype=float) for side in (0, 1))
            columns = (column.tolist() for column in _shifts(first, second, confidence))
            for k, values in zip(some, zip(*columns, strict=True), strict=True):
                found[k] = RankShift(*values)
    return [one for one in found if one is not None]


def _shifts(a: Floats, b: Floats, confidence: float) -> tuple[NDArray[Any], ...]:
    """Return the fields of `RankShift` for each row of two arrays."""
    n, m = a.shape[1], b.shape[1]
    middle = n * m / 2
    differences = b[:, :, None] - a[:, None, :]
    # For each value of `b`, the number of values of `a` below it, and vice versa; equal values count half.
    above, below = ((differences > 0).sum(axis=axis).astype(float) for axis in (2, 1))
    ties = _squares_of_ties(a, b)
    if ties.any():
        equal = differences[ties > 0] == 0
        above[ties > 0] += equal.sum(axis=2) / 2
        below[ties > 0] += equal.sum(axis=1) / 2
    u = above.sum(axis=1)
    scale = _scale(a, b, above, below, ties)
    p_of_u = _probabilities(n, m)
    # U moves in steps, which the exact probabilities include. Only the distance beyond half a step is scaled.
    far = np.where(u == middle, 0.0, (np.abs(u - middle) - 0.5) / scale + 0.5)
    p = np.minimum(1.0, 2 * np.interp(middle - far, np.arange(len(p_of_u)), p_of_u))
    rejected = np.searchsorted(2 * p_of_u, 1 - confidence, side="right")
    least = (middle - rejected + 0.5) * scale + 0.5
    # How many differences are on the other side of a shift that is just rejected.
    cut = np.floor(middle - least).astype(int).clip(0, (n * m - 1) // 2)
    flat = differences.reshape(len(a), -1)
    lower, upper = (_kth(flat, np.full(len(a), k)) for k in ((n * m - 1) // 2, n * m // 2))
    return (
        (lower + upper) / 2,
        _kth(flat, cut),
        _kth(flat, n * m - 1 - cut),
        p,
        (u == 0) | (u == n * m),
    )


def _kth(rows: Floats, places: NDArray[np.int64]) -> Floats:
    """Return the k-th smallest value of each row, with a k for each row; reorders the rows. Faster than sorting."""
    found = np.empty(len(rows))
    different = np.unique(places).tolist()
    for place in different:
        those = places == place
        some = rows[those] if len(different) > 1 else rows
        some.partition(place, axis=1)
        found[those] = some[:, place]
    return found


def _squares_of_ties(a: Floats, b: Floats) -> Floats:
    """Return Σ(t³ − t) over the groups of t equal values of both samples."""
    both = np.sort(np.concatenate([a, b], axis=1), axis=1)
    found = np.zeros(len(a))
    tied = np.flatnonzero((np.diff(both, axis=1) == 0).any(axis=1))
    if len(tied):
        equal = (both[tied, :, None] == both[tied, None, :]).sum(axis=2)
        found[tied] = (equal**2 - 1).sum(axis=1)
    return found


def _scale(a: Floats, b: Floats, above: Floats, below: Floats, ties: Floats) -> Floats:
    """Return the standard deviation of U divided by that of samples with equal scatter and without ties."""
    n, m = a.shape[1], b.shape[1]
    size = n + m
    found = 1 - ties / (size**3 - size)
    inner = [np.subtract(*np.quantile(side, (0.75, 0.25), axis=1)) for side in (a, b)]
    unlike = np.maximum(*inner) > _UNLIKE * np.minimum(*inner)
    variance = n * below.var(axis=1, ddof=1) + m * above.var(axis=1, ddof=1)
    found[unlike] = np.maximum(found, variance / (n * m * (size + 1) / 12))[unlike]
    scale: Floats = np.sqrt(np.maximum(found, 1e-6))
    return scale


@lru_cache(maxsize=256)
def _probabilities(n: int, m: int) -> Floats:
    """Return P(U ≤ u) for u = 0 … n·m, if both samples have the same distribution; both have at least two values."""
    if n * m > _MAX_EXACT:
        from scipy.special import ndtr

        spread = np.sqrt(n * m * (n + m + 1) / 12)
        normal: Floats = ndtr((np.arange(n * m + 1) + 0.5 - n * m / 2) / spread)
        return normal
    # The number of orders of n and m values with each U: the coefficients of the Gaussian binomial coefficient Π (1 −
    # x^(m+i)) / (1 − x^i). Shares of all orders are computed instead of numbers, to avoid an overflow.
    shares = np.zeros(n * m + 1)
    shares[0] = 1.0
    for i in range(1, n + 1):
        shares[m + i :] -= shares[: -(m + i)].copy()
        for start in range(min(i, len(shares))):
            shares[start::i] = np.cumsum(shares[start::i])
        shares *= i / (m + i)
    exact: Floats = np.minimum(np.cumsum(np.maximum(shares, 0.0)), 1.0)
    return exact


# The fewest degrees of freedom from which a scatter can be estimated.
_MIN_FREE = 3
# The variance of a median divided by that of a mean, for normal noise: π/2.
_OF_MEDIANS = 1.5708
_MAD_OF_NORMAL = NormalDist().inv_cdf(0.75)
# The typical variance is computed only from at least this many cases.
_MIN_CASES = 8
# Degrees of freedom of the typical variance of many cases.
_MAX_FREE = 15.0


@dataclass(frozen=True, slots=True)
class Between:
    """The difference between the runs of a baseline and of a candidate.

    Attributes:
        size: the mean of the medians of the candidate's runs minus the mean of those of the baseline's runs.
        variance: the variance of the runs' medians within a side; `free`: its degrees of freedom.
        within: the part of that variance that follows from the scatter of repetitions.
        share: squared standard error of `size` = variance · share: the sum of 1 / number of runs over the sides.
    """

    size: float
    variance: float
    free: float
    within: float
    share: float


def between_runs(sides: Sequence[Sequence[float]], runs: Sequence[Sequence[Hashable]]) -> Between | None:
    """Compute the difference of two sides with runs as observations.

    Args:
        sides: values of the baseline and the candidate on the scale of the test.
        runs: for each value, the run that measured it.

    Returns:
        `None` if there are too few runs, or each has one value: then the scatter of the values is that of the runs.
    """
    squares, free, share, expected, count = 0.0, 0, 0.0, 0.0, 0
    means: list[float] = []
    residuals: list[float] = []
    for values, whose in zip(sides, runs, strict=True):
        groups = list(grouped(zip(whose, values, strict=True)).values())
        medians = [median(group) for group in groups]
        middle = sum(medians) / len(medians)
        means.append(middle)
        squares += sum((one - middle) ** 2 for one in medians)
        free += len(groups) - 1
        share += 1 / len(groups)
        count += len(groups)
        for group, of in zip(groups, medians, strict=True):
            n = len(group)
            expected += 1 / n if n < 3 else _OF_MEDIANS / n
            # One value of an odd number is the median itself, with the distance zero.
            residuals += sorted(abs(value - of) for value in group)[n % 2 :]
    if free < _MIN_FREE or not residuals:
        return None
    scatter = median(residuals) / _MAD_OF_NORMAL
    return Between(means[1] - means[0], squares / free, free, scatter**2 * expected / count, share)


def errors_of(found: Sequence[Between]) -> list[tuple[float, float]]:
    """Return the squared standard error of each size, and its degrees of freedom.

    The variance of a case's runs is its own, or the typical one if that is larger. The typical one has two parts: the
    part that follows from the repetitions, and a scatter of runs. The latter is chosen so that half of the cases are
    below the median of a χ² distribution.
    """
    if len(found) < _MIN_CASES:
        return [(max(one.variance, one.within) * one.share, one.free) for one in found]
    typical = _typical(found)
    errors = []
    for one in found:
        usual = typical + one.within
        free = one.free if one.variance > usual else max(one.free, _MAX_FREE)
        errors.append((max(one.variance, usual) * one.share, free))
    return errors


def _typical(found: Sequence[Between]) -> float:
    """Return the variance of runs that repetitions do not explain, the same for all cases; found by bisection."""
    # The median of χ²/f is (1 − 2/(9·f))³ (E. B. Wilson and M. M. Hilferty, PNAS 17, 1931).
    middles = [(1 - 2 / (9 * one.free)) ** 3 for one in found]
    low, high = 0.0, max(one.variance for one in found)
    for _ in range(40):
        guess = (low + high) / 2
        ratios = [
            one.variance / (middle * (guess + one.within)) if guess + one.within else 0.0
            for one, middle in zip(found, middles, strict=True)
        ]
        low, high = (guess, high) if median(ratios) > 1 else (low, guess)
    return high
