"""Sessions of pipelines in the results store: written whole, read with their stages and memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import sqlalchemy as sa

from devbench.results import pipeline_schema as schema
from devbench.results.records import PipelineSampleRecord, PipelineSessionRecord, PipelineStageRecord
from devbench.results.store import Store

_OWN = tuple(f.name for f in fields(PipelineSessionRecord) if f.name not in ("stages", "samples"))
_LISTS = ("conditions_during", "verdict_reasons")


def add_pipeline_session(store: Store, session: PipelineSessionRecord) -> None:
    """Add a session with its stages and samples, all or nothing."""
    values = {name: getattr(session, name) for name in _OWN}
    values |= {name: list(values[name]) for name in _LISTS}
    with store.transaction() as connection:
        inserted = connection.execute(schema.pipeline_sessions.insert().values(**values))
        assert inserted.inserted_primary_key is not None
        number = inserted.inserted_primary_key[0]
        stages = [{"session_id": number, **asdict(stage), "argv": list(stage.argv)} for stage in session.stages]
        samples = [{"session_id": number, **asdict(sample)} for sample in session.samples]
        if stages:
            connection.execute(schema.pipeline_stages.insert(), stages)
        if samples:
            connection.execute(schema.pipeline_samples.insert(), samples)


def pipeline_sessions(store: Store, run_id: str) -> tuple[PipelineSessionRecord, ...]:
    """The sessions of a run, in the order in which they ran; empty if it measured no pipeline."""
    table = schema.pipeline_sessions
    with store.database.reading() as connection:
        query = sa.select(table).where(table.c.run_id == run_id).order_by(table.c.id)
        rows = connection.execute(query).mappings().all()
        stages = _of_sessions(connection, schema.pipeline_stages, run_id, "position")
        samples = _of_sessions(connection, schema.pipeline_samples, run_id, "number")
    return tuple(_session(row, stages.get(row["id"], []), samples.get(row["id"], [])) for row in rows)


def _of_sessions(
    connection: sa.Connection, table: sa.Table, run_id: str, order: str
) -> dict[int, list[Mapping[str, Any]]]:
    sessions = schema.pipeline_sessions
    query = (
        sa.select(table)
        .join(sessions, sessions.c.id == table.c.session_id)
        .where(sessions.c.run_id == run_id)
        .order_by(table.c.session_id, table.c[order], table.c.position)
    )
    found: dict[int, list[Mapping[str, Any]]] = {}
    for row in connection.execute(query).mappings():
        found.setdefault(row["session_id"], []).append(dict(row))
    return found


def _session(row: Any, stages: list[Mapping[str, Any]], samples: list[Mapping[str, Any]]) -> PipelineSessionRecord:
    values = {name: row[name] for name in _OWN}
    values |= {name: tuple(values[name] or ()) for name in _LISTS}
    return PipelineSessionRecord(
        **values,
        stages=tuple(_made(PipelineStageRecord, {**one, "argv": tuple(one["argv"])}) for one in stages),
        samples=tuple(_made(PipelineSampleRecord, one) for one in samples),
    )


def _made(kind: Any, row: Mapping[str, Any]) -> Any:
    return kind(**{field.name: row[field.name] for field in fields(kind)})
