"""Rows of another store into this one, each once: what is there stays, what is new is added with what it needs.

A run is the same by its id, a job by its number in the run, a repetition by its job, purpose, index and start. A run of
that id that is another one here is a conflict: it is left out whole, and said. Numbers of rows are those of this store;
those made of content are made anew, so that no file can put its words under another's number.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from devbench.errors import InputError
from devbench.results import schema
from devbench.results.bulk import fetch, insert_rows, new_ids
from devbench.results.column_types import content_id, from_us, unpack
from devbench.results.exchange.device_keys import DeviceKeys
from devbench.results.exchange.source import Columns, Row, RowSource
from devbench.results.exchange.tables import TABLES, columns_of
from devbench.results.pipeline_schema import pipeline_samples, pipeline_sessions, pipeline_stages
from devbench.results.totals import total_types, total_up

_HINT = "the file is damaged or not devbench's"
_AT_ONCE = 1_000
NEW, HERE = "new", "here"
# A run's id becomes the name of a folder.
_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{3,39}")
Progress = Callable[[str, int], None]


@dataclass(slots=True)
class Merged:
    """What came of it.

    Attributes:
        added: rows that are new, by table.
        runs: ids of runs of which anything is new.
        conflicts: in words, each a run that was left out.
        raw_paths: raw outputs of what is new.
    """

    added: dict[str, int] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    conflicts: list[str] = field(default_factory=list)
    raw_paths: list[str] = field(default_factory=list)


def merge(connection: sa.Connection, source: RowSource, progress: Progress = lambda table, rows: None) -> Merged:
    """Add what `source` has and the store has not; in the caller's transaction.

    Args:
        connection: of the store, for writing.
        source: of rows.
        progress: told after each batch: the table, and how many of its rows are through.

    Raises:
        InputError: the rows do not fit together or into the tables.
    """
    collects = gc.isenabled()
    # No cycle is made, and the collector would look at millions of living rows again and again.
    gc.disable()
    try:
        return _Merge(connection, source, progress).run()
    except sa.exc.IntegrityError:
        raise InputError("rows refer to others that are not there", hint=_HINT) from None
    finally:
        if collects:
            gc.enable()


class _Merge:
    def __init__(self, connection: sa.Connection, source: RowSource, progress: Progress) -> None:
        self.connection, self.source, self.progress = connection, source, progress
        self.merged = Merged({table.name: 0 for table in TABLES})
        self.keys = DeviceKeys(connection, source)
        # By table: the number of a row there to its number here; `None` for rows that are here or are left out.
        self.numbers: dict[str, dict[Any, Any]] = {}

    def run(self) -> Merged:
        runs, jobs = list(self._rows(schema.runs)), list(self._rows(schema.jobs))
        self._content(schema.documents, lambda row: content_id(unpack(row[1])))
        self._content(schema.cases, lambda row: content_id(row[1]))
        ends = self._compare_runs(runs)
        here = self._compare_jobs(jobs)
        self._add(schema.runs, (row for row in runs if self.numbers["runs"][row[0]] == NEW))
        self._end(ends)
        self._of_runs(schema.labels)
        self._plain(schema.models)
        self._plain(schema.binaries)
        self._of_runs(schema.devices)
        new = {run_id for run_id, state in self.numbers["runs"].items() if state == NEW}
        self._add(schema.device_moves, self.keys.moved(new))
        self._of_runs(schema.notices)
        self._jobs(jobs, here)
        self._plain(schema.files)
        self._of_jobs(schema.job_files)
        touched = self._repetitions({here[key][0] for key in here})
        self._owned(schema.details)
        self._owned(schema.conditions)
        if len({self.merged.added[name] for name in ("repetitions", "details", "conditions")}) > 1:
            raise InputError("repetitions without their details or conditions", hint=_HINT)
        self._content(schema.operator_names, lambda row: content_id(row[1], row[2]))
        self._owned(schema.operators)
        self._sessions()
        self._owned(pipeline_stages)
        self._owned(pipeline_samples)
        done = 0
        for some in _chunks(touched):
            total_up(self.connection, some)
            total_types(self.connection, some)
            done += len(some)
            self.progress("totals", done)
        return self.merged

    # -- rows -----------------------------------------------------------------------------------------------------

    def _batches(self, table: sa.Table) -> Iterator[Columns]:
        done = 0
        for batch in self.source.batches(table):
            yield self.keys.translated(table, batch)
            done += len(batch[0])
            self.progress(table.name, done)

    def _rows(self, table: sa.Table) -> Iterator[Row]:
        for batch in self._batches(table):
            yield from zip(*batch, strict=True)

    def _add(self, table: sa.Table, rows: Iterable[Row], more: Sequence[str] = ()) -> None:
        names = [*(column.name for column in columns_of(table)), *more]
        added = insert_rows(self.connection, table, names, rows)
        self.merged.added[table.name] += added

    def _number(self, table: str, there: Any) -> Any:
        try:
            return self.numbers[table][there]
        except KeyError:
            raise InputError(f"a row refers to {there!r} of {table}, which is not there", hint=_HINT) from None

    def _plain(self, table: sa.Table) -> None:
        self._add(table, self._rows(table))

    def _content(self, table: sa.Table, number: Callable[[Row], int]) -> None:
        """Rows under a number made of their content."""
        numbers = self.numbers.setdefault(table.name, {})
        for row in self._rows(table):
            numbers[row[0]] = number(row)
            self._add(table, [(numbers[row[0]], *row[1:])])

    def _of_runs(self, table: sa.Table) -> None:
        """Rows that begin with the id of their run; of devices, the last column is the number of a document."""
        rows = (row for row in self._rows(table) if self._number("runs", row[0]) is not None)
        if table is schema.devices:
            rows = ((*row[:-1], self._number("documents", row[-1])) for row in rows)
        if table is schema.notices:
            # Columns: run, number, kind, subject, text, next step, effect, device, job.
            rows = ((row[0], content_id(row[2], row[3], row[4], row[7], row[8]), *row[2:]) for row in rows)
        self._add(table, rows)

    def _of_jobs(self, table: sa.Table) -> None:
        """Rows that begin with the number of their job; those of jobs that are left out stay out."""
        rows = ((self._number("jobs", row[0]), *row[1:]) for row in self._rows(table))
        self._add(table, (row for row in rows if row[0] is not None))

    def _owned(self, table: sa.Table) -> None:
        """Rows that begin with the number of their repetition or session; operators have their name's as fourth."""
        owners = self.numbers["repetitions" if "repetition_id" in table.c else "pipeline_sessions"]
        for batch in self._batches(table):
            columns = list(batch)
            try:
                columns[0] = [owners[number] for number in batch[0]]
                if table is schema.operators:
                    columns[3] = [self.numbers["operator_names"][number] for number in batch[3]]
            except KeyError as error:
                raise InputError(f"{table.name}: a row refers to {error}, which is not there", hint=_HINT) from None
            rows: Iterable[Row] = zip(*columns, strict=True)
            if None in columns[0]:
                rows = (row for row in rows if row[0] is not None)
            self._add(table, rows)

    # -- runs and jobs --------------------------------------------------------------------------------------------

    def _compare_runs(self, rows: Sequence[Row]) -> list[Row]:
        """Which runs are new, here or others of the same id; gives those that are here without their end."""
        columns = {column.name: place for place, column in enumerate(columns_of(schema.runs))}
        found = fetch(self.connection, sa.select(*columns_of(schema.runs)))
        here = {row[0]: row for row in zip(*found.values(), strict=True)}
        same = [columns[name] for name in ("started_utc", "command", "devbench_version", "host")]
        numbers = self.numbers.setdefault("runs", {})
        ends: list[Row] = []
        for row in rows:
            run_id = row[0]
            if not _RUN_ID.fullmatch(run_id):
                raise InputError(f"runs.run_id: {run_id!r} is no id of a run", hint=_HINT)
            if run_id not in here:
                numbers[run_id] = NEW
            elif all(row[place] == here[run_id][place] for place in same):
                numbers[run_id] = HERE
                if here[run_id][columns["status"]] == "running" != row[columns["status"]]:
                    ends.append((*(row[columns[name]] for name in ("status", "end_reason", "finished_utc")), run_id))
            else:
                self._conflict(run_id, "is another run here")
        return ends

    def _end(self, ends: Sequence[Row]) -> None:
        table = schema.runs
        for status, end_reason, finished_us, run_id in ends:
            if self.numbers["runs"][run_id] is not None:
                finished_utc = None if finished_us is None else from_us(finished_us)
                end = {"status": status, "end_reason": end_reason, "finished_utc": finished_utc}
                self.connection.execute(table.update().where(table.c.run_id == run_id).values(**end))

    def _conflict(self, run_id: str, why: str) -> None:
        if self.numbers["runs"].get(run_id, NEW) is not None:
            self.numbers["runs"][run_id] = None
            self.merged.conflicts.append(f"{run_id} {why}")

    def _compare_jobs(self, rows: Sequence[Row]) -> dict[tuple[str, int], Row]:
        """The jobs that are here of runs that are here, by run and number: the number of the row, then what it is."""
        jobs = schema.jobs
        names = ("id", "run_id", "number", "device_key", "case_id", "model_sha256", "binary_sha256")
        places = {column.name: place for place, column in enumerate(columns_of(jobs))}
        query = sa.select(*(jobs.c[name] for name in names))
        common = {run_id for run_id, state in self.numbers["runs"].items() if state == HERE}
        here: dict[tuple[str, int], Row] = {}
        for found in self.connection.execute(query):
            if found.run_id in common:
                here[found.run_id, found.number] = (found.id, *found[3:])
        for job in rows:
            there = [job[places[name]] for name in names[3:]]
            there[1] = self._number("cases", there[1])
            known = here.get((job[1], job[2]))
            if known is not None and list(known[1:]) != there:
                self._conflict(job[1], f"has another job {job[2]} here")
        return here

    def _jobs(self, rows: Sequence[Row], here: Mapping[tuple[str, int], Row]) -> None:
        places = {column.name: place for place, column in enumerate(columns_of(schema.jobs))}
        numbers = self.numbers.setdefault("jobs", {})
        new = []
        for row in rows:
            if self._number("runs", row[1]) is None:
                numbers[row[0]] = None
            elif (row[1], row[2]) in here:
                numbers[row[0]] = here[row[1], row[2]][0]
            else:
                new.append(list(row))
        for row, number in zip(new, new_ids(self.connection, schema.jobs, len(new)), strict=True):
            numbers[row[0]] = row[0] = number
            for name, table in (("case_id", "cases"), ("options_id", "documents")):
                row[places[name]] = self._number(table, row[places[name]])
        self._add(schema.jobs, new)
        self.merged.runs |= {row[1] for row in new}

    # -- repetitions and sessions ---------------------------------------------------------------------------------

    def _repetitions(self, here: set[int]) -> list[int]:
        """Adds those that are new; gives their jobs."""
        table = schema.repetitions
        places = {column.name: place for place, column in enumerate(columns_of(table))}
        same = [places[name] for name in ("purpose", "index", "started_utc")]
        raw_path = places["raw_path"]
        query = sa.select(table.c.job_id, table.c.purpose, table.c.index, table.c.started_utc)
        known = set()
        if here:
            columns = fetch(
                self.connection, query.where(table.c.job_id.in_(sorted(here)) if len(here) < 500 else sa.true())
            )
            known = set(zip(*columns.values(), strict=True))
        numbers = self.numbers.setdefault("repetitions", {})
        touched = set()
        for batch in self._batches(table):
            new: list[list[Any]] = []
            for row in zip(*batch, strict=True):
                job = self._number("jobs", row[1])
                key = (job, *(row[place] for place in same))
                if job is None or key in known:
                    numbers[row[0]] = None
                    continue
                known.add(key)
                touched.add(job)
                self.merged.raw_paths.append(row[raw_path])
                new.append([row[0], job, *row[2:], False, False])
            for one, number in zip(new, new_ids(self.connection, table, len(new)), strict=True):
                numbers[one[0]] = one[0] = number
            self._add(table, new, ("counts_latency", "counts_start"))
        jobs, changed = schema.jobs, sorted(touched)
        for some in _chunks(changed):
            of_runs = sa.select(jobs.c.run_id).where(jobs.c.id.in_(some)).distinct()
            self.merged.runs |= set(self.connection.execute(of_runs).scalars())
        return changed

    def _sessions(self) -> None:
        table = pipeline_sessions
        places = {column.name: place for place, column in enumerate(columns_of(table))}
        known = {tuple(row) for row in self.connection.execute(sa.select(table.c.run_id, table.c.raw_path))}
        numbers = self.numbers.setdefault(table.name, {})
        for batch in self._batches(table):
            new: list[list[Any]] = []
            for row in zip(*batch, strict=True):
                key = (row[places["run_id"]], row[places["raw_path"]])
                if self._number("runs", key[0]) is None or key in known:
                    numbers[row[0]] = None
                    continue
                known.add(key)
                self.merged.raw_paths.append(key[1])
                self.merged.runs.add(key[0])
                new.append(list(row))
            for one, number in zip(new, new_ids(self.connection, table, len(new)), strict=True):
                numbers[one[0]] = one[0] = number
            self._add(table, new)


def _chunks(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), _AT_ONCE):
        yield numbers[start : start + _AT_ONCE]
