"""By how much one sample is above another, by ranks: shift, interval, p. Pure functions over numbers; knows no verdict.

One slow process of ten shifts a mean and hardly a rank. On recorded noise of real processes ranks therefore find more
than means, trimmed or not (docs/compare.md).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Below this number of values per side not even samples that do not overlap are significant at 5 %.
MIN_FOR_RANKS = 5
# From this ratio of the ranges of the middle halves on the samples do not scatter alike.
_UNLIKE = 1.5
# Exact probabilities up to this number of pairs of values, then the normal distribution.
_MAX_EXACT = 10_000
# Pairs of values that are in memory at a time: 2 MB, which is in the processor's cache.
_AT_ONCE = 250_000


@dataclass(frozen=True, slots=True)
class RankShift:
    """How far the second sample is above the first.

    Attributes:
        shift: the median of all differences between a value of the second and one of the first sample (J. L. Hodges and
            E. L. Lehmann, Annals of Mathematical Statistics 34, 1963).
        low, high: the interval of `shift`: those shifts that the test would not reject.
        p: two-sided, of no shift.
        apart: the samples do not overlap, so that ranks cannot tell how far they are apart; `p` is the smallest that
            the sizes of the samples allow.
    """

    shift: float
    low: float
    high: float
    p: float
    apart: bool


def rank_shifts(samples: Sequence[tuple[Sequence[float], Sequence[float]]], confidence: float) -> list[RankShift]:
    """The shift of each pair of samples, which have at least `MIN_FOR_RANKS` finite values each.

    The test is that of H. B. Mann and D. R. Whitney (Annals of Mathematical Statistics 18, 1947): exact, or normal from
    10,000 pairs of values on. Ties reduce the variance of U by 1 − Σ(t³ − t)/(N³ − N). If one sample scatters more than
    the other, the variance is at least that of E. Brunner and U. Munzel (Biometrical Journal 42, 2000), so that a noisy
    side is no shift. Samples of equal sizes are worked on together.
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
    """The fields of `RankShift`, for each row of two arrays."""
    n, m = a.shape[1], b.shape[1]
    middle = n * m / 2
    differences = b[:, :, None] - a[:, None, :]
    # Of each value of `b` above how many of `a` it is, and the other way round; an equal one is half above.
    above, below = ((differences > 0).sum(axis=axis).astype(float) for axis in (2, 1))
    ties = _squares_of_ties(a, b)
    if ties.any():
        equal = differences[ties > 0] == 0
        above[ties > 0] += equal.sum(axis=2) / 2
        below[ties > 0] += equal.sum(axis=1) / 2
    u = above.sum(axis=1)
    scale = _scale(a, b, above, below, ties)
    p_of_u = _probabilities(n, m)
    # Half a step of U belongs to its lattice, which the exact probabilities have; only what is beyond it is scaled.
    far = np.where(u == middle, 0.0, (np.abs(u - middle) - 0.5) / scale + 0.5)
    p = np.minimum(1.0, 2 * np.interp(middle - far, np.arange(len(p_of_u)), p_of_u))
    rejected = np.searchsorted(2 * p_of_u, 1 - confidence, side="right")
    least = (middle - rejected + 0.5) * scale + 0.5
    # So many differences may be on the wrong side of a shift that is rejected.
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
    """The value of each row that is at its place in the order of size; the rows are left in another order.

    With one place at a time this is quicker than to sort.
    """
    found = np.empty(len(rows))
    different = np.unique(places).tolist()
    for place in different:
        those = places == place
        some = rows[those] if len(different) > 1 else rows
        some.partition(place, axis=1)
        found[those] = some[:, place]
    return found


def _squares_of_ties(a: Floats, b: Floats) -> Floats:
    """Σ(t³ − t) over the groups of t equal values of both samples."""
    both = np.sort(np.concatenate([a, b], axis=1), axis=1)
    found = np.zeros(len(a))
    tied = np.flatnonzero((np.diff(both, axis=1) == 0).any(axis=1))
    if len(tied):
        equal = (both[tied, :, None] == both[tied, None, :]).sum(axis=2)
        found[tied] = (equal**2 - 1).sum(axis=1)
    return found


def _scale(a: Floats, b: Floats, above: Floats, below: Floats, ties: Floats) -> Floats:
    """By what factor the standard deviation of U differs from that of like samples without ties."""
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
    """P(U ≤ u) of two samples of one distribution, for u = 0 … n·m."""
    if n * m > _MAX_EXACT:
        from scipy.special import ndtr

        spread = np.sqrt(n * m * (n + m + 1) / 12)
        normal: Floats = ndtr((np.arange(n * m + 1) + 0.5 - n * m / 2) / spread)
        return normal
    # How many of the orders of n and m values have each U: the coefficients of the Gaussian binomial coefficient,
    # Π (1 − x^(m+i)) / (1 − x^i), as shares, so that no number overflows.
    shares = np.zeros(n * m + 1)
    shares[0] = 1.0
    for i in range(1, n + 1):
        shares[m + i :] -= shares[: -(m + i)].copy() if m + i <= n * m else 0.0
        for start in range(min(i, len(shares))):
            shares[start::i] = np.cumsum(shares[start::i])
        shares *= i / (m + i)
    exact: Floats = np.minimum(np.cumsum(np.maximum(shares, 0.0)), 1.0)
    return exact
