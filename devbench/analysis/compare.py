"""Baseline against candidate: what improved, what regressed, what did not change, and what nobody can tell yet.

Pure functions over numbers; knows no store. An observation is one process of the tool (`analysis/stats.py`). A verdict
needs both significance over all pairs that are compared and an effect that matters; that nothing changed is only said
where the interval shows it. `docs/compare.md` has how often this is wrong on recorded noise, beside other tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from devbench.analysis.differences import Difference, differences
from devbench.analysis.pairs import METRICS, CompareSettings, MetricSettings, Pair, Sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["METRICS", "CompareSettings", "Comparison", "MetricSettings", "Pair", "Sample", "Verdict", "compare_all"]

Verdict = Literal["improved", "regressed", "unchanged", "undecided"]

# What is said to be needed where there are fewer than that: enough for a test that can find something.
_USUAL_REPETITIONS = 5
_MOST_REPETITIONS = 1000
_POWER = 0.8


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
    found = differences(pairs, rules)
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


def _verdict(
    one: Difference, p: float | None, q: float | None, half: float, needed: float, rules: CompareSettings
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


def _plain_change(one: Difference) -> float | None:
    before, after = one.sides[0].median, one.sides[1].median
    if before is None or after is None:
        return None
    if one.rules.absolute:
        return after - before
    return (after - before) / abs(before) if before else None


def _more(one: Difference, needed: float, confidence: float) -> int | None:
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
