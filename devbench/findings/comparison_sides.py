"""One side of a comparison, read from the store: its runs, its jobs and the observations of each series."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from devbench.errors import InputError
from devbench.findings.comparison import ComparedRuns, ComparisonSettings
from devbench.findings.comparison_pipelines import pipeline_values, with_pipelines
from devbench.findings.comparison_values import Key, Series, Values, reliable_values
from devbench.findings.grouping import groups
from devbench.metrics import OPERATOR_TIME
from devbench.notices import Effect, Notice
from devbench.results.cases import subject_of

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
        left_out: of each case how many unreliable values were left out of how many, and why.
        undecided: of each case the texts of the stored notices that allow no verdict.
        notices: stored with the runs, by their ids.
        names: of each job of a run with notices by run and number, what its model, its case and its device are called.
    """

    runs: ComparedRuns
    history: History
    jobs: pd.DataFrame
    values: Mapping[Series, Values]
    unreliable: frozenset[Series]
    left_out: Mapping[Key, tuple[int, int, str]]
    undecided: Mapping[Key, Sequence[str]]
    notices: Mapping[str, tuple[Notice, ...]]
    names: Mapping[tuple[str, int], frozenset[str]]


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
    jobs, notices = history.jobs(**filters), history.store.notices(runs.run_ids)
    unreliable: frozenset[Series] = frozenset()
    left_out: dict[Key, tuple[int, int, str]] = {}
    undecided: dict[Key, list[str]] = {}
    noticed = jobs[jobs["run_id"].isin([run_id for run_id, found in notices.items() if found])]
    names = _names(noticed)
    if settings.unreliable == "undecided":
        values, undecided = _without_verdict(values, notices, noticed, names)
        values, unreliable, left_out = reliable_values(values)
    jobs = with_pipelines(jobs, sessions)
    return SideData(runs, history, jobs, values, unreliable, left_out, undecided, notices, names)


def _names(jobs: pd.DataFrame) -> dict[tuple[str, int], frozenset[str]]:
    rows = jobs[["run_id", "job", "model", "case", "device"]].itertuples(index=False, name=None)
    return {
        (run_id, job): frozenset((model, case, device, subject_of(model, case)))
        for run_id, job, model, case, device in rows
    }


def _without_verdict(
    values: dict[Series, Values],
    notices: Mapping[str, Sequence[Notice]],
    jobs: pd.DataFrame,
    names: Mapping[tuple[str, int], frozenset[str]],
) -> tuple[dict[Series, Values], dict[Key, list[str]]]:
    """The values, unreliable where a notice allows no verdict; and the texts of these notices by case."""
    undecided = {run_id: [n for n in found if n.effect is Effect.UNDECIDED] for run_id, found in notices.items()}
    bad: set[tuple[str, str, str]] = set()
    texts: dict[Key, list[str]] = {}
    for run_id, job, device, case in jobs[["run_id", "job", "device_key", "case"]].itertuples(index=False, name=None):
        found = [n.text for n in undecided.get(run_id, ()) if n.concerns(device, job, names[run_id, job])]
        if found:
            bad.add((run_id, device, case))
            texts.setdefault((device, case), []).extend(found)
    if not bad:
        return values, texts
    marked = {
        series: replace(
            of,
            unreliable=[
                unreliable or (run_id, *series[:2]) in bad
                for unreliable, run_id in zip(of.unreliable, of.runs, strict=True)
            ],
        )
        for series, of in values.items()
    }
    return marked, texts


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
