"""Reads sessions of pipelines as columns, like those of jobs (`queries.py`).

A pipeline with one residency, number of steps and delegate is a case. The name of the pipeline is used as that of the
model. The metrics are end-to-end latency and peak memory. The stages alone are jobs with separate cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import sqlalchemy as sa

from devbench.analysis.pipeline import Timed
from devbench.grouped import grouped
from devbench.metrics import METRICS
from devbench.results import schema
from devbench.results.cases import case_text
from devbench.results.columns import Column, Columns, array_of, as_times, coded, coded_of, taken
from devbench.results.engine import fetch
from devbench.results.pipeline_schema import pipeline_sessions, pipeline_stages
from devbench.results.selection import Selection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Flags: TypeAlias = NDArray[np.bool_]

_ALONE = "alone"
_KB_PER_MB = 1024


def pipeline_case(
    pipeline: str, residency: str, steps: int, *, guidance: bool, delegate: str, threads: int | None
) -> str:
    """Return `mobile-sd · gpu · 4 threads · pipelined · 20 steps`, and `guidance` if it is used."""
    words = [residency, f"{steps} step{'' if steps == 1 else 's'}", *(["guidance"] if guidance else [])]
    return " · ".join([case_text(pipeline, delegate, threads, {}), *words])


def session_columns(connection: sa.Connection, selection: Selection) -> dict[str, Column]:
    """Return one row per session, in the order of their runs; stages measured alone are left out.

    `counts`: the latency and memory of the session count: it ended well, and is reliable or its case has no reliable
    one. `peak_memory_mb` is NaN if PSS was not measured: RSS counts what stages share once for each.
    """
    sessions, runs, devices = pipeline_sessions, schema.runs, schema.devices
    names = (
        "id", "run_id", "device_key", "pipeline", "delegate", "threads", "residency", "steps", "guidance", "index",
        "status", "failure_kind", "failure_message", "verdict", "latency_ms", "memory_kind", "peak_kb",
    )  # fmt: skip
    of_whom = (sessions.c.run_id == devices.c.run_id) & (sessions.c.device_key == devices.c.key)
    query = (
        sa.select(*(sessions.c[name] for name in names), runs.c.started_utc, devices.c.title, devices.c.virtual)
        .join(runs, runs.c.run_id == sessions.c.run_id)
        .join(devices, of_whom)
        .where(sessions.c.residency != _ALONE, *selection.of_runs(), *selection.of_devices())
        .order_by(runs.c.started_utc, sessions.c.id)
    )
    found = fetch(connection, query)
    cases = [
        pipeline_case(name, residency, steps, guidance=bool(guidance), delegate=delegate, threads=threads)
        for name, residency, steps, guidance, delegate, threads in zip(
            *(found[n] for n in ("pipeline", "residency", "steps", "guidance", "delegate", "threads")), strict=True
        )
    ]
    kinds = zip(found["memory_kind"], found["peak_kb"], strict=True)
    pss = np.asarray([kb if kind == "pss" else None for kind, kb in kinds], dtype=float)
    latencies = np.asarray(found["latency_ms"], dtype=float)
    ended_well = np.asarray([status == "ok" for status in found["status"]], dtype=bool) & ~np.isnan(latencies)
    reliable = np.asarray([verdict != "unreliable" for verdict in found["verdict"]], dtype=bool)
    columns: dict[str, Column] = {
        "session": np.asarray(found["id"], dtype="int64"),
        "run_id": coded(found["run_id"]),
        "started_utc": as_times(found["started_utc"]),
        "device_key": coded(found["device_key"]),
        "device": coded(found["title"]),
        "virtual": np.asarray(found["virtual"], dtype=bool),
        "case": coded(cases),
        "model": coded(found["pipeline"]),
        "delegate": coded(found["delegate"]),
        "threads": coded(found["threads"]),
        "residency": coded(found["residency"]),
        "repetition": np.asarray(found["index"], dtype="int64"),
        "status": coded(found["status"]),
        "failure_kind": coded(found["failure_kind"]),
        "failure_message": coded(found["failure_message"]),
        "latency_ms": latencies,
        "peak_memory_mb": pss / _KB_PER_MB,
        "unreliable": ~reliable,
    }
    columns["counts"] = _counting(columns, ended_well, reliable)
    return _asked_for(columns, selection)


def _counting(columns: Columns, ended_well: Flags, reliable: Flags) -> Flags:
    """Return the successful sessions; for each case in a run only the reliable ones, if there are any."""
    keys = _keys(columns)
    with_reliable = {one for one, well, good in zip(keys, ended_well, reliable, strict=True) if well and good}
    rows = zip(keys, ended_well.tolist(), reliable.tolist(), strict=True)
    return np.asarray([well and (good or one not in with_reliable) for one, well, good in rows], dtype=bool)


def _keys(columns: Columns) -> list[tuple[int, ...]]:
    """Return the run, device and case of each row, as codes."""
    codes = (coded_of(columns, name).codes.tolist() for name in ("run_id", "device_key", "case"))
    return list(zip(*codes, strict=True))


def _asked_for(columns: Columns, selection: Selection) -> dict[str, Column]:
    keep = np.ones(len(array_of(columns, "virtual")), dtype=bool)
    wanted = {"model": selection.models, "delegate": selection.delegates, "case": selection.cases}
    for name, values in wanted.items():
        if values:
            known = [values] if isinstance(values, str) else list(values)
            column = coded_of(columns, name)
            keep &= np.isin(column.codes, [code for code, value in enumerate(column.values) if value in known])
    return taken(columns, np.flatnonzero(keep))


def stage_columns(connection: sa.Connection, selection: Selection) -> dict[str, Column]:
    """Return one row per stage of each session: the session's columns, `stage`, and `taken_ms` of the latency.

    `taken_ms` is that of `analysis.pipeline.Timed`.
    """
    sessions = session_columns(connection, selection)
    stages = pipeline_stages
    names = ("session_id", "name", "runs", "load_ms", "loaded_before", "wait_ms", "wall_ms", "release_ms")
    query = (
        sa.select(*(stages.c[name] for name in names))
        .join(pipeline_sessions, pipeline_sessions.c.id == stages.c.session_id)
        .join(schema.runs, schema.runs.c.run_id == pipeline_sessions.c.run_id)
        .where(pipeline_sessions.c.residency != _ALONE, *selection.of_runs())
        .order_by(stages.c.session_id, stages.c.position)
    )
    place = {session: row for row, session in enumerate(array_of(sessions, "session").tolist())}
    kept = [row._mapping for row in connection.execute(query) if row.session_id in place]
    columns = taken(sessions, np.asarray([place[row["session_id"]] for row in kept], dtype="int64"))
    columns["stage"] = coded([row["name"] for row in kept])
    timed = [Timed(**{name: row[name] for name in names[1:]}) for row in kept]
    columns["taken_ms"] = np.asarray([one.taken_ms for one in timed], dtype=float)
    return columns


def of_sessions(sessions: Columns, metrics: Sequence[str], *, medians: bool) -> list[dict[str, Column]]:
    """Return a part for each metric of sessions: the values of those that count, or their median for each case."""
    parts = []
    counts, keys = array_of(sessions, "counts"), _keys(sessions)
    for metric in metrics:
        if not METRICS[metric].session_column:
            continue
        values = array_of(sessions, METRICS[metric].session_column)
        known = np.flatnonzero(counts & ~np.isnan(values)).tolist()
        groups = grouped((keys[row] if medians else (row,), row) for row in known)
        if groups:
            part = taken(sessions, np.asarray([rows[0] for rows in groups.values()]))
            part["value"] = np.asarray([median(values[rows].tolist()) for rows in groups.values()])
            part["metric"], part["unit"] = coded([metric] * len(groups)), coded([METRICS[metric].unit] * len(groups))
            parts.append(part)
    return parts
