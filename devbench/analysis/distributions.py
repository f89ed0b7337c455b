"""Where the distribution of a series changed, not only its level: pure functions over arrays; knows no store.

One speed that turns into two, or a share of slow runs that doubles, may leave the typical value where it was. Each
value becomes a row of a soft histogram: it belongs to the two nearest cells, in shares. Stretches are compared by their
mean rows, a kernel two-sample test (A. Gretton and others, A Kernel Two-Sample Test, Journal of Machine Learning
Research 13, 2012). Cuts have the least cost over a set of candidates (S. Arlot, A. Celisse and Z. Harchaoui, A Kernel
Multiple Change-point Algorithm via Model Selection, Journal of Machine Learning Research 20, 2019).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Cells are so many noises wide, unless the values span more than _MAX_CELLS of them.
_CELL = 1.5
_MAX_CELLS = 40
# Outer values share the cells at the ends: beyond these quantiles, and so many noises more.
_OUTER = (0.02, 0.98)
_MARGIN = 1.5
# Neighbouring windows of so many points are compared to find candidates.
_WINDOWS = (6, 12, 24, 48)
# Equal rows have no scatter; it is taken to be at least this.
_MIN_WEIGHT = 1e-9
# Of a very long series the candidates that differ most; time and memory grow with their square.
_MAX_CANDIDATES = 500
# A cut moves to a place where the cost is less by this much.
_MIN_GAIN = 1.5
_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class SoftHistogram:
    """The rows of a series.

    Attributes:
        rows: points × cells; each row sums to one.
        sums: (points + 1) × cells; row i is the sum of the rows before point i.
        squares: points + 1; the same of the squared lengths of the rows.
    """

    rows: Floats
    sums: Floats
    squares: Floats


def soft_histogram(values: Floats, noise: float) -> SoftHistogram:
    """Args:
    values: at least one finite number.
    noise: standard deviation of points around their level, above zero.
    """
    ordered, last = np.sort(values), len(values) - 1
    low, high = (ordered[round(share * last)] / noise for share in _OUTER)
    low, high = low - _MARGIN, high + _MARGIN
    width = max(_CELL, (high - low) / (_MAX_CELLS - 1))
    cells = int((high - low) / width) + 2
    place = np.clip((values / noise - low) / width, 0, cells - 1)
    cell = np.minimum(place.astype(int), cells - 2)
    share = place - cell
    rows = np.zeros((len(values), cells))
    points = np.arange(len(values))
    rows[points, cell] = 1 - share
    rows[points, cell + 1] = share
    sums = np.zeros((len(values) + 1, cells))
    np.cumsum(rows, axis=0, out=sums[1:])
    squares = np.zeros(len(values) + 1)
    np.cumsum((rows * rows).sum(axis=1), out=squares[1:])
    return SoftHistogram(rows, sums, squares)


def distribution_cuts(histogram: SoftHistogram, others: Iterable[int], penalty: float) -> list[int]:
    """Where the distribution changes, as the indices of the first points after the cuts, in order.

    Least Σ |row − mean row of its stretch|² + penalty · log(n) · number of cuts, over places where neighbouring windows
    differ most, and `others`.
    """
    n = len(histogram.rows)
    ends = np.array(sorted({0, n, *others, *_candidates(histogram.sums)}))
    sums, squares = histogram.sums[ends], histogram.squares[ends]
    products = sums @ sums.T
    lengths = np.maximum(ends[None, :] - ends[:, None], 1)
    of_mean = np.diag(products)[None, :] + np.diag(products)[:, None] - 2 * products
    costs = squares[None, :] - squares[:, None] - of_mean / lengths + penalty * math.log(n)
    best = np.zeros(len(ends))
    came_from = [0] * len(ends)
    for j in range(1, len(ends)):
        ways = best[:j] + costs[:j, j]
        came_from[j] = int(ways.argmin())
        best[j] = ways[came_from[j]]
    found: list[int] = []
    at = came_from[-1]
    while at > 0:
        found.append(int(ends[at]))
        at = came_from[at]
    return found[::-1]


def _candidates(sums: Floats) -> set[int]:
    """Places where neighbouring windows differ most."""
    n = len(sums) - 1
    found: dict[int, float] = {}
    for window in _WINDOWS:
        if 2 * window > n:
            break
        far = sums[2 * window :] - 2 * sums[window:-window] + sums[: -2 * window]
        apart = (far * far).sum(axis=1) / window
        # The largest of each block of half a window.
        block = window // 2
        blocks = np.full((-(-len(apart) // block), block), -1.0)
        blocks.flat[: len(apart)] = apart
        at = blocks.argmax(axis=1)
        places = np.arange(len(blocks)) * block + at
        for place, size in zip((places + window).tolist(), apart[places].tolist(), strict=True):
            found[place] = max(size, found.get(place, 0.0))
    return set(sorted(found, key=lambda at: (-found[at], at))[:_MAX_CANDIDATES])


def moved(histogram: SoftHistogram, places: Sequence[int], min_points: int) -> list[int]:
    """Each cut where it divides what is between its neighbours best, if that is clearly better than where it was."""
    sums = histogram.sums
    ends = [0, *places, len(histogram.rows)]
    for _ in range(_ROUNDS):
        for k in range(1, len(ends) - 1):
            first, last = ends[k - 1], ends[k + 1]
            at = np.arange(first + min_points, last - min_points + 1)
            before, after = sums[at] - sums[first], sums[last] - sums[at]
            gains = (before * before).sum(axis=1) / (at - first) + (after * after).sum(axis=1) / (last - at)
            best = int(gains.argmax())
            if gains[best] > gains[ends[k] - first - min_points] + _MIN_GAIN:
                ends[k] = int(at[best])
    return ends[1:-1]


@dataclass(frozen=True, slots=True)
class Stretches:
    """A cut histogram.

    Attributes:
        means: stretches × cells, the mean rows.
        weights: the eigenvalues of the covariance of the rows around them, the largest last.
    """

    means: Floats
    weights: Floats


def stretches_of(histogram: SoftHistogram, ends: Sequence[int]) -> Stretches:
    """Args:
    ends: 0, the cuts and the number of points.
    """
    lengths = np.diff(ends)
    means = np.diff(histogram.sums[list(ends)], axis=0) / lengths[:, None]
    off = histogram.rows - np.repeat(means, lengths, axis=0)
    weights = np.linalg.eigvalsh(off.T @ off / max(len(off) - len(lengths), 1))
    return Stretches(means, np.maximum(weights, 0.0))


def largest_tail(value: float, weights: Floats) -> float:
    """An upper bound of the probability that Σ weightᵢ · Xᵢ > `value`, with Xᵢ chi-squared with one degree of freedom.

    Chernoff's bound, min over s of e^(−s · value) Π (1 − 2 s weightᵢ)^(−½).
    """
    weights = np.maximum(weights, _MIN_WEIGHT)
    if value <= weights.sum():
        return 1.0
    s = np.linspace(0.02, 0.995, 60) / (2 * weights[-1])
    logarithms = -s * value - 0.5 * np.log1p(-2 * s[:, None] * weights[None, :]).sum(axis=1)
    return math.exp(max(float(logarithms.min()), -700.0))
