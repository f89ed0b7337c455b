"""Computes differences of samples with their errors, on the scale of the test. Pure functions over numbers; knows no
verdict.

A difference is computed from ranks of logarithms. Trimmed means of logarithms are used instead if there are too few
values for ranks, if the drift of a reference case is subtracted, or if there are several runs. This module also defines
the samples and pairs that are compared.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

import numpy as np

from devbench.analysis.ranks import MIN_FOR_RANKS, Between, RankShift, between_runs, errors_of, rank_shifts
from devbench.metrics import METRICS, Metric

# The share of a sample that is removed at each end, because one process of ten may be slow for an unrelated reason.
_TRIM = 0.1
MIN_REPETITIONS = 3
# The degrees of freedom of a scatter that is assumed, not measured.
_FREE_OF_KNOWN = 30.0
# The resolution of timers and clocks, as a share of a value.
_MIN_SCATTER = 1e-3


@dataclass(frozen=True, slots=True)
class CompareSettings:
    """How certain a verdict must be.

    Attributes:
        alpha: for one pair, the probability of finding a change that does not exist; for several pairs, the largest
            share of false changes among those found (q).
        confidence: the confidence of the intervals, 0 to 1.
        metrics: the metrics by name; each has the smallest change that matters.
        any_dependence: guarantee the false discovery rate under any dependence between the pairs (Benjamini and
            Yekutieli); fewer changes are found.
    """

    alpha: float = 0.05
    confidence: float = 0.95
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS)
    any_dependence: bool = False

    def of(self, metric: str) -> Metric:
        """Return the metric of that name; the defaults if it is not in the catalogue."""
        return self.metrics.get(metric) or Metric(metric, metric)


@dataclass(frozen=True, slots=True)
class Sample:
    """One side of a pair: the finite values, one per repetition, in the metric's unit."""

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def median(self) -> float | None:
        return median(self.values) if self.values else None


@dataclass(frozen=True, slots=True)
class Pair:
    """The values of one case on one device, from the baseline and from the candidate.

    Attributes:
        key: identifies the pair to the caller, such as device and case; not read here.
        metric: its name in `CompareSettings.metrics`.
        baseline, candidate: values, one per repetition; those that are not finite are left out.
        reference: the same metric of a reference case, measured on both sides. The reference case did not change, so a
            change of its values is drift of the device and is subtracted.
        runs: for each value of the baseline and of the candidate, the run that measured it; each of several runs is one
            observation (`ranks.between_runs`).
        medians: each value is the median of a run's repetitions. A side with too few values gets the scatter of the
            other side.
        no_verdict: why no verdict is possible, such as a throttled device; empty if a verdict is possible.
    """

    key: str
    metric: str
    baseline: Sequence[float]
    candidate: Sequence[float]
    reference: tuple[Sequence[float], Sequence[float]] | None = None
    runs: tuple[Sequence[Hashable], Sequence[Hashable]] | None = None
    medians: bool = False
    no_verdict: str = ""


@dataclass(frozen=True, slots=True)
class _Moments:
    """Moments of a sample on the scale of the test: trimmed mean, its squared standard error, degrees of freedom."""

    mean: float
    error2: float
    free: float


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus baseline on the scale of the test.

    Attributes:
        pair, rules: what was compared, and its metric.
        sides: the finite values of both sides.
        logs: whether the scale is logarithmic.
        known: whether a test is possible; otherwise the attributes below have no meaning.
        size: the size of the difference.
        error, free: the standard error of `size` and its degrees of freedom.
        min_error: the smallest possible error, from the resolution of timers and clocks.
        ranks: the difference by ranks; `None` if ranks are not used. With ranks, `size` is from ranks and `error` is
            that of `trimmed`.
        trimmed: the difference of trimmed means.
        drift: the drift of the reference case, which was subtracted.
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
    """Compute the differences of all pairs; samples of equal sizes are computed together."""
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
        parts[:2] = _with_borrowed_scatter(parts[:2], both, of)
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
        # Welch's degrees of freedom (F. E. Satterthwaite, Biometrics Bulletin 2, 1946), computed from shares of the
        # error, to avoid an overflow of squares.
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
    """Return the runs as observations for each pair with several runs, by the pair's index."""
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


def _with_borrowed_scatter(parts: Sequence[_Moments], sides: Sequence[Sample], of: Metric) -> list[_Moments]:
    """Return the moments.

    A side with too few values gets the other side's scatter; if both have too few, the assumed one.
    """
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
    """Return the runs of the values that are finite."""
    assert pair.runs is not None
    sides = zip((pair.baseline, pair.candidate), pair.runs, strict=True)
    return [[run for v, run in zip(side, runs, strict=True) if math.isfinite(v)] for side, runs in sides]


def _on_scale(sides: Sequence[tuple[float, ...]], of: Metric) -> tuple[bool, list[tuple[float, ...]]]:
    """Return logarithms if possible, else shares of the baseline; plain numbers for an absolute metric."""
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
