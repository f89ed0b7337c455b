"""Records into rows, within a transaction of the caller; the sums of a job are kept right with each repetition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import sqlalchemy as sa

from devbench.results import schema
from devbench.results.aggregates import operator_place_is_xnnpack, total, type_times
from devbench.results.cases import case_text
from devbench.results.columns import content_id
from devbench.results.engine import insert_new
from devbench.results.metrics import MODEL_SIZE, OF_REPETITIONS, delegated_share
from devbench.results.records import JobRecord, OperatorRecord, RepetitionRecord, RunRecord

DETAILS = ("argv", "measurement", "outputs", "verdict_reasons")
CONDITIONS = {"before": "conditions_before", "after": "conditions_after", "during": "conditions_during"}
_ELSEWHERE = {"run_id", "job_number", "operators", *DETAILS, *CONDITIONS.values()}
# Of a repetition, as both the record and the table have them.
NUMBERS = tuple(field.name for field in fields(RepetitionRecord) if field.name not in _ELSEWHERE)
_DECIDE = ("id", "purpose", "status", "failure_kind", "verdict", "file_cache", "kernel_cache")


def insert_run(connection: sa.Connection, run: RunRecord) -> None:
    """A run that begins; its status is `running`."""
    values = {field.name: getattr(run, field.name) for field in fields(RunRecord) if field.name != "labels"}
    values["options"] = dict(run.options)
    connection.execute(schema.runs.insert().values(status="running", **values))
    labels = [{"run_id": run.run_id, "key": key, "value": value} for key, value in run.labels.items()]
    if labels:
        connection.execute(schema.labels.insert(), labels)


def insert_job(connection: sa.Connection, job: JobRecord) -> int:
    """A job, and its device, model, binary and case where they are new; gives its number in the table."""
    options_id = _document(connection, job.options)
    device = {name: value for name, value in asdict(job.device).items() if name != "facts"}
    device |= {"run_id": job.run_id, "facts_id": _document(connection, job.device.facts)}
    text = case_text(job.model.name, job.delegate, job.threads, job.options)
    case = {"id": content_id(text), "text": text, "model": job.model.name}
    insert_new(connection, schema.devices, [device])
    insert_new(connection, schema.models, [asdict(job.model)])
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
    return _inserted(connection, schema.jobs, values)


def _document(connection: sa.Connection, body: Mapping[str, Any]) -> int:
    number = content_id(body)
    insert_new(connection, schema.documents, [{"id": number, "body": body}])
    return number


def _inserted(connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> int:
    key = connection.execute(table.insert().values(**values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def insert_repetition(connection: sa.Connection, repetition: RepetitionRecord) -> None:
    """A repetition with its operators, and what its job comes to with it."""
    job = _job(connection, repetition)
    share = delegated_share(repetition.delegate_applied, repetition.nodes_delegated, repetition.nodes_total)
    values = {name: getattr(repetition, name) for name in NUMBERS}
    values |= {"job_id": job.id, "delegated_share": share, "counts_latency": False, "counts_start": False}
    number = _inserted(connection, schema.repetitions, values)
    details = {name: getattr(repetition, name) for name in DETAILS}
    connection.execute(schema.details.insert().values(repetition_id=number, **details))
    around = {column: getattr(repetition, name) for column, name in CONDITIONS.items()}
    connection.execute(schema.conditions.insert().values(repetition_id=number, **around))
    if repetition.operators:
        _insert_operators(connection, number, repetition.operators)
    total_up(connection, job.id)
    if repetition.purpose == "profile" and repetition.status == "ok":
        xnnpack = operator_place_is_xnnpack(job.delegate, job.body)
        runs = [op for op in repetition.operators if op.phase == "runs"]
        types = [{"job_id": job.id, **asdict(one)} for one in type_times(runs, xnnpack=xnnpack, tool=job.tool)]
        table = schema.job_operator_types
        connection.execute(table.delete().where(table.c.job_id == job.id))
        if types:
            connection.execute(table.insert(), types)


def _job(connection: sa.Connection, repetition: RepetitionRecord) -> Any:
    jobs = schema.jobs
    query = (
        sa.select(jobs.c.id, schema.cases.c.delegate, schema.binaries.c.tool, schema.documents.c.body)
        .join(schema.cases, schema.cases.c.id == jobs.c.case_id)
        .join(schema.binaries, schema.binaries.c.sha256 == jobs.c.binary_sha256)
        .join(schema.documents, schema.documents.c.id == jobs.c.options_id)
        .where(jobs.c.run_id == repetition.run_id, jobs.c.number == repetition.job_number)
    )
    return connection.execute(query).one()


def _insert_operators(connection: sa.Connection, number: int, operators: tuple[OperatorRecord, ...]) -> None:
    ids = {(op.type, op.name): content_id(op.type, op.name) for op in operators}
    names = [{"id": number, "type": kind, "name": name} for (kind, name), number in ids.items()]
    insert_new(connection, schema.operator_names, names)
    rows = [{"repetition_id": number, "name_id": ids[op.type, op.name], **asdict(op)} for op in operators]
    for row in rows:
        del row["type"], row["name"]
    connection.execute(schema.operators.insert(), rows)


def total_up(connection: sa.Connection, job_id: int) -> None:
    """Say anew which repetitions of a job count, and what they come to."""
    table, metrics = schema.repetitions, schema.job_metrics
    columns = [*_DECIDE, *(metric.column for metric in OF_REPETITIONS.values()), "counts_latency", "counts_start"]
    query = sa.select(*(table.c[name] for name in columns)).where(table.c.job_id == job_id).order_by(table.c.id)
    rows = connection.execute(query).all()
    totals = total(rows)
    for row in rows:
        now = {"counts_latency": row.id in totals.latency, "counts_start": row.id in totals.start}
        if (row.counts_latency, row.counts_start) != tuple(now.values()):
            connection.execute(table.update().where(table.c.id == row.id).values(**now))
    connection.execute(metrics.delete().where(metrics.c.job_id == job_id))
    found = [{"job_id": job_id, **asdict(metric)} for metric in totals.metrics]
    if any(row.status == "ok" for row in rows):
        found.append({"job_id": job_id, "metric": MODEL_SIZE, "value": _model_size(connection, job_id), "n": 1})
    for values in found:
        connection.execute(metrics.insert().values(**values))


def _model_size(connection: sa.Connection, job_id: int) -> int:
    models, jobs = schema.models, schema.jobs
    query = sa.select(models.c.size_bytes).join(jobs, jobs.c.model_sha256 == models.c.sha256)
    return int(connection.execute(query.where(jobs.c.id == job_id)).scalar_one())
