"""What travels: the tables in the order in which rows may refer to earlier ones, and which rows belong to which runs.

What a job comes to (`totals.py`) does not travel: it is computed where it arrives, and so is always right.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from devbench.results import schema
from devbench.results.pipeline_schema import pipeline_samples, pipeline_sessions, pipeline_stages

TABLES: tuple[sa.Table, ...] = (
    schema.runs,
    schema.labels,
    schema.documents,
    schema.models,
    schema.binaries,
    schema.cases,
    schema.devices,
    schema.device_moves,
    schema.notices,
    schema.jobs,
    schema.files,
    schema.job_files,
    schema.repetitions,
    schema.details,
    schema.conditions,
    schema.operator_names,
    schema.operators,
    pipeline_sessions,
    pipeline_stages,
    pipeline_samples,
)
_COMPUTED = ("counts_latency", "counts_start")


def columns_of(table: sa.Table) -> list[sa.Column[Any]]:
    """The columns that travel, in their order."""
    return [column for column in table.columns if column.name not in _COMPUTED]


def rows_of(table: sa.Table, runs: sa.Select[Any]) -> sa.Select[Any]:
    """The rows of a table that belong to runs.

    Args:
        table: one of `TABLES`.
        runs: selects the ids of the runs.
    """
    # As the driver gives them.
    columns: list[Any] = [sa.type_coerce(column, sa.types.NULLTYPE).label(column.name) for column in columns_of(table)]
    query = sa.select(*columns)
    devices, jobs, repetitions, operators = schema.devices, schema.jobs, schema.repetitions, schema.operators
    of_runs = jobs.c.run_id.in_(runs)
    if "run_id" in table.c:
        return query.where(table.c.run_id.in_(runs))
    if "job_id" in table.c:
        return query.where(table.c.job_id.in_(sa.select(jobs.c.id).where(of_runs)))
    if "session_id" in table.c:
        sessions = sa.select(pipeline_sessions.c.id).where(pipeline_sessions.c.run_id.in_(runs))
        return query.where(table.c.session_id.in_(sessions))
    of_repetitions = sa.select(repetitions.c.id).join(jobs, jobs.c.id == repetitions.c.job_id).where(of_runs)
    if "repetition_id" in table.c:
        return query.where(table.c.repetition_id.in_(of_repetitions))
    used: dict[str, sa.SelectBase] = {
        "documents": sa.union(
            sa.select(devices.c.facts_id).where(devices.c.run_id.in_(runs)), sa.select(jobs.c.options_id).where(of_runs)
        ),
        "models": sa.select(jobs.c.model_sha256).where(of_runs),
        "binaries": sa.select(jobs.c.binary_sha256).where(of_runs),
        "files": sa.select(schema.job_files.c.sha256).where(
            schema.job_files.c.job_id.in_(sa.select(jobs.c.id).where(of_runs))
        ),
        "cases": sa.select(jobs.c.case_id).where(of_runs),
        "operator_names": sa.select(operators.c.name_id).where(operators.c.repetition_id.in_(of_repetitions)),
    }
    return query.where(next(iter(table.primary_key)).in_(used[table.name]))
