"""Change points: where a series of measurements took another level, and by how much. Pure functions; knows no store.

A series has the values of one metric of one case on one device, night after night. What is to be found is a lasting
change. Outliers, gaps, a device that switches between two speeds, and slow drift are not changes. `docs/detection.md`
compares what is found and missed with other methods, and says how the constants were chosen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from devbench.analysis.confirmation import MIN_NOISE, ChangeSettings, ConfirmedStep, bounded, confirmed
from devbench.analysis.cuts import cuts, distribution_cuts, median_of, soft_histogram
from devbench.analysis.drift import drift_under

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Direction = Literal["up", "down"]

# Shares of a normal distribution within 0.6745 and 1.2816 standard deviations.
_QUANTILES = ((0.5, 0.6745), (0.8, 1.2816))
# Larger values count as gaps, like those that are not finite.
NO_NUMBER = 1e150
# Limit of values, in typical values: their squares must not overflow.
_LARGEST = 1e9
# Cuts at most this many points apart are the same.
_SAME = 3
# Another unit changes logarithms by rounding; rounded to this many decimals they are the same.
_DECIMALS = 10


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """One change with its evidence.

    Attributes:
        index: of the first point after the change, in the series as given, gaps included.
        before, after: the medians of the stretches on both sides, up to the next change, in the series' unit, without
            the drift.
        size: after / before − 1; `None` if `before` is zero.
        direction: "up" if the values grew.
        p: probability of such a difference anywhere in a series of that length without a change.
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
        """1 − p."""
        return 1 - self.p


def change_points(values: Sequence[float] | Floats, settings: ChangeSettings | None = None) -> tuple[ChangePoint, ...]:
    """The changes of one series, in order; see `change_points_of_many`."""
    return change_points_of_many([values], settings)[0]


def change_points_of_many(
    many: Sequence[Sequence[float] | Floats], settings: ChangeSettings | None = None
) -> list[tuple[ChangePoint, ...]]:
    """The changes of each series.

    Series are cut into levels (`cuts.cuts`), of logarithms if all values are above zero. If drift explains them better,
    it is subtracted and they are cut again (`drift.drift_under`). They are also cut where the distribution changes
    (`cuts.distribution_cuts`). All cuts are then tested together (`confirmation`). The noise is that of neighbouring
    points; if it is correlated from point to point, a stretch counts as fewer points.

    Args:
        many: the values of each series in the order of time; a value that is not finite is a gap.
        settings: the defaults if `None`.
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
    # Drift gave stairs: without the drift, cuts are looked for again.
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
    """The cuts of the level, and those of the distribution that are not next to one."""
    return sorted([*levels, *(at for at in distributions if all(abs(at - one) > _SAME for one in levels))])


def scaled_values(values: Floats) -> Floats:
    """Logarithms, or shares of the typical size if a value is zero or less: differences are relative in both cases."""
    if len(values) and values.min() > 0:
        logs = np.log(values)
        return np.asarray(np.round(logs - median_of(logs), _DECIMALS))
    with np.errstate(over="ignore"):
        return np.clip(values / _typical(values), -_LARGEST, _LARGEST)


def _without(values: Floats, curve: Floats) -> Floats:
    """The values less a curve on the scale of `scaled_values`."""
    if values.min() > 0:
        # Limited so that nothing overflows.
        return np.asarray(values * np.exp(-np.clip(curve, -100, 100)))
    return values - curve * _typical(values)


def _typical(values: Floats) -> float:
    """The median size; the largest if that is zero, or 1."""
    sizes = np.abs(values)
    return float(np.median(sizes)) or float(np.max(sizes)) if len(sizes) and sizes.any() else 1.0


def noise_of(values: Floats) -> float:
    """Standard deviation of points around their level, from the differences of neighbours.

    A change hardly affects it. It is the larger of the estimates from the median and from the 80th percentile of the
    differences. They are equal for normal noise. The median alone would miss a device that switches between two speeds;
    outliers would change a higher percentile.
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
