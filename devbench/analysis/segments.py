"""Cuts series into stretches of one level each, many series at once: pure functions over arrays; knows no store.

A level is a number that a whole stretch lies around. Points far from every level cost no more than a bounded loss, so
that single outliers neither move a level nor cut a stretch (P. Fearnhead and G. Rigaill, Changepoint Detection in the
Presence of Outliers, Journal of the American Statistical Association 114, 2019). The cut with the least cost is found
exactly, over a grid of levels, by Viterbi's recursion; its time grows with the points, not with their square.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Levels are tried this share of the noise apart: a stretch between two of them is off by an eighth of the noise.
_GRID = 0.25
_MAX_LEVELS = 128
# Numbers in the table of losses of one batch; 4 bytes each, with as many bytes of marks beside them.
_BATCH_CELLS = 2_000_000


def cuts(series: Sequence[Floats], noises: Sequence[float], penalty: float, bound: float) -> list[list[int]]:
    """Where each series is to be cut, as the indices of the first points after the cuts, in order.

    Least Σ min((xᵢ − level)² / noise², bound²) + penalty · log(n) · number of cuts.

    Args:
        series: finite numbers; may be of different lengths.
        noises: of each series the standard deviation of its points around their level, above zero.
        penalty: of a cut, in squared noises, times the logarithm of the length.
        bound: how far in noises a point counts at most.
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
    """A grid around the median, so that it moves with the values; only where the running median of five points was."""
    step, middle = _GRID * noise, median_of(values)
    near = np.unique(np.round((running_median(values, 2) - middle) / step))
    near = np.unique(np.concatenate([near - 1, near, near + 1]))
    if len(near) > _MAX_LEVELS:
        near = near[np.linspace(0, len(near) - 1, _MAX_LEVELS).round().astype(int)]
    return np.asarray(middle + near * step)


def running_median(values: Floats, reach: int) -> Floats:
    """The median of each point and up to `reach` on both sides; fewer at the ends, the same number on both sides."""
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
    """The median of at least one number: that of NumPy, in a tenth of its time for short arrays."""
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
    # Behind the end of a shorter series every level costs nothing, so that nothing is cut there; levels that a series
    # does not have are as bad as any point may be.
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
        # Only the differences matter; taking off the least keeps single precision exact enough over long series.
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
