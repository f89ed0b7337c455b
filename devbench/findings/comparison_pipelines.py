"""Whole pipelines next to the cases of single models, for a comparison; knows no form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from devbench.analysis.explain import TypeTime
from devbench.metrics import METRICS

if TYPE_CHECKING:
    import pandas as pd

    from devbench.results.history import History

_RUN_AND_CASE = ["run_id", "device_key", "case"]
# What a job says of itself, and how it failed last.
_OF_A_JOB = ("device", "virtual", "model", "delegate", "threads", "failure_kind", "failure_message")


def pipeline_values(
    sessions: pd.DataFrame, metrics: Sequence[str], *, medians: bool
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Of each of the metrics that sessions have, one `value` a session that counts, or their median a run."""
    for metric in (one for one in metrics if METRICS[one].session_column):
        column = METRICS[metric].session_column
        known = sessions[sessions["counts"]].rename(columns={column: "value"}).dropna(subset=["value"])
        if medians:
            by_run = known.groupby(_RUN_AND_CASE, sort=False, observed=True)
            known = by_run.agg({"value": "median", "unreliable": "all"}).reset_index()
        yield metric, known


def with_pipelines(jobs: pd.DataFrame, sessions: pd.DataFrame) -> pd.DataFrame:
    """`History.jobs`, and whole pipelines as if they were some: what ran, how often it ended well, how it failed."""
    import pandas as pd

    if sessions.empty:
        return jobs
    ok, failed = sessions["status"].eq("ok"), sessions["status"].eq("failed")
    whole = sessions.assign(measured=ok, ok=ok, failed=failed).groupby(_RUN_AND_CASE, sort=False, observed=True)
    of_jobs = whole.agg({**dict.fromkeys(_OF_A_JOB, "last"), **dict.fromkeys(("measured", "ok", "failed"), "sum")})
    return pd.concat([jobs, of_jobs.reset_index()], ignore_index=True)


def stage_times(history: History, filters: Mapping[str, Any]) -> dict[tuple[str, str], list[TypeTime]]:
    """Of each pipeline on each device the median time of each stage, as of the operators of a model."""
    stages = history.pipeline_stages(**filters)
    found: dict[tuple[str, str], list[TypeTime]] = {}
    medians = stages[stages["counts"]].groupby(["device_key", "case", "stage"], sort=False, observed=True)["taken_ms"]
    for (device, case, stage), taken_ms in medians.median().items():
        found.setdefault((device, case), []).append(TypeTime(stage, "cpu", float(taken_ms)))
    return found
