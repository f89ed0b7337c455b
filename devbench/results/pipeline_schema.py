"""The tables of pipelines in the results store; they share the metadata of `schema.py` and know no record type."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Boolean, Column, ForeignKeyConstraint, Index, Integer, Table

from devbench.results.column_types import Name, Packed, Real, Utc, WholeNumber, Words
from devbench.results.schema import metadata

# A session of a pipeline on a device, or one of its stages alone (residency "alone").
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

# Times in seconds count from the session's start of the clock, and are negative before it.
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
