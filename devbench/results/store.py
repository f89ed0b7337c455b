"""The results store. For each repetition it writes the raw outputs first, then the measurements in one transaction.

SQLite by default, one file in devbench's data folder; PostgreSQL by URL. One `Store` may be used by several threads,
one store by several processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa

from devbench.host.paths import data_dir
from devbench.results import ending, pipeline_schema, schema, views, writing
from devbench.results.artifacts import Artifacts, Pruned
from devbench.results.counting import RunView
from devbench.results.engine import Database, StoreProblem
from devbench.results.records import RunRecord, RunStatus
from devbench.text import clean

_MAX_REASON = 1000
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OptionedRun:
    """A run with its options; `host` is the machine that made it."""

    run_id: str
    started_utc: datetime
    host: str
    options: Mapping[str, Any]


def _transaction(
    begin: Callable[[Database], AbstractContextManager[sa.Connection]], work: Callable[Concatenate[sa.Connection, P], T]
) -> Callable[Concatenate[Store, P], T]:
    """Return a method that does the work in one transaction: everything is stored or nothing; reads see one moment."""

    @wraps(work)
    def method(store: Store, /, *args: P.args, **options: P.kwargs) -> T:
        with begin(store.database) as connection:
            return work(connection, *args, **options)

    return method


class Store(AbstractContextManager["Store"]):
    """A results store, for use as a context.

    Args:
        url: SQLAlchemy URL or path of an SQLite file; `None` means DEVBENCH_STORE or the user's own store.
        artifacts: folder of the raw outputs; `None` means `artifacts` next to an SQLite file, else in the data folder.
        create: make an SQLite file if it is missing.
        foreign: the file is from elsewhere, so it is opened read-only and with limits.

    Raises:
        InputError: the URL is invalid, or the file does not exist and is not to be made.
        StoreProblem: the database cannot be opened, or a newer devbench wrote it.
    """

    def __init__(
        self, url: str | None = None, artifacts: Path | None = None, *, create: bool = True, foreign: bool = False
    ) -> None:
        self.database = Database(url, create=create, foreign=foreign)
        file = self.database.file
        folder = file.parent if file is not None else data_dir()
        self.artifacts = Artifacts(artifacts or folder / "artifacts")
        if not self.database.read_only:
            self._apply_ends()

    def close(self) -> None:
        """Close the connections."""
        self.database.close()

    def __exit__(self, *error: object) -> None:
        self.close()

    # -- writing ------------------------------------------------------------------------------------------------

    add_job = _transaction(Database.writing, writing.insert_job)
    add_repetition = _transaction(Database.writing, writing.insert_repetition)
    add_pipeline_session = _transaction(Database.writing, pipeline_schema.insert_session)
    add_notices = _transaction(Database.writing, writing.insert_notices)
    add_part = _transaction(Database.writing, writing.insert_part)

    def create_run(self, run: RunRecord) -> None:
        """Begin a run; its status is `running` until `finish_run`."""
        with self.database.writing() as connection:
            writing.insert_run(connection, run)
        ending.keep_room(self.artifacts.root, run.run_id)

    def drop_run(self, run_id: str) -> None:
        """Remove a run in which nothing ran."""
        with self.database.writing() as connection:
            connection.execute(schema.runs.delete().where(schema.runs.c.run_id == run_id))

    def reopen_run(self, run_id: str) -> None:
        """Mark a run as running again, without an end until `finish_run`, and remove incomplete raw outputs."""
        end = {"status": "running", "end_reason": "", "finished_utc": None}
        with self.database.writing() as connection:
            connection.execute(schema.runs.update().where(schema.runs.c.run_id == run_id).values(**end))
        ending.keep_room(self.artifacts.root, run_id)
        for part in (self.artifacts.root / run_id).glob(".*"):
            part.unlink(missing_ok=True)

    def note_option(self, run_id: str, name: str, value: Mapping[str, Any]) -> None:
        """Store a JSON-ready table with the run's options; it replaces an earlier one with that name."""
        with self.database.writing() as connection:
            where = schema.runs.c.run_id == run_id
            options = connection.execute(sa.select(schema.runs.c.options).where(where)).scalar_one()
            changed = {**options, name: dict(value)}
            connection.execute(schema.runs.update().where(where).values(options=changed))

    def prune(self, older_than: timedelta, now: datetime, *, dry_run: bool = False) -> Pruned:
        """Remove the raw outputs of runs that started longer ago than `older_than`; the database does not change.

        Raises:
            EnvironmentProblem: a file cannot be removed.
        """
        runs = schema.runs
        query = sa.select(runs.c.run_id).where(runs.c.started_utc < now - older_than).order_by(runs.c.started_utc)
        with self.database.reading() as connection:
            old = list(connection.execute(query).scalars())
        return self.artifacts.prune(old, dry_run=dry_run)

    def drop_host(self, host: str, *, dry_run: bool = False) -> Pruned:
        """Remove all runs that a host measured, with their raw outputs; `runs` of the result are all of them.

        Raises:
            InputError: the store has no run of that host.
        """
        with self.database.reading() as connection:
            found = views.runs_of_host(connection, host)
        pruned = self.artifacts.prune(found, dry_run=True)
        if not dry_run:
            runs = schema.runs
            with self.database.writing() as connection:
                for run_id in found:
                    connection.execute(runs.delete().where(runs.c.run_id == run_id))
            self.artifacts.prune(found)
        return replace(pruned, runs=tuple(found))

    def finish_run(self, run_id: str, status: RunStatus, finished_utc: datetime, end_reason: str = "") -> None:
        """Store the end of a run. `end_reason`: why it ended, in one line; empty if everything was done.

        Raises:
            StoreProblem: it cannot be stored, even with the reserved disk space. The next process that opens the store
                tries again.
        """
        root, reason = self.artifacts.root, clean(end_reason, _MAX_REASON)
        try:
            self._end(run_id, status, finished_utc, reason)
        except StoreProblem as error:
            if not ending.make_room(root, run_id):
                raise
            try:
                self._end(run_id, status, finished_utc, reason)
            except StoreProblem:
                values = {"status": "failed", "finished_utc": finished_utc.isoformat()}
                ending.note_end(root, run_id, {**values, "end_reason": reason or error.what})
                raise
        ending.forget(root, run_id)

    def _end(self, run_id: str, status: RunStatus, finished_utc: datetime, end_reason: str) -> None:
        with self.database.writing() as connection:
            where = schema.runs.c.run_id == run_id
            end = {"status": status, "finished_utc": finished_utc, "end_reason": end_reason}
            connection.execute(schema.runs.update().where(where).values(**end))
            writing.complete(connection, run_id)

    def _apply_ends(self) -> None:
        """Store the ends of runs that did not fit on a full disk, if they fit now."""
        for run_id, values in ending.noted_ends(self.artifacts.root):
            try:
                finished_utc = datetime.fromisoformat(values["finished_utc"])
                self._end(run_id, "failed", finished_utc, clean(values["end_reason"], _MAX_REASON))
            except (KeyError, ValueError, TypeError, StoreProblem):
                continue
            ending.forget(self.artifacts.root, run_id)

    def complete_totals(self) -> None:
        """Update the totals of jobs whose runs are active or were killed, if the store can be written."""
        with self.database.reading() as connection:
            late = writing.are_open(connection)
        if late:
            with suppress(StoreProblem), self.database.writing() as connection:
                writing.complete(connection)

    def identify(self, key: str, hardware_serial: str) -> tuple[str, list[str]]:
        """Return the key of the history of a device, and the keys of other devices with its factory serial number."""
        from devbench.results import histories

        with self.database.reading() as connection:
            current = histories.current_key(connection, key)
            others = histories.keys_of_serial(connection, hardware_serial) if hardware_serial else []
        return current, [other for other in others if other not in (key, current)]

    def add_run(self, view: RunView) -> None:
        """Add a whole run that has ended."""
        self.add_part(view)
        finished_utc = view.finished_utc or view.run.started_utc
        self.finish_run(view.run.run_id, view.status, finished_utc, view.end_reason)  # type: ignore[arg-type]

    # -- reading ------------------------------------------------------------------------------------------------

    runs = _transaction(Database.reading, views.summaries)
    run = _transaction(Database.reading, views.run_view)
    has_run = _transaction(Database.reading, views.has_run)
    newest_run_id = _transaction(Database.reading, views.newest_run_id)
    notices = _transaction(Database.reading, views.stored_notices)
    model_names = _transaction(Database.reading, views.model_names)
    pipeline_sessions = _transaction(Database.reading, pipeline_schema.read_sessions)
    typical_duration_s = _transaction(Database.reading, views.typical_duration_s)

    def runs_with_option(self, name: str) -> list[OptionedRun]:
        """Return the runs that have an option of that name, the newest first."""
        runs = schema.runs
        query = sa.select(runs.c.run_id, runs.c.started_utc, runs.c.host, runs.c.options)
        with self.database.reading() as connection:
            rows = connection.execute(query.order_by(sa.desc(runs.c.started_utc))).all()
        return [OptionedRun(*row) for row in rows if name in row.options]
