"""Writes records as rows and computes the stored totals of jobs, within a transaction of the caller.

The totals of a job are the repetitions that count, the metrics, and the time by type of operator. An import and a merge
compute them in their own transaction. A run only notes which of its jobs have new repetitions, since each computation
reads all repetitions of a job: the totals are computed at the end of the run, or before a history is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import sqlalchemy as sa

from devbench.analysis.operators import TypeTotal, type_times
from devbench.metrics import MODEL_SIZE, of_repetitions
from devbench.notices import Notice
from devbench.results import schema
from devbench.results.column_types import content_id, storable_text
from devbench.results.counting import JobMetric, RunView, operator_place_is_xnnpack, total
from devbench.results.engine import fetch, insert_new, insert_rows, portions
from devbench.results.records import JobRecord, OperatorRecord, RepetitionRecord, RunRecord

DETAILS = ("argv", "measurement", "outputs", "verdict_reasons")
CONDITIONS = {"before": "conditions_before", "after": "conditions_after", "during": "conditions_during"}
_ELSEWHERE = {"run_id", "job_number", "operators", *DETAILS, *CONDITIONS.values()}
# The columns of a repetition that the record and the table have in common.
NUMBERS = tuple(field.name for field in fields(RepetitionRecord) if field.name not in _ELSEWHERE)


def insert_run(connection: sa.Connection, run: RunRecord) -> None:
    """Insert a run that begins; its status is `running`."""
    values = {field.name: getattr(run, field.name) for field in fields(RunRecord) if field.name != "labels"}
    values["options"] = dict(run.options)
    connection.execute(schema.runs.insert().values(status="running", end_reason="", **values))
    labels = [{"run_id": run.run_id, "key": key, "value": value} for key, value in run.labels.items()]
    if labels:
        connection.execute(schema.labels.insert(), labels)


def insert_part(connection: sa.Connection, view: RunView) -> None:
    """Insert what the store lacks of a run: its row, notices, jobs, repetitions. A new run has the state `running`."""
    run_id, runs, jobs, repetitions = view.run.run_id, schema.runs, schema.jobs, schema.repetitions
    if connection.execute(sa.select(runs.c.run_id).where(runs.c.run_id == run_id)).scalar() is None:
        insert_run(connection, view.run)
    insert_notices(connection, run_id, view.notices)
    for item in view.jobs:
        known = sa.select(jobs.c.id).where(jobs.c.run_id == run_id, jobs.c.number == item.job.number)
        job_id = connection.execute(known).scalar()
        if job_id is None:
            job_id = insert_job(connection, item.job)
        for one in item.repetitions:
            same = (repetitions.c.job_id == job_id, repetitions.c.purpose == one.purpose)
            there = sa.select(repetitions.c.id).where(*same, repetitions.c.index == one.index)
            if connection.execute(there).scalar() is None:
                insert_repetition(connection, one)


def insert_notices(connection: sa.Connection, run_id: str, notices: Iterable[Notice]) -> None:
    """Insert the notices of a run, each once."""
    rows = [{**asdict(notice), "run_id": run_id, "id": _notice_id(notice)} for notice in notices]
    for row in rows:
        row |= {"effect": row["effect"].value, "kind": row["kind"].value}
        del row["tally"]
    insert_new(connection, schema.notices, rows)


def _notice_id(notice: Notice) -> int:
    """Return the number of a run's notice, which is computed from its content."""
    return content_id(notice.kind.value, notice.subject, notice.text, notice.device_key, notice.job_number)


def insert_job(connection: sa.Connection, job: JobRecord) -> int:
    """Insert a job, and its device, model, binary and case if they are new; return its number in the table."""
    options_id = _document(connection, job.options)
    device = {name: value for name, value in asdict(job.device).items() if name != "facts"}
    device |= {"run_id": job.run_id, "facts_id": _document(connection, job.device.facts)}
    text = storable_text(job.case)
    case = {"id": content_id(text), "text": text, "model": job.model.name}
    insert_new(connection, schema.devices, [device])
    # The key in the device's facts differs if its history was merged with another one.
    measured_as = job.device.facts.get("key") or job.device.key
    if measured_as != job.device.key:
        move = {"run_id": job.run_id, "key": job.device.key, "measured_as": str(measured_as)[:80]}
        insert_new(connection, schema.device_moves, [move])
    # The name of the model is in the case: one file may have several names.
    insert_new(connection, schema.models, [{k: v for k, v in asdict(job.model).items() if k != "name"}])
    insert_new(connection, schema.binaries, [asdict(job.binary)])
    insert_new(connection, schema.cases, [{**case, "delegate": job.delegate, "threads": job.threads}])
    values = {
        "run_id": job.run_id,
        "number": job.number,
        "device_key": job.device.key,
        "case_id": case["id"],
        "model_sha256": job.model.sha256,
        "binary_sha256": job.binary.sha256,
        "delegate_title": job.delegate_title,
        "require": job.require,
        "options_id": options_id,
    }
    number = _inserted(connection, schema.jobs, values)
    if job.files:
        stored = [{"sha256": one.sha256, "size_bytes": one.size_bytes, "version": one.version} for one in job.files]
        used = [{"job_id": number, "role": one.role, "name": one.name, "sha256": one.sha256} for one in job.files]
        insert_new(connection, schema.files, stored)
        insert_new(connection, schema.job_files, used)
    return number


def _document(connection: sa.Connection, body: Mapping[str, Any]) -> int:
    number = content_id(body)
    insert_new(connection, schema.documents, [{"id": number, "body": body}])
    return number


def _inserted(connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> int:
    key = connection.execute(table.insert().values(**values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def insert_repetition(connection: sa.Connection, repetition: RepetitionRecord) -> None:
    """Insert a repetition with its operators; the totals of its job are computed later."""
    jobs = schema.jobs
    query = sa.select(jobs.c.id).where(jobs.c.run_id == repetition.run_id, jobs.c.number == repetition.job_number)
    job_id = connection.execute(query).scalar_one()
    values = {name: getattr(repetition, name) for name in (*NUMBERS, "delegated_node_share")}
    values |= {"job_id": job_id, "counts_latency": False, "counts_start": False}
    number = _inserted(connection, schema.repetitions, values)
    details = {name: getattr(repetition, name) for name in DETAILS}
    connection.execute(schema.details.insert().values(repetition_id=number, **details))
    around = {column: getattr(repetition, name) for column, name in CONDITIONS.items()}
    connection.execute(schema.conditions.insert().values(repetition_id=number, **around))
    if repetition.operators:
        _insert_operators(connection, number, repetition.operators)
    # The job has repetitions that are not in its totals.
    insert_new(connection, schema.open_totals, [{"job_id": job_id, "counted": 0, "waiting": 1}])


def _insert_operators(connection: sa.Connection, number: int, operators: tuple[OperatorRecord, ...]) -> None:
    ids = {(op.type, op.name): content_id(storable_text(op.type), storable_text(op.name)) for op in operators}
    names = [{"id": number, "type": kind, "name": name} for (kind, name), number in ids.items()]
    insert_new(connection, schema.operator_names, names)
    rows = [{"repetition_id": number, "name_id": ids[op.type, op.name], **asdict(op)} for op in operators]
    for row in rows:
        del row["type"], row["name"]
    connection.execute(schema.operators.insert(), rows)


_DECIDE = ("id", "job_id", "purpose", "status", "failure_kind", "verdict", "file_cache", "kernel_cache")


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
    for some in portions(job_ids):
        _metrics(connection, some)


def total_types(connection: sa.Connection, job_ids: Sequence[int]) -> None:
    """Compute again the time by type of operator of these jobs, from the last profile of each."""
    for some in portions(job_ids):
        _types(connection, some)


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
    """Return number, time and share by type and place; names that are equal up to the column's length are one type."""
    found: dict[tuple[str, str], tuple[int, float, float]] = {}
    for one in times:
        key = (one.type[: schema.LONGEST_TYPE], one.place)
        count, total_ms, share = found.get(key, (0, 0.0, 0.0))
        found[key] = (count + one.count, total_ms + one.total_ms, share + one.share)
    return found


def _profilers(connection: sa.Connection, job_ids: Sequence[int]) -> dict[int, tuple[str, str, Any]]:
    """Return the delegate, tool and options of jobs, which decide where the operators of a profile ran."""
    jobs, cases, binaries, documents = schema.jobs, schema.cases, schema.binaries, schema.documents
    query = (
        sa.select(jobs.c.id, cases.c.delegate, binaries.c.tool, documents.c.body)
        .join(cases, cases.c.id == jobs.c.case_id)
        .join(binaries, binaries.c.sha256 == jobs.c.binary_sha256)
        .join(documents, documents.c.id == jobs.c.options_id)
        .where(jobs.c.id.in_(job_ids))
    )
    return {job_id: (delegate, tool, options) for job_id, delegate, tool, options in connection.execute(query)}
