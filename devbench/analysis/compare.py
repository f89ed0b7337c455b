"""Compares baseline and candidate: what improved, regressed, did not change, or cannot be decided yet.

Pure functions over numbers; knows no store. An observation is one process of the tool (`analysis/stats.py`). Two
questions are answered. Is the candidate slower or faster at all? Is the difference larger than the smallest change that
matters? `docs/compare.md` shows how often the answers are wrong on recorded noise, compared with other tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

import numpy as np

from devbench.analysis.differences import CompareSettings, Difference, Pair, Sample, differences

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["CompareSettings", "Comparison", "Pair", "Sample", "Verdict", "compare_all"]

Verdict = Literal["improved", "regressed", "unchanged", "undecided"]
Direction = Literal["worse", "better"]

# This number of repetitions is suggested if there are too few for any test.
_USUAL_REPETITIONS = 5
_MAX_REPETITIONS = 1000
_POWER = 0.8


@dataclass(frozen=True, slots=True)
class Comparison:
    """A verdict with its evidence.

    Attributes:
        key, metric, baseline, candidate: what was compared.
        change: candidate / baseline − 1 (a difference if the metric is absolute): the median of the ratios of a value
            of the candidate to one of the baseline, or the ratio of trimmed means of logarithms, without the
            drift; `None` if a side has no value or the baseline is zero.
        interval: the interval of `change`; `None` if the scatter is not known.
        p: the p-value of the test for no change, for the pair alone; `None` if there are too few repetitions.
        q: the false discovery rate over all pairs.
        verdict: the answer to both questions together (`compare_all`).
        more_repetitions: about this many more per side would decide, if the scatter and the difference stay as they
            are, in four of five cases; `None` if it is decided, would take more than 1,000, or `reason` is given.
        drift: the drift of the reference case, as a relative change; `None` without one.
        smallest_effect: the smallest change that matters, as in the catalogue of metrics.
        direction: the direction of the change if it is certain (q ≤ alpha), else `None`.
        beyond: whether the change in that direction is larger than the smallest that matters: `True` if the whole
            interval is beyond it, `False` if the whole interval is within it on both sides of zero, else `None`.
        reason: why no verdict is possible, whatever the numbers are; else empty.
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
    smallest_effect: float = 0.0
    direction: Direction | None = None
    beyond: bool | None = None
    reason: str = ""

    @property
    def small(self) -> bool:
        """Whether there is certainly a change that is certainly smaller than the smallest one that matters."""
        return self.verdict == "unchanged" and self.direction is not None


@dataclass(frozen=True, slots=True)
class _Tested:
    """The result of one test: p, q (p corrected for many tests), and the interval of the difference.

    The interval is on the scale of the test.
    """

    p: float
    q: float
    low: float
    high: float


def compare_all(pairs: Sequence[Pair], settings: CompareSettings | None = None) -> tuple[Comparison, ...]:
    """Compare all pairs; the verdicts allow for the number of pairs.

    The test is that of ranks (`analysis/ranks.py`) on logarithms. If the samples do not overlap, it is Yuen's (K. K.
    Yuen, The two-sample trimmed t for unequal population variances, Biometrika 61, 1974; `scipy.stats.ttest_ind` with
    `trim=0.1`), which can tell how far they are apart. Yuen's test is also used with fewer than five values per side,
    with a reference case, and with the scatter of several runs. Scatter is at least a thousandth of the value. q is
    that of Benjamini and Hochberg.

    - regressed, improved: the direction is certain (q ≤ alpha), and the interval reaches beyond the smallest effect;
    - unchanged: the interval is within the smallest effect on both sides of zero, even if the direction is certain;
    - undecided: anything else, also fewer than three repetitions per side, except for metrics whose scatter is known.

    Args:
        pairs: all of one metric in a report; each further pair makes the verdicts a little more cautious.
        settings: `None` uses the defaults.
    """
    rules = settings or CompareSettings()
    found = differences(pairs, rules)
    tested = [one for one in found if one.known]
    if not tested:
        return tuple(_verdict(one, None, rules.alpha, rules) for one in found)
    p, low, high = _test(tested, rules.confidence)
    exact = np.array([one.rules.exact for one in tested])
    q = p.copy()
    # Metrics without noise are not tested, so they do not influence the verdicts on the others.
    if (~exact).any():
        q[~exact] = _false_discoveries(p[~exact], any_dependence=rules.any_dependence)
    passed = p[(q <= rules.alpha) & ~exact]
    # If no change was found yet, the smallest p must pass the correction for all pairs.
    needed = max(float(passed.max(initial=0.0)), rules.alpha / max(1, int((~exact).sum())))
    results = map(_Tested, p.tolist(), q.tolist(), low.tolist(), high.tolist())
    by_pair = {id(one): result for one, result in zip(tested, results, strict=True)}
    return tuple(_verdict(one, by_pair.get(id(one)), needed, rules) for one in found)


def _test(tested: Sequence[Difference], confidence: float) -> tuple[Floats, Floats, Floats]:
    """Return the p-value of no difference, and both ends of the interval, for each tested difference."""
    from scipy.special import stdtr, stdtrit

    names = ("size", "trimmed", "error", "free", "min_error")
    size, trimmed, error, free, least = (np.array([getattr(one, name) for one in tested]) for name in names)
    exact = np.array([one.rules.exact for one in tested])
    t = stdtrit(free, (1 + confidence) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(trimmed == 0, 1.0, 2 * stdtr(free, -np.abs(trimmed) / error))
        # A difference below the resolution of timers is never certain.
        min_p = np.where(size == 0, 1.0, 2 * stdtr(free, -np.abs(size) / least))
    low, high = size - t * error, size + t * error
    at = np.array([k for k, one in enumerate(tested) if one.ranks is not None], dtype=int)
    ranks = [one.ranks for one in tested if one.ranks is not None]
    if ranks:
        of_ranks, apart = np.array([one.p for one in ranks]), np.array([one.apart for one in ranks])
        p[at] = np.where(apart, np.minimum(of_ranks, p[at]), of_ranks)
        low[at] = np.minimum([one.low for one in ranks], (size - t * least)[at])
        high[at] = np.maximum([one.high for one in ranks], (size + t * least)[at])
    p = np.maximum(p, min_p)
    p = np.where(exact, (size == 0).astype(float), p)
    return p, np.where(exact, size, low), np.where(exact, size, high)


def _false_discoveries(p: Floats, *, any_dependence: bool) -> Floats:
    """Return the false discovery rate q for each p: the smallest p'·n/rank(p') over all p' ≥ p, at most 1.

    With `any_dependence` it is multiplied by Σ 1/i, i from 1 to n. The result is that of
    `scipy.stats.false_discovery_control`, whose import takes longer than a comparison.
    """
    order = np.argsort(p)
    ranks = np.arange(1, len(p) + 1)
    factor = float((1 / ranks).sum()) if any_dependence else 1.0
    q = np.empty(len(p))
    q[order] = np.minimum.accumulate((p[order] * len(p) * factor / ranks)[::-1])[::-1]
    return np.minimum(q, 1.0)


def _verdict(one: Difference, tested: _Tested | None, needed: float, rules: CompareSettings) -> Comparison:
    pair, (baseline, candidate) = one.pair, one.sides
    of, smallest = one.rules, one.smallest
    if tested is None:
        few = min(baseline.n, candidate.n, *(len(side) for side in pair.reference or ()))
        return Comparison(
            pair.key, pair.metric, baseline, candidate, _plain_change(one), None, None, None, "undecided",
            None if pair.no_verdict else max(1, _USUAL_REPETITIONS - few),
            smallest_effect=of.smallest_effect, reason=pair.no_verdict,
        )  # fmt: skip
    direction: Direction | None = None
    if tested.q <= rules.alpha and one.size:
        direction = "worse" if (one.size > 0) == (of.worse == "up") else "better"
    # The interval in the direction of the change: a fall is negated.
    near, far = (tested.low, tested.high) if one.size >= 0 else (-tested.high, -tested.low)
    within = far < smallest or not one.size if of.exact else -smallest <= near and far <= smallest
    more_repetitions = None
    if direction and not within and far >= smallest:
        verdict: Verdict = "regressed" if direction == "worse" else "improved"
    elif within:
        verdict = "unchanged"
    else:
        verdict = "undecided"
        more_repetitions = _more(one, (tested.high - tested.low) / 2, needed, rules.confidence)
    beyond = False if verdict == "unchanged" else True if direction and near >= smallest else None
    change: float | None = one.as_change(one.size)
    interval: tuple[float, float] | None = (one.as_change(tested.low), one.as_change(tested.high))
    if not one.logs and not of.absolute and not baseline.median:
        # A change relative to zero is not defined.
        change, interval = (None if one.size else 0.0), None
    return Comparison(
        pair.key, pair.metric, baseline, candidate, change, interval, tested.p, tested.q, verdict, more_repetitions,
        one.drift, of.smallest_effect, direction, beyond,
    )  # fmt: skip


def _plain_change(one: Difference) -> float | None:
    before, after = one.sides[0].median, one.sides[1].median
    if before is None or after is None:
        return None
    if one.rules.absolute:
        return after - before
    return (after - before) / abs(before) if before else None


def _more(one: Difference, half: float, needed: float, confidence: float) -> int | None:
    """Return the repetitions per side that make the difference significant, or the interval fit into the smallest
    effect.

    Normal approximation: n = 2·((z + z of the power)·s/Δ)², where s comes from half the width of the present interval.
    Δ is the difference itself for the first purpose, and its distance to the smallest effect for the second.
    """
    normal = NormalDist()
    n, m = one.sides[0].n, one.sides[1].n
    width, power = normal.inv_cdf((1 + confidence) / 2), normal.inv_cdf(_POWER)
    scatter2 = (half / width) ** 2 * n * m / (n + m)
    counts = []
    for distance, z in ((abs(one.size), normal.inv_cdf(1 - needed / 2)), (one.smallest - abs(one.size), width)):
        if distance > 0 and 2 * scatter2 * (z + power) ** 2 <= _MAX_REPETITIONS * distance**2:
            counts.append(math.ceil(2 * scatter2 * ((z + power) / distance) ** 2))
    return max(1, min(counts) - min(n, m)) if counts else None
