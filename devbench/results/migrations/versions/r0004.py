"""Narrow tables: long JSON aside, what repeats once, labels and sums in tables of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import sqlalchemy as sa
from alembic import op

from devbench.results import schema, writing
from devbench.results.migrations import tables3 as old
from devbench.results.pipeline_schema import pipeline_samples, pipeline_sessions, pipeline_stages
from devbench.results.records import (
    BinaryRecord,
    DeviceRecord,
    JobRecord,
    ModelRecord,
    OperatorRecord,
    RepetitionRecord,
    RunRecord,
)

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    connection = op.get_bind()
    aside = {table.name: _aside(table) for table in reversed(old.metadata.sorted_tables) if table.name != "meta"}
    schema.metadata.create_all(connection)
    rows = {name: _rows(connection, table) for name, table in aside.items()}
    _runs(connection, rows)
    for table in (pipeline_sessions, pipeline_stages, pipeline_samples):
        if rows[table.name]:
            connection.execute(table.insert(), rows[table.name])
    for name in aside:
        op.drop_table(f"old_{name}")
    op.drop_table("meta")


def _aside(table: sa.Table) -> sa.Table:
    for index in table.indexes:
        op.drop_index(str(index.name), table.name)
    name = f"old_{table.name}"
    op.rename_table(table.name, name)
    return table.to_metadata(sa.MetaData(), name=name)


def _rows(connection: sa.Connection, table: sa.Table) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


def _runs(connection: sa.Connection, rows: Mapping[str, list[dict[str, Any]]]) -> None:
    for row in rows["runs"]:
        writing.insert_run(connection, _made(RunRecord, row))
        end = {name: row[name] for name in ("status", "finished_utc")}
        connection.execute(schema.runs.update().where(schema.runs.c.run_id == row["run_id"]).values(**end))
    devices = {(row["run_id"], row["key"]): _made(DeviceRecord, row) for row in rows["devices"]}
    sizes = {row["sha256"]: row["size_bytes"] for row in rows["models"]}
    binaries = {row["sha256"]: _made(BinaryRecord, row) for row in rows["binaries"]}
    for row in rows["jobs"]:
        sha256, count = row["model_sha256"], row["options"].get("operator_count")
        parts = {
            "device": devices[row["run_id"], row["device_key"]],
            "model": ModelRecord(sha256, row["model_name"], sizes[sha256], count),
            "binary": binaries[row["binary_sha256"]],
        }
        writing.insert_job(connection, _made(JobRecord, {**row, **parts}))
    operators: dict[int, list[OperatorRecord]] = {}
    for row in sorted(rows["operators"], key=lambda one: (one["repetition_id"], one["phase"], one["position"])):
        operators.setdefault(row["repetition_id"], []).append(_made(OperatorRecord, row))
    for row in sorted(rows["repetitions"], key=lambda one: int(one["id"])):
        values = {**row, "argv": tuple(row["argv"]), "operators": tuple(operators.get(row["id"], ()))}
        values |= {name: tuple(row[name] or ()) for name in ("outputs", "verdict_reasons", "conditions_during")}
        writing.insert_repetition(connection, _made(RepetitionRecord, values))


def _made(kind: Any, row: Mapping[str, Any]) -> Any:
    return kind(**{field.name: row[field.name] for field in fields(kind) if field.name in row})
