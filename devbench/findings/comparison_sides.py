"""Reads the two sides of a comparison: the observations of each series, and which of them are reliable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from devbench.analysis.explain import TypeTime
from devbench.analysis.reliability import reasons_text
from devbench.errors import InputError
from devbench.findings.comparison import CaseOnDevice, ComparedRuns, ComparisonSettings
from devbench.findings.grouping import Series, series_groups
from devbench.grouped import grouped
from devbench.metrics import METRICS, OPERATOR_TIME
from devbench.notices import Effect, Notice, NoticeKind, Tally
from devbench.results.cases import subject_of
from devbench.results.columns import Columns, array_of, coded_of

if TYPE_CHECKING:
    import pandas as pd

    from devbench.results.history import History

# The fewest values for a test; each run has one profile of a case.
_LEAST_PROFILES = 3
# Each case has about a dozen operator types, so only this many of the latest runs are read; they are enough for a
# verdict.
_MOST_PROFILED = 30


@dataclass(frozen=True, slots=True)
class SideData:
    """The data of one side.

    Attributes:
        runs: the runs of the side.
        history: the store that has them.
        jobs: a frame of `History.jobs`.
        values: for each series, one value per repetition that counts; for medians and operators one per job.
        unreliable: the series all of whose values are unreliable.
        left_out: for each case, the number of unreliable values that were left out, the number of all, and the reasons.
        undecided: for each case, the texts of the stored notices that allow no verdict.
        notices: stored with the runs, by their ids.
        names: for each job of a run with notices, by run and number: the names of its model, its case and its device.
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
    """Read what the settings select from the runs of a side.

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
    parts = history.observations(metrics, medians=medians, **filters) if metrics else []
    if OPERATOR_TIME in settings.metrics and len(run_ids) >= _LEAST_PROFILES:
        newest = {**filters, "runs": tuple(run_ids)[-_MOST_PROFILED:]}
        parts += history.series_columns((OPERATOR_TIME,), **newest)
    values = dict(sorted(_values(parts)))
    jobs, notices = history.jobs(**filters), history.store.notices(runs.run_ids)
    unreliable: frozenset[Series] = frozenset()
    left_out: dict[Key, tuple[int, int, str]] = {}
    undecided: dict[Key, list[str]] = {}
    noticed = jobs[jobs["run_id"].isin([run_id for run_id, found in notices.items() if found])]
    names = _names(noticed)
    if settings.unreliable == "undecided":
        values, undecided = _without_verdict(values, notices, noticed, names)
        values, unreliable, left_out = reliable_values(values)
    jobs = with_pipelines(jobs, history.pipelines(**filters))
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
    """Mark values unreliable if a notice allows no verdict on them; return them and the notices' texts by case."""
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


def _values(parts: Iterable[Columns]) -> Iterator[tuple[Series, Values]]:
    for columns in parts:
        values, unreliable = array_of(columns, "value"), array_of(columns, "unreliable")
        runs = coded_of(columns, "run_id")
        for series, rows in series_groups(columns):
            of_rows = [runs.values[code] for code in runs.codes[rows].tolist()]
            yield series, Values(values[rows].tolist(), of_rows, unreliable[rows].tolist())


def filters_of(run_ids: Sequence[str], settings: ComparisonSettings) -> dict[str, Any]:
    return {
        "runs": tuple(run_ids),
        "devices": settings.devices,
        "models": settings.models,
        "delegates": settings.delegates,
        "cases": settings.cases,
    }


# Device and case.
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Values:
    """Observations of a series, each with the run that made it and whether it is unreliable."""

    values: Sequence[float]
    runs: Sequence[str]
    unreliable: Sequence[bool]


def reliable_values(
    values: Mapping[Series, Values],
) -> tuple[dict[Series, Values], frozenset[Series], dict[Key, tuple[int, int, str]]]:
    """Return the reliable values of each series, or all if none is reliable; the series without a reliable value.

    The third result has for each case the largest number of excluded values, the number of all, and the reasons.
    """
    found = dict(values)
    unreliable = set()
    left_out: dict[Key, tuple[int, int, str]] = {}
    for series, of in values.items():
        if METRICS[series[2]].exact or not any(of.unreliable):
            continue
        if all(of.unreliable):
            unreliable.add(series)
            continue
        kept = [k for k, bad in enumerate(of.unreliable) if not bad]
        counts = (len(of.values) - len(kept), len(of.values), "")
        left_out[series[:2]] = max(left_out.get(series[:2], counts), counts)
        found[series] = replace(
            of,
            values=[of.values[k] for k in kept],
            runs=[of.runs[k] for k in kept],
            unreliable=[False] * len(kept),
        )
    return found, frozenset(unreliable), left_out


# The reasons of this number of runs are read, the newest.
_MOST_RUNS = 10
_MOST_REASONS_TEXT = 200
_NEXT_STEP = "measure again on an idle, cool device, or use --unreliable count"


def no_verdicts(
    before: SideData, after: SideData, series: Iterable[Series], subjects: Mapping[Key, CaseOnDevice], what: str
) -> tuple[dict[Series, str], list[Notice]]:
    """Return why there is no verdict on a series, and a notice for each affected case and side.

    `what` is one observation: a repetition or a run.
    """
    both = list(series)
    why: dict[Series, list[str]] = {}
    notices: dict[tuple[Key, str], Notice] = {}
    for name, side in (("baseline", before), ("candidate", after)):
        concerned = [one for one in both if one in side.unreliable]
        reasons = _reasons(side, {one[:2] for one in concerned})
        for one in concerned:
            if stored := side.undecided.get(one[:2]):
                # There is a notice about it already.
                why.setdefault(one, []).append(f"{'; '.join(dict.fromkeys(stored))} (in the {name})")
                continue
            n = len(side.values[one].values)
            because = f" ({reasons[one[:2]]})" if reasons.get(one[:2]) else ""
            tally = Tally(n, n, f"{what} of the {name}", f"unreliable{because}")
            why.setdefault(one, []).append(tally.text)
            known = notices.get((one[:2], name))
            if known is None or known.tally is None or known.tally.total < n:
                notices[one[:2], name] = Notice(
                    NoticeKind.ALL_UNRELIABLE, subjects[one[:2]].case, tally.text, _NEXT_STEP, Effect.UNDECIDED, one[0],
                    tally=tally,
                )  # fmt: skip
    return {one: "; ".join(words) for one, words in why.items()}, [notices[key] for key in sorted(notices)]


def _reasons(side: SideData, keys: set[Key]) -> dict[Key, str]:
    if not keys:
        return {}
    found: dict[Key, list[str]] = {}
    for one in side.history.unreliable(
        runs=side.runs.run_ids[-_MOST_RUNS:],
        devices=tuple({device for device, _ in keys}),
        cases=tuple({case for _, case in keys}),
    ):
        if (one.device_key, one.case) in keys:
            found.setdefault((one.device_key, one.case), []).extend(one.reasons)
    return {key: reasons_text(reasons, counted=False)[:_MOST_REASONS_TEXT] for key, reasons in found.items()}


_RUN_AND_CASE = ["run_id", "device_key", "case"]
# The columns of a job, with its last failure.
_OF_A_JOB = ("device", "virtual", "model", "delegate", "threads", "failure_kind", "failure_message")


def with_pipelines(jobs: pd.DataFrame, sessions: pd.DataFrame) -> pd.DataFrame:
    """Return `History.jobs` with whole pipelines added as jobs: what ran, how often it ended well, how it failed."""
    import pandas as pd

    if sessions.empty:
        return jobs
    ok, failed = sessions["status"].eq("ok"), sessions["status"].eq("failed")
    whole = sessions.assign(measured=ok, ok=ok, failed=failed).groupby(_RUN_AND_CASE, sort=False, observed=True)
    of_jobs = whole.agg({**dict.fromkeys(_OF_A_JOB, "last"), **dict.fromkeys(("measured", "ok", "failed"), "sum")})
    return pd.concat([jobs, of_jobs.reset_index()], ignore_index=True)


def stage_times(history: History, filters: Mapping[str, Any]) -> dict[tuple[str, str], list[TypeTime]]:
    """Return the median time of each stage for each pipeline on each device, in place of a model's operators."""
    stages = history.pipeline_stages(**filters)
    medians = stages[stages["counts"]].groupby(["device_key", "case", "stage"], sort=False, observed=True)["taken_ms"]
    return grouped(
        ((device, case), TypeTime(stage, "cpu", float(taken_ms)))
        for (device, case, stage), taken_ms in medians.median().items()
    )
