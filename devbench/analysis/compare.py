"""Baseline against candidate: what improved, what regressed, what did not change, and what nobody can tell yet.

Pure functions over numbers; knows no store. An observation is one process of the tool (`analysis/stats.py`). A verdict
needs both significance over all pairs that are compared and an effect that matters; that nothing changed is only said
where the interval shows it. `docs/compare.md` has how often this is wrong on recorded noise, beside other tests.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, median
from typing import TYPE_CHECKING, Literal

from devbench.analysis.between import Between, between_runs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Verdict = Literal["improved", "regressed", "unchanged", "undecided"]

# So large a share is cut off at each end of a sample: one process of ten may be slow for reasons of its own.
_TRIM = 0.1
_LEAST_REPETITIONS = 3
# What is said to be needed where there are fewer than that: enough for a test that can find something.
_USUAL_REPETITIONS = 5
_MOST_REPETITIONS = 1000
_POWER = 0.8
# Degrees of freedom of a scatter that is taken for granted.
_FREE_OF_KNOWN = 30.0
# Timers and clocks are no finer than this share of a value.
_LEAST_SCATTER = 1e-3


@dataclass(frozen=True, slots=True)
class MetricSettings:
    """What matters in a metric.

    Attributes:
        smallest_effect: relative (0.01 is 1 %), or in the metric's unit where `absolute`.
        worse: the direction of a regression.
        absolute: differences count in the metric's unit, as for a share between 0 and 1.
        exact: the metric has no noise (the size of a file): any difference is one, whatever the number of repetitions.
        scatter: relative, between processes, taken for granted where both sides have too few repetitions to show one;
            0 where it is not known, and nothing is decided then.
    """

    smallest_effect: float = 0.01
    worse: Literal["up", "down"] = "up"
    absolute: bool = False
    exact: bool = False
    scatter: float = 0.0


# What devbench measures; a metric that is not here gets the defaults of `MetricSettings`.
METRICS: Mapping[str, MetricSettings] = {
    "latency": MetricSettings(0.01),
    "init": MetricSettings(0.05),
    "first_inference": MetricSettings(0.05),
    # On a bench phone and a virtual device 0.05 to 1.2 % between processes (docs/compare.md); each run has one.
    "peak_memory": MetricSettings(0.02, scatter=0.015),
    "operator_time": MetricSettings(0.05),
    "model_size": MetricSettings(0.0, exact=True),
    "delegated_share": MetricSettings(0.01, worse="down", absolute=True, exact=True),
}


@dataclass(frozen=True, slots=True)
class CompareSettings:
    """How sure a verdict is to be.

    Attributes:
        alpha: the largest share of verdicts "improved" or "regressed" that may be false (q, over all pairs).
        confidence: of the intervals.
        metrics: by the name of the metric.
        any_dependence: hold the false discovery rate under any dependence between the pairs (Benjamini and Yekutieli),
            at the cost of finding less.
    """

    alpha: float = 0.05
    confidence: float = 0.95
    metrics: Mapping[str, MetricSettings] = field(default_factory=lambda: METRICS)
    any_dependence: bool = False

    def of(self, metric: str) -> MetricSettings:
        return self.metrics.get(metric) or MetricSettings()


@dataclass(frozen=True, slots=True)
class Sample:
    """One side: the finite values, one a repetition, in the metric's unit."""

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def median(self) -> float | None:
        return median(self.values) if self.values else None


@dataclass(frozen=True, slots=True)
class Pair:
    """The same case on the same device, twice.

    Attributes:
        key: whose, for the caller; such as device and case.
        metric: name, as in `CompareSettings.metrics`.
        baseline, candidate: values, one a repetition; those that are not finite are left out.
        reference: the same metric of a reference case that is the same on both sides, measured together with each;
            what changed in it is the device's drift and is taken off.
        runs: of each value of the baseline and of the candidate the run that measured it; the scatter of runs is then
            part of the error (`between.between_runs`).
        medians: values are medians over the repetitions of a run, one a run; a side with too few of them is lent the
            scatter of the other.
    """

    key: str
    metric: str
    baseline: Sequence[float]
    candidate: Sequence[float]
    reference: tuple[Sequence[float], Sequence[float]] | None = None
    runs: tuple[Sequence[Hashable], Sequence[Hashable]] | None = None
    medians: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """A verdict with its evidence.

    Attributes:
        key, metric, baseline, candidate: what was compared.
        change: candidate / baseline − 1 (a difference where the metric is absolute), of trimmed means of the
            logarithms, with the drift taken off; `None` where a side has no value or the baseline is zero.
        interval: of `change`; `None` where there is no scatter to tell one from.
        p: of the pair alone; `None` where there are too few repetitions.
        q: over all pairs (false discovery rate).
        verdict: "undecided" where neither a change that matters nor that there is none could be shown.
        more_repetitions: so many more a side would decide, were the scatter and the difference to stay as they are,
            in four of five cases; `None` where it is decided, or would take more than 1,000.
        drift: of the reference case, as a relative change; `None` without one.
    """

    key: str
    metric: str
    baseline: Sample
    candidate: Sample
    change: float | None
    interval: tuple[float, float] | None
    p: float | None
    q: float | None
    verdict: Verdict
    more_repetitions: int | None
    drift: float | None = None


@dataclass(frozen=True, slots=True)
class _Moments:
    """Of a sample on the scale of the test: trimmed mean, its squared standard error, degrees of freedom."""

    mean: float
    error2: float
    free: float


@dataclass(frozen=True, slots=True)
class _Difference:
    """Candidate minus baseline on the scale of the test."""

    pair: Pair
    rules: MetricSettings
    sides: tuple[Sample, Sample]
    logs: bool
    known: bool
    size: float = 0.0
    error: float = 0.0
    free: float = 0.0
    drift: float | None = None

    def as_change(self, size: float) -> float:
        return math.expm1(min(size, 700.0)) if self.logs else size

    @property
    def smallest(self) -> float:
        return math.log1p(self.rules.smallest_effect) if self.logs else self.rules.smallest_effect


def compare_all(pairs: Sequence[Pair], settings: CompareSettings | None = None) -> tuple[Comparison, ...]:
    """Compare all pairs; the verdicts are those of the whole family.

    The test is Yuen's (K. K. Yuen, The two-sample trimmed t for unequal population variances, Biometrika 61, 1974;
    `scipy.stats.ttest_ind` with `trim=0.1`) on logarithms: below ten repetitions it is Welch's. Scatter is at least a
    thousandth of the value. q is that of Benjamini and Hochberg.

    - regressed, improved: q ≤ alpha, and the change is at least the smallest effect;
    - unchanged: the interval lies within the smallest effect on both sides of zero;
    - undecided: anything else, also fewer than three repetitions a side, but for metrics whose scatter is known.

    Args:
        pairs: all of one metric that a report judges; a pair more makes each verdict a little more careful.
        settings: the defaults where `None`.
    """
    import numpy as np
    from scipy.special import stdtr, stdtrit

    rules = settings or CompareSettings()
    found = _differences(pairs, rules)
    tested = [one for one in found if one.known]
    if not tested:
        return tuple(_verdict(one, None, None, 0.0, rules.alpha, rules) for one in found)
    sizes, errors, free = (np.array([getattr(one, name) for one in tested]) for name in ("size", "error", "free"))
    exact = np.array([one.rules.exact for one in tested])
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(sizes == 0, 1.0, 2 * stdtr(free, -np.abs(sizes) / errors))
    p = np.where(exact, (sizes == 0).astype(float), p)
    q = p.copy()
    # What has no noise is no test, and does not make the others' verdicts more or less careful.
    if (~exact).any():
        q[~exact] = _false_discoveries(p[~exact], any_dependence=rules.any_dependence)
    t = stdtrit(free, (1 + rules.confidence) / 2)
    passed = p[(q <= rules.alpha) & ~exact]
    # Where nothing was found yet, the first finding has to stand against all.
    needed = max(float(passed.max(initial=0.0)), rules.alpha / max(1, int((~exact).sum())))
    numbers = zip(p.tolist(), q.tolist(), (t * errors).tolist(), strict=True)
    by_pair = {id(one): three for one, three in zip(tested, numbers, strict=True)}
    return tuple(_verdict(one, *by_pair.get(id(one), (None, None, 0.0)), needed, rules) for one in found)


def _false_discoveries(p: Floats, *, any_dependence: bool) -> Floats:
    """q of each p: the smallest p·n/rank of those that are no smaller, times Σ 1/i for any dependence.

    As `scipy.stats.false_discovery_control`, whose import takes longer than a comparison.
    """
    import numpy as np

    order = np.argsort(p)
    ranks = np.arange(1, len(p) + 1)
    factor = float((1 / ranks).sum()) if any_dependence else 1.0
    q = np.empty(len(p))
    q[order] = np.minimum.accumulate((p[order] * len(p) * factor / ranks)[::-1])[::-1]
    return np.minimum(q, 1.0)


def _differences(pairs: Sequence[Pair], rules: CompareSettings) -> list[_Difference]:
    """The differences of all pairs; samples of one length are worked on at once."""
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
    found = []
    for (pair, of, sides), one in zip(prepared, scaled, strict=True):
        both = (Sample(sides[0]), Sample(sides[1]))
        if one is None:
            found.append(_Difference(pair, of, both, False, False))
            continue
        logs, used = one
        parts = moments[at : at + len(used)]
        at += len(used)
        parts[:2] = _lent(parts[:2], both, of)
        size, drift = parts[1].mean - parts[0].mean, None
        if len(parts) == 4:
            moved = parts[3].mean - parts[2].mean
            size -= moved
            drift = math.expm1(min(moved, 700.0)) if logs else moved
        errors: list[_Moments | Between] = [*parts]
        if pair.runs is not None and not of.exact:
            between = between_runs(used[:2], _of_finite(pair))
            errors += [] if between is None else [between]
        error2 = sum(part.error2 for part in errors)
        # Welch's degrees of freedom (F. E. Satterthwaite, Biometrics Bulletin 2, 1946).
        free = error2**2 / sum(part.error2**2 / part.free for part in errors)
        found.append(_Difference(pair, of, both, logs, True, size, math.sqrt(error2), free, drift))
    return found


def _testable(pair: Pair, of: MetricSettings, sides: Sequence[tuple[float, ...]]) -> bool:
    if of.exact or of.scatter:
        return min(map(len, sides)) >= 1
    few = min(map(len, sides)) < _LEAST_REPETITIONS
    return not few or (pair.medians and min(map(len, sides)) >= 1 and max(map(len, sides)) >= _LEAST_REPETITIONS)


def _lent(parts: Sequence[_Moments], sides: Sequence[Sample], of: MetricSettings) -> list[_Moments]:
    """Moments where a side of too few values has the scatter of the other, or both have that of the metric."""
    found = []
    for k in (0, 1):
        own, other = sides[k].n, sides[1 - k].n
        if own >= _LEAST_REPETITIONS or of.exact:
            found.append(parts[k])
        elif other >= _LEAST_REPETITIONS:
            found.append(_Moments(parts[k].mean, parts[1 - k].error2 * other / own, parts[1 - k].free))
        else:
            found.append(_Moments(parts[k].mean, of.scatter**2 / own, _FREE_OF_KNOWN))
    return found


def _of_finite(pair: Pair) -> list[list[Hashable]]:
    """The runs of the values that are finite."""
    assert pair.runs is not None
    sides = zip((pair.baseline, pair.candidate), pair.runs, strict=True)
    return [[run for v, run in zip(side, runs, strict=True) if math.isfinite(v)] for side, runs in sides]


def _on_scale(sides: Sequence[tuple[float, ...]], of: MetricSettings) -> tuple[bool, list[tuple[float, ...]]]:
    """Logarithms where that is possible, else shares of the baseline; plain numbers for an absolute metric."""
    if of.absolute:
        return False, list(sides)
    if all(value > 0 for side in sides for value in side):
        return True, [tuple(math.log(value) for value in side) for side in sides]
    whole = abs(median(sides[0])) or max(abs(value) for side in sides for value in side) or 1.0
    return False, [tuple(value / whole for value in side) for side in sides]


def _moments(samples: Sequence[tuple[float, ...]]) -> list[_Moments]:
    import numpy as np

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
        errors2 = np.maximum(squares / (kept * free), _LEAST_SCATTER**2 / kept)
        for i, mean, error2 in zip(places, means.tolist(), errors2.tolist(), strict=True):
            found[i] = _Moments(mean, error2, free)
    return [one for one in found if one is not None]


def _verdict(
    one: _Difference, p: float | None, q: float | None, half: float, needed: float, rules: CompareSettings
) -> Comparison:
    pair, (baseline, candidate) = one.pair, one.sides
    if p is None or q is None:
        few = min(baseline.n, candidate.n, *(len(side) for side in pair.reference or ()))
        more = max(1, _USUAL_REPETITIONS - few)
        return Comparison(
            pair.key, pair.metric, baseline, candidate, _plain_change(one), None, None, None, "undecided", more
        )
    low, high = (one.size, one.size) if one.rules.exact else (one.size - half, one.size + half)
    more_repetitions = None
    if q <= rules.alpha and one.size and abs(one.size) >= one.smallest:
        verdict: Verdict = "regressed" if (one.size > 0) == (one.rules.worse == "up") else "improved"
    elif one.rules.exact or (-one.smallest <= low and high <= one.smallest):
        verdict = "unchanged"
    else:
        verdict = "undecided"
        more_repetitions = _more(one, needed, rules.confidence)
    change = one.as_change(one.size)
    if not one.logs and not one.rules.absolute and not baseline.median:
        # Of nothing there is no share.
        return Comparison(
            pair.key, pair.metric, baseline, candidate, 0.0 if not one.size else None, None, p, q, verdict,
            more_repetitions, one.drift,
        )  # fmt: skip
    interval = (one.as_change(low), one.as_change(high))
    return Comparison(
        pair.key, pair.metric, baseline, candidate, change, interval, p, q, verdict, more_repetitions, one.drift
    )


def _plain_change(one: _Difference) -> float | None:
    before, after = one.sides[0].median, one.sides[1].median
    if before is None or after is None:
        return None
    if one.rules.absolute:
        return after - before
    return (after - before) / abs(before) if before else None


def _more(one: _Difference, needed: float, confidence: float) -> int | None:
    """Repetitions a side until the difference is significant, or until the interval fits between the smallest effects.

    Normal approximation: n = 2·(z·s/Δ)², where s comes from the error of the difference as it is now and Δ is what has
    to be told from zero, or the distance to the smallest effect.
    """
    normal = NormalDist()
    n, m = one.sides[0].n, one.sides[1].n
    scatter2 = one.error**2 * n * m / (n + m)
    gap = abs(one.size)
    if gap >= one.smallest:
        z = normal.inv_cdf(1 - needed / 2) + normal.inv_cdf(_POWER)
        wanted = gap
    else:
        z = normal.inv_cdf((1 + confidence) / 2)
        wanted = one.smallest - gap
    if wanted <= 0 or scatter2 * 2 * z * z > _MOST_REPETITIONS * wanted * wanted:
        return None
    return max(1, math.ceil(2 * scatter2 * (z / wanted) ** 2) - min(n, m))
