"""How far runs lie apart: pure functions over numbers; knows no store.

A device is warmer in one night than in another, and so are all repetitions of that night. If a side of a comparison has
several runs, a run is therefore one observation, its median. Seven nights tell little of how far nights lie apart; that
of one case is hence never taken to be less than what it typically is over all cases that are compared.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

# Fewer degrees of freedom say next to nothing of a scatter.
_MIN_FREE = 3
# The variance of a median divided by that of a mean, for normal noise: π/2.
_OF_MEDIANS = 1.5708
_MAD_OF_NORMAL = NormalDist().inv_cdf(0.75)
# From so many cases on there is something typical.
_MIN_CASES = 8
# What is typical of many cases is known that well.
_MAX_FREE = 15.0


@dataclass(frozen=True, slots=True)
class Between:
    """The runs of a baseline and a candidate.

    Attributes:
        size: mean of the medians of the candidate's runs minus that of the baseline's.
        variance: of the medians of runs within their side; `free` its degrees of freedom.
        within: what of that variance the scatter of repetitions lets expect.
        share: squared standard error of `size` = variance · share: the sum of 1 / number of runs over the sides.
    """

    size: float
    variance: float
    free: float
    within: float
    share: float


def between_runs(sides: Sequence[Sequence[float]], runs: Sequence[Sequence[Hashable]]) -> Between | None:
    """The runs of two sides as observations.

    Args:
        sides: values of the baseline and the candidate on the scale of the test.
        runs: of each value the run that measured it.

    Returns:
        `None` if there are too few runs, or each has one value: then the values' own scatter is that of the runs.
    """
    squares, free, share, expected, count = 0.0, 0, 0.0, 0.0, 0
    means: list[float] = []
    residuals: list[float] = []
    for values, whose in zip(sides, runs, strict=True):
        by_run: dict[Hashable, list[float]] = {}
        for value, run in zip(values, whose, strict=True):
            by_run.setdefault(run, []).append(value)
        groups = list(by_run.values())
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
            # A median has the distance zero to itself.
            residuals += sorted(abs(value - of) for value in group)[n % 2 :]
    if free < _MIN_FREE or not residuals:
        return None
    scatter = median(residuals) / _MAD_OF_NORMAL
    return Between(means[1] - means[0], squares / free, free, scatter**2 * expected / count, share)


def errors_of(found: Sequence[Between]) -> list[tuple[float, float]]:
    """Squared standard error of each size, and its degrees of freedom.

    The variance of a case's runs is its own, or the typical one if that is larger: what the repetitions let expect, and
    the scatter of runs at which half of the cases have less than the median of a χ² distribution.
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
    """The variance of runs beyond what repetitions explain, the same for all cases, by bisection."""
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
