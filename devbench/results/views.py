"""Reads a stored run as records, and lists runs; does not write.

Numbers over many runs are in `history.py`; this reads whole runs, with all outputs of their processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from statistics import median
from typing import Any

import sqlalchemy as sa

from devbench.errors import InputError
from devbench.grouped import grouped
from devbench.notices import Notice
from devbench.results import schema
from devbench.results.column_types import DamagedValue
from devbench.results.counting import LATEST, JobView, RunView, read_notice
from devbench.results.ending import end_text
from devbench.results.pipeline_schema import by_owner, pipeline_sessions, record_of
from devbench.results.records import (
    BinaryRecord,
    DeviceRecord,
    FileRecord,
    JobRecord,
    ModelRecord,
    OperatorRecord,
    RepetitionRecord,
    RunRecord,
)
from devbench.results.writing import CONDITIONS, DETAILS, NUMBERS
from devbench.text import near

_MIN_PREFIX = 4
# The number of runs with which a mistyped name is compared.
_MAX_SUGGESTED = 1000
# The expected time of a process is the median of up to this many earlier ones.
_TYPICAL = 100
_TUPLES = ("argv", "outputs", "verdict_reasons")


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as a line of a list."""

    run_id: str
    started_utc: datetime
    finished_utc: datetime | None
    status: str
    end_reason: str
    host: str
    jobs: int
    repetitions: int
    failed: int
    devices: tuple[str, ...]
    models: tuple[str, ...]
    virtual: bool
    labels: Mapping[str, str]
    pipeline: bool

    @property
    def ended(self) -> str:
        """Return how it ended, as text."""
        return end_text(self.run_id, self.status, self.end_reason, self.host, pipeline=self.pipeline)


def labels_of(
    connection: sa.Connection, run_ids: Sequence[str] | sa.Select[Any] | None = None
) -> dict[str, dict[str, str]]:
    """Return the labels of runs by run; `None` means all runs."""
    table = schema.labels
    query = sa.select(table.c.run_id, table.c.key, table.c.value).order_by(table.c.run_id, table.c.key)
    if run_ids is not None:
        query = query.where(table.c.run_id.in_(run_ids))
    found: dict[str, dict[str, str]] = {}
    for run_id, key, value in connection.execute(query):
        found.setdefault(run_id, {})[key] = value
    return found


def find_run(connection: sa.Connection, name: str) -> str:
    """Return the id of a run by its id, the start of its id, or `latest`, the newest that has measured something.

    Raises:
        InputError: there is none, or more than one.
    """
    table = schema.runs
    query = sa.select(table.c.run_id)
    if name == LATEST:
        query = query.where(_measured(table.c.run_id)).order_by(sa.desc(table.c.started_utc)).limit(1)
    elif len(name) >= _MIN_PREFIX:
        query = query.where(table.c.run_id.startswith(name, autoescape=True)).limit(9)
    else:
        raise InputError(f"run {name!r}: too short to name a run", hint="see `devbench runs`")
    found = list(connection.execute(query).scalars())
    if name in found:
        return name
    if len(found) > 1:
        raise InputError(f"run {name!r} is not the only one of that start", hint=", ".join(found))
    if not found:
        if name == LATEST:
            if newest_run_id(connection) is not None:
                raise InputError("no run in the store has measured anything yet", hint="`devbench runs` says why")
            raise InputError("there is no run in the store yet", hint="devbench run demo --device virtual")
        newest = sa.select(table.c.run_id).order_by(sa.desc(table.c.started_utc)).limit(_MAX_SUGGESTED)
        known = [LATEST, *connection.execute(newest).scalars()]
        raise InputError(f"no run {name!r} in the store", hint=near(name, known, "see `devbench runs`"))
    return str(found[0])


# On a farm, other hosts may have measured a part of a run.
_DELIVERED = """
SELECT DISTINCT j.run_id FROM farm.results r JOIN farm.jobs j ON j.id = r.job JOIN runs ON runs.run_id = j.run_id
WHERE r.host = :host
"""


def runs_of_host(connection: sa.Connection, host: str) -> list[str]:
    """Return the ids of all runs that a host measured, or a part of them.

    Raises:
        InputError: there is none.
    """
    runs = schema.runs
    found = set(connection.execute(sa.select(runs.c.run_id).where(runs.c.host == host)).scalars())
    if connection.dialect.name == "postgresql" and sa.inspect(connection).has_table("results", schema="farm"):
        found |= set(connection.execute(sa.text(_DELIVERED), {"host": host}).scalars())
    if not found:
        hosts = sorted(connection.execute(sa.select(runs.c.host).distinct()).scalars())
        raise InputError(
            f"no run of a host {host!r} in the store", hint=near(host, hosts, "see `devbench runs --json`")
        )
    return sorted(found)


def newest_run_id(connection: sa.Connection) -> str | None:
    """Return the id of the newest run, also of one that has measured nothing."""
    table = schema.runs
    return connection.execute(sa.select(table.c.run_id).order_by(sa.desc(table.c.started_utc)).limit(1)).scalar()


def has_run(connection: sa.Connection, run_id: str) -> bool:
    """Whether there is a run of exactly that id."""
    return connection.execute(sa.select(schema.runs).where(schema.runs.c.run_id == run_id)).first() is not None


def _measured(run_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Whether a run has a result: a process of the tool that ended, well or not, or a job that was refused."""
    jobs, repetitions = schema.jobs, schema.repetitions
    of_jobs = sa.select(jobs.c.id).join(repetitions, repetitions.c.job_id == jobs.c.id).where(jobs.c.run_id == run_id)
    of_sessions = sa.select(pipeline_sessions.c.id).where(pipeline_sessions.c.run_id == run_id)
    return sa.or_(of_jobs.exists(), of_sessions.exists())


def run_view(connection: sa.Connection, name: str = LATEST) -> RunView:
    """Return a run with everything that was measured in it; `name` is as for `find_run`.

    Raises:
        InputError: as `find_run`.
    """
    run_id = find_run(connection, name)
    row = connection.execute(sa.select(schema.runs).where(schema.runs.c.run_id == run_id)).mappings().one()
    labels = labels_of(connection, [run_id]).get(run_id, {})
    values = {field.name: row[field.name] for field in fields(RunRecord) if field.name != "labels"}
    jobs = _jobs(connection, run_id)
    return RunView(
        RunRecord(**values, labels=labels),
        row["status"],
        row["finished_utc"],
        jobs,
        stored_notices(connection, [run_id])[run_id],
        row["end_reason"],
    )


def stored_notices(connection: sa.Connection, run_ids: Sequence[str]) -> dict[str, tuple[Notice, ...]]:
    """Return the notices that were stored with each of these runs."""
    table = schema.notices
    query = sa.select(table).where(table.c.run_id.in_(run_ids))
    order = (table.c.device_key, table.c.kind, table.c.subject, table.c.job_number, table.c.text)
    found: dict[str, list[Notice]] = {run_id: [] for run_id in run_ids}
    for row in connection.execute(query.order_by(*order)).mappings():
        found[row["run_id"]].append(read_notice(row))
    return {run_id: tuple(notices) for run_id, notices in found.items()}


def _jobs(connection: sa.Connection, run_id: str) -> tuple[JobView, ...]:
    jobs, cases, models, documents = schema.jobs, schema.cases, schema.models, schema.documents
    query = (
        sa.select(
            jobs, cases.c.model, cases.c.delegate, cases.c.threads, models.c.size_bytes, models.c.operators,
            documents.c.body.label("options"),
        )
        .join(cases, cases.c.id == jobs.c.case_id)
        .join(models, models.c.sha256 == jobs.c.model_sha256)
        .join(documents, documents.c.id == jobs.c.options_id)
        .where(jobs.c.run_id == run_id)
        .order_by(jobs.c.number)
    )  # fmt: skip
    rows = connection.execute(query).mappings().all()
    devices = _devices(connection, run_id)
    for table, found in ((jobs, rows), (schema.devices, devices)):
        count = connection.execute(sa.select(sa.func.count()).where(table.c.run_id == run_id)).scalar_one()
        if count != len(found):
            raise DamagedValue(f"{table.name} refers to rows that are not there")
    used = sa.select(jobs.c.binary_sha256).where(jobs.c.run_id == run_id)
    binary_rows = connection.execute(sa.select(schema.binaries).where(schema.binaries.c.sha256.in_(used))).mappings()
    binaries = {row["sha256"]: record_of(BinaryRecord, row) for row in binary_rows}
    repetitions = _repetitions(connection, run_id)
    files = _files(connection, run_id)
    views = []
    for row in rows:
        record = JobRecord(
            run_id=run_id,
            number=row["number"],
            device=devices[row["device_key"]],
            model=ModelRecord(row["model_sha256"], row["model"], row["size_bytes"], row["operators"]),
            binary=binaries[row["binary_sha256"]],
            delegate=row["delegate"],
            delegate_title=row["delegate_title"],
            threads=row["threads"],
            require=row["require"],
            options=row["options"],
            files=tuple(files.get(row["id"], ())),
        )
        views.append(JobView(record, tuple(repetitions.get(row["id"], ()))))
    return tuple(views)


def _files(connection: sa.Connection, run_id: str) -> dict[int, list[FileRecord]]:
    jobs, used, files = schema.jobs, schema.job_files, schema.files
    query = (
        sa.select(used, files.c.size_bytes, files.c.version)
        .join(files, files.c.sha256 == used.c.sha256)
        .join(jobs, jobs.c.id == used.c.job_id)
        .where(jobs.c.run_id == run_id)
        .order_by(used.c.job_id, used.c.role, used.c.name)
    )
    return by_owner(connection, query, "job_id", FileRecord)


def _devices(connection: sa.Connection, run_id: str) -> dict[str, DeviceRecord]:
    devices, documents = schema.devices, schema.documents
    query = (
        sa.select(devices, documents.c.body.label("facts"))
        .join(documents, documents.c.id == devices.c.facts_id)
        .where(devices.c.run_id == run_id)
    )
    return {row["key"]: record_of(DeviceRecord, row) for row in connection.execute(query).mappings()}


def _repetitions(connection: sa.Connection, run_id: str) -> dict[int, list[RepetitionRecord]]:
    jobs, table, details, conditions = schema.jobs, schema.repetitions, schema.details, schema.conditions
    around = [conditions.c[column].label(name) for column, name in CONDITIONS.items()]
    query = (
        sa.select(table, jobs.c.number, *(details.c[name] for name in DETAILS), *around)
        .join(jobs, jobs.c.id == table.c.job_id)
        .join(details, details.c.repetition_id == table.c.id)
        .join(conditions, conditions.c.repetition_id == table.c.id)
        .where(jobs.c.run_id == run_id)
        .order_by(table.c.id)
    )
    operators = _operators(connection, run_id)
    found: dict[int, list[RepetitionRecord]] = {}
    for row in connection.execute(query).mappings():
        values = {name: row[name] for name in (*NUMBERS, *DETAILS, *CONDITIONS.values())}
        values |= {name: tuple(values[name]) for name in (*_TUPLES, "conditions_during")}
        values |= {"run_id": run_id, "job_number": row["number"], "operators": tuple(operators.get(row["id"], ()))}
        found.setdefault(row["job_id"], []).append(RepetitionRecord(**values))
    return found


def _operators(connection: sa.Connection, run_id: str) -> dict[int, list[OperatorRecord]]:
    jobs, table, ops, names = schema.jobs, schema.repetitions, schema.operators, schema.operator_names
    query = (
        sa.select(ops, names.c.type, names.c.name)
        .join(names, names.c.id == ops.c.name_id)
        .join(table, table.c.id == ops.c.repetition_id)
        .join(jobs, jobs.c.id == table.c.job_id)
        .where(jobs.c.run_id == run_id)
        .order_by(ops.c.repetition_id, ops.c.phase, ops.c.position)
    )
    return by_owner(connection, query, "repetition_id", OperatorRecord)


def summaries(connection: sa.Connection, limit: int | None = 20) -> list[RunSummary]:
    """Return the newest runs, newest first; all of them if `limit` is `None`."""
    runs, jobs, cases, devices, repetitions = (
        schema.runs, schema.jobs, schema.cases, schema.devices, schema.repetitions,
    )  # fmt: skip
    newest = sa.select(runs.c.run_id).order_by(sa.desc(runs.c.started_utc), runs.c.run_id).limit(limit)

    def by_run(query: sa.Select[Any]) -> dict[str, list[Any]]:
        """Return the rows of each of the runs; the first column of the query is the run's id."""
        rows = connection.execute(query.where(query.selected_columns[0].in_(newest)))
        return grouped((row[0], row) for row in rows)

    count, failed = sa.func.count(), repetitions.c.status == "failed"
    of_devices = by_run(sa.select(devices.c.run_id, devices.c.title, devices.c.virtual).order_by(devices.c.title))
    models = sa.select(jobs.c.run_id, cases.c.model).join(cases, cases.c.id == jobs.c.case_id)
    of_models = by_run(models.distinct().order_by(cases.c.model))
    of_jobs = by_run(sa.select(jobs.c.run_id, count).group_by(jobs.c.run_id))
    ran = sa.select(jobs.c.run_id, count, count.filter(failed)).join(repetitions, repetitions.c.job_id == jobs.c.id)
    of_repetitions = by_run(ran.group_by(jobs.c.run_id))
    labels = labels_of(connection, newest)
    found = []
    for row in connection.execute(sa.select(runs).where(runs.c.run_id.in_(newest))).mappings():
        run_id = row["run_id"]
        _, done, bad = of_repetitions.get(run_id, [(run_id, 0, 0)])[0]
        summary = RunSummary(
            **{name: row[name] for name in ("run_id", "started_utc", "finished_utc", "status", "end_reason", "host")},
            jobs=of_jobs[run_id][0][1] if run_id in of_jobs else 0,
            repetitions=done,
            failed=bad,
            devices=tuple(device.title for device in of_devices.get(run_id, ())),
            models=tuple(one.model for one in of_models.get(run_id, ())),
            virtual=any(device.virtual for device in of_devices.get(run_id, ())),
            labels=labels.get(run_id, {}),
            pipeline="pipeline" in row["options"],
        )
        found.append(summary)
    return sorted(found, key=lambda run: run.started_utc, reverse=True)


def device_titles(connection: sa.Connection) -> dict[str, str]:
    """Return the title of each device by its key, as it was in its last run."""
    runs, devices = schema.runs, schema.devices
    query = sa.select(devices.c.key, devices.c.title).join(runs, runs.c.run_id == devices.c.run_id)
    return {row.key: row.title for row in connection.execute(query.order_by(runs.c.started_utc, runs.c.run_id))}


def model_names(connection: sa.Connection) -> list[str]:
    """Return the keys of all models and the names of all pipelines, in order."""
    query = sa.union(sa.select(schema.cases.c.model), sa.select(pipeline_sessions.c.pipeline))
    return sorted(connection.execute(query).scalars())


def typical_duration_s(
    connection: sa.Connection, model: str, delegate: str, *, via: str = "shell", case: str | None = None
) -> float | None:
    """Return the median time of the last hundred processes of that model under that delegate; `None` if there is none.

    `model` is its key. `case` restricts it to the case of that text (`cases.case_text`). `via` is "shell" or "apk":
    starting an app takes longer.
    """
    jobs, cases, repetitions = schema.jobs, schema.cases, schema.repetitions
    query = (
        sa.select(repetitions.c.duration_s, schema.documents.c.body)
        .join(jobs, jobs.c.id == repetitions.c.job_id)
        .join(cases, cases.c.id == jobs.c.case_id)
        .join(schema.documents, schema.documents.c.id == jobs.c.options_id)
        .where(cases.c.model == model, cases.c.delegate == delegate, repetitions.c.status == "ok")
        .order_by(sa.desc(repetitions.c.id))
    )
    if case is not None:
        query = query.where(cases.c.text == case)
    found: list[float] = []
    for duration_s, options in connection.execute(query):
        if options.get("via", "shell") == via:
            found.append(duration_s)
            if len(found) == _TYPICAL:
                break
    return median(found) if found else None
