"""What is compared, and how sure a verdict is to be: samples and pairs of them; knows no test and no store."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from devbench.metrics import METRICS, Metric


@dataclass(frozen=True, slots=True)
class CompareSettings:
    """How sure a verdict is to be.

    Attributes:
        alpha: of a single pair how often a change is found where there is none; of several the largest share of changes
            found that may be none (q).
        confidence: of the intervals.
        metrics: by name, with what matters in each.
        any_dependence: hold the false discovery rate under any dependence between the pairs (Benjamini and Yekutieli),
            at the cost of finding less.
    """

    alpha: float = 0.05
    confidence: float = 0.95
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS)
    any_dependence: bool = False

    def of(self, metric: str) -> Metric:
        """What matters in a metric; the defaults for one that is in no catalogue."""
        return self.metrics.get(metric) or Metric(metric, metric)


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
        key: for the caller, such as device and case.
        metric: name, as in `CompareSettings.metrics`.
        baseline, candidate: values, one a repetition; those that are not finite are left out.
        reference: the same metric of a reference case that is the same on both sides, measured together with each;
            what changed in it is the device's drift and is taken off.
        runs: of each value of the baseline and of the candidate the run that measured it; of several runs each is one
            observation (`differences.between_runs`).
        medians: values are medians over the repetitions of a run, one a run; a side with too few of them gets the
            scatter of the other.
        no_verdict: why no verdict is possible, such as a device that was throttled; empty if one is.
    """

    key: str
    metric: str
    baseline: Sequence[float]
    candidate: Sequence[float]
    reference: tuple[Sequence[float], Sequence[float]] | None = None
    runs: tuple[Sequence[Hashable], Sequence[Hashable]] | None = None
    medians: bool = False
    no_verdict: str = ""
