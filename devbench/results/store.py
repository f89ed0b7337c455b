"""The results store: raw outputs first, then measurements, each repetition in one transaction; knows no device.

SQLite by default, one file in devbench's data folder; PostgreSQL by URL. One `Store` may be used by several threads,
one store by several processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import sqlalchemy as sa

from devbench.host.paths import data_dir
from devbench.notices import Notice
from devbench.results import ending, pipeline_schema, schema, views, writing
from devbench.results.artifacts import Artifacts, Pruned
from devbench.results.counting import LATEST, RunView
from devbench.results.engine import Database, StoreProblem
from devbench.results.records import JobRecord, PipelineSessionRecord, RepetitionRecord, RunRecord, RunStatus
from devbench.results.views import RunSummary
from devbench.text import clean

_MAX_REASON = 1000


@dataclass(frozen=True, slots=True)
class OptionedRun:
    """The list entry of a run; `host` is the machine that made it."""

    run_id: str
    started_utc: datetime
    host: str
    options: Mapping[str, Any]


class Store:
    """A results store, for use as a context.

    Args:
        url: SQLAlchemy URL or path of an SQLite file; `None` means DEVBENCH_STORE or the user's own store.
        artifacts: folder of the raw outputs; `None` means `artifacts` next to an SQLite file, else in the data folder.
        create: make an SQLite file that is not there.
        foreign: it is from elsewhere: read-only, and with limits.

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

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A connection whose changes are stored together or not at all."""
        with self.database.writing() as connection:
            yield connection

    # -- writing ------------------------------------------------------------------------------------------------

    def create_run(self, run: RunRecord) -> None:
        """Begin a run; its status is `running` until `finish_run`."""
        with self.transaction() as connection:
            writing.insert_run(connection, run)
        self.keep_room(run.run_id)

    def keep_room(self, run_id: str) -> None:
        """Reserve disk space for the end of a run that begins or is resumed."""
        ending.keep_room(self.artifacts.root, run_id)

    def drop_run(self, run_id: str) -> None:
        """Remove a run in which nothing ran."""
        with self.transaction() as connection:
            connection.execute(schema.runs.delete().where(schema.runs.c.run_id == run_id))

    def reopen_run(self, run_id: str) -> None:
        """The run is running again: it has no end until `finish_run`. Half-written raw outputs are removed."""
        end = {"status": "running", "end_reason": "", "finished_utc": None}
        with self.transaction() as connection:
            connection.execute(schema.runs.update().where(schema.runs.c.run_id == run_id).values(**end))
        self.keep_room(run_id)
        for part in (self.artifacts.root / run_id).glob(".*"):
            part.unlink(missing_ok=True)

    def note_option(self, run_id: str, name: str, value: Mapping[str, Any]) -> None:
        """Keep a JSON-ready table with the run's options, in place of the one of that name."""
        with self.transaction() as connection:
            where = schema.runs.c.run_id == run_id
            options = connection.execute(sa.select(schema.runs.c.options).where(where)).scalar_one()
            changed = {**options, name: dict(value)}
            connection.execute(schema.runs.update().where(where).values(options=changed))

    def prune(self, older_than: timedelta, now: datetime, *, dry_run: bool = False) -> Pruned:
        """Remove the raw outputs of runs that started longer ago than that; the database does not change.

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
            with self.transaction() as connection:
                for run_id in found:
                    connection.execute(runs.delete().where(runs.c.run_id == run_id))
            self.artifacts.prune(found)
        return replace(pruned, runs=tuple(found))

    def finish_run(self, run_id: str, status: RunStatus, finished_utc: datetime, end_reason: str = "") -> None:
        """Give a run its end. `end_reason`: why it ended, in a line; empty if all was done.

        Raises:
            StoreProblem: it cannot be stored, even with the room that was kept for it. The next process that opens
                the store tries again.
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
        with self.transaction() as connection:
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
            with suppress(StoreProblem), self.transaction() as connection:
                writing.complete(connection)

    def add_job(self, job: JobRecord) -> None:
        """Add a job, and its device, model, binary and case if they are new."""
        with self.transaction() as connection:
            writing.insert_job(connection, job)

    def add_repetition(self, repetition: RepetitionRecord) -> None:
        """Add a repetition with its operators, all or nothing."""
        with self.transaction() as connection:
            writing.insert_repetition(connection, repetition)

    def add_pipeline_session(self, session: PipelineSessionRecord) -> None:
        """Add a session with its stages and samples, all or nothing."""
        with self.transaction() as connection:
            pipeline_schema.insert_session(connection, session)

    def add_notices(self, run_id: str, notices: Iterable[Notice]) -> None:
        """Add notices to a run, without duplicates."""
        with self.transaction() as connection:
            writing.insert_notices(connection, run_id, notices)

    def write_raw(self, run_id: str, name: str, data: bytes | Iterable[bytes]) -> str:
        """Keep a raw output, or its blocks, before it is parsed; returns its path relative to the artifacts' folder."""
        return self.artifacts.write(run_id, name, [data] if isinstance(data, bytes) else data)

    def read_raw(self, raw_path: str) -> bytes:
        """A raw output, as the device gave it."""
        return self.artifacts.read(raw_path)

    def identify(self, key: str, hardware_serial: str) -> tuple[str, list[str]]:
        """The key of the history to which a device belongs, and keys of other devices with its factory serial."""
        from devbench.results import histories

        with self.database.reading() as connection:
            current = histories.current_key(connection, key)
            others = histories.keys_of_serial(connection, hardware_serial) if hardware_serial else []
        return current, [other for other in others if other not in (key, current)]

    def add_part(self, view: RunView) -> None:
        """Add a part of a run to what the store has of it; what it has already stays. All or nothing.

        Raises:
            StoreProblem: a value does not fit its column.
        """
        with self.transaction() as connection:
            writing.insert_part(connection, view)

    def add_run(self, view: RunView) -> None:
        """Add a whole run that has ended."""
        self.add_part(view)
        finished_utc = view.finished_utc or view.run.started_utc
        self.finish_run(view.run.run_id, view.status, finished_utc, view.end_reason)  # type: ignore[arg-type]

    # -- reading ------------------------------------------------------------------------------------------------

    def runs(self, limit: int = 20) -> list[RunSummary]:
        """The newest runs, newest first."""
        with self.database.reading() as connection:
            return views.summaries(connection, limit)

    def runs_with_option(self, name: str) -> list[OptionedRun]:
        """The runs that have an option of that name, the newest first."""
        runs = schema.runs
        query = sa.select(runs.c.run_id, runs.c.started_utc, runs.c.host, runs.c.options)
        with self.database.reading() as connection:
            rows = connection.execute(query.order_by(sa.desc(runs.c.started_utc))).all()
        return [OptionedRun(*row) for row in rows if name in row.options]

    def notices(self, run_ids: Sequence[str]) -> dict[str, tuple[Notice, ...]]:
        """The notices that were stored with each of these runs."""
        with self.database.reading() as connection:
            return views.stored_notices(connection, run_ids)

    def model_names(self) -> list[str]:
        """The keys of all models and the names of all pipelines."""
        with self.database.reading() as connection:
            return views.model_names(connection)

    def run(self, name: str = LATEST) -> RunView:
        """A run by its id, the start of its id, or `latest`, the newest one that has measured something.

        Raises:
            InputError: there is none, or more than one.
        """
        with self.database.reading() as connection:
            return views.run_view(connection, name)

    def has_run(self, run_id: str) -> bool:
        """Whether there is a run of exactly that id."""
        with self.database.reading() as connection:
            query = sa.select(schema.runs.c.run_id).where(schema.runs.c.run_id == run_id)
            return connection.execute(query).scalar() is not None

    def pipeline_sessions(self, run_id: str) -> tuple[PipelineSessionRecord, ...]:
        """The sessions of a run, in the order in which they ran; empty if it measured no pipeline."""
        with self.database.reading() as connection:
            return pipeline_schema.read_sessions(connection, run_id)

    def newest_run_id(self) -> str | None:
        """The id of the newest run, also of one that has measured nothing."""
        with self.database.reading() as connection:
            return views.newest_run_id(connection)

    def typical_duration_s(
        self, model: str, delegate: str, *, via: str = "shell", case: str | None = None
    ) -> float | None:
        """The median time of the last hundred processes of that model under that delegate; `None` if there is none.

        `model` is its key. `case` restricts it to the case of that text (`cases.case_text`). `via` is "shell" or "apk":
        starting an app takes longer.
        """
        with self.database.reading() as connection:
            return views.typical_duration_s(connection, model, delegate, via, case)
