"""The tables of the results store, as SQLAlchemy Core; knows no query.

Each value that is compared has its own column, with the unit in its name. Long outputs of devices and tools are in
separate tables, so that queries of numbers do not read them. Data that are the same in many runs are stored once, under
a number computed from their content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

from devbench.notices import Effect, NoticeKind
from devbench.results.column_types import MAX_REAL, Name, Packed, Real, Utc, WholeNumber, Words
from devbench.results.records import VALUES, RepetitionRecord

# The tables as a whole. Before the first tagged version there is this baseline alone; stores of later versions are
# migrated from it.
HEAD = "baseline-2"

# A custom operator may have a name of any length.
LONGEST_TYPE = 200

metadata = MetaData()

# The table has the name that Alembic uses.
version = Table("alembic_version", metadata, Column("version_num", String(32), primary_key=True))

runs = Table(
    "runs",
    metadata,
    Column("run_id", Name(40), primary_key=True),
    Column("started_utc", Utc, nullable=False, index=True),
    Column("finished_utc", Utc),
    Column("status", Name(20, ("running", "done", "interrupted", "failed")), nullable=False),
    # The reason why the run ended; empty if everything was done.
    Column("end_reason", Words, nullable=False),
    Column("command", Words, nullable=False),
    Column("devbench_version", Name(40), nullable=False),
    Column("host", Words, nullable=False),
    Column("options", Packed(dict), nullable=False),
)

labels = Table(
    "labels",
    metadata,
    Column("run_id", Name(40), primary_key=True),
    Column("key", Name(200), primary_key=True),
    Column("value", Words, nullable=False),
    ForeignKeyConstraint(["run_id"], ["runs.run_id"], ondelete="CASCADE"),
    Index("ix_labels_key_value", "key", "value"),
)

# What limits the use of the numbers of a run (`devbench/notices.py`); the number is made of the content.
notices = Table(
    "notices",
    metadata,
    Column("run_id", Name(40), primary_key=True),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Name(40, tuple(kind.value for kind in NoticeKind)), nullable=False),
    Column("subject", Words, nullable=False),
    Column("text", Words, nullable=False),
    Column("next_step", Words, nullable=False),
    Column("effect", Name(20, tuple(effect.value for effect in Effect)), nullable=False),
    # Empty for a notice about all devices, NULL for one about all jobs of its subject.
    Column("device_key", Name(80), nullable=False),
    Column("job_number", WholeNumber()),
    ForeignKeyConstraint(["run_id"], ["runs.run_id"], ondelete="CASCADE"),
)

# JSON that repeats from run to run: facts of devices, options of jobs.
documents = Table(
    "documents",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("body", Packed(dict, "document"), nullable=False),
)

# A device as it was in a run: its system and its profile change over time.
devices = Table(
    "devices",
    metadata,
    Column("run_id", Name(40), primary_key=True),
    Column("key", Name(80), primary_key=True),
    Column("serial", Words, nullable=False),
    Column("title", Words, nullable=False),
    Column("virtual", Boolean, nullable=False),
    Column("profile", Words, nullable=False),
    Column("facts_id", BigInteger, nullable=False),
    ForeignKeyConstraint(["run_id"], ["runs.run_id"], ondelete="CASCADE"),
    ForeignKeyConstraint(["facts_id"], ["documents.id"]),
)

# The key under which a device was measured, if its history was merged or split since (`histories.py`).
device_moves = Table(
    "device_moves",
    metadata,
    Column("run_id", Name(40), primary_key=True),
    Column("key", Name(80), primary_key=True),
    Column("measured_as", Name(80), nullable=False),
    ForeignKeyConstraint(["run_id", "key"], ["devices.run_id", "devices.key"], ondelete="CASCADE"),
)

# Later results under the first key belong to the history of the second.
device_aliases = Table(
    "device_aliases",
    metadata,
    Column("key", Name(80), primary_key=True),
    Column("device_key", Name(80), nullable=False),
)

# Models are identified by their bytes; the name of a model belongs to the case.
models = Table(
    "models",
    metadata,
    Column("sha256", Name(64), primary_key=True),
    Column("size_bytes", WholeNumber(big=True), nullable=False),
    # The number of operators of the main graph.
    Column("operators", WholeNumber()),
)

binaries = Table(
    "binaries",
    metadata,
    Column("sha256", Name(64), primary_key=True),
    Column("name", Words, nullable=False),
    Column("version", Words, nullable=False),
    Column("abi", Name(40), nullable=False),
    Column("flavour", Words, nullable=False),
    Column("tool", Name(20), nullable=False),
)

# The cases, which are the same in all runs (`cases.py`); `model` is the model's key, not its bytes.
cases = Table(
    "cases",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("text", Words, nullable=False),
    Column("model", Words, nullable=False),
    # A long text, because the path of a library follows `external:`.
    Column("delegate", Words, nullable=False),
    Column("threads", WholeNumber()),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Name(40), nullable=False),
    Column("number", WholeNumber(), nullable=False),
    Column("device_key", Name(80), nullable=False),
    Column("case_id", BigInteger, nullable=False),
    Column("model_sha256", Name(64), nullable=False),
    Column("binary_sha256", Name(64), nullable=False),
    Column("delegate_title", Words, nullable=False),
    Column("require", Name(10), nullable=False),
    Column("options_id", BigInteger, nullable=False),
    UniqueConstraint("run_id", "number"),
    ForeignKeyConstraint(["run_id", "device_key"], ["devices.run_id", "devices.key"], ondelete="CASCADE"),
    ForeignKeyConstraint(["case_id"], ["cases.id"]),
    ForeignKeyConstraint(["model_sha256"], ["models.sha256"]),
    ForeignKeyConstraint(["binary_sha256"], ["binaries.sha256"]),
    ForeignKeyConstraint(["options_id"], ["documents.id"]),
    Index("ix_jobs_case", "case_id", "device_key"),
    Index("ix_jobs_model", "model_sha256"),
)

# The libraries of a delegate and other files on the device; models and binaries have separate tables.
files = Table(
    "files",
    metadata,
    Column("sha256", Name(64), primary_key=True),
    Column("size_bytes", WholeNumber(big=True), nullable=False),
    # The product and version that the file states, such as "QNN 2.44.0"; empty if it states none.
    Column("version", Words, nullable=False),
)

job_files = Table(
    "job_files",
    metadata,
    Column("job_id", Integer, primary_key=True),
    # "delegate" for the delegate's libraries, "input" for values of the model's inputs.
    Column("role", Name(20), primary_key=True),
    Column("name", Name(300), primary_key=True),
    Column("sha256", Name(64), nullable=False),
    ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
    ForeignKeyConstraint(["sha256"], ["files.sha256"]),
)

_CACHE = ("cold", "warm")


def _values() -> Iterator[Column[Any]]:
    """Yield the columns of a repetition's values, as its record declares them."""
    for one in fields(RepetitionRecord):
        if one.name not in VALUES:
            continue
        kind, of = str(one.type).removesuffix(" | None"), VALUES[one.name]
        if kind == "float":
            low, high = (-MAX_REAL if of.minimum is None else of.minimum, of.maximum or MAX_REAL)
            yield Column(one.name, Real(low, high, positive=of.positive))
        elif kind == "int":
            yield Column(one.name, WholeNumber(big=of.big))
        else:
            yield Column(one.name, Name(10, _CACHE if kind == "CacheState" else ()))


repetitions = Table(
    "repetitions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", Integer, nullable=False),
    Column("purpose", Name(10, ("latency", "profile", "outputs", "cold")), nullable=False),
    Column("index", WholeNumber(), nullable=False),
    Column("started_utc", Utc, nullable=False),
    Column("finished_utc", Utc, nullable=False),
    # Zero if the job was refused before any of its processes ran.
    Column("duration_s", Real(minimum=0), nullable=False),
    Column("status", Name(10, ("ok", "failed")), nullable=False),
    Column("failure_kind", Name(40)),
    Column("failure_message", Words),
    Column("exit_code", WholeNumber(minimum=-(2**31))),
    Column("raw_path", Words, nullable=False),
    *_values(),
    # A share of the graph's nodes, not of the time (`analysis.operators`).
    Column("delegated_node_share", Real(minimum=0, maximum=1)),
    Column("verdict", Name(10), nullable=False),
    # Which of its figures count (`counting.py`); computed together with the totals of its job.
    Column("counts_latency", Boolean, nullable=False),
    Column("counts_start", Boolean, nullable=False),
    # The columns that identify a repetition across stores; two stages of a pipeline may share a job and an index.
    UniqueConstraint("job_id", "purpose", "index", "started_utc"),
    ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
)

details = Table(
    "details",
    metadata,
    Column("repetition_id", Integer, primary_key=True),
    Column("argv", Packed(str), nullable=False),
    Column("measurement", Packed(dict, "measurement"), nullable=False),
    Column("outputs", Packed(Mapping, "output"), nullable=False),
    Column("verdict_reasons", Packed(str), nullable=False),
    ForeignKeyConstraint(["repetition_id"], ["repetitions.id"], ondelete="CASCADE"),
)

conditions = Table(
    "conditions",
    metadata,
    Column("repetition_id", Integer, primary_key=True),
    Column("before", Packed(dict, "conditions")),
    Column("after", Packed(dict, "conditions")),
    Column("during", Packed(Mapping, "conditions"), nullable=False),
    ForeignKeyConstraint(["repetition_id"], ["repetitions.id"], ondelete="CASCADE"),
)

operator_names = Table(
    "operator_names",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("type", Words, nullable=False),
    Column("name", Words, nullable=False),
)

operators = Table(
    "operators",
    metadata,
    Column("repetition_id", Integer, primary_key=True),
    Column("phase", Name(10, ("init", "runs")), primary_key=True),
    Column("position", WholeNumber(), primary_key=True),
    Column("name_id", BigInteger, nullable=False),
    Column("node", WholeNumber(minimum=-1)),
    Column("avg_ms", Real(minimum=0)),
    Column("first_ms", Real(minimum=0)),
    Column("pct", Real(minimum=0)),
    Column("mem_kb", Real(minimum=0)),
    Column("times_called", Real(minimum=0)),
    Column("inside_delegate", Boolean, nullable=False),
    Column("is_partition", Boolean, nullable=False),
    ForeignKeyConstraint(["repetition_id"], ["repetitions.id"], ondelete="CASCADE"),
    ForeignKeyConstraint(["name_id"], ["operator_names.id"]),
    sqlite_with_rowid=False,
)

# The median and its interval over the repetitions of a job that count, in the unit of the metric (`counting.py`).
job_metrics = Table(
    "job_metrics",
    metadata,
    Column("job_id", Integer, primary_key=True),
    Column("metric", Name(20), primary_key=True),
    Column("value", Real(), nullable=False),
    Column("low", Real()),
    Column("high", Real()),
    Column("n", WholeNumber(), nullable=False),
    # All repetitions that count are unreliable.
    Column("unreliable", Boolean, nullable=False),
    ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
    sqlite_with_rowid=False,
)

# Jobs with repetitions that are not in the totals above (`writing.py`); the other columns are no longer used.
open_totals = Table(
    "open_totals",
    metadata,
    Column("job_id", Integer, primary_key=True),
    Column("counted", Integer, nullable=False),
    Column("waiting", Integer, nullable=False),
    ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
)

# The times of the last profile of a job, in ms per inference.
job_operator_types = Table(
    "job_operator_types",
    metadata,
    Column("job_id", Integer, primary_key=True),
    Column("type", Name(LONGEST_TYPE), primary_key=True),
    Column("place", Name(10), primary_key=True),
    Column("count", WholeNumber(), nullable=False),
    Column("total_ms", Real(), nullable=False),
    Column("share", Real(), nullable=False),
    ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
    sqlite_with_rowid=False,
)
