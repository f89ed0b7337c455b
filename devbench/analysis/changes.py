"""Change points: where a series of measurements took another level, and by how much. Pure functions; knows no store.

A series is what one metric of one case on one device was, night after night. What is to be found is a lasting change;
outliers, gaps, a device that switches between two speeds, and slow drift are none. `docs/detection.md` has what this
finds and misses beside other methods, and how the constants were chosen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Direction = Literal["up", "down"]

# Timers and clocks are no finer than this share of a value; a series that is all but constant has at least this noise.
_LEAST_NOISE = 5e-4
# Of a normal distribution, the share of it that lies within 0.6745 and 1.2816 standard deviations: 50 and 80 %.
_QUANTILES = ((0.5, 0.6745), (0.8, 1.2816))
# Nothing that is measured is as large; such a value is a gap, like one that is not finite.
_NO_NUMBER = 1e150
# Beyond so many times the typical value numbers are no measurements; their squares stay far from overflowing.
_LARGEST = 1e9
# Correlation from point to point above this is a level that wanders; no number of points would be enough.
_MOST_CORRELATION = 0.9


@dataclass(frozen=True, slots=True)
class ChangeSettings:
    """What counts as a change.

    Attributes:
        alpha: the largest p that counts; p is that of one series, over all places where it might have changed.
        smallest: the smallest relative change that counts, such as 0.01.
        least_points: so many points at least stand on each side of a change.
        penalty, bound: of the cuts that are looked at (`segments.cuts`).
    """

    alpha: float = 0.001
    smallest: float = 0.005
    least_points: int = 3
    penalty: float = 3.5
    bound: float = 2.5


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """One change with its evidence.

    Attributes:
        index: of the first point after the change, in the series as given, gaps included.
        before, after: the medians of the stretches on both sides, as far as the next change, in the series' unit; with
            the drift taken off where there was any.
        size: after / before − 1; `None` where `before` is zero.
        direction: "up" where the values grew.
        p: probability that so clear a difference stands anywhere in a series of that length without a change.
        points_before, points_after: how many points the two stretches have.
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

    Series are cut where that pays (`segments.cuts`), on the logarithm where all values are above zero; where drift
    explains them better, it is taken off and they are cut again (`drift`). Then the weakest cut is taken back until all
    that are left are significant, large enough and nothing that a straight line would do as well. The noise is that of
    neighbouring points; where it is correlated from point to point, a stretch counts as fewer points.

    Args:
        many: of each series its values in the order of time; what is not finite is a gap.
        settings: the defaults where `None`.
    """
    import numpy as np

    from devbench.analysis.drift import drift_under
    from devbench.analysis.segments import cuts

    rules = settings or ChangeSettings()
    all_values = [np.asarray(values, dtype=np.float64) for values in many]
    places = [np.flatnonzero(np.abs(values) < _NO_NUMBER) for values in all_values]
    known = [values[at] for values, at in zip(all_values, places, strict=True)]
    scaled = [_scaled(values) for values in known]
    noises = [_noise(values) for values in scaled]
    candidates = cuts(scaled, noises, rules.penalty, rules.bound)
    again = []
    for i, places_of_cuts in enumerate(candidates):
        if places_of_cuts:
            parts = _bounded(np.split(scaled[i], places_of_cuts), noises[i], rules.bound)
            curve = drift_under(np.concatenate(parts), places_of_cuts, _LEAST_NOISE)
            if curve is not None:
                again.append(i)
                known[i] = _without(known[i], curve)
                scaled[i] = scaled[i] - curve
    # Of drift the first cuts were stairs; without it they are looked for again.
    cut_again = cuts([scaled[i] for i in again], [noises[i] for i in again], rules.penalty, rules.bound)
    for i, places_of_cuts in zip(again, cut_again, strict=True):
        candidates[i] = places_of_cuts
    found = []
    for i, values in enumerate(known):
        steps = _confirmed(scaled[i], noises[i], candidates[i], rules)
        found.append(_described(values, places[i], steps))
    return found


def _scaled(values: Floats) -> Floats:
    """Logarithms, or shares of the typical size where a value is zero or less: differences are relative either way."""
    import numpy as np

    if len(values) and values.min() > 0:
        return np.asarray(np.log(values))
    with np.errstate(over="ignore"):
        return np.clip(values / _typical(values), -_LARGEST, _LARGEST)


def _without(values: Floats, curve: Floats) -> Floats:
    """The values with a curve on the scale of `_scaled` taken off."""
    import numpy as np

    if values.min() > 0:
        # No drift is as steep, and nothing overflows.
        return np.asarray(values * np.exp(-np.clip(curve, -100, 100)))
    return values - curve * _typical(values)


def _typical(values: Floats) -> float:
    """The median size, or the largest where that is zero, or one."""
    import numpy as np

    sizes = np.abs(values)
    return float(np.median(sizes)) or float(np.max(sizes)) if len(sizes) and sizes.any() else 1.0


def _noise(values: Floats) -> float:
    """Standard deviation of points around their level, from the differences of neighbours, which a change hardly moves.

    The larger of what the middle and what the 80th percentile of the differences say: equal for normal noise; the
    first alone would miss a device that switches between two speeds, a higher one would be moved by outliers.
    """
    import numpy as np

    if len(values) < 2:
        return _LEAST_NOISE
    steps = np.abs(np.diff(values))
    shares, scores = zip(*_QUANTILES, strict=True)
    said = np.quantile(steps, shares) / (math.sqrt(2) * np.asarray(scores))
    return max(float(said.max()), _LEAST_NOISE)


@dataclass(frozen=True, slots=True)
class _Step:
    index: int
    p: float
    size: float


def _confirmed(values: Floats, noise: float, candidates: Sequence[int], rules: ChangeSettings) -> list[_Step]:
    """The candidates that stand all tests, after those that do not have been taken back, the weakest first."""
    import numpy as np

    places = list(candidates)
    smallest = math.log1p(rules.smallest)
    while places:
        ends = [0, *places, len(values)]
        parts = [values[a:b] for a, b in pairwise(ends)]
        short = [k for k, part in enumerate(parts) if len(part) < rules.least_points]
        if short:
            # A stretch that is too short is outliers: it joins the neighbour whose level is nearer.
            k = min(short, key=lambda i: len(parts[i]))
            levels = [float(np.median(part)) for part in parts]
            sides = [i for i in (k - 1, k + 1) if 0 <= i < len(parts)]
            near = min(sides, key=lambda i: abs(levels[i] - levels[k]))
            del places[min(near, k)]
            continue
        bounded = _bounded(parts, noise, rules.bound)
        share = _independent_share(bounded)
        steps = [
            _judged(bounded, k, place, noise, share, len(values), values[ends[k] : ends[k + 2]])
            for k, place in enumerate(places)
        ]
        weakest = max(range(len(steps)), key=lambda k: (steps[k].p, -abs(steps[k].size)))
        if steps[weakest].p <= rules.alpha:
            weakest = min(range(len(steps)), key=lambda k: abs(steps[k].size))
            if abs(steps[weakest].size) >= smallest:
                return steps
        del places[weakest]
    return []


def _bounded(parts: Sequence[Floats], noise: float, bound: float) -> list[Floats]:
    """The stretches with their outliers moved to the bound around the median."""
    import numpy as np

    middles = [float(np.median(part)) for part in parts]
    return [np.clip(part, m - bound * noise, m + bound * noise) for part, m in zip(parts, middles, strict=True)]


def _independent_share(parts: Sequence[Floats]) -> float:
    """So many independent points each point is worth: (1 − r) / (1 + r) for noise with the correlation r to the next.

    The size of a sample with first-order correlation (G. Box, G. Jenkins and G. Reinsel, Time Series Analysis, 2.1.5).
    """
    off = [part - part.mean() for part in parts]
    whole = sum(float(one @ one) for one in off)
    if whole <= sum(map(len, parts)) * (_LEAST_NOISE / 10) ** 2:
        # Equal numbers: what is left is rounding.
        return 1.0
    r = sum(float(one[1:] @ one[:-1]) for one in off) / whole
    r = min(max(r, 0.0), _MOST_CORRELATION)
    return (1 - r) / (1 + r)


def _judged(
    parts: Sequence[Floats], k: int, place: int, noise: float, share: float, length: int, both: Floats
) -> _Step:
    """Student's t of the two stretches beside a cut, with the pooled noise; p counts every place that might be one."""
    import numpy as np

    from devbench.analysis.drift import line_does_as_well
    from devbench.analysis.student import tail

    left, right = parts[k], parts[k + 1]
    size = float(np.median(right) - np.median(left))
    if line_does_as_well(both, len(left), noise):
        return _Step(place, 1.0, size)
    n, m = len(left) * share, len(right) * share
    free = max(len(left) + len(right) - 2, 1)
    spread2 = float(((left - left.mean()) ** 2).sum() + ((right - right.mean()) ** 2).sum()) / free
    spread2 = max(spread2, (noise / 2) ** 2)
    t = abs(float(right.mean() - left.mean())) / math.sqrt(spread2 * (1 / n + 1 / m))
    p = 2 * tail(t, max(n + m - 2, 1.0))
    return _Step(place, min(1.0, p * length), size)


def _described(values: Floats, at: NDArray[np.int_], steps: Sequence[_Step]) -> tuple[ChangePoint, ...]:
    import numpy as np

    ends = [0, *(step.index for step in steps), len(values)]
    levels = [float(np.median(values[a:b])) for a, b in pairwise(ends) if b > a]
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
