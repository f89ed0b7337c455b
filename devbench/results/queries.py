"""Queries over many runs without pandas: samples and series of metrics, used files, unreliable repetitions.

A sample is the value of one repetition or of one session of a pipeline (`sessions.py`). A series has one value per job
or session. The catalogue (`devbench/metrics.py`) has the metrics and their columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import sqlalchemy as sa

from devbench.errors import InputError
from devbench.metrics import METRICS, OPERATOR_TIME, stored
from devbench.results import schema
from devbench.results.columns import (
    Coded,
    Column,
    Rows,
    array_of,
    coded_of,
    in_order,
    joined,
    read_rows,
    series_rows,
    with_jobs,
    with_truth,
)
from devbench.results.kept import kept_series
from devbench.results.pipeline_schema import pipeline_sessions
from devbench.results.selection import Selection
from devbench.results.sessions import of_sessions, session_columns

Read: TypeAlias = Callable[[sa.Connection, str, Selection], Rows]


def series(
    connection: sa.Connection, metrics: Sequence[str], selection: Selection, store: str | None = None
) -> list[dict[str, Column]]:
    """Return all series of some metrics (of all that are stored if no metric is named), in the order of time.

    Args:
        connection: a connection to the store.
        metrics: names.
        selection: selects the results.
        store: the address of the store, if a copy of its totals may be kept (`kept.py`).

    Returns:
        Columns of jobs, with the median over the repetitions that count; of types of operators, with `operator_type`
        and without an interval, if `operator_time` is among the metrics; and of sessions of pipelines, for each metric
        that they have.

    Raises:
        InputError: a metric is not known.
    """
    of_jobs = [name for name in metrics if name != OPERATOR_TIME] if metrics else list(stored())
    kept = kept_series(connection, store, of_jobs, selection) if store else None
    parts = [kept if kept is not None else by_metric(connection, selection, of_jobs, series_rows)] if of_jobs else []
    if OPERATOR_TIME in metrics:
        parts.append(_operator_times(connection, selection))
    return parts + of_sessions(session_columns(connection, selection), of_jobs, medians=True)


def observations(
    connection: sa.Connection, selection: Selection, metrics: Sequence[str], *, medians: bool
) -> list[dict[str, Column]]:
    """Return values of metrics, in the order of time: of repetitions and sessions that count, or the medians of each
    run.

    Raises:
        InputError: a metric is not known.
    """
    of_jobs = by_metric(connection, selection, metrics, series_rows if medians else sample_rows)
    return [of_jobs, *of_sessions(session_columns(connection, selection), metrics, medians=medians)]


def by_metric(connection: sa.Connection, selection: Selection, metrics: Sequence[str], read: Read) -> dict[str, Column]:
    """Return the rows that `read` gives for each of the metrics, with their jobs, in the order of time.

    Raises:
        InputError: a metric is not known.
    """
    known = stored()
    asked = [metrics] if isinstance(metrics, str) else list(metrics or known)
    for metric in asked:
        if metric not in known:
            raise InputError(f"there is no metric {metric!r}", hint=f"known are {', '.join(known)}")
    parts = [read(connection, metric, selection) for metric in asked]
    columns = with_jobs(connection, selection, joined(parts))
    which = np.repeat(np.arange(len(parts)), [len(part.owners) for part in parts])
    columns["metric"], columns["unit"] = Coded(asked, which), Coded([METRICS[name].unit for name in asked], which)
    return in_order(columns)


def _operator_times(connection: sa.Connection, selection: Selection) -> dict[str, Column]:
    """Return times by type of operator from each job's last profile, and whether a profile of the job is unreliable."""
    table, repetitions = schema.job_operator_types, schema.repetitions
    of_types = {"operator_type": table.c.type, "value": table.c.total_ms}
    rows = _summed(read_rows(connection, selection, table, table.c.job_id, of_types), "operator_type", "value")
    profiles = sa.select(repetitions.c.job_id).where(
        repetitions.c.purpose == "profile",
        repetitions.c.verdict == "unreliable",
        repetitions.c.status == "ok",
        *selection.of_job_ids(repetitions.c.job_id),
    )
    unreliable = np.isin(rows.owners, connection.execute(profiles).scalars().all())
    columns = with_jobs(connection, selection, Rows(rows.owners, {**rows.columns, "unreliable": unreliable}))
    nothing = np.zeros(len(columns["job"]), dtype="int64")
    columns["metric"], columns["unit"] = Coded([OPERATOR_TIME], nothing), Coded([METRICS[OPERATOR_TIME].unit], nothing)
    return in_order(columns)


def sample_rows(connection: sa.Connection, metric: str, selection: Selection) -> Rows:
    """Return the repetitions that count for a metric: `repetition`, `value` in its unit, and `unreliable`."""
    repetitions = schema.repetitions
    of = METRICS[metric]
    if of.source != "repetition":
        rows = series_rows(connection, metric, selection)
        kept = {name: rows.columns[name] for name in ("value", "unreliable")}
        return Rows(rows.owners, {"repetition": 0 * rows.owners, **kept})
    column = repetitions.c[of.column]
    counts = {
        "latency": repetitions.c.counts_latency.is_(True),
        "start": repetitions.c.counts_start.is_(True),
        "ok": repetitions.c.status == "ok",
    }
    columns = {
        "repetition": repetitions.c.index,
        "value": column * of.scale,
        "unreliable": repetitions.c.verdict == "unreliable",
    }
    where = (counts[of.counts], column.is_not(None))
    return with_truth(read_rows(connection, selection, repetitions, repetitions.c.job_id, columns, *where))


def _summed(rows: Rows, key: str, number: str) -> Rows:
    """Return one row per job and value of the column `key`, with the sum of the column `number`."""
    keys = coded_of(rows.columns, key)
    each = rows.owners * max(len(keys.values), 1) + keys.codes
    _, first, which = np.unique(each, return_index=True, return_inverse=True)
    sums = np.bincount(which, weights=array_of(rows.columns, number), minlength=len(first))
    return Rows(rows.owners[first], {key: keys.take(first), number: sums})


@dataclass(frozen=True, slots=True)
class UsedFile:
    """A file that cases on a device were measured with. `version` is as the file states it, empty if it does not."""

    device_key: str
    case: str
    role: str
    name: str
    sha256: str
    version: str


# A source of used files: the table of jobs and files, its column with the job, and the file's columns.
Source = tuple[sa.FromClause, "sa.ColumnElement[int]", dict[str, Any]]


def sources() -> tuple[Source, Source]:
    """Return the tables with the tool of each job and with its other files."""
    jobs, binaries, used, files = schema.jobs, schema.binaries, schema.job_files, schema.files
    tool = {"role": sa.literal("tool"), **{name: binaries.c[name] for name in ("name", "sha256", "version")}}
    other = {**{name: used.c[name] for name in ("role", "name", "sha256")}, "version": files.c.version}
    return (
        (jobs.join(binaries, binaries.c.sha256 == jobs.c.binary_sha256), jobs.c.id, tool),
        (used.join(files, files.c.sha256 == used.c.sha256).join(jobs, jobs.c.id == used.c.job_id), jobs.c.id, other),
    )


def used_files(connection: sa.Connection, selection: Selection) -> list[UsedFile]:
    """Return each file once for each case on a device that used it."""
    jobs, cases = schema.jobs, schema.cases
    found = []
    for source, job_id, columns in sources():
        query = sa.select(jobs.c.device_key, jobs.c.case_id, *(value.label(name) for name, value in columns.items()))
        found.append(query.select_from(source).where(*selection.of_job_ids(job_id)).distinct())
    rows = sa.union_all(*found).subquery()
    named = sa.select(
        rows.c.device_key, cases.c.text, *(rows.c[name] for name in ("role", "name", "sha256", "version"))
    )
    return [UsedFile(*row) for row in connection.execute(named.join(cases, cases.c.id == rows.c.case_id))]


def states_of_cases(connection: sa.Connection, selection: Selection) -> list[tuple[str, str, bool, bool]]:
    """Return device key, case, whether a delegate took only a part of the graph, and whether outputs were compared.

    One for each case that ran well on a device; failed repetitions are left out.
    """
    jobs, cases, repetitions = schema.jobs, schema.cases, schema.repetitions
    marks = (repetitions.c.delegate_applied == "partial", repetitions.c.purpose == "outputs")
    columns = (jobs.c.device_key, cases.c.text, *(sa.func.max(sa.case((mark, 1), else_=0)) for mark in marks))
    source = repetitions.join(jobs, jobs.c.id == repetitions.c.job_id).join(cases, cases.c.id == jobs.c.case_id)
    well = (repetitions.c.status == "ok", *selection.of_job_ids(repetitions.c.job_id))
    query = sa.select(*columns).select_from(source).where(*well).group_by(jobs.c.device_key, cases.c.text)
    return [(key, case, bool(partly), bool(compared)) for key, case, partly, compared in connection.execute(query)]


def device_outcomes(connection: sa.Connection, selection: Selection) -> Sequence[Any]:
    """Count each device's repetitions by how they ended: device_key, status, failure_kind, verdict, n."""
    jobs, repetitions = schema.jobs, schema.repetitions
    how = (jobs.c.device_key, repetitions.c.status, repetitions.c.failure_kind, repetitions.c.verdict)
    query = (
        selection.select_jobs(*how, sa.func.count().label("n"))
        .join(repetitions, repetitions.c.job_id == jobs.c.id)
        .group_by(*how)
    )
    return connection.execute(query).all()


@dataclass(frozen=True, slots=True)
class Unreliable:
    """A repetition that ended well, measured while the device was throttled or busy.

    Attributes:
        run_id, job, device_key, case: where it belongs; `job` is 0 for a session of a pipeline.
        purpose: as in `RepetitionRecord`; "session" for one of a pipeline.
        reasons: the reasons as text.
    """

    run_id: str
    job: int
    device_key: str
    case: str
    purpose: str
    reasons: tuple[str, ...]


def unreliable_repetitions(connection: sa.Connection, selection: Selection) -> list[Unreliable]:
    """Return the unreliable repetitions of the selected jobs in the order of storing, then those of pipelines."""
    runs, jobs, cases = schema.runs, schema.jobs, schema.cases
    repetitions, details = schema.repetitions, schema.details
    query = (
        sa.select(
            runs.c.run_id, jobs.c.number, jobs.c.device_key, cases.c.text, repetitions.c.purpose,
            details.c.verdict_reasons,
        )
        .select_from(repetitions)
        .join(jobs, jobs.c.id == repetitions.c.job_id)
        .join(runs, runs.c.run_id == jobs.c.run_id)
        .join(cases, cases.c.id == jobs.c.case_id)
        .join(details, details.c.repetition_id == repetitions.c.id)
        .where(repetitions.c.verdict == "unreliable", repetitions.c.status == "ok", *selection.of_jobs())
        .order_by(repetitions.c.id)
    )  # fmt: skip
    found = [Unreliable(*row[:5], tuple(map(str, row[5]))) for row in connection.execute(query)]
    return found + _sessions(connection, selection)


def _sessions(connection: sa.Connection, selection: Selection) -> list[Unreliable]:
    columns = session_columns(connection, selection)
    run, device, case = (coded_of(columns, name) for name in ("run_id", "device_key", "case"))
    unreliable = array_of(columns, "unreliable")
    found = {
        number: (run.at(row), 0, device.at(row), case.at(row), "session")
        for row, number in enumerate(array_of(columns, "session").tolist())
        if unreliable[row]
    }
    table = pipeline_sessions
    query = sa.select(table.c.id, table.c.verdict_reasons).where(table.c.verdict == "unreliable")
    query = query.join(schema.runs, schema.runs.c.run_id == table.c.run_id).where(*selection.of_runs())
    reasons = {row.id: tuple(map(str, row.verdict_reasons)) for row in connection.execute(query)} if found else {}
    return [Unreliable(*key, reasons.get(number, ())) for number, key in found.items()]
