"""The tables of a store of schema 3, as they were: read by the revision that leaves them; never changed again."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator


class Utc(TypeDecorator[datetime]):
    """A time with its zone in Python, as UTC without one in the database."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.astimezone(timezone.utc).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.replace(tzinfo=timezone.utc)


metadata = MetaData()

meta = Table("meta", metadata, Column("key", String(40), primary_key=True), Column("value", Text, nullable=False))

runs = Table(
    "runs",
    metadata,
    Column("run_id", String(40), primary_key=True),
    Column("started_utc", Utc, nullable=False, index=True),
    Column("finished_utc", Utc),
    Column("status", String(20), nullable=False),
    Column("command", Text, nullable=False),
    Column("devbench_version", String(40), nullable=False),
    Column("host", Text, nullable=False),
    Column("options", JSON, nullable=False),
    Column("labels", JSON, nullable=False),
)

# A device as it was in a run: its system and its profile change over time.
devices = Table(
    "devices",
    metadata,
    Column("run_id", String(40), primary_key=True),
    Column("key", String(80), primary_key=True),
    Column("serial", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("virtual", Boolean, nullable=False),
    Column("profile", String(80), nullable=False),
    Column("facts", JSON, nullable=False),
    ForeignKeyConstraint(["run_id"], ["runs.run_id"], ondelete="CASCADE"),
)

models = Table(
    "models",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
)

binaries = Table(
    "binaries",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("abi", String(40), nullable=False),
    Column("flavour", Text, nullable=False),
    Column("tool", String(20), nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("run_id", String(40), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("device_key", String(80), nullable=False),
    Column("model_sha256", String(64), nullable=False),
    # The name under which the model was given in this run; the same bytes may go by another name elsewhere.
    Column("model_name", Text, nullable=False),
    Column("binary_sha256", String(64), nullable=False),
    Column("delegate", String(80), nullable=False),
    Column("delegate_title", Text, nullable=False),
    Column("threads", Integer),
    Column("require", String(10), nullable=False),
    Column("options", JSON, nullable=False),
    ForeignKeyConstraint(["run_id", "device_key"], ["devices.run_id", "devices.key"], ondelete="CASCADE"),
    ForeignKeyConstraint(["model_sha256"], ["models.sha256"]),
    ForeignKeyConstraint(["binary_sha256"], ["binaries.sha256"]),
    Index("ix_jobs_case", "model_sha256", "delegate", "device_key"),
)

repetitions = Table(
    "repetitions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", String(40), nullable=False),
    Column("job_number", Integer, nullable=False),
    Column("index", Integer, nullable=False),
    Column("purpose", String(10), nullable=False),
    Column("started_utc", Utc, nullable=False),
    Column("finished_utc", Utc, nullable=False),
    Column("duration_s", Float, nullable=False),
    Column("argv", JSON, nullable=False),
    Column("status", String(10), nullable=False),
    Column("failure_kind", String(40)),
    Column("failure_message", Text),
    Column("exit_code", Integer),
    Column("raw_path", Text, nullable=False),
    Column("measurement", JSON, nullable=False),
    Column("init_us", Float),
    Column("first_inference_us", Float),
    Column("warmup_avg_us", Float),
    Column("latency_avg_us", Float),
    Column("latency_min_us", Float),
    Column("latency_max_us", Float),
    Column("latency_std_us", Float),
    Column("latency_p5_us", Float),
    Column("latency_median_us", Float),
    Column("latency_p95_us", Float),
    Column("inferences", Integer),
    Column("init_memory_mb", Float),
    Column("overall_memory_mb", Float),
    Column("peak_memory_mb", Float),
    Column("vm_hwm_kb", BigInteger),
    Column("pss_peak_kb", BigInteger),
    Column("delegate_applied", String(10)),
    Column("nodes_delegated", Integer),
    Column("nodes_total", Integer),
    Column("partitions", Integer),
    Column("delegate_share", Float),
    Column("file_cache", String(10)),
    Column("kernel_cache", String(10)),
    Column("on_device_ms", Float),
    Column("host_overhead_ms", Float),
    Column("conditions_before", JSON),
    Column("conditions_after", JSON),
    Column("conditions_during", JSON),
    Column("verdict", String(10), nullable=False),
    Column("verdict_reasons", JSON, nullable=False),
    Column("outputs", JSON),
    ForeignKeyConstraint(["run_id", "job_number"], ["jobs.run_id", "jobs.number"], ondelete="CASCADE"),
    Index("ix_repetitions_job", "run_id", "job_number"),
)

operators = Table(
    "operators",
    metadata,
    Column("repetition_id", Integer, primary_key=True),
    Column("phase", String(10), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("type", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("node", Integer),
    Column("avg_ms", Float),
    Column("first_ms", Float),
    Column("pct", Float),
    Column("mem_kb", Float),
    Column("times_called", Float),
    Column("inside_delegate", Boolean, nullable=False),
    ForeignKeyConstraint(["repetition_id"], ["repetitions.id"], ondelete="CASCADE"),
)

# A session of a pipeline on a device, or one of its stages alone (residency "alone").
pipeline_sessions = Table(
    "pipeline_sessions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", String(40), nullable=False),
    Column("device_key", String(80), nullable=False),
    Column("pipeline", Text, nullable=False),
    Column("delegate", Text, nullable=False),
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
    Column("failure_message", Text),
    Column("raw_path", Text, nullable=False),
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
    Column("name", Text, nullable=False),
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
