"""Copies everything that can be read from a damaged store and fits its column. Knows no command.

Rows are read in the order of their numbers; a part of the file that cannot be read is skipped. A damaged text or
document is replaced by an empty one, a repetition with a damaged number is shown as failed, lost rows that only name
things are replaced by others of the name "damaged". Other rows with damaged values are left out, with the rows that
refer to them. The store itself is not changed.

If the list of tables is damaged, the list of a new store takes its place: a store's tables are all made at once, so the
list and the pages at which tables begin are the same in each store of one devbench. The format of the file:
https://www.sqlite.org/fileformat2.html, sections 1.3 and 1.6.
"""

from __future__ import annotations

import atexit
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from devbench.errors import DevbenchError
from devbench.grouped import grouped
from devbench.notices import Notice, NoticeKind
from devbench.results import engine, schema, writing
from devbench.results.column_types import Packed, Words, content_id, pack, to_us, type_of
from devbench.results.engine import insert_rows
from devbench.results.exchange.rows import TABLES, bad_values, from_driver
from devbench.results.sqlite import connect_to_read, differing

_AT_ONCE = 5_000
_LARGEST_NUMBER = 2**62
_DAMAGED = "damaged"
_EMPTY = content_id({})
# Tables whose rows have no measurements.
_NAMING = ("runs", "cases", "binaries", "devices", "operator_names")
_UNREADABLE = (sqlite3.Error, UnicodeDecodeError)

_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"
_INTERIOR = 5
# The header's fields: the size of a page, and the number of pages.
_PAGE_SIZE, _PAGE_COUNT = slice(16, 18), slice(28, 32)


@dataclass(slots=True)
class Salvaged:
    """The readable part of a damaged store.

    Attributes:
        path: a temporary store with the rows that could be read; removed when the process ends.
        lost: how many rows are missing or incomplete, by table; a part of the file that cannot be read counts once.
    """

    path: Path
    lost: Counter[str] = field(default_factory=Counter)


def shown_without_damage(error: BaseException) -> str:
    """Make all later reads of the opened stores skip damaged places.

    Args:
        error: the error with which reading a store ended.

    Returns:
        A warning for the user; empty if no opened store is damaged, or the error is of another kind.
    """
    if isinstance(error, DevbenchError) and not isinstance(error, (engine.DamagedStore, engine.OtherTables)):
        return ""
    warnings = []
    for file in list(engine.opened):
        if engine.replacement(file) is not None or not file.is_file():
            continue
        try:
            found = salvage(file, other_tables=_has_other_tables(file))
        except (*_UNREADABLE, OSError, DevbenchError):
            continue
        if found.lost:
            engine.replace(file, found.path)
            lost = ", ".join(f"{count} in {name}" for name, count in found.lost.items())
            warnings.append(f"the results store {file} is damaged ({lost}); what can be read is shown")
    return "; ".join(warnings)


def _has_other_tables(file: Path) -> bool:
    try:
        engine.Database(str(file), create=False).close()
    except DevbenchError as error:
        return isinstance(error, engine.OtherTables)
    return False


def salvage(file: Path, *, other_tables: bool = False) -> Salvaged:
    """Return a store with what can be read of the one in `file`.

    Args:
        file: the store's file.
        other_tables: the list of its tables can be read, but is not that of a store.

    Raises:
        sqlite3.Error: not even the list of its tables can be read, nor be replaced.
        StoreProblem: its tables are not those of a store.
    """
    folder = Path(tempfile.mkdtemp(prefix="devbench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if not other_tables:
        with suppress(*_UNREADABLE, engine.StoreProblem):
            return _salvaged(file, folder / "results.db")
    copy = folder / "copy.db"
    _copy_with_new_list(file, folder / "fresh.db", copy)
    found = _salvaged(copy, folder / "rebuilt.db")
    with closing(engine.Database(str(found.path), rebuilt=True)) as rebuilt, rebuilt.reading() as connection:
        is_store = connection.execute(sa.select(schema.runs.c.run_id).limit(1)).first() is not None
    # In a store of another version of devbench, other rows are at the pages where this version's tables begin.
    if not is_store or (other_tables and found.lost):
        raise engine.StoreProblem(f"{file} is not a store of this devbench")
    found.lost["the list of tables"] += 1
    return found


def _salvaged(file: Path, path: Path) -> Salvaged:
    found = Salvaged(path)
    with (
        closing(connect_to_read(file, limited=True)) as source,
        closing(engine.Database(str(path), rebuilt=True)) as target,
    ):
        source.text_factory = _text
        with target.writing() as connection:
            _Salvage(source, connection, found.lost).run()
        if not found.lost and source.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
            found.lost["an index"] += 1
    return found


class _Salvage:
    def __init__(self, source: sqlite3.Connection, target: sa.Connection, lost: Counter[str]) -> None:
        self.source, self.target, self.lost = source, target, lost
        # The number of damaged rows of a table, by the column and the number of the row that they belong to.
        self.damaged: Counter[tuple[str, str, Any]] = Counter()

    def run(self) -> None:
        tables = {row[0] for row in self.source.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        known = [*TABLES, schema.device_aliases]
        alien = differing({table.name: set() for table in known}, {name: set() for name in tables})
        if alien:
            raise engine.StoreProblem(f"it is not a results store: {alien}")
        self.target.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        insert_rows(self.target, schema.documents, ("id", "body"), [(_EMPTY, pack({}))])
        for table in known:
            for rows in self._read(table):
                insert_rows(self.target, table, list(table.c.keys()), self._repaired(table, rows))
        for table in known:
            self._drop_dangling(table)
        jobs = dict(tuple(row) for row in self.target.execute(sa.select(schema.jobs.c.id, schema.jobs.c.run_id)))
        writing.total_up(self.target, list(jobs))
        writing.total_types(self.target, list(jobs))
        self._add_notices(jobs)

    def _read(self, table: sa.Table) -> Iterator[list[Any]]:
        """Yield the rows of a table, some at a time."""
        number = "repetition_id" if table is schema.operators else "rowid"
        names = ", ".join(f'"{name}"' for name in table.c.keys())  # noqa: SIM118
        query = f'SELECT {number}, {names} FROM "{table.name}" WHERE {number} >= ? ORDER BY {number}'
        start, rest = -_LARGEST_NUMBER, True
        while rest:
            rows: list[Any] = []
            try:
                for found in self.source.execute(query, (start,)):
                    start = int(found[0]) + 1
                    rows.append(found[1:])
                    if len(rows) >= _AT_ONCE:
                        yield rows
                        rows = []
                rest = False
            except _UNREADABLE:
                self.lost[table.name] += 1
                found = self._next_readable(query, start)
                start, rest = found or start, found is not None
            if rows:
                yield rows

    def _next_readable(self, query: str, bad: int) -> int | None:
        """Return the first number after `bad` from which rows can be read; `None` if there is none."""
        step = 1
        while not self._is_readable(query, bad + step):
            step *= 2
            if step > _LARGEST_NUMBER:
                return None
        low = step // 2
        while step - low > 1:
            middle = (low + step) // 2
            low, step = (low, middle) if self._is_readable(query, bad + middle) else (middle, step)
        return bad + step

    def _is_readable(self, query: str, number: int) -> bool:
        try:
            self.source.execute(f"{query} LIMIT 1", (number,)).fetchone()
        except (*_UNREADABLE, OverflowError):
            return False
        return True

    def _repaired(self, table: sa.Table, rows: list[Any]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows that fit their columns; damaged values are replaced if that is possible."""
        columns = list(table.columns)
        turned = [from_driver(column, of) for column, of in zip(columns, zip(*rows, strict=True), strict=True)]
        bad = grouped(
            (error.index, column)
            for column, values in zip(columns, turned, strict=True)
            for error in bad_values(column, values, unpacked=True)
        )
        for index, row in enumerate(zip(*turned, strict=True)):
            found = dict(zip(table.c.keys(), row, strict=True))
            if index in bad:
                self._note(table, found)
                if not all(_replace(column, found) for column in bad[index]):
                    continue
                if table is schema.repetitions and any(_is_number(column) for column in bad[index]):
                    _fail(found)
            yield tuple(found.values())

    def _note(self, table: sa.Table, row: Mapping[Any, Any]) -> None:
        self.lost[table.name] += 1
        owner = next((name for name in ("repetition_id", "job_id", "run_id") if name in row), None)
        if owner:
            self.damaged[table.name, owner, row[owner]] += 1

    def _drop_dangling(self, table: sa.Table) -> None:
        """Replace lost rows that only give names (cases, devices, binaries); delete rows with another lost parent."""
        for constraint in table.foreign_key_constraints:
            parent, pairs = constraint.referred_table, [(one.parent, one.column) for one in constraint.elements]
            lost = ~sa.select(parent).where(*(child == key for child, key in pairs)).correlate(table).exists()
            if parent is schema.documents:
                empty = table.update().where(lost).values({pairs[0][0].name: _EMPTY})
                self.lost["documents"] += self.target.execute(empty).rowcount
            elif parent.name in _NAMING:
                for wanted in self.target.execute(sa.select(*constraint.columns).where(lost).distinct()).all():
                    self._stand_in(parent, {key.name: value for (_, key), value in zip(pairs, wanted, strict=True)})
            for row in self.target.execute(sa.select(*table.c).where(lost)).mappings().all():
                self._note(table, row)
            self.target.execute(table.delete().where(lost))
        self.lost += Counter()

    def _stand_in(self, table: sa.Table, known: Mapping[str, Any]) -> None:
        """Add a replacement for a lost row of which only the key is known; none if its run is not known."""
        started = _time_of(known.get("run_id"))
        runs = sa.select(schema.runs.c.run_id).where(schema.runs.c.run_id == known.get("run_id"))
        if (table is schema.runs and started is None) or (
            table is schema.devices and self.target.execute(runs).first() is None
        ):
            return
        # An unknown device must not be shown as a phone.
        other = {
            "threads": None, "virtual": True, "facts_id": _EMPTY, "text": f"{_DAMAGED} {next(iter(known.values()))}",
            "options": pack({}), "status": "failed", "started_utc": started, "finished_utc": None,
        }  # fmt: skip
        row = dict.fromkeys(table.c.keys(), _DAMAGED) | other | dict(known)
        insert_rows(self.target, table, list(table.c.keys()), [[row[name] for name in table.c.keys()]])  # noqa: SIM118
        self.lost[table.name] += 1

    def _add_notices(self, jobs: Mapping[int, str]) -> None:
        """Add to each run how many of its rows are damaged."""
        repetitions = schema.repetitions
        found = self.target.execute(sa.select(repetitions.c.id, repetitions.c.job_id))
        of_repetitions = {number: jobs[job] for number, job in found}
        runs = {run_id: run_id for run_id in self.target.execute(sa.select(schema.runs.c.run_id)).scalars()}
        run_of: dict[str, Mapping[Any, str]] = {"repetition_id": of_repetitions, "job_id": jobs, "run_id": runs}
        of_runs: Counter[tuple[str, str]] = Counter()
        for (table, owner, number), count in self.damaged.items():
            if number in run_of[owner]:
                of_runs[run_of[owner][number], table] += count
        for (run_id, table), count in of_runs.items():
            text = f"{count} damaged rows of {table} in the results store are left out or shown as failed"
            notice = Notice(NoticeKind.STORE_DAMAGED, "results store", text, "restore it from a copy")
            writing.insert_notices(self.target, run_id, [notice])


def _is_number(column: sa.Column[Any]) -> bool:
    return type_of(column).kind in ("float", "int", "time")


def _replace(column: sa.Column[Any], row: dict[str, Any]) -> bool:
    """Replace a damaged value by an empty one, unless the row has no meaning without it."""
    if column.primary_key or column.foreign_keys:
        return False
    if column.nullable:
        row[column.name] = None
    elif isinstance(column.type, Packed):
        row[column.name] = pack({} if column.type.shape is dict else [])
    elif isinstance(column.type, Words) and not column.type.among:
        row[column.name] = _DAMAGED
    elif column is schema.runs.c.started_utc:
        row[column.name] = _time_of(row["run_id"])
        return row[column.name] is not None
    elif column in (schema.runs.c.status, schema.repetitions.c.counts_latency, schema.repetitions.c.counts_start):
        row[column.name] = "failed" if column.name == "status" else False
    else:
        return False
    return True


def _time_of(run_id: Any) -> int | None:
    """Return the start of a run by its id."""
    try:
        return to_us(datetime.strptime(str(run_id)[:15], "%Y%m%d-%H%M%S").replace(tzinfo=timezone.utc))
    except ValueError:
        return None


def _fail(row: dict[str, Any]) -> None:
    """Mark a repetition with a damaged number as failed, so it does not count."""
    for column in schema.repetitions.columns:
        if column.nullable and _is_number(column):
            row[column.name] = None
    row |= {
        "status": "failed",
        "failure_kind": _DAMAGED,
        "failure_message": "its row in the results store is damaged",
    }


def _text(data: bytes) -> Any:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data


def _copy_with_new_list(file: Path, fresh: Path, copy: Path) -> None:
    """Make a copy of a store's file, and of its write-ahead log, with the list of tables of a new store."""
    engine.Database(str(fresh), rebuilt=True).close()
    shutil.copyfile(file, copy)
    log = file.with_name(f"{file.name}-wal")
    if log.exists():
        shutil.copyfile(log, copy.with_name(f"{copy.name}-wal"))
    good = fresh.read_bytes()
    size = int.from_bytes(good[_PAGE_SIZE], "big")
    with copy.open("r+b") as out:
        header = bytearray(out.read(_HEADER_BYTES))
        if header[: len(_MAGIC)] != _MAGIC or header[_PAGE_SIZE] != good[_PAGE_SIZE]:
            header = bytearray(good[:_HEADER_BYTES])
            header[_PAGE_COUNT] = (file.stat().st_size // size).to_bytes(4, "big")
        out.seek(0)
        out.write(header + good[_HEADER_BYTES:size])
        for number in _pages_below(good, 1, size):
            out.seek((number - 1) * size)
            out.write(good[(number - 1) * size : number * size])


def _pages_below(data: bytes, number: int, size: int) -> list[int]:
    """Return the pages of a table's tree below a page."""
    page = data[(number - 1) * size : number * size]
    start = _HEADER_BYTES if number == 1 else 0
    if page[start] != _INTERIOR:
        return []
    cells = int.from_bytes(page[start + 3 : start + 5], "big")
    places = [int.from_bytes(page[start + 12 + 2 * cell : start + 14 + 2 * cell], "big") for cell in range(cells)]
    below = [int.from_bytes(page[place : place + 4], "big") for place in places]
    below.append(int.from_bytes(page[start + 8 : start + 12], "big"))
    return [*below, *(page for child in below for page in _pages_below(data, child, size))]
