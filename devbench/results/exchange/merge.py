"""Adds rows of another store to this one, each once: existing rows stay, new ones are added with what they refer to.

A run is the same by its id, a job by its number in the run, a repetition by its job, purpose, index and start. If this
store has a different run with the same id, the run is left out and reported. Numbers of rows are those of this store;
those that are hashes of content are computed again, so that no file can put its text under another's number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from devbench.errors import InputError
from devbench.host.garbage import no_cycle_search
from devbench.results import schema
from devbench.results.column_types import content_id, from_us, unpack
from devbench.results.engine import fetch, insert_rows, new_ids, portions
from devbench.results.exchange.rows import TABLES, Columns, RowSource, columns_of
from devbench.results.pipeline_schema import pipeline_sessions
from devbench.results.writing import total_types, total_up

_HINT = "the file is damaged or not devbench's"
_AT_ONCE = 1_000
# A run's id becomes the name of a folder.
_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{3,39}")
# Columns with the number of a row of another table.
_REFERENCES = {
    "run_id": "runs", "facts_id": "documents", "options_id": "documents", "case_id": "cases", "job_id": "jobs",
    "repetition_id": "repetitions", "name_id": "operator_names", "session_id": "pipeline_sessions",
}  # fmt: skip
# Tables whose row numbers are computed from these columns.
_CONTENT = {
    "documents": ("body",), "cases": ("text",), "operator_names": ("type", "name"),
    "notices": ("kind", "subject", "text", "device_key", "job_number"),
}  # fmt: skip
# Tables whose rows get new numbers, with the columns by which a row is the same; the first is what it belongs to.
_SAME = {
    "jobs": ("run_id", "number"), "repetitions": ("job_id", "purpose", "index", "started_utc"),
    "pipeline_sessions": ("run_id", "raw_path"),
}  # fmt: skip
Row = Sequence[Any]
Progress = Callable[[str, int], None]


@dataclass(slots=True)
class Merged:
    """The result of a merge.

    Attributes:
        added: number of new rows, by table.
        runs: ids of runs of which anything is new.
        conflicts: runs that were left out, each with the reason.
        raw_paths: the raw outputs of the new rows.
        raw: how many of them were copied.
    """

    added: dict[str, int] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    conflicts: list[str] = field(default_factory=list)
    raw_paths: list[str] = field(default_factory=list)
    raw: int = 0


def merge(connection: sa.Connection, source: RowSource, progress: Progress = lambda table, rows: None) -> Merged:
    """Add the rows of `source` that the store does not have, in the caller's transaction.

    Args:
        connection: a connection to the store, for writing.
        source: the rows.
        progress: called after each batch with the table and how many of its rows are done.

    Raises:
        InputError: the rows do not fit together or into the tables.
    """
    with no_cycle_search():
        try:
            return _Merge(connection, source, progress).run()
        except sa.exc.IntegrityError:
            raise InputError("rows refer to others that are not there", hint=_HINT) from None


class _Merge:
    def __init__(self, connection: sa.Connection, source: RowSource, progress: Progress) -> None:
        self.connection, self.source, self.progress = connection, source, progress
        self.merged = Merged({table.name: 0 for table in TABLES})
        self.keys = DeviceKeys(connection, source)
        # By table: the row number in this store for each row number of the source; `None` if the row is left out.
        self.numbers: dict[str, dict[Any, Any]] = {table.name: {} for table in TABLES}
        # For tables in `_SAME`: the numbers of the rows that this store already has; `None` if those rows take no
        # additions.
        self.known: dict[str, dict[tuple[Any, ...], Any]] = {name: {} for name in _SAME}
        self.run_of_job: dict[int, str] = {}
        self.touched: set[int] = set()

    def run(self) -> Merged:
        runs, jobs = list(self._rows(schema.runs)), list(self._rows(schema.jobs))
        self._table(schema.documents)
        self._table(schema.cases)
        new, ends = self._compare_runs(runs)
        self._compare_jobs(jobs)
        for table in TABLES:
            names = [column.name for column in columns_of(table)]
            if table is schema.runs:
                new &= {run_id for run_id in new if self.numbers["runs"][run_id] is not None}
                self._add(table, names, (row for row in runs if row[0] in new))
                self._end(ends)
            elif table is schema.device_moves:
                self._add(table, names, self.keys.moved(new))
            elif table not in (schema.documents, schema.cases):
                self._table(table)
        if len({self.merged.added[name] for name in ("repetitions", "details", "conditions")}) > 1:
            raise InputError("repetitions without their details or conditions", hint=_HINT)
        done = 0
        for some in portions(sorted(self.touched)):
            total_up(self.connection, some)
            total_types(self.connection, some)
            done += len(some)
            self.progress("totals", done)
        return self.merged

    def _rows(self, table: sa.Table) -> Iterator[Row]:
        for batch in self._batches(table):
            yield from zip(*batch, strict=True)

    def _batches(self, table: sa.Table) -> Iterator[Columns]:
        done = 0
        for batch in self.source(table):
            yield self.keys.translated(table, batch)
            done += len(batch[0])
            self.progress(table.name, done)

    def _add(self, table: sa.Table, names: Sequence[str], rows: Iterable[Row]) -> None:
        self.merged.added[table.name] += insert_rows(self.connection, table, names, rows)

    def _here(self, table: str, there: Iterable[Any]) -> list[Any]:
        """Return the numbers in this store of the rows that other rows refer to."""
        numbers = self.numbers[table]
        try:
            return [numbers[number] for number in there]
        except KeyError as error:
            raise InputError(f"a row refers to {error} of {table}, which is not there", hint=_HINT) from None

    def _table(self, table: sa.Table) -> None:
        """Add the rows of a table, with the row numbers of this store."""
        names = [column.name for column in columns_of(table)]
        if table is schema.repetitions:
            self.known[table.name] = dict.fromkeys(self._known_repetitions())
        if table is pipeline_sessions:
            found = self.connection.execute(sa.select(table.c.run_id, table.c.raw_path))
            self.known[table.name] = dict.fromkeys(map(tuple, found))
        for batch in self._batches(table):
            columns: dict[str, Sequence[Any]] = dict(zip(names, batch, strict=True))
            left_out = False
            for name in _REFERENCES.keys() & columns.keys():
                columns[name] = self._here(_REFERENCES[name], columns[name])
                left_out |= None in columns[name]
            if table.name in _CONTENT:
                parts: list[Iterable[Any]] = [columns[name] for name in _CONTENT[table.name]]
                if table is schema.documents:
                    parts = [map(unpack, columns["body"])]
                there, columns["id"] = columns["id"], [content_id(*content) for content in zip(*parts, strict=True)]
                self.numbers[table.name].update(zip(there, columns["id"], strict=True))
            if table is schema.repetitions:
                columns |= dict.fromkeys(("counts_latency", "counts_start"), [False] * len(batch[0]))
            rows: Iterable[Row] = zip(*columns.values(), strict=True)
            if table.name in _SAME:
                rows = self._new(table, list(columns), rows)
            elif left_out:
                rows = (row for row in rows if row[0] is not None)
            self._add(table, list(columns), rows)

    def _new(self, table: sa.Table, names: list[str], rows: Iterable[Row]) -> list[list[Any]]:
        """Return the rows that this store does not have, with new numbers."""
        same = [names.index(name) for name in _SAME[table.name]]
        raw_path = names.index("raw_path") if "raw_path" in names else None
        known, numbers = self.known[table.name], self.numbers[table.name]
        new = []
        for row in rows:
            key = tuple(row[place] for place in same)
            if key[0] is None or key in known:
                numbers[row[0]] = known.get(key)
                continue
            known[key] = None
            new.append(list(row))
            if raw_path is not None:
                self.merged.raw_paths.append(row[raw_path])
        for row, number in zip(new, new_ids(self.connection, table, len(new)), strict=True):
            numbers[row[0]] = row[0] = number
            owner = row[same[0]]
            if table is schema.jobs:
                self.run_of_job[number] = owner
            if table is schema.repetitions:
                self.touched.add(owner)
                owner = self.run_of_job[owner]
            self.merged.runs.add(owner)
        return new

    def _known_repetitions(self) -> Iterator[tuple[Any, ...]]:
        table, here = schema.repetitions, sorted(set(self.known["jobs"].values()) - {None})
        if here:
            of_jobs = table.c.job_id.in_(here) if len(here) < _AT_ONCE else sa.true()
            query = sa.select(*(table.c[name] for name in _SAME["repetitions"])).where(of_jobs)
            yield from zip(*fetch(self.connection, query).values(), strict=True)

    # -- runs and jobs --------------------------------------------------------------------------------------------

    def _compare_runs(self, rows: Sequence[Row]) -> tuple[set[str], list[dict[str, Any]]]:
        """Return the ids of new runs; and the ends of runs that this store has without an end."""
        names = [column.name for column in columns_of(schema.runs)]
        found = fetch(self.connection, sa.select(*columns_of(schema.runs)))
        here = {row[0]: dict(zip(names, row, strict=True)) for row in zip(*found.values(), strict=True)}
        new: set[str] = set()
        ends = []
        for row in rows:
            there = dict(zip(names, row, strict=True))
            run_id = there["run_id"]
            if not _RUN_ID.fullmatch(run_id):
                raise InputError(f"runs.run_id: {run_id!r} is not the id of a run", hint=_HINT)
            self.numbers["runs"][run_id] = run_id
            known = here.get(run_id)
            if known is None:
                new.add(run_id)
            elif any(there[name] != known[name] for name in ("started_utc", "command", "devbench_version", "host")):
                self._conflict(run_id, "is another run here")
            elif known["status"] == "running" != there["status"]:
                ends.append(there)
        return new, ends

    def _end(self, ends: Sequence[Mapping[str, Any]]) -> None:
        table = schema.runs
        for run in ends:
            if self.numbers["runs"][run["run_id"]] is not None:
                finished_utc = None if run["finished_utc"] is None else from_us(run["finished_utc"])
                end = {"status": run["status"], "end_reason": run["end_reason"], "finished_utc": finished_utc}
                self.connection.execute(table.update().where(table.c.run_id == run["run_id"]).values(**end))

    def _conflict(self, run_id: str, why: str) -> None:
        if self.numbers["runs"][run_id] is not None:
            self.numbers["runs"][run_id] = None
            self.merged.conflicts.append(f"{run_id} {why}")

    def _compare_jobs(self, rows: Sequence[Row]) -> None:
        """Find the jobs that this store has. If a job with the same number differs, the run is a different run."""
        jobs = schema.jobs
        names = ("id", "run_id", "number", "device_key", "case_id", "model_sha256", "binary_sha256")
        places = [list(jobs.c.keys()).index(name) for name in names]
        common = {run_id for run_id, here in self.numbers["runs"].items() if here is not None}
        here = {}
        for job in self.connection.execute(sa.select(*(jobs.c[name] for name in names))):
            if job.run_id in common:
                here[job.run_id, job.number] = tuple(job)
                self.known["jobs"][job.run_id, job.number] = job.id
                self.run_of_job[job.id] = job.run_id
        for row in rows:
            _, run_id, number, device_key, case_id, *sums = (row[place] for place in places)
            known = here.get((run_id, number))
            if known is not None and known[3:] != (device_key, *self._here("cases", [case_id]), *sums):
                self._conflict(run_id, f"has another job {number} here")


class DeviceKeys:
    """The key in this store for each key of the source, by run."""

    def __init__(self, connection: sa.Connection, source: RowSource) -> None:
        moves, devices, aliases = schema.device_moves, schema.devices, schema.device_aliases
        self._there: dict[tuple[str, str], str] = {(run_id, key): was for run_id, key, was in _rows(source, moves)}
        here = connection.execute(sa.select(moves))
        self._here: dict[tuple[str, str], str] = {(row.run_id, row.measured_as): row.key for row in here}
        self._known = set(connection.execute(sa.select(devices.c.run_id).distinct()).scalars())
        self._aliases = {row.key: row.device_key for row in connection.execute(sa.select(aliases))}
        arriving = [row[:2] for row in _rows(source, devices)]
        self._arriving = set(arriving)
        self._keys = {pair: self._key(*pair) for pair in arriving}

    def translated(self, table: sa.Table, batch: Columns) -> Columns:
        """Return the columns of a batch with this store's keys."""
        names = [column.name for column in columns_of(table)]
        name = "key" if table is schema.devices else "device_key"
        if name not in names or table is schema.device_moves:
            return batch
        columns = list(batch)
        place, runs = names.index(name), batch[names.index("run_id")]
        pairs = zip(runs, batch[place], strict=True)
        columns[place] = [self._keys.get(pair, pair[1]) for pair in pairs]
        return columns

    def moved(self, runs: Collection[str]) -> Iterator[Row]:
        """Yield rows of `device_moves` for these runs."""
        for (run_id, there), key in self._keys.items():
            was = self._there.get((run_id, there), there)
            if run_id in runs and key != was:
                yield run_id, key, was

    def _key(self, run_id: str, key: str) -> str:
        was = self._there.get((run_id, key), key)
        if run_id in self._known:
            return str(self._here.get((run_id, was), was))
        joined = self._aliases.get(was, key)
        # If a run measured both devices, they are different ones, even if their histories were merged.
        return key if joined != key and (run_id, joined) in self._arriving else joined


def _rows(source: RowSource, table: sa.Table) -> Iterable[tuple[Any, ...]]:
    for batch in source(table):
        yield from zip(*batch, strict=True)
