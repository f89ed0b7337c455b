"""E-divisive with permutations, as a peer of the benchmark of change points: NumPy only; knows nothing of devbench.

D. Matteson and N. James, A Nonparametric Approach for Multiple Change Point Analysis of Multivariate Data, Journal of
the American Statistical Association 109, 2014, with the exponent 1.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def e_divisive(values: Floats, p: float = 0.01, permutations: int = 100, seed: int = 1) -> list[int]:
    """The first points after the changes, in order.

    Args:
        values: finite numbers.
        p: a change counts where a smaller share than this of permuted series has as clear a change.
        permutations: of the points within each stretch between the changes so far, for each further change.
        seed: of the permutations.
    """
    rng = np.random.default_rng(seed)
    cuts: list[int] = []
    known: dict[tuple[int, int], tuple[float, int]] = {}
    while True:
        stretches = list(pairwise([0, *cuts, len(values)]))
        for a, b in stretches:
            if (a, b) not in known:
                clear, at = clearest(values[a:b])
                known[a, b] = (clear, a + at)
        clear, at = max(known[stretch] for stretch in stretches)
        if clear <= 0:
            return cuts
        as_clear = 0
        for _ in range(permutations):
            as_clear += max(clearest(rng.permutation(values[a:b]))[0] for a, b in stretches) >= clear
            if as_clear / (permutations + 1) >= p:
                return cuts
        cuts = sorted([*cuts, at])


def clearest(values: Floats) -> tuple[float, int]:
    """The largest energy statistic of a stretch and the first point after that cut.

    m k / (m + k) · (2 E|X − Y| − E|X − X'| − E|Y − Y'|), where X are the m points before the cut and Y the k points
    after it, as far as the end that makes the statistic largest.
    """
    n = len(values)
    if n < 2:
        return 0.0, 0
    sums = np.zeros((n + 1, n + 1))
    np.abs(values[:, None] - values[None, :]).cumsum(axis=0).cumsum(axis=1, out=sums[1:, 1:])
    whole = np.diag(sums)
    m, end = np.arange(1, n)[:, None], np.arange(2, n + 1)[None, :]
    k = np.maximum(end - m, 1)
    inside, across = whole[1:n, None], sums[1:n, 2:]
    rest = whole[None, 2:] - 2 * across + inside
    statistic = 2 * (across - inside) - inside * k / np.maximum(m - 1, 1) - rest * m / np.maximum(k - 1, 1)
    statistic = np.where(end > m, statistic / (m + k), 0.0)
    row, column = np.unravel_index(np.argmax(statistic), statistic.shape)
    return float(statistic[row, column]), int(row) + 1
