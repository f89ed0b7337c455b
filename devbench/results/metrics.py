"""What is followed over runs: the metrics with their units and columns; knows no database.

The names are those of `devbench.analysis.compare.METRICS`. `operator_time` is not among them: it has a type of
operator for a further key (`History.operator_types`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of a repetition.

    Attributes:
        unit: "ms", "MB", "bytes", or empty for a share between 0 and 1.
        column: of the table of repetitions.
        scale: unit = column × scale.
        counts: which repetitions count: those whose latency or start counts (`counting.py`), or all that ended well.
    """

    unit: str
    column: str
    scale: float
    counts: Literal["latency", "start", "ok"]


OF_REPETITIONS: Mapping[str, Metric] = {
    "latency": Metric("ms", "latency_avg_us", 1e-3, "latency"),
    "init": Metric("ms", "init_us", 1e-3, "start"),
    "first_inference": Metric("ms", "first_inference_us", 1e-3, "start"),
    "peak_memory": Metric("MB", "peak_memory_mb", 1.0, "ok"),
    "delegated_share": Metric("", "delegated_share", 1.0, "ok"),
}
# Of the model's file, the same for all repetitions of a job.
MODEL_SIZE = "model_size"
UNITS: Mapping[str, str] = {**{name: metric.unit for name, metric in OF_REPETITIONS.items()}, MODEL_SIZE: "bytes"}


def delegated_share(applied: str | None, delegated: int | None, total: int | None) -> float | None:
    """The share of the graph's nodes that the delegate took, 0 to 1; `None` for the plain CPU and where nobody said."""
    if applied is None or applied == "none":
        return None if applied is None else 0.0
    if delegated is not None and total:
        return delegated / total
    return 1.0 if applied == "full" else None
