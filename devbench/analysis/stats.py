"""Statistics over a few process-level values; pure functions that know no store and no device.

A process of the tool is one observation, whatever the number of inferences in it: inferences of one process share its
memory layout, its caches and its heat, and are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median with its interval; the evidence travels with it.

    Attributes:
        median, low, high: in the unit of the values.
        coverage: probability with which such an interval holds the true median; below what was asked for where the
            values are too few. `None` for a single value, which has no interval.
        values: the observations, in the order given.
    """

    median: float
    low: float
    high: float
    coverage: float | None
    values: tuple[float, ...]

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def half_width_pct(self) -> float | None:
        """Half the interval's width in percent of the median."""
        if self.coverage is None or not self.median:
            return None
        return 50 * (self.high - self.low) / abs(self.median)


def estimate(values: Sequence[float], confidence: float = 0.95) -> Estimate | None:
    """The median and the narrowest interval between order statistics that covers it with `confidence`.

    Distribution-free: of n independent observations, the k-th smallest and the k-th largest enclose the median with
    probability 1 − 2·P(B < k), B binomial with n and ½ (W. J. Conover, Practical Nonparametric Statistics, 3rd ed.,
    section 3.2). With fewer than six observations even the smallest and the largest cover it with less than 95 %; the
    interval is then those two, and `coverage` says what it is worth.

    Args:
        values: finite numbers; others are left out.
        confidence: the probability asked for, between 0 and 1.

    Returns:
        `None` where there is no value.
    """
    known = [float(value) for value in values if math.isfinite(value)]
    if not known:
        return None
    ordered = sorted(known)
    n = len(ordered)
    if n == 1:
        return Estimate(ordered[0], ordered[0], ordered[0], None, tuple(known))
    k, coverage = 1, _coverage(n, 1)
    while 2 * (k + 1) <= n and _coverage(n, k + 1) >= confidence:
        k += 1
        coverage = _coverage(n, k)
    return Estimate(median(ordered), ordered[k - 1], ordered[n - k], coverage, tuple(known))


def _coverage(n: int, k: int) -> float:
    """1 − 2·P(B < k) for a binomial B with n and ½."""
    return 1.0 - 2.0 * sum(math.comb(n, i) for i in range(k)) / 2.0**n
