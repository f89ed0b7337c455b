"""Cuts a series into stretches, each of one level or of one distribution. Pure functions over arrays; knows no store.

Levels: the loss of a point far from its level is bounded, so single outliers neither move a level nor cut a stretch (P.
Fearnhead and G. Rigaill, Changepoint Detection in the Presence of Outliers, Journal of the American Statistical
Association 114, 2019). The cut with the least cost is found exactly, over a grid of levels, by Viterbi's recursion. Its
time grows with the number of points, not with its square.

Distributions: if one speed becomes two, or the share of slow runs doubles, the typical value may stay the same. Each
value therefore becomes a row of a soft histogram: it is split between the two nearest cells. Stretches are
compared by their mean rows, a kernel two-sample test (A. Gretton and others, A Kernel Two-Sample Test, Journal of
Machine Learning Research 13, 2012). Cuts have the least cost over a set of candidates (S. Arlot, A. Celisse and Z.
Harchaoui, A Kernel Multiple Change-point Algorithm via Model Selection, Journal of Machine Learning Research 20, 2019).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# The distance between the levels that are tried, in noises: a level is off by at most an eighth of the noise.
_GRID = 0.25
_MAX_LEVELS = 128
# The largest table of losses of one batch, in entries of 4 bytes, each with 1 further byte for a mark.
_BATCH_CELLS = 2_000_000


def cuts(series: Sequence[Floats], noises: Sequence[float], penalty: float, bound: float) -> list[list[int]]:
    """Return where each series is cut: the indices of the first points after the cuts, in order.

    The cuts minimise Σ min((xᵢ − level)² / noise², bound²) + penalty · log(n) · number of cuts.

    Args:
        series: finite numbers; the series may have different lengths.
        noises: for each series, the standard deviation of its points around their level, above zero.
        penalty: the cost of a cut, in squared noises, times the logarithm of the length.
        bound: the largest distance that counts, in noises.
    """
    found: list[list[int]] = [[] for _ in series]
    order = sorted((i for i, one in enumerate(series) if len(one) > 1), key=lambda i: len(series[i]))
    batch: list[int] = []
    levels: dict[int, Floats] = {}
    for i in order:
        levels[i] = _levels(series[i], noises[i])
        widest = max(len(levels[j]) for j in [*batch, i])
        if batch and (len(batch) + 1) * len(series[i]) * widest > _BATCH_CELLS:
            _cut_batch(batch, series, noises, levels, penalty, bound, found)
            batch = []
        batch.append(i)
    if batch:
        _cut_batch(batch, series, noises, levels, penalty, bound, found)
    return found


def _levels(values: Floats, noise: float) -> Floats:
    """Return a grid of levels around the median, limited to those that the running median of five points reaches."""
    step, middle = _GRID * noise, median_of(values)
    near = np.unique(np.round((running_median(values, 2) - middle) / step))
    near = np.unique(np.concatenate([near - 1, near, near + 1]))
    if len(near) > _MAX_LEVELS:
        near = near[np.linspace(0, len(near) - 1, _MAX_LEVELS).round().astype(int)]
    return np.asarray(middle + near * step)


def running_median(values: Floats, reach: int) -> Floats:
    """Return the running median:

    of each point and up to `reach` points on each side; fewer at the ends, equally on both.
    """
    n = len(values)
    reach = min(reach, (n - 1) // 2)
    if reach < 1:
        return values
    windows = np.lib.stride_tricks.sliding_window_view(values, 2 * reach + 1)
    middle = np.partition(windows, reach, axis=1)[:, reach]
    head = [median_of(values[: 2 * i + 1]) for i in range(reach)]
    tail = [median_of(values[n - 2 * i - 1 :]) for i in reversed(range(reach))]
    return np.concatenate([head, middle, tail])


def median_of(values: Floats) -> float:
    """Return the median of at least one number. It is ten times as fast as NumPy's function for short arrays."""
    low, high = (len(values) - 1) // 2, len(values) // 2
    parted = np.partition(values, (low, high))
    return float(parted[low] + parted[high]) / 2


def _cut_batch(
    batch: Sequence[int],
    series: Sequence[Floats],
    noises: Sequence[float],
    levels: dict[int, Floats],
    penalty: float,
    bound: float,
    found: list[list[int]],
) -> None:
    lengths = [len(series[i]) for i in batch]
    longest, widest = max(lengths), max(len(levels[i]) for i in batch)
    # Points after the end of a shorter series have no loss, so there are no cuts. Levels that a series does not have
    # get the largest loss.
    losses = np.zeros((longest, len(batch), widest), np.float32)
    for row, i in enumerate(batch):
        far = (series[i][:, None] - levels[i][None, :]) / noises[i]
        losses[: lengths[row], row, : len(levels[i])] = np.minimum(far * far, bound * bound)
        losses[: lengths[row], row, len(levels[i]) :] = bound * bound
    price = np.asarray([[penalty * np.log(n)] for n in lengths], np.float32)
    rows = np.arange(len(batch))
    cost = losses[0].copy()
    came_from = np.zeros((longest, len(batch)), np.int32)
    jumped = np.zeros((longest, len(batch), widest), bool)
    for t in range(1, longest):
        best: Any = cost.argmin(axis=1)
        least = cost[rows, best][:, None]
        # Only differences of costs matter. Subtracting the smallest keeps single precision exact enough for long
        # series.
        cost -= least
        came_from[t] = best
        np.greater(cost, price, out=jumped[t])
        np.minimum(cost, price, out=cost)
        cost += losses[t]
    for row, (i, level) in enumerate(zip(batch, cost.argmin(axis=1).tolist(), strict=True)):
        end, at = longest, level
        while len(jumps := np.flatnonzero(jumped[:end, row, at])):
            end = int(jumps[-1])
            at = int(came_from[end, row])
            found[i].append(end)
        found[i].reverse()


# Width of a cell in noises, unless the values span more than _MAX_CELLS cells.
_CELL = 1.5
_MAX_CELLS = 40
# Values that are this many noises beyond these quantiles are in the cells at the ends.
_OUTER = (0.02, 0.98)
_MARGIN = 1.5
# To find candidates, neighbouring windows of these sizes (in points) are compared.
_WINDOWS = (6, 12, 24, 48)
# The smallest scatter that is assumed, because equal rows have none.
_MIN_WEIGHT = 1e-9
# The largest number of candidates: time and memory grow with its square.
_MAX_CANDIDATES = 500
# A cut is moved if that lowers the cost by this much.
_MIN_GAIN = 1.5
_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class SoftHistogram:
    """The soft histogram of a series: a row for each point.

    Attributes:
        rows: points × cells; each row sums to one.
        sums: (points + 1) × cells; row i is the sum of the rows before point i.
        squares: points + 1; entry i is the sum of the squared lengths of the rows before point i.
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
    """Return where the distribution changes: the indices of the first points after the cuts, in order.

    The cuts minimise Σ |row − mean row of its stretch|² + penalty · log(n) · number of cuts. Candidates are `others`
    and the places where neighbouring windows differ most.
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
    """Return the places where neighbouring windows differ most."""
    found: dict[int, float] = {}
    for window in _WINDOWS:
        far = sums[2 * window :] - 2 * sums[window:-window] + sums[: -2 * window]
        apart = (far * far).sum(axis=1) / window
        # In each block of half a window, only the place with the largest distance is a candidate.
        block = window // 2
        blocks = np.full((-(-len(apart) // block), block), -1.0)
        blocks.flat[: len(apart)] = apart
        at = blocks.argmax(axis=1)
        places = np.arange(len(blocks)) * block + at
        for place, size in zip((places + window).tolist(), apart[places].tolist(), strict=True):
            found[place] = max(size, found.get(place, 0.0))
    return set(sorted(found, key=lambda at: (-found[at], at))[:_MAX_CANDIDATES])


def moved(histogram: SoftHistogram, places: Sequence[int], min_points: int) -> list[int]:
    """Move each cut to the best place between its neighbours, if that is clearly better; return the cuts."""
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
    """A soft histogram that is cut into stretches.

    Attributes:
        means: stretches × cells, the mean rows.
        weights: the eigenvalues of the covariance of the rows around these means, the largest last.
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
    return Stretches(means, np.asarray(weights, dtype=np.float64))


def largest_tail(value: float, weights: Floats) -> float:
    """Bound the probability that Σ weightᵢ · Xᵢ > `value` from above; Xᵢ is chi-squared with one degree of freedom.

    Chernoff's bound, min over s of e^(−s · value) Π (1 − 2 s weightᵢ)^(−½).
    """
    weights = np.maximum(weights, _MIN_WEIGHT)
    if value <= weights.sum():
        return 1.0
    s = np.linspace(0.02, 0.995, 60) / (2 * weights[-1])
    logarithms = -s * value - 0.5 * np.log1p(-2 * s[:, None] * weights[None, :]).sum(axis=1)
    return math.exp(max(float(logarithms.min()), -700.0))
