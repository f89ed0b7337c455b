"""A run that goes on after its process died, and what is noted of it on the way; knows no device and no plan."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from devbench.host.locks import is_held
from devbench.host.paths import data_dir
from devbench.results import schema

if TYPE_CHECKING:
    from devbench.results.store import Store


@dataclass(frozen=True, slots=True)
class OptionedRun:
    """A run by what is noted of it; `host` is the machine that made it."""

    run_id: str
    started_utc: datetime
    host: str
    options: Mapping[str, Any]


def lock_of(run_id: str) -> Path:
    """The lock that the process which measures a run holds, on its machine."""
    return data_dir() / "locks" / f"run-{run_id}.lock"


def end_words(run_id: str, status: str, end_reason: str, host: str, *, pipeline: bool) -> str:
    """How a run ended and why, for people; a run whose process died says so, which no process could store."""
    if status == "running" and host == socket.gethostname() and not is_held(lock_of(run_id)):
        step = "measure it again" if pipeline else f"`devbench run --resume {run_id}` measures the rest"
        return f"running: its process ended without closing it; {step}"
    return f"{status}: {end_reason}" if end_reason else status


def drop_run(store: Store, run_id: str) -> None:
    """Remove a run in which nothing ran."""
    with store.transaction() as connection:
        connection.execute(schema.runs.delete().where(schema.runs.c.run_id == run_id))


def reopen_run(store: Store, run_id: str) -> None:
    """The run is running again: it has no end until `Store.finish_run`."""
    with store.transaction() as connection:
        where = schema.runs.c.run_id == run_id
        connection.execute(schema.runs.update().where(where).values(status="running", end_reason="", finished_utc=None))
    store.keep_room(run_id)


def drop_unfinished(store: Store, run_id: str) -> None:
    """Remove raw outputs of a run that a dead process was in the middle of writing; those in place are whole."""
    for part in (store.artifacts.root / run_id).glob(".*"):
        part.unlink(missing_ok=True)


def note_option(store: Store, run_id: str, name: str, value: Mapping[str, Any]) -> None:
    """Keep a JSON-ready table with the run's options, in place of the one of that name."""
    with store.transaction() as connection:
        where = schema.runs.c.run_id == run_id
        options = connection.execute(sa.select(schema.runs.c.options).where(where)).scalar_one()
        changed = {**options, name: dict(value)}
        connection.execute(schema.runs.update().where(where).values(options=changed))


def runs_with_option(store: Store, name: str) -> list[OptionedRun]:
    """The runs that have an option of that name, the newest first."""
    runs = schema.runs
    query = sa.select(runs.c.run_id, runs.c.started_utc, runs.c.host, runs.c.options)
    with store.database.reading() as connection:
        rows = connection.execute(query.order_by(sa.desc(runs.c.started_utc))).all()
    return [OptionedRun(*row) for row in rows if name in row.options]
