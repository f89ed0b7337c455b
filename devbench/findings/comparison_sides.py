"""One side of a comparison, read from the store: its runs, its jobs and the observations of each series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devbench.errors import InputError
from devbench.findings.comparison import ComparedRuns, ComparisonSettings
from devbench.findings.comparison_pipelines import pipeline_values, with_pipelines
from devbench.findings.comparison_values import Series, Values, reliable_values
from devbench.findings.grouping import groups
from devbench.metrics import OPERATOR_TIME

if TYPE_CHECKING:
    import pandas as pd

    from devbench.results.history import History

# Below that no test says anything; each run has one profile of a case.
_LEAST_PROFILES = 3
# There are a dozen types for each case: of many runs so many are enough for a verdict.
_MOST_PROFILED = 30


@dataclass(frozen=True, slots=True)
class SideData:
    """One side, read.

    Attributes:
        runs: which.
        history: where they are.
        jobs: of `History.jobs`.
        values: of each series one per repetition that counts, or one per job if they are medians and for operators.
        unreliable: the series all of whose values are unreliable.
    """

    runs: ComparedRuns
    history: History
    jobs: pd.DataFrame
    values: Mapping[Series, Values]
    unreliable: frozenset[Series]


def load_side(
    history: History, title: str, run_ids: Sequence[str], settings: ComparisonSettings, *, medians: bool
) -> SideData:
    """Read the runs of a side, as far as the settings ask for it.

    Raises:
        InputError: there is no run.
    """
    frame = history.runs(runs=tuple(run_ids)) if run_ids else None
    if frame is None or frame.empty:
        raise InputError(f"{title or 'a side'} names no run", hint="see `devbench runs`")
    filters = filters_of(run_ids, settings)
    labels = [dict(one) for one in frame["labels"]]
    shared = {key: value for key, value in labels[0].items() if all(one.get(key) == value for one in labels)}
    times = frame["started_utc"]
    runs = ComparedRuns(title, tuple(frame["run_id"]), times.min().to_pydatetime(), times.max().to_pydatetime(), shared)
    metrics = tuple(metric for metric in settings.metrics if metric != OPERATOR_TIME)
    values: dict[Series, Values] = {}
    if metrics:
        read = history.series if medians else history.samples
        samples = read(metrics=metrics, **filters)
        values |= {
            (key[0], key[1], key[2], ""): of for key, of in _by(samples, ["device_key", "case", "metric"], "value")
        }
    if OPERATOR_TIME in settings.metrics and len(run_ids) >= _LEAST_PROFILES:
        newest = {**filters, "runs": tuple(run_ids)[-_MOST_PROFILED:]}
        types = history.operator_types(**newest)
        keys = ["device_key", "case", "type"]
        sums = types.groupby([*keys, "run_id", "job"], sort=False, observed=True)["total_ms"].sum().reset_index()
        profiles = {(one.run_id, one.job) for one in history.unreliable(**newest) if one.purpose == "profile"}
        sums["unreliable"] = [job in profiles for job in zip(sums["run_id"], sums["job"], strict=True)]
        values |= {(key[0], key[1], OPERATOR_TIME, key[2]): of for key, of in _by(sums, keys, "total_ms")}
    sessions = history.pipelines(**filters)
    for metric, observed in pipeline_values(sessions, metrics, medians=medians):
        keys = ["device_key", "case"]
        values |= {(key[0], key[1], metric, ""): of for key, of in _by(observed, keys, "value")}
    unreliable: frozenset[Series] = frozenset()
    if settings.unreliable == "undecided":
        values, unreliable = reliable_values(values)
    return SideData(runs, history, with_pipelines(history.jobs(**filters), sessions), values, unreliable)


def _by(frame: pd.DataFrame, keys: list[str], column: str) -> Iterator[tuple[tuple[str, ...], Values]]:
    values, runs, unreliable = (frame[name].to_numpy() for name in (column, "run_id", "unreliable"))
    for key, rows in groups(frame, keys):
        yield key, Values(values[rows].tolist(), runs[rows].tolist(), unreliable[rows].tolist())


def filters_of(run_ids: Sequence[str], settings: ComparisonSettings) -> dict[str, Any]:
    return {
        "runs": tuple(run_ids),
        "devices": settings.devices,
        "models": settings.models,
        "delegates": settings.delegates,
        "cases": settings.cases,
    }
