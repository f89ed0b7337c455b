"""Tests which cuts of a series are changes. Pure functions over arrays; knows no store.

A cut of the level is tested by Student's t of the two stretches, a cut of the distribution by the distance of their
soft histograms. Both tests allow for a level that wanders a little: otherwise any two stretches would differ if they
are long enough. The weakest cut is removed until all others are significant and large enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from devbench.analysis.cuts import SoftHistogram, Stretches, largest_tail, median_of, moved, stretches_of
from devbench.analysis.drift import line_does_as_well

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Smallest noise of a series, as a share of its value: the resolution of timers and clocks.
MIN_NOISE = 5e-4
# A higher correlation from point to point is a level that wanders: any number of points would be too few.
_MAX_CORRELATION = 0.9
# Both stretches need this many points for a comparison of their distributions.
_MIN_OF_DISTRIBUTION = 8


@dataclass(frozen=True, slots=True)
class ChangeSettings:
    """What counts as a change.

    Attributes:
        alpha: the largest p that counts, for one series and all places where it might have changed.
        smallest: the smallest relative change that counts, such as 0.01.
        min_points: the smallest number of points on each side of a change.
        penalty, bound: of cuts of the level (`cuts.cuts`).
        distribution_penalty: of cuts of the distribution (`cuts.distribution_cuts`).
        wander: the standard deviation of a level that did not change, in noises; the tests allow for it.
    """

    alpha: float = 0.001
    smallest: float = 0.005
    min_points: int = 3
    penalty: float = 3.5
    bound: float = 2.5
    distribution_penalty: float = 0.35
    wander: float = 0.1


@dataclass(frozen=True, slots=True)
class ConfirmedStep:
    """A cut that passes the tests.

    Attributes:
        index: of the first point after it.
        p: of the level, or of the distribution if the level is not significant; times the number of points.
        size: difference of the medians.
    """

    index: int
    p: float
    size: float


def confirmed(
    values: Floats, noise: float, histogram: SoftHistogram, candidates: Sequence[int], rules: ChangeSettings
) -> list[ConfirmedStep]:
    """The candidates that pass all tests, each at its best place, in order."""
    steps = _standing(values, noise, histogram, candidates, rules)
    places = [step.index for step in steps]
    better = moved(histogram, places, rules.min_points)
    return steps if better == places else _standing(values, noise, histogram, better, rules)


def _standing(
    values: Floats, noise: float, histogram: SoftHistogram, candidates: Sequence[int], rules: ChangeSettings
) -> list[ConfirmedStep]:
    places = list(candidates)
    smallest = math.log1p(rules.smallest)
    while places:
        ends = [0, *places, len(values)]
        parts = [values[a:b] for a, b in pairwise(ends)]
        short = [k for k, part in enumerate(parts) if len(part) < rules.min_points]
        if short:
            # A stretch that is too short has only outliers: it joins the neighbour with the nearer level.
            k = min(short, key=lambda i: len(parts[i]))
            levels = [median_of(part) for part in parts]
            sides = [i for i in (k - 1, k + 1) if 0 <= i < len(parts)]
            near = min(sides, key=lambda i: abs(levels[i] - levels[k]))
            del places[min(near, k)]
            continue
        without_outliers = bounded(parts, noise, rules.bound)
        share = _independent_share(without_outliers)
        stretches: Stretches | None = None
        middles = [median_of(part) for part in parts]
        steps = []
        for k, place in enumerate(places):
            left, right = without_outliers[k], without_outliers[k + 1]
            p = len(values) * _p_of_level(left, right, noise, share, rules.wander)
            if p <= rules.alpha:
                # A device may switch between two modes, and the medians be in different ones: test both stretches again
                # with common bounds.
                reach = rules.bound * noise
                low, high = min(middles[k : k + 2]) - reach, max(middles[k : k + 2]) + reach
                common = np.clip(parts[k], low, high), np.clip(parts[k + 1], low, high)
                p = max(p, _p_of_level(*common, noise, share, rules.wander))
            if p <= rules.alpha and line_does_as_well(values[ends[k] : ends[k + 2]], len(left), noise):
                p = 1.0
            if p > rules.alpha:
                stretches = stretches or stretches_of(histogram, ends)
                other = _p_of_distribution(stretches, k, len(left), len(right), share, rules.wander)
                p = min(1.0, p, len(values) * other)
            steps.append(ConfirmedStep(place, p, middles[k + 1] - middles[k]))
        weakest = max(range(len(steps)), key=lambda k: (steps[k].p, -abs(steps[k].size)))
        if steps[weakest].p <= rules.alpha:
            weakest = min(range(len(steps)), key=lambda k: abs(steps[k].size))
            if abs(steps[weakest].size) >= smallest:
                return steps
        del places[weakest]
    return []


def bounded(parts: Sequence[Floats], noise: float, bound: float) -> list[Floats]:
    """The stretches with outliers limited to the bound around the median."""
    middles = [median_of(part) for part in parts]
    return [np.clip(part, m - bound * noise, m + bound * noise) for part, m in zip(parts, middles, strict=True)]


def _independent_share(parts: Sequence[Floats]) -> float:
    """The number of independent points that a point is worth: (1 − r) / (1 + r), r the correlation to the next point.

    The size of a sample with first-order correlation (G. Box, G. Jenkins and G. Reinsel, Time Series Analysis, 2.1.5).
    """
    off = [part - part.mean() for part in parts]
    whole = sum(float(one @ one) for one in off)
    if whole <= sum(map(len, parts)) * (MIN_NOISE / 10) ** 2:
        # Equal numbers: only rounding errors are left.
        return 1.0
    r = sum(float(one[1:] @ one[:-1]) for one in off) / whole
    r = min(max(r, 0.0), _MAX_CORRELATION)
    return (1 - r) / (1 + r)


def _p_of_level(left: Floats, right: Floats, noise: float, share: float, wander: float) -> float:
    """p of Student's t with the pooled variance, each mean with a further uncertainty of `wander` noises."""
    n, m = len(left) * share, len(right) * share
    free = max(len(left) + len(right) - 2, 1)
    spread2 = float(((left - left.mean()) ** 2).sum() + ((right - right.mean()) ** 2).sum()) / free
    spread2 = max(spread2, (noise / 2) ** 2)
    t = abs(float(right.mean() - left.mean())) / math.sqrt(spread2 * (1 / n + 1 / m + 2 * wander**2))
    from scipy.special import stdtr

    return 2 * float(stdtr(max(n + m - 2, 1.0), -t))


def _p_of_distribution(stretches: Stretches, k: int, left: int, right: int, share: float, wander: float) -> float:
    """p of the distance between the mean rows, which without a change is a sum of chi-squared variables."""
    if min(left, right) < _MIN_OF_DISTRIBUTION:
        return 1.0
    apart = stretches.means[k + 1] - stretches.means[k]
    scatter = 1 / (left * share) + 1 / (right * share) + 2 * wander**2
    return largest_tail(float(apart @ apart) / scatter, stretches.weights)
