"""Finds change points: where a series of measurements changed its level, and by how much. Pure functions; knows no
store.

A series has the values of one metric of one case on one device, one value per night. Lasting changes are to be found.
Outliers, gaps, a device that switches between two speeds, and slow drift are not changes. `docs/detection.md` compares
what is found and missed with other methods, and says how the constants were chosen.

A series is cut into stretches where its level or its distribution changes. A cut of the level is tested by Student's t
of the two stretches, a cut of the distribution by the distance of their soft histograms. Both tests allow for a level
that wanders a little: otherwise any two stretches would differ if they are long enough. The weakest cut is removed,
again and again, until all others are significant and large enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from devbench.analysis.cuts import (
    SoftHistogram,
    Stretches,
    cuts,
    distribution_cuts,
    largest_tail,
    median_of,
    moved,
    soft_histogram,
    stretches_of,
)
from devbench.analysis.drift import drift_under, line_does_as_well

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Direction = Literal["up", "down"]

# Shares of a normal distribution within 0.6745 and 1.2816 standard deviations.
_QUANTILES = ((0.5, 0.6745), (0.8, 1.2816))
# Larger values count as gaps, like those that are not finite.
NO_NUMBER = 1e150
# The limit of values, as a multiple of the typical value: their squares must not overflow.
_LARGEST = 1e9
# Cuts at most this many points apart count as the same cut.
_SAME = 3
# Logarithms are rounded to this many decimals. A series in another unit then gives exactly the same result.
_DECIMALS = 10


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """One change with its evidence.

    Attributes:
        index: the index of the first point after the change, in the series as given, gaps included.
        before, after: the medians of the stretches on both sides, up to the next change, in the series' unit, without
            the drift.
        size: after / before − 1; `None` if `before` is zero.
        direction: "up" if the values grew.
        p: the probability of such a difference at any point of a series of that length that has no change.
        points_before, points_after: numbers of points of the two stretches.
    """

    index: int
    before: float
    after: float
    size: float | None
    direction: Direction
    p: float
    points_before: int
    points_after: int

    @property
    def confidence(self) -> float:
        """Return 1 − p."""
        return 1 - self.p


def change_points(values: Sequence[float] | Floats, settings: ChangeSettings | None = None) -> tuple[ChangePoint, ...]:
    """Return the changes of one series, in the order of time; see `change_points_of_many`."""
    return change_points_of_many([values], settings)[0]


def change_points_of_many(
    many: Sequence[Sequence[float] | Floats], settings: ChangeSettings | None = None
) -> list[tuple[ChangePoint, ...]]:
    """Find the changes of each series.

    Series are cut into levels (`cuts.cuts`), of logarithms if all values are above zero. If slow drift explains a
    series better than levels do, it is subtracted and the series is cut again (`drift.drift_under`). They are also cut
    where the distribution changes (`cuts.distribution_cuts`). All cuts are then tested together. The noise is estimated
    from differences of neighbouring points; if neighbouring points are correlated, a stretch counts as fewer points.

    Args:
        many: the values of each series in the order of time; a value that is not finite is a gap.
        settings: `None` uses the defaults.
    """
    rules = settings or ChangeSettings()
    all_values = [np.asarray(values, dtype=np.float64) for values in many]
    places = [np.flatnonzero(np.abs(values) < NO_NUMBER) for values in all_values]
    known = [values[at] for values, at in zip(all_values, places, strict=True)]
    scaled = [scaled_values(values) for values in known]
    noises = [noise_of(values) for values in scaled]
    candidates = cuts(scaled, noises, rules.penalty, rules.bound)
    again = []
    for i, places_of_cuts in enumerate(candidates):
        if places_of_cuts:
            parts = bounded(np.split(scaled[i], places_of_cuts), noises[i], rules.bound)
            curve = drift_under(np.concatenate(parts), places_of_cuts, MIN_NOISE)
            if curve is not None:
                again.append(i)
                known[i] = _without(known[i], curve)
                scaled[i] = scaled[i] - curve
    # The drift was cut into stairs. Subtract it and look for cuts again.
    cut_again = cuts([scaled[i] for i in again], [noises[i] for i in again], rules.penalty, rules.bound)
    for i, places_of_cuts in zip(again, cut_again, strict=True):
        candidates[i] = places_of_cuts
    found = []
    for i, values in enumerate(known):
        steps: list[ConfirmedStep] = []
        if len(values) >= 2 * rules.min_points:
            histogram = soft_histogram(scaled[i], noises[i])
            more = distribution_cuts(histogram, candidates[i], rules.distribution_penalty)
            steps = confirmed(scaled[i], noises[i], histogram, _together(candidates[i], more), rules)
        found.append(_described(values, places[i], steps))
    return found


def _together(levels: Sequence[int], distributions: Sequence[int]) -> list[int]:
    """Return the cuts of the level, and those cuts of the distribution that are not next to a cut of the level."""
    return sorted([*levels, *(at for at in distributions if all(abs(at - one) > _SAME for one in levels))])


def scaled_values(values: Floats) -> Floats:
    """Return logarithms, or multiples of the typical size if a value is zero or less.

    Differences of both are relative.
    """
    if len(values) and values.min() > 0:
        logs = np.log(values)
        return np.asarray(np.round(logs - median_of(logs), _DECIMALS))
    with np.errstate(over="ignore"):
        return np.clip(values / _typical(values), -_LARGEST, _LARGEST)


def _without(values: Floats, curve: Floats) -> Floats:
    """Subtract a curve, which has the scale of `scaled_values`, from the values."""
    if values.min() > 0:
        # The curve is limited to avoid an overflow.
        return np.asarray(values * np.exp(-np.clip(curve, -100, 100)))
    return values - curve * _typical(values)


def _typical(values: Floats) -> float:
    """Return the median absolute value; the largest one if the median is zero, and 1 if all are zero."""
    sizes = np.abs(values)
    return float(np.median(sizes)) or float(np.max(sizes)) if len(sizes) and sizes.any() else 1.0


def noise_of(values: Floats) -> float:
    """Estimate the standard deviation of points around their level from the differences of neighbouring points.

    A change of level hardly affects the result. It is the larger of two estimates, from the median and from the 80th
    percentile of the differences. The two are equal for normal noise. The median alone would miss a device that
    switches between two speeds; outliers would change a higher percentile.
    """
    if len(values) < 2:
        return MIN_NOISE
    steps = np.abs(np.diff(values))
    shares, scores = zip(*_QUANTILES, strict=True)
    said = np.quantile(steps, shares) / (math.sqrt(2) * np.asarray(scores))
    return max(float(said.max()), MIN_NOISE)


def _described(values: Floats, at: NDArray[np.int_], steps: Sequence[ConfirmedStep]) -> tuple[ChangePoint, ...]:
    ends = [0, *(step.index for step in steps), len(values)]
    levels = [median_of(values[a:b]) for a, b in pairwise(ends) if b > a]
    return tuple(
        ChangePoint(
            index=int(at[step.index]),
            before=levels[k],
            after=levels[k + 1],
            size=(levels[k + 1] - levels[k]) / abs(levels[k]) if levels[k] else None,
            direction="up" if step.size > 0 else "down",
            p=step.p,
            points_before=ends[k + 1] - ends[k],
            points_after=ends[k + 2] - ends[k + 1],
        )
        for k, step in enumerate(steps)
    )


# Smallest noise of a series, as a share of its value: the resolution of timers and clocks.
MIN_NOISE = 5e-4
# If neighbouring points are more correlated than this, the level itself wanders, and no test is possible.
_MAX_CORRELATION = 0.9
# Both stretches need this many points for a comparison of their distributions.
_MIN_OF_DISTRIBUTION = 8


@dataclass(frozen=True, slots=True)
class ChangeSettings:
    """The settings that decide what counts as a change.

    Attributes:
        alpha: the largest p of a change; p is for the whole series, with all places where it might have changed.
        smallest: the smallest relative change that counts, such as 0.01.
        min_points: the smallest number of points on each side of a change.
        penalty, bound: the parameters of `cuts.cuts`, which finds cuts of the level.
        distribution_penalty: the parameter of `cuts.distribution_cuts`, which finds cuts of the distribution.
        wander: how far a level may wander without a change: a standard deviation, as a multiple of the noise.
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
        index: the index of the first point after the cut.
        p: the p-value of the change of level, or of distribution if the level is not significant, times the number of
            points.
        size: the difference of the medians of both sides.
    """

    index: int
    p: float
    size: float


def confirmed(
    values: Floats, noise: float, histogram: SoftHistogram, candidates: Sequence[int], rules: ChangeSettings
) -> list[ConfirmedStep]:
    """Return the candidates that pass all tests, each moved to its best place, in the order of time."""
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
                # A device may switch between two modes. The medians of the stretches may then be in different modes, so
                # both are tested again with common bounds.
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
    """Return the stretches with outliers limited to `bound` noises around the median."""
    middles = [median_of(part) for part in parts]
    return [np.clip(part, m - bound * noise, m + bound * noise) for part, m in zip(parts, middles, strict=True)]


def _independent_share(parts: Sequence[Floats]) -> float:
    """Return how many independent points one point counts as: (1 − r) / (1 + r), r the correlation with the next point.

    The formula is that of the effective sample size with first-order correlation (G. Box, G. Jenkins and G. Reinsel,
    Time Series Analysis, 2.1.5).
    """
    off = [part - part.mean() for part in parts]
    whole = sum(float(one @ one) for one in off)
    if whole <= sum(map(len, parts)) * (MIN_NOISE / 10) ** 2:
        # If all numbers are equal, only rounding errors are left.
        return 1.0
    r = sum(float(one[1:] @ one[:-1]) for one in off) / whole
    r = min(max(r, 0.0), _MAX_CORRELATION)
    return (1 - r) / (1 + r)


def _p_of_level(left: Floats, right: Floats, noise: float, share: float, wander: float) -> float:
    """Return p of Student's t with the pooled variance; each mean has a further uncertainty of `wander` noises."""
    n, m = len(left) * share, len(right) * share
    free = max(len(left) + len(right) - 2, 1)
    spread2 = float(((left - left.mean()) ** 2).sum() + ((right - right.mean()) ** 2).sum()) / free
    spread2 = max(spread2, (noise / 2) ** 2)
    t = abs(float(right.mean() - left.mean())) / math.sqrt(spread2 * (1 / n + 1 / m + 2 * wander**2))
    from scipy.special import stdtr

    return 2 * float(stdtr(max(n + m - 2, 1.0), -t))


def _p_of_distribution(stretches: Stretches, k: int, left: int, right: int, share: float, wander: float) -> float:
    """Return p of the distance between the mean rows. Without a change, it is a weighted sum of χ² variables."""
    if min(left, right) < _MIN_OF_DISTRIBUTION:
        return 1.0
    apart = stretches.means[k + 1] - stretches.means[k]
    scatter = 1 / (left * share) + 1 / (right * share) + 2 * wander**2
    return largest_tail(float(apart @ apart) / scatter, stretches.weights)
