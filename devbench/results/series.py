"""Metrics over runs: samples, one a repetition, and series, one value a job or session; without pandas.

The metrics and where each is come from the catalogue (`devbench/metrics.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import sqlalchemy as sa

from devbench.errors import InputError
from devbench.metrics import METRICS, OPERATOR_TIME, stored
from devbench.results import schema
from devbench.results.columns import Coded, Column, Rows, array_of, coded_of, in_order, read_rows, with_jobs
from devbench.results.pipeline_history import series_of, session_columns
from devbench.results.selection import Selection

Read: TypeAlias = Callable[[sa.Connection, str, Selection], Rows]


def series(connection: sa.Connection, metrics: Sequence[str], selection: Selection) -> list[dict[str, Column]]:
    """All series of some metrics (of all that are stored if none is named), in the order of time, by what they are of.

    Returns:
        Columns of jobs, with the median over the repetitions that count; of types of operators, with `operator_type`
        and without an interval, if `operator_time` is among the metrics; and of sessions of pipelines, for each metric
        that they have.

    Raises:
        InputError: there is no such metric.
    """
    of_jobs = [name for name in metrics if name != OPERATOR_TIME] if metrics else list(stored())
    parts = [by_metric(connection, of_jobs, selection, series_rows)] if of_jobs else []
    if OPERATOR_TIME in metrics:
        parts.append(_operator_times(connection, selection))
    return parts + series_of(session_columns(connection, selection), of_jobs)


def by_metric(connection: sa.Connection, metrics: Sequence[str], selection: Selection, read: Read) -> dict[str, Column]:
    """The rows that `read` gives for each of the metrics, with their jobs, in the order of time.

    Raises:
        InputError: there is no such metric.
    """
    known = stored()
    asked = [metrics] if isinstance(metrics, str) else list(metrics or known)
    for metric in asked:
        if metric not in known:
            raise InputError(f"there is no metric {metric!r}", hint=f"known are {', '.join(known)}")
    parts = [read(connection, metric, selection) for metric in asked]
    columns = with_jobs(connection, selection, _together(parts))
    which = np.repeat(np.arange(len(parts)), [len(part.owners) for part in parts])
    columns["metric"], columns["unit"] = Coded(asked, which), Coded([METRICS[name].unit for name in asked], which)
    return in_order(columns)


def _operator_times(connection: sa.Connection, selection: Selection) -> dict[str, Column]:
    """The time by type of operator over all places, of the last profile of each job."""
    table = schema.job_operator_types
    of_types = {"operator_type": table.c.type, "value": table.c.total_ms}
    rows = read_rows(connection, selection, table, table.c.job_id, of_types)
    columns = with_jobs(connection, selection, _summed(rows, "operator_type", "value"))
    nothing = np.zeros(len(columns["job"]), dtype="int64")
    columns["metric"], columns["unit"] = Coded([OPERATOR_TIME], nothing), Coded([METRICS[OPERATOR_TIME].unit], nothing)
    return in_order(columns)


def sample_rows(connection: sa.Connection, metric: str, selection: Selection) -> Rows:
    """The repetitions that count for a metric, with `repetition`, `value` in its unit, and whether it is unreliable."""
    repetitions = schema.repetitions
    of = METRICS[metric]
    if of.source != "repetition":
        rows = series_rows(connection, metric, selection)
        kept = {name: rows.columns[name] for name in ("value", "unreliable")}
        return Rows(rows.owners, {"repetition": 0 * rows.owners, **kept})
    column = repetitions.c[of.column]
    counts = {
        "latency": repetitions.c.counts_latency.is_(True),
        "start": repetitions.c.counts_start.is_(True),
        "ok": repetitions.c.status == "ok",
    }
    columns = {
        "repetition": repetitions.c.index,
        "value": column * of.scale,
        "unreliable": repetitions.c.verdict == "unreliable",
    }
    where = (counts[of.counts], column.is_not(None))
    return _with_truth(read_rows(connection, selection, repetitions, repetitions.c.job_id, columns, *where))


def series_rows(connection: sa.Connection, metric: str, selection: Selection) -> Rows:
    """The jobs that have a metric, with its median, interval, count, and whether all of its values are unreliable."""
    table = schema.job_metrics
    columns = {name: table.c[name] for name in ("value", "low", "high", "n", "unreliable")}
    return _with_truth(read_rows(connection, selection, table, table.c.job_id, columns, table.c.metric == metric))


def _with_truth(rows: Rows) -> Rows:
    """The rows with `unreliable` as truth values: SQLite has numbers."""
    flags = array_of(rows.columns, "unreliable").astype(bool)
    return Rows(rows.owners, {**rows.columns, "unreliable": flags})


def _summed(rows: Rows, key: str, number: str) -> Rows:
    """One row a job and value of the column `key`, with the sum of the column `number`."""
    keys = coded_of(rows.columns, key)
    each = rows.owners * max(len(keys.values), 1) + keys.codes
    _, first, which = np.unique(each, return_index=True, return_inverse=True)
    sums = np.bincount(which, weights=array_of(rows.columns, number), minlength=len(first))
    return Rows(rows.owners[first], {key: keys.take(first), number: sums})


def _together(parts: Sequence[Rows]) -> Rows:
    """Rows with the same columns of numbers, one part after the other."""
    columns = {name: np.concatenate([array_of(part.columns, name) for part in parts]) for name in parts[0].columns}
    return Rows(np.concatenate([part.owners for part in parts]), columns)
