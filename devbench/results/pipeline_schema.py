"""The tables of pipelines in the results store; they share the metadata of `schema.py` and know no record type."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, ForeignKeyConstraint, Index, Integer, String, Table

from devbench.results.columns import Utc, Words
from devbench.results.schema import metadata

# A session of a pipeline on a device, or one of its stages alone (residency "alone").
pipeline_sessions = Table(
    "pipeline_sessions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", String(40), nullable=False),
    Column("device_key", String(80), nullable=False),
    Column("pipeline", Words, nullable=False),
    Column("delegate", Words, nullable=False),
    Column("threads", Integer),
    Column("residency", String(20), nullable=False),
    Column("index", Integer, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("guidance", Boolean, nullable=False),
    Column("keep", Integer),
    Column("overlap_runs", Integer, nullable=False),
    Column("started_utc", Utc, nullable=False),
    Column("finished_utc", Utc, nullable=False),
    Column("status", String(10), nullable=False),
    Column("failure_kind", String(40)),
    Column("failure_message", Words),
    Column("raw_path", Words, nullable=False),
    Column("latency_ms", Float),
    Column("memory_kind", String(10)),
    Column("peak_kb", BigInteger),
    Column("conditions_before", JSON),
    Column("conditions_after", JSON),
    Column("conditions_during", JSON),
    Column("verdict", String(10), nullable=False),
    Column("verdict_reasons", JSON, nullable=False),
    ForeignKeyConstraint(["run_id", "device_key"], ["devices.run_id", "devices.key"], ondelete="CASCADE"),
    Index("ix_pipeline_sessions_run", "run_id"),
)

# Times in seconds count from the session's start of the clock, and are negative before it.
pipeline_stages = Table(
    "pipeline_stages",
    metadata,
    Column("session_id", Integer, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", Words, nullable=False),
    Column("job_number", Integer, nullable=False),
    Column("repeated", Boolean, nullable=False),
    Column("runs", Integer, nullable=False),
    Column("overlapped_runs", Integer, nullable=False),
    Column("argv", JSON, nullable=False),
    Column("held_by", String(10), nullable=False),
    Column("loaded_before", Boolean, nullable=False),
    Column("init_ms", Float),
    Column("load_ms", Float),
    Column("wait_ms", Float, nullable=False),
    Column("wall_ms", Float),
    Column("first_ms", Float),
    Column("steady_ms", Float),
    Column("overlapped_ms", Float),
    Column("release_ms", Float, nullable=False),
    Column("start_s", Float),
    Column("ready_s", Float),
    Column("go_s", Float),
    Column("warm_s", Float),
    Column("done_s", Float),
    Column("gone_s", Float),
    Column("hwm_kb", BigInteger),
    ForeignKeyConstraint(["session_id"], ["pipeline_sessions.id"], ondelete="CASCADE"),
)

pipeline_samples = Table(
    "pipeline_samples",
    metadata,
    Column("session_id", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("t_s", Float, nullable=False),
    Column("pss_kb", BigInteger),
    Column("rss_kb", BigInteger),
    ForeignKeyConstraint(["session_id"], ["pipeline_sessions.id"], ondelete="CASCADE"),
)
