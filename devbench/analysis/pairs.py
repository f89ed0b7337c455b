"""What is compared, and what matters in it: the metrics, samples and pairs; knows no test and no store."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal


@dataclass(frozen=True, slots=True)
class MetricSettings:
    """What matters in a metric.

    Attributes:
        smallest_effect: the smallest change that matters: relative (0.01 is 1 %), or in the metric's unit if
            `absolute`.
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
        alpha: of a single pair how often a change is found where there is none; of several the largest share of changes
            found that may be none (q).
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
        runs: of each value of the baseline and of the candidate the run that measured it; of several runs each is one
            observation (`between.between_runs`).
        medians: values are medians over the repetitions of a run, one a run; a side with too few of them is lent the
            scatter of the other.
        no_verdict: why no verdict is possible whatever the values are, such as a device that was throttled; empty if
            one is.
    """

    key: str
    metric: str
    baseline: Sequence[float]
    candidate: Sequence[float]
    reference: tuple[Sequence[float], Sequence[float]] | None = None
    runs: tuple[Sequence[Hashable], Sequence[Hashable]] | None = None
    medians: bool = False
    no_verdict: str = ""
