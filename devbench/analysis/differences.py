"""Differences of samples with their intervals, on the scale of the test: pure functions over numbers; knows no verdict.

Ranks of logarithms; trimmed means of them if there are too few values for ranks, a reference case whose drift is taken
off, or several runs whose scatter is added.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, median

import numpy as np

from devbench.analysis.pairs import CompareSettings, Pair, Sample
from devbench.analysis.ranks import MIN_FOR_RANKS, RankShift, rank_shifts
from devbench.metrics import Metric

# So large a share is cut off at each end of a sample: one process of ten may be slow for reasons of its own.
_TRIM = 0.1
MIN_REPETITIONS = 3
# Degrees of freedom of a scatter that is taken for granted.
_FREE_OF_KNOWN = 30.0
# Timers and clocks are no finer than this share of a value.
_MIN_SCATTER = 1e-3


@dataclass(frozen=True, slots=True)
class _Moments:
    """Of a sample on the scale of the test: trimmed mean, its squared standard error, degrees of freedom."""

    mean: float
    error2: float
    free: float


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus baseline on the scale of the test.

    Attributes:
        pair, rules: what was compared, and what matters in it.
        sides: the finite values.
        logs: the scale is logarithmic.
        known: there is something to test; else what follows says nothing.
        size: of the difference.
        error, free: its standard error and the degrees of freedom of that.
        min_error: what the resolution of timers and clocks lets expect at least.
        ranks: the difference by ranks if they are what is tested; `size` is then theirs, and `error` still that of
            trimmed means, of `trimmed`.
        trimmed: the difference of trimmed means.
        drift: of the reference case, which was taken off.
    """

    pair: Pair
    rules: Metric
    sides: tuple[Sample, Sample]
    logs: bool
    known: bool
    size: float = 0.0
    error: float = 0.0
    free: float = 1.0
    min_error: float = 0.0
    ranks: RankShift | None = None
    trimmed: float = 0.0
    drift: float | None = None

    def as_change(self, size: float) -> float:
        return math.expm1(min(size, 700.0)) if self.logs else size

    @property
    def smallest(self) -> float:
        return math.log1p(self.rules.smallest_effect) if self.logs else self.rules.smallest_effect


def differences(pairs: Sequence[Pair], rules: CompareSettings) -> list[Difference]:
    """The differences of all pairs; samples of equal sizes are worked on together."""
    scaled: list[tuple[bool, list[tuple[float, ...]]] | None] = []
    prepared = []
    for pair in pairs:
        of = rules.of(pair.metric)
        raw = [pair.baseline, pair.candidate, *(pair.reference or ())]
        sides = [tuple(float(v) for v in side if math.isfinite(v)) for side in raw]
        prepared.append((pair, of, sides))
        scaled.append(_on_scale(sides, of) if _testable(pair, of, sides) else None)
    moments = _moments([side for one in scaled if one is not None for side in one[1]])
    at = 0
    found: list[Difference] = []
    by_ranks: dict[int, tuple[tuple[float, ...], tuple[float, ...]]] = {}
    by_runs = _by_runs(prepared, scaled)
    of_runs = dict(zip(by_runs, errors_of(list(by_runs.values())), strict=True))
    for (pair, of, sides), one in zip(prepared, scaled, strict=True):
        both = (Sample(sides[0]), Sample(sides[1]))
        if one is None:
            found.append(Difference(pair, of, both, False, False))
            continue
        logs, used = one
        parts = moments[at : at + len(used)]
        at += len(used)
        parts[:2] = _lent(parts[:2], both, of)
        place = len(found)
        least = _MIN_SCATTER * math.sqrt(sum(1 / len(side) for side in used))
        errors, size, drift = parts, parts[1].mean - parts[0].mean, None
        if place in by_runs:
            size = by_runs[place].size
            error2, free = of_runs[place]
            errors = [_Moments(size, max(error2, least**2), free), *parts[2:]]
        elif len(used) == 2 and not of.exact and min(map(len, used)) >= MIN_FOR_RANKS:
            by_ranks[place] = (used[0], used[1])
        if len(parts) == 4:
            moved = parts[3].mean - parts[2].mean
            size -= moved
            drift = math.expm1(min(moved, 700.0)) if logs else moved
        error2 = sum(part.error2 for part in errors)
        # Welch's degrees of freedom (F. E. Satterthwaite, Biometrics Bulletin 2, 1946), of shares: no square overflows.
        free = 1 / sum((part.error2 / error2) ** 2 / part.free for part in errors)
        found.append(
            Difference(pair, of, both, logs, True, size, math.sqrt(error2), free, least, trimmed=size, drift=drift)
        )
    shifts = rank_shifts(list(by_ranks.values()), rules.confidence)
    for place, shift in zip(by_ranks, shifts, strict=True):
        found[place] = replace(found[place], size=shift.shift, ranks=shift)
    return found


def _by_runs(
    prepared: Sequence[tuple[Pair, Metric, Sequence[tuple[float, ...]]]],
    scaled: Sequence[tuple[bool, list[tuple[float, ...]]] | None],
) -> dict[int, Between]:
    """Of each pair with several runs, by its place, these as observations."""
    found = {}
    for place, ((pair, of, _), one) in enumerate(zip(prepared, scaled, strict=True)):
        if one is not None and pair.runs is not None and not of.exact:
            between = between_runs(one[1][:2], _of_finite(pair))
            if between is not None:
                found[place] = between
    return found


def _testable(pair: Pair, of: Metric, sides: Sequence[tuple[float, ...]]) -> bool:
    if pair.no_verdict:
        return False
    if of.exact or of.scatter:
        return min(map(len, sides)) >= 1
    few = min(map(len, sides)) < MIN_REPETITIONS
    return not few or (pair.medians and min(map(len, sides)) >= 1 and max(map(len, sides)) >= MIN_REPETITIONS)


def _lent(parts: Sequence[_Moments], sides: Sequence[Sample], of: Metric) -> list[_Moments]:
    """Moments where a side of too few values has the scatter of the other, or both have that of the metric."""
    found = []
    for k in (0, 1):
        own, other = sides[k].n, sides[1 - k].n
        if own >= MIN_REPETITIONS or of.exact:
            found.append(parts[k])
        elif other >= MIN_REPETITIONS:
            found.append(_Moments(parts[k].mean, parts[1 - k].error2 * other / own, parts[1 - k].free))
        else:
            found.append(_Moments(parts[k].mean, of.scatter**2 / own, _FREE_OF_KNOWN))
    return found


def _of_finite(pair: Pair) -> list[list[Hashable]]:
    """The runs of the values that are finite."""
    assert pair.runs is not None
    sides = zip((pair.baseline, pair.candidate), pair.runs, strict=True)
    return [[run for v, run in zip(side, runs, strict=True) if math.isfinite(v)] for side, runs in sides]


def _on_scale(sides: Sequence[tuple[float, ...]], of: Metric) -> tuple[bool, list[tuple[float, ...]]]:
    """Logarithms where that is possible, else shares of the baseline; plain numbers for an absolute metric."""
    if of.absolute:
        return False, list(sides)
    if all(value > 0 for side in sides for value in side):
        return True, [tuple(math.log(value) for value in side) for side in sides]
    whole = abs(median(sides[0])) or max(abs(value) for side in sides for value in side) or 1.0
    return False, [tuple(value / whole for value in side) for side in sides]


def _moments(samples: Sequence[tuple[float, ...]]) -> list[_Moments]:
    found: list[_Moments | None] = [None] * len(samples)
    by_length: dict[int, list[int]] = defaultdict(list)
    for i, sample in enumerate(samples):
        by_length[len(sample)].append(i)
    for n, places in by_length.items():
        rows = np.sort(np.array([samples[i] for i in places]), axis=1)
        cut = int(_TRIM * n)
        means = rows[:, cut : n - cut].mean(axis=1)
        rows[:, :cut] = rows[:, cut, None]
        rows[:, n - cut :] = rows[:, n - cut - 1, None]
        kept = n - 2 * cut
        free = max(kept - 1, 1)
        squares = ((rows - rows.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
        errors2 = np.maximum(squares / (kept * free), _MIN_SCATTER**2 / kept)
        for i, mean, error2 in zip(places, means.tolist(), errors2.tolist(), strict=True):
            found[i] = _Moments(mean, error2, free)
    return [one for one in found if one is not None]


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
