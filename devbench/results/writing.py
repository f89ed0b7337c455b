"""Records into rows, within a transaction of the caller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

import sqlalchemy as sa

from devbench.notices import Notice
from devbench.results import schema
from devbench.results.cases import case_text
from devbench.results.column_types import content_id, storable_text
from devbench.results.engine import insert_new
from devbench.results.records import JobRecord, OperatorRecord, RepetitionRecord, RunRecord
from devbench.results.totals import note_change

DETAILS = ("argv", "measurement", "outputs", "verdict_reasons")
CONDITIONS = {"before": "conditions_before", "after": "conditions_after", "during": "conditions_during"}
_ELSEWHERE = {"run_id", "job_number", "operators", *DETAILS, *CONDITIONS.values()}
# Of a repetition, as both the record and the table have them.
NUMBERS = tuple(field.name for field in fields(RepetitionRecord) if field.name not in _ELSEWHERE)


def insert_run(connection: sa.Connection, run: RunRecord) -> None:
    """A run that begins; its status is `running`."""
    values = {field.name: getattr(run, field.name) for field in fields(RunRecord) if field.name != "labels"}
    values["options"] = dict(run.options)
    connection.execute(schema.runs.insert().values(status="running", end_reason="", **values))
    labels = [{"run_id": run.run_id, "key": key, "value": value} for key, value in run.labels.items()]
    if labels:
        connection.execute(schema.labels.insert(), labels)


def insert_notices(connection: sa.Connection, run_id: str, notices: Iterable[Notice]) -> None:
    """Notices of a run, each once."""
    rows = [{**asdict(notice), "run_id": run_id, "id": notice_id(notice)} for notice in notices]
    for row in rows:
        row |= {"effect": row["effect"].value, "kind": row["kind"].value}
        del row["tally"]
    insert_new(connection, schema.notices, rows)


def notice_id(notice: Notice) -> int:
    """The number under which a run has a notice: made of its content."""
    return content_id(notice.kind.value, notice.subject, notice.text, notice.device_key, notice.job_number)


def insert_job(connection: sa.Connection, job: JobRecord) -> int:
    """A job, and its device, model, binary and case if they are new; returns its number in the table."""
    options_id = _document(connection, job.options)
    device = {name: value for name, value in asdict(job.device).items() if name != "facts"}
    device |= {"run_id": job.run_id, "facts_id": _document(connection, job.device.facts)}
    text = storable_text(case_text(job.model.name, job.delegate, job.threads, job.options))
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


def insert_repetition(connection: sa.Connection, repetition: RepetitionRecord, *, totals: bool = True) -> None:
    """A repetition with its operators; with `totals`, the totals of its job are computed later."""
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
    if totals:
        note_change(connection, job_id)


def _insert_operators(connection: sa.Connection, number: int, operators: tuple[OperatorRecord, ...]) -> None:
    ids = {(op.type, op.name): content_id(storable_text(op.type), storable_text(op.name)) for op in operators}
    names = [{"id": number, "type": kind, "name": name} for (kind, name), number in ids.items()]
    insert_new(connection, schema.operator_names, names)
    rows = [{"repetition_id": number, "name_id": ids[op.type, op.name], **asdict(op)} for op in operators]
    for row in rows:
        del row["type"], row["name"]
    connection.execute(schema.operators.insert(), rows)
