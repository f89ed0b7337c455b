"""The tables of pipelines in the results store (metadata of `schema.py`), with functions to write and read sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, ForeignKeyConstraint, Index, Integer, Table

from devbench.grouped import grouped
from devbench.results.column_types import Name, Packed, Real, Utc, WholeNumber, Words
from devbench.results.records import PipelineSampleRecord, PipelineSessionRecord, PipelineStageRecord
from devbench.results.schema import metadata

# A row is a session of a pipeline on a device, or one of its stages alone (residency "alone").
pipeline_sessions = Table(
    "pipeline_sessions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Name(40), nullable=False),
    Column("device_key", Name(80), nullable=False),
    Column("pipeline", Words, nullable=False),
    Column("delegate", Words, nullable=False),
    Column("threads", WholeNumber()),
    Column("residency", Name(20), nullable=False),
    Column("index", WholeNumber(), nullable=False),
    Column("steps", WholeNumber(), nullable=False),
    Column("guidance", Boolean, nullable=False),
    Column("keep", WholeNumber()),
    Column("overlap_runs", WholeNumber(), nullable=False),
    Column("started_utc", Utc, nullable=False),
    Column("finished_utc", Utc, nullable=False),
    Column("status", Name(10, ("ok", "failed")), nullable=False),
    Column("failure_kind", Name(40)),
    Column("failure_message", Words),
    Column("raw_path", Words, nullable=False),
    Column("latency_ms", Real(positive=True)),
    Column("memory_kind", Name(10, ("pss", "rss"))),
    Column("peak_kb", WholeNumber(big=True)),
    Column("conditions_before", Packed(dict, "conditions")),
    Column("conditions_after", Packed(dict, "conditions")),
    Column("conditions_during", Packed(Mapping, "conditions")),
    Column("verdict", Name(10), nullable=False),
    Column("verdict_reasons", Packed(str), nullable=False),
    ForeignKeyConstraint(["run_id", "device_key"], ["devices.run_id", "devices.key"], ondelete="CASCADE"),
    Index("ix_pipeline_sessions_run", "run_id"),
)

# Times in seconds count from the moment when the session starts its clock; earlier times are negative.
pipeline_stages = Table(
    "pipeline_stages",
    metadata,
    Column("session_id", Integer, primary_key=True),
    Column("position", WholeNumber(), primary_key=True),
    Column("name", Words, nullable=False),
    Column("job_number", WholeNumber(), nullable=False),
    Column("repeated", Boolean, nullable=False),
    Column("runs", WholeNumber(), nullable=False),
    Column("overlapped_runs", WholeNumber(), nullable=False),
    Column("argv", Packed(str), nullable=False),
    Column("held_by", Name(10), nullable=False),
    Column("loaded_before", Boolean, nullable=False),
    Column("init_ms", Real(minimum=0)),
    Column("load_ms", Real(minimum=0)),
    Column("wait_ms", Real(minimum=0), nullable=False),
    Column("wall_ms", Real(minimum=0)),
    Column("first_ms", Real(minimum=0)),
    Column("steady_ms", Real(minimum=0)),
    Column("overlapped_ms", Real(minimum=0)),
    Column("release_ms", Real(minimum=0), nullable=False),
    Column("start_s", Real()),
    Column("ready_s", Real()),
    Column("go_s", Real()),
    Column("warm_s", Real()),
    Column("done_s", Real()),
    Column("gone_s", Real()),
    Column("hwm_kb", WholeNumber(big=True)),
    ForeignKeyConstraint(["session_id"], ["pipeline_sessions.id"], ondelete="CASCADE"),
)

pipeline_samples = Table(
    "pipeline_samples",
    metadata,
    Column("session_id", Integer, primary_key=True),
    Column("number", WholeNumber(), primary_key=True),
    Column("position", WholeNumber(), primary_key=True),
    Column("t_s", Real(), nullable=False),
    Column("pss_kb", WholeNumber(big=True)),
    Column("rss_kb", WholeNumber(big=True)),
    ForeignKeyConstraint(["session_id"], ["pipeline_sessions.id"], ondelete="CASCADE"),
)


_OWN = tuple(f.name for f in fields(PipelineSessionRecord) if f.name not in ("stages", "samples"))
_LISTS = ("conditions_during", "verdict_reasons")


def insert_session(connection: sa.Connection, session: PipelineSessionRecord) -> None:
    """Add a session with its stages and samples, all or nothing."""
    values = {name: getattr(session, name) for name in _OWN}
    values |= {name: list(values[name]) for name in _LISTS}
    inserted = connection.execute(pipeline_sessions.insert().values(**values)).inserted_primary_key
    assert inserted is not None
    stages = [{"session_id": inserted[0], **asdict(stage), "argv": list(stage.argv)} for stage in session.stages]
    samples = [{"session_id": inserted[0], **asdict(sample)} for sample in session.samples]
    if stages:
        connection.execute(pipeline_stages.insert(), stages)
    if samples:
        connection.execute(pipeline_samples.insert(), samples)


def read_sessions(connection: sa.Connection, run_id: str) -> tuple[PipelineSessionRecord, ...]:
    """Return the sessions of a run, in the order in which they ran; empty if it measured no pipeline."""
    table = pipeline_sessions
    rows = connection.execute(sa.select(table).where(table.c.run_id == run_id).order_by(table.c.id)).mappings().all()
    stages = _of_sessions(connection, pipeline_stages, run_id, "position", PipelineStageRecord)
    samples = _of_sessions(connection, pipeline_samples, run_id, "number", PipelineSampleRecord)
    return tuple(_session(row, stages.get(row["id"], []), samples.get(row["id"], [])) for row in rows)


def _of_sessions(
    connection: sa.Connection, table: sa.Table, run_id: str, order: str, kind: Any
) -> dict[int, list[Any]]:
    sessions = pipeline_sessions
    query = (
        sa.select(table)
        .join(sessions, sessions.c.id == table.c.session_id)
        .where(sessions.c.run_id == run_id)
        .order_by(table.c.session_id, table.c[order], table.c.position)
    )
    return by_owner(connection, query, "session_id", kind)


def _session(row: Any, stages: list[PipelineStageRecord], samples: list[PipelineSampleRecord]) -> PipelineSessionRecord:
    values = {name: row[name] for name in _OWN}
    values |= {name: tuple(values[name] or ()) for name in _LISTS}
    told = tuple(replace(stage, argv=tuple(stage.argv)) for stage in stages)
    return PipelineSessionRecord(**values, stages=told, samples=tuple(samples))


def by_owner(connection: sa.Connection, query: sa.Select[Any], owner: str, kind: Any) -> dict[int, list[Any]]:
    """Return the records by the number of the row that they belong to (column `owner`)."""
    return grouped((row[owner], record_of(kind, row)) for row in connection.execute(query).mappings())


def record_of(kind: Any, row: Mapping[Any, Any]) -> Any:
    """Return a record with the values of a row that have the names of its fields."""
    return kind(**{field.name: row[field.name] for field in fields(kind)})
