"""The catalogue of metrics: each metric is declared once, here. Imports no other module of devbench.

All code that stores, compares or shows metrics reads this catalogue. An entry names a metric, the column that has its
value, the repetitions that count, the smallest change that matters, and the places where it is shown. A new metric is a
new entry of `METRICS`. If no record has its value yet, it also needs a field of `results.records.RepetitionRecord`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from devbench.frozen import dataclass

Place = Literal["jobs", "comparison", "history"]
Counts = Literal["latency", "start", "ok", "profile"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric.

    Attributes:
        name: its name in files and options.
        title: its name in texts for users.
        unit: "ms", "MB", "bytes", or empty for a share between 0 and 1.
        source: what its values belong to: each repetition; the model's file, with one value for all repetitions of a
            job; or the operators of a profile, with the type of operator as a further key.
        column: the field of `results.records.RepetitionRecord` that has its value; empty for other sources.
        scale: the value in `unit` is the value of the column times this.
        counts: which repetitions of a job count: those whose latency or start counts (`results.counting`), all that
            ended well, or the last profile.
        of_job: the value that the table of jobs shows for a job: the median of its repetitions, or the largest value.
        session_column: the column of sessions of a pipeline; empty if they do not have it.
        better: the direction of an improvement.
        smallest_effect: the smallest change that matters: relative (0.01 is 1 %), or in the unit if `absolute`.
        absolute: differences are in the unit, not relative; true for shares.
        exact: there is no noise (the size of a file): any difference is real, whatever the number of repetitions.
        scatter: the relative scatter between processes that is assumed if both sides have too few repetitions to
            estimate it; 0 if it is not known: then there is no verdict.
        once_a_run: a run has only one value for each case, from its profile repetition.
        of_speed: it depends on the device's speed; a reference case can correct it for drift.
        explained: a regression can be explained by the operators of a profile.
        worse_word: the word for a regression, such as "slower".
        decimals: how many are shown; `None` for three significant digits.
        heading: the heading of its column in the table of jobs.
        hidden: the position of its column in the order in which columns are hidden in a narrow terminal; `None` if it
            is never hidden.
        shown: the places where it is shown; metrics of the history are also in the tables `samples` and `series`.
    """

    name: str
    title: str
    unit: str = "ms"
    source: Literal["repetition", "model", "profile"] = "repetition"
    column: str = ""
    scale: float = 1.0
    counts: Counts = "ok"
    of_job: Literal["median", "max"] = "median"
    session_column: str = ""
    better: Literal["lower", "higher"] = "lower"
    smallest_effect: float = 0.01
    absolute: bool = False
    exact: bool = False
    scatter: float = 0.0
    once_a_run: bool = False
    of_speed: bool = False
    explained: bool = False
    worse_word: str = "slower"
    decimals: int | None = None
    heading: str = ""
    hidden: int | None = None
    shown: tuple[Place, ...] = ("comparison", "history")

    @property
    def worse(self) -> Literal["up", "down"]:
        """Return the direction of a regression."""
        return "up" if self.better == "lower" else "down"

    def of(self, record: object) -> float | None:
        """Return the value of a repetition in `unit`; `record` has the columns of the table of repetitions as
        attributes.
        """
        value: float | None = getattr(record, self.column)
        return None if value is None else value * self.scale


_EVERYWHERE: tuple[Place, ...] = ("jobs", "comparison", "history")

# The metrics by name, in the order in which they are shown. All code reads this mapping at run time, so a new metric
# needs no further code.
METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "latency",
            "latency",
            column="latency_avg_us",
            scale=1e-3,
            counts="latency",
            session_column="latency_ms",
            of_speed=True,
            explained=True,
            heading="latency ms",
            shown=_EVERYWHERE,
        ),
        Metric(
            "init",
            "init",
            column="init_us",
            scale=1e-3,
            counts="start",
            smallest_effect=0.05,
            of_speed=True,
            heading="init ms",
            hidden=6,
            shown=_EVERYWHERE,
        ),
        Metric(
            "first_inference",
            "first inference",
            column="first_inference_us",
            scale=1e-3,
            counts="start",
            smallest_effect=0.05,
            of_speed=True,
            heading="first ms",
            hidden=2,
            shown=_EVERYWHERE,
        ),
        Metric(
            "peak_memory",
            "peak memory",
            "MB",
            column="peak_memory_mb",
            of_job="max",
            session_column="peak_memory_mb",
            smallest_effect=0.02,
            # It varies by 0.05 to 1.2 % between processes (bench phone and virtual device, docs/compare.md). A run has
            # one value, so the scatter must be assumed.
            scatter=0.015,
            once_a_run=True,
            worse_word="larger",
            decimals=1,
            heading="peak MB",
            hidden=1,
            shown=_EVERYWHERE,
        ),
        Metric("operator_time", "operator time", source="profile", smallest_effect=0.05, once_a_run=True),
        Metric(
            "model_size",
            "model size",
            "bytes",
            source="model",
            smallest_effect=0.0,
            exact=True,
            worse_word="larger",
            decimals=0,
        ),
        Metric(
            "delegated_node_share",
            "delegated node share",
            "",
            column="delegated_node_share",
            better="higher",
            absolute=True,
            exact=True,
            explained=True,
            worse_word="less on the delegate",
        ),
        Metric(
            "delegate_time_share",
            "time on delegate",
            "",
            column="delegate_time_share",
            counts="profile",
            better="higher",
            absolute=True,
            heading="on delegate",
            shown=("jobs",),
        ),
    )
}
OPERATOR_TIME = "operator_time"
MODEL_SIZE = "model_size"


def shown_in(place: Place) -> tuple[str, ...]:
    """Return the names of the metrics that are shown in a place."""
    return tuple(name for name, metric in METRICS.items() if place in metric.shown)


def of_repetitions() -> dict[str, Metric]:
    """Return the metrics of the history that have a value for each repetition."""
    return {name: METRICS[name] for name in shown_in("history") if METRICS[name].source == "repetition"}


def stored() -> tuple[str, ...]:
    """Return the names of the metrics of the history that have one value per repetition or job:

    all except the times of operators.
    """
    return tuple(name for name in shown_in("history") if METRICS[name].source != "profile")
