"""Stored totals of jobs: which repetitions count, metrics, time by type of operator; knows no record.

An import and a merge compute them in their own transaction. A run only notes which of its jobs have new repetitions,
since each computation reads all repetitions of a job: the totals are computed at the end of the run, or before a
history is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import sqlalchemy as sa

from devbench.metrics import MODEL_SIZE, of_repetitions
from devbench.results import schema
from devbench.results.bulk import fetch, insert_rows
from devbench.results.counting import JobMetric, TypeTotal, operator_place_is_xnnpack, total, type_times
from devbench.results.engine import insert_new

_DECIDE = ("id", "job_id", "purpose", "status", "failure_kind", "verdict", "file_cache", "kernel_cache")
# Jobs in one statement; SQLite takes some 32,000 parameters.
_AT_ONCE = 1_000


class _ProfileRow(NamedTuple):
    """A row of a profile; years of nights have millions of them, so it is a plain tuple."""

    job_id: int
    type: str
    avg_ms: float | None
    times_called: float | None
    inside_delegate: bool
    is_partition: bool


def total_up(connection: sa.Connection, job_ids: Sequence[int]) -> None:
    """Compute again which repetitions of these jobs count, and their metrics."""
    for some in _chunks(job_ids):
        _metrics(connection, some)


def total_types(connection: sa.Connection, job_ids: Sequence[int]) -> None:
    """Compute again the time by type of operator of these jobs, from the last profile of each."""
    for some in _chunks(job_ids):
        _types(connection, some)


def note_change(connection: sa.Connection, job_id: int) -> None:
    """Note that a job has repetitions that are not in its totals."""
    insert_new(connection, schema.open_totals, [{"job_id": job_id, "counted": 0, "waiting": 1}])


def are_open(connection: sa.Connection) -> bool:
    """Whether any job has repetitions that are not in its totals."""
    return connection.execute(sa.select(schema.open_totals.c.job_id).limit(1)).first() is not None


def complete(connection: sa.Connection, run_id: str | None = None) -> None:
    """Compute the totals of the jobs of a run that ended, or of all jobs with noted changes."""
    table, jobs = schema.open_totals, schema.jobs
    of_run = sa.select(jobs.c.id).where(jobs.c.run_id == run_id)
    late = list(connection.execute(of_run if run_id else sa.select(table.c.job_id)).scalars())
    total_up(connection, late)
    total_types(connection, late)
    connection.execute(table.delete().where(table.c.job_id.in_(of_run)) if run_id else table.delete())


def _chunks(job_ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(job_ids), _AT_ONCE):
        yield job_ids[start : start + _AT_ONCE]


def _metrics(connection: sa.Connection, job_ids: Sequence[int]) -> None:
    table, metrics = schema.repetitions, schema.job_metrics
    names = [*_DECIDE, *(metric.column for metric in of_repetitions().values()), "counts_latency", "counts_start"]
    query = sa.select(*(table.c[name] for name in names)).where(table.c.job_id.in_(job_ids))
    rows = connection.execute(query.order_by(table.c.job_id, table.c.id)).all()
    sizes = _model_sizes(connection, job_ids)
    changed, found = [], []
    for job_id, those in groupby(rows, key=lambda row: row.job_id):
        of_job = list(those)
        totals = total(of_job)
        for row in of_job:
            now = (row.id in totals.latency, row.id in totals.start)
            if now != (row.counts_latency, row.counts_start):
                changed.append({"key": row.id, "counts_latency": now[0], "counts_start": now[1]})
        found += [(job_id, one.metric, one.value, one.low, one.high, one.n, one.unreliable) for one in totals.metrics]
        # In a damaged store, rows that jobs refer to may be missing.
        if job_id in sizes and any(row.status == "ok" for row in of_job):
            found.append((job_id, MODEL_SIZE, float(sizes[job_id]), None, None, 1, False))
    if changed:
        values: dict[str, Any] = {name: sa.bindparam(name) for name in ("counts_latency", "counts_start")}
        connection.execute(table.update().where(table.c.id == sa.bindparam("key")).values(**values), changed)
    connection.execute(metrics.delete().where(metrics.c.job_id.in_(job_ids)))
    insert_rows(connection, metrics, ("job_id", *(field.name for field in fields(JobMetric))), found)


def _model_sizes(connection: sa.Connection, job_ids: Sequence[int]) -> dict[int, int]:
    models, jobs = schema.models, schema.jobs
    query = sa.select(jobs.c.id, models.c.size_bytes).join(models, models.c.sha256 == jobs.c.model_sha256)
    return {row.id: row.size_bytes for row in connection.execute(query.where(jobs.c.id.in_(job_ids)))}


def _types(connection: sa.Connection, job_ids: Sequence[int]) -> None:
    repetitions, operators, names, types = (
        schema.repetitions, schema.operators, schema.operator_names, schema.job_operator_types,
    )  # fmt: skip
    last = (
        sa.select(sa.func.max(repetitions.c.id))
        .where(repetitions.c.job_id.in_(job_ids), repetitions.c.purpose == "profile", repetitions.c.status == "ok")
        .group_by(repetitions.c.job_id)
    )
    query = (
        sa.select(
            repetitions.c.job_id,
            names.c.type,
            operators.c.avg_ms,
            operators.c.times_called,
            operators.c.inside_delegate,
            operators.c.is_partition,
        )
        .join(operators, operators.c.repetition_id == repetitions.c.id)
        .join(names, names.c.id == operators.c.name_id)
        .where(repetitions.c.id.in_(last), operators.c.phase == "runs")
        .order_by(repetitions.c.job_id, operators.c.position)
    )
    columns = fetch(connection, query)
    rows = map(_ProfileRow, *columns.values())
    found = []
    how = _profilers(connection, job_ids) if columns["job_id"] else {}
    for job_id, those in groupby(rows, key=attrgetter("job_id")):
        if job_id not in how:
            continue
        delegate, tool, options = how[job_id]
        times = type_times(list(those), xnnpack=operator_place_is_xnnpack(delegate, options), tool=tool)
        found += [(job_id, *key, *values) for key, values in _cut(times).items()]
    connection.execute(types.delete().where(types.c.job_id.in_(job_ids)))
    insert_rows(connection, types, ("job_id", *(field.name for field in fields(TypeTotal))), found)


def _cut(times: Sequence[TypeTotal]) -> dict[tuple[str, str], tuple[int, float, float]]:
    """Number, time and share by type and place; names that are equal up to the length of the column are one type."""
    found: dict[tuple[str, str], tuple[int, float, float]] = {}
    for one in times:
        key = (one.type[: schema.LONGEST_TYPE], one.place)
        count, total_ms, share = found.get(key, (0, 0.0, 0.0))
        found[key] = (count + one.count, total_ms + one.total_ms, share + one.share)
    return found


def _profilers(connection: sa.Connection, job_ids: Sequence[int]) -> dict[int, tuple[str, str, Any]]:
    """Delegate, tool and options of jobs, which decide where the operators of a profile ran."""
    jobs, cases, binaries, documents = schema.jobs, schema.cases, schema.binaries, schema.documents
    query = (
        sa.select(jobs.c.id, cases.c.delegate, binaries.c.tool, documents.c.body)
        .join(cases, cases.c.id == jobs.c.case_id)
        .join(binaries, binaries.c.sha256 == jobs.c.binary_sha256)
        .join(documents, documents.c.id == jobs.c.options_id)
        .where(jobs.c.id.in_(job_ids))
    )
    return {job_id: (delegate, tool, options) for job_id, delegate, tool, options in connection.execute(query)}
