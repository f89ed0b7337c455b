"""Narrow tables: long JSON aside, what repeats once under a number made of its content, labels in a table of their own.

Which repetitions count, and what jobs come to, is left to `migrations.upgrade`, which says it for a whole store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

from devbench.results.bulk import insert_rows
from devbench.results.cases import case_text
from devbench.results.columns import content_id, pack, plain_words, to_us
from devbench.results.metrics import delegated_share
from devbench.results.migrations import tables3 as old
from devbench.results.migrations import tables4

revision = "0004"
down_revision = "0003"

Row = dict[str, Any]
_TIMES = ("started_utc", "finished_utc")
_DETAILS = ("argv", "measurement", "outputs", "verdict_reasons")
# Columns of the repetitions that stay where they are.
_STAY = (
    "id", "index", "purpose", "started_utc", "finished_utc", "duration_s", "status", "failure_kind", "failure_message",
    "exit_code", "raw_path", "init_us", "first_inference_us", "warmup_avg_us", "latency_avg_us", "latency_min_us",
    "latency_max_us", "latency_std_us", "latency_p5_us", "latency_median_us", "latency_p95_us", "inferences",
    "init_memory_mb", "overall_memory_mb", "peak_memory_mb", "vm_hwm_kb", "pss_peak_kb", "delegate_applied",
    "nodes_delegated", "nodes_total", "partitions", "delegate_share", "file_cache", "kernel_cache", "on_device_ms",
    "host_overhead_ms", "verdict",
)  # fmt: skip
_OPERATOR = (
    "repetition_id", "phase", "position", "node", "avg_ms", "first_ms", "pct", "mem_kb", "times_called",
    "inside_delegate",
)  # fmt: skip


def upgrade() -> None:
    connection = op.get_bind()
    tables = [table for table in old.metadata.sorted_tables if table.name != "meta"]
    aside = {table.name: _aside(table) for table in reversed(tables)}
    tables4.create()
    rows = {name: _rows(connection, table) for name, table in aside.items()}
    _runs_and_jobs(connection, rows)
    _repetitions(connection, rows)
    _pipelines(connection, rows)
    for name in aside:
        op.drop_table(f"old_{name}")
    op.drop_table("meta")


def _aside(table: sa.Table) -> sa.Table:
    for index in table.indexes:
        op.drop_index(str(index.name), table.name)
    name = f"old_{table.name}"
    op.rename_table(table.name, name)
    return table.to_metadata(sa.MetaData(), name=name)


def _rows(connection: sa.Connection, table: sa.Table) -> list[Row]:
    order = [column.name for column in table.primary_key]
    query = sa.select(table).order_by(*(table.c[name] for name in order))
    return [{name: _value(name, value) for name, value in row.items()} for row in connection.execute(query).mappings()]


def _value(name: str, value: Any) -> Any:
    """As the new tables keep it, but for JSON."""
    if name in _TIMES and value is not None:
        return to_us(value)
    return plain_words(value) if isinstance(value, str) else value


def _insert(connection: sa.Connection, table: str, names: Sequence[str], rows: Iterable[Row]) -> None:
    insert_rows(connection, sa.table(table), names, ([row[name] for name in names] for row in rows))


def _documents(connection: sa.Connection, bodies: Iterable[Any]) -> None:
    found = {content_id(body): body for body in bodies}
    _insert(connection, "documents", ("id", "body"), ({"id": n, "body": pack(body)} for n, body in found.items()))


def _runs_and_jobs(connection: sa.Connection, rows: dict[str, list[Row]]) -> None:
    names: Sequence[str] = ("run_id", *_TIMES, "status", "command", "devbench_version", "host", "options")
    _insert(connection, "runs", names, ({**row, "options": pack(row["options"])} for row in rows["runs"]))
    labels = [
        {"run_id": row["run_id"], "key": key, "value": plain_words(str(value))}
        for row in rows["runs"]
        for key, value in row["labels"].items()
    ]
    _insert(connection, "labels", ("run_id", "key", "value"), labels)
    _documents(connection, [row["facts"] for row in rows["devices"]] + [row["options"] for row in rows["jobs"]])
    names = ("run_id", "key", "serial", "title", "virtual", "profile", "facts_id")
    devices = ({**row, "facts_id": content_id(row["facts"])} for row in rows["devices"])
    _insert(connection, "devices", names, devices)
    counts = {row["model_sha256"]: row["options"].get("operator_count") for row in rows["jobs"]}
    models = ({**row, "operators": counts.get(row["sha256"])} for row in rows["models"])
    _insert(connection, "models", ("sha256", "name", "size_bytes", "operators"), models)
    names = ("sha256", "name", "version", "abi", "flavour", "tool")
    _insert(connection, "binaries", names, rows["binaries"])
    for number, row in enumerate(rows["jobs"], 1):
        row["id"], row["options_id"] = number, content_id(row["options"])
        row["text"] = case_text(row["model_name"], row["delegate"], row["threads"], row["options"])
        row["case_id"] = content_id(row["text"])
    cases = {row["case_id"]: {**row, "id": row["case_id"], "model": row["model_name"]} for row in rows["jobs"]}
    _insert(connection, "cases", ("id", "text", "model", "delegate", "threads"), cases.values())
    names = (
        "id", "run_id", "number", "device_key", "case_id", "model_sha256", "binary_sha256", "delegate_title", "require",
        "options_id",
    )  # fmt: skip
    _insert(connection, "jobs", names, rows["jobs"])
    _set_sequence(connection, "jobs")


def _repetitions(connection: sa.Connection, rows: dict[str, list[Row]]) -> None:
    jobs = {(row["run_id"], row["number"]): row["id"] for row in rows["jobs"]}
    for row in rows["repetitions"]:
        row["job_id"] = jobs[row["run_id"], row["job_number"]]
        nodes = (row["nodes_delegated"], row["nodes_total"])
        row["delegated_share"] = delegated_share(row["delegate_applied"], *nodes)
        row["counts_latency"] = row["counts_start"] = False
    names = (*_STAY, "job_id", "delegated_share", "counts_latency", "counts_start")
    _insert(connection, "repetitions", names, rows["repetitions"])
    _set_sequence(connection, "repetitions")
    aside = [
        {
            "repetition_id": row["id"],
            **{name: pack(row[name] or []) for name in _DETAILS},
            "before": None if row["conditions_before"] is None else pack(row["conditions_before"]),
            "after": None if row["conditions_after"] is None else pack(row["conditions_after"]),
            "during": pack(row["conditions_during"] or []),
            "measurement": pack(row["measurement"]),
        }
        for row in rows["repetitions"]
    ]
    _insert(connection, "details", ("repetition_id", *_DETAILS), aside)
    _insert(connection, "conditions", ("repetition_id", "before", "after", "during"), aside)
    for row in rows["operators"]:
        row["name_id"] = content_id(row["type"], row["name"])
    names_of = {row["name_id"]: {**row, "id": row["name_id"]} for row in rows["operators"]}
    _insert(connection, "operator_names", ("id", "type", "name"), names_of.values())
    _insert(connection, "operators", (*_OPERATOR, "name_id"), rows["operators"])


def _pipelines(connection: sa.Connection, rows: dict[str, list[Row]]) -> None:
    """These tables only have their times changed."""
    for name in ("pipeline_sessions", "pipeline_stages", "pipeline_samples"):
        table = sa.table(name, *(sa.column(column.name, _plain(column)) for column in old.metadata.tables[name].c))
        if rows[name]:
            connection.execute(table.insert(), rows[name])
    _set_sequence(connection, "pipeline_sessions")


def _plain(column: sa.Column[Any]) -> Any:
    return sa.BigInteger() if isinstance(column.type, old.Utc) else column.type


def _set_sequence(connection: sa.Connection, table: str) -> None:
    """PostgreSQL counts on from where rows with numbers of their own end; SQLite does so by itself."""
    if connection.dialect.name == "postgresql":
        newest = f"SELECT COALESCE(MAX(id), 1) FROM {table}"
        op.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), ({newest}))")
