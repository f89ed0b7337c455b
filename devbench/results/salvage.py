"""A damaged store without its damaged places: whatever can be read, held against the declaration of its columns.

Rows are read in ranges of their numbers, which are halved where the file cannot be read. A damaged text or document is
replaced by an empty one, a repetition with a damaged number is shown as failed, rows that only name things are replaced
by others of the name "damaged", and a row that says nothing without the damaged value is left out with the rows that
refer to it. The store itself is not changed. Knows no command.
"""

from __future__ import annotations

import atexit
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from devbench.errors import DevbenchError
from devbench.notices import Effect, Notice, NoticeKind
from devbench.results import engine, schema, totals, writing
from devbench.results.bulk import insert_rows
from devbench.results.column_types import Name, Packed, Words, content_id, pack, to_us
from devbench.results.exchange.tables import TABLES
from devbench.results.exchange.values import BadValue, check, from_driver, kind_of
from devbench.results.rebuild import with_list_of_tables
from devbench.results.sqlite import connect_to_read, differing

_AT_ONCE = 5_000
# A part of the file that cannot be read may stand for any number of rows; each is looked for once.
_MAX_LOOKS = 200_000
_ENDS = (-(2**62), 2**62)
_DAMAGED = "damaged"
_EMPTY = content_id({})


@dataclass(slots=True)
class Salvaged:
    """What could be read of a store.

    Attributes:
        path: of a store with it, removed when the process ends.
        lost: how many rows are missing or incomplete, by table; a part of the file that cannot be read counts once.
    """

    path: Path
    lost: Counter[str] = field(default_factory=Counter)

    @property
    def words(self) -> str:
        """What is lost, in words; empty if nothing is."""
        return ", ".join(f"{count} in {name}" for name, count in self.lost.items())


def shown_without_damage(error: BaseException) -> str:
    """Make all later reading of the damaged stores that were opened go without their damaged places.

    Args:
        error: what reading a store ended with.

    Returns:
        A warning for people; empty if no store that was opened is damaged, or the error says that it is of another
        kind.
    """
    if isinstance(error, DevbenchError) and not isinstance(error, (engine.DamagedStore, engine.OtherTables)):
        return ""
    warnings = []
    for file in list(engine.opened):
        if engine.replacement(file) is not None or not file.is_file():
            continue
        try:
            found = salvage(file, other_tables=_has_other_tables(file))
        except (sqlite3.Error, UnicodeDecodeError, OSError, DevbenchError):
            continue
        if found.lost:
            engine.replace(file, found.path)
            warnings.append(f"the results store {file} is damaged ({found.words}); shown is what can be read")
    return "; ".join(warnings)


def _has_other_tables(file: Path) -> bool:
    try:
        engine.Database(str(file), create=False).close()
    except engine.OtherTables:
        return True
    except DevbenchError:
        pass
    return False


def salvage(file: Path, *, other_tables: bool = False) -> Salvaged:
    """A store with what can be read of the one in `file`.

    Args:
        file: of the store.
        other_tables: the list of its tables can be read, but is not that of a store.

    Raises:
        sqlite3.Error: not even the list of its tables can be read, nor be replaced.
        StoreProblem: its tables are not those of a store.
    """
    folder = Path(tempfile.mkdtemp(prefix="devbench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if not other_tables:
        with suppress(sqlite3.Error, UnicodeDecodeError, engine.StoreProblem):
            return _salvaged(file, folder / "results.db")
    fresh, copy = folder / "fresh.db", folder / "copy.db"
    engine.Database(str(fresh), rebuilt=True).close()
    with_list_of_tables(file, fresh, copy)
    found = _salvaged(copy, folder / "rebuilt.db")
    with closing(engine.Database(str(found.path), rebuilt=True)) as rebuilt, rebuilt.reading() as connection:
        is_store = connection.execute(sa.select(schema.runs.c.run_id).limit(1)).first() is not None
    # A store of another state of devbench has other rows where the tables of this one begin.
    if not is_store or (other_tables and found.lost):
        raise engine.StoreProblem(f"{file} is no store of this devbench")
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
        # What rows may refer to, by table and columns.
        self.keys: dict[tuple[str, ...], set[tuple[Any, ...]]] = {}
        self.run_of_job: dict[int, str] = {}
        self.job_of_repetition: dict[int, int] = {}
        self.of_runs: Counter[tuple[str, str]] = Counter()
        self.looks = 0

    def run(self) -> None:
        tables = {row[0] for row in self.source.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        known = [*TABLES, schema.device_aliases]
        alien = differing({table.name: set() for table in known}, {name: set() for name in tables})
        if alien:
            raise engine.StoreProblem(f"it is no results store: {alien}")
        for table in known:
            self._table(table)
        jobs = list(self.target.execute(sa.select(schema.jobs.c.id)).scalars())
        totals.total_up(self.target, jobs)
        totals.total_types(self.target, jobs)
        for (run_id, name), count in self.of_runs.items():
            text = f"{count} damaged rows of {name} in the results store are left out or shown as failed"
            notice = Notice(
                NoticeKind.STORE_DAMAGED, "results store", text, "restore it from a copy", Effect.INFORMATION
            )
            if (run_id,) in self.keys[("runs", "run_id")]:
                writing.insert_notices(self.target, run_id, [notice])

    def _table(self, table: sa.Table) -> None:
        columns = list(table.columns)
        names = [column.name for column in columns]
        referred = self._referred(table)
        if table is schema.documents:
            insert_rows(self.target, table, names, [(_EMPTY, pack({}))])
            self.keys["documents", "id"] = {(_EMPTY,)}
        wanted = [key for key in _REFERRED if key[0] == table.name]
        for key in wanted:
            self.keys.setdefault(key, set())
        for rows in self._read(table):
            kept = []
            for row in self._repaired(columns, rows):
                if not self._refers(names, row, referred):
                    self._note(table, row)
                    continue
                kept.append(row)
                for key in wanted:
                    self.keys[key].add(tuple(row[names.index(name)] for name in key[1:]))
                if table is schema.jobs:
                    self.run_of_job[row[0]] = row[1]
                if table is schema.repetitions:
                    self.job_of_repetition[row[0]] = row[1]
            insert_rows(self.target, table, names, kept)

    def _referred(self, table: sa.Table) -> list[tuple[list[str], tuple[str, ...]]]:
        """For each reference of a table: its columns, and the key of the set that it must be in."""
        found = []
        for constraint in table.foreign_key_constraints:
            names = tuple(element.column.name for element in constraint.elements)
            found.append((list(constraint.column_keys), (constraint.referred_table.name, *names)))
        return found

    def _refers(self, names: list[str], row: list[Any], referred: list[tuple[list[str], tuple[str, ...]]]) -> bool:
        for columns, key in referred:
            places = [names.index(name) for name in columns]
            wanted = tuple(row[place] for place in places)
            if wanted in self.keys[key]:
                continue
            if key[0] == "documents":
                row[places[0]] = _EMPTY
                self.lost["documents"] += 1
            elif key[0] not in _NAMING or not self._stand_in(schema.metadata.tables[key[0]], key, wanted):
                return False
        return True

    def _stand_in(self, table: sa.Table, key: tuple[str, ...], wanted: tuple[Any, ...]) -> bool:
        """A row in place of one that is lost, of which nothing is known but its key."""
        known = dict(zip(key[1:], wanted, strict=True))
        started = _time_of(wanted[0])
        if (table is schema.devices and (wanted[0],) not in self.keys["runs", "run_id"]) or (
            table is schema.runs and started is None
        ):
            return False
        # A device that nothing is known of must not pass for a phone.
        other = {
            "threads": None, "virtual": True, "facts_id": _EMPTY, "text": f"{_DAMAGED} {wanted[0]}",
            "options": pack({}), "status": "failed", "started_utc": started, "finished_utc": None,
        }  # fmt: skip
        row = [known.get(c.name, other.get(c.name, _DAMAGED)) for c in table.columns]
        insert_rows(self.target, table, [column.name for column in table.columns], [row])
        self.keys[key].add(wanted)
        self.lost[table.name] += 1
        return True

    def _note(self, table: sa.Table, row: Sequence[Any]) -> None:
        self.lost[table.name] += 1
        run_id = row[0]
        if "repetition_id" in table.c:
            run_id = self.run_of_job.get(self.job_of_repetition.get(row[0], -1))
        elif "job_id" in table.c:
            run_id = self.run_of_job.get(row[list(table.c.keys()).index("job_id")])
        elif "run_id" in table.c:
            run_id = row[list(table.c.keys()).index("run_id")]
        else:
            return
        if isinstance(run_id, str):
            self.of_runs[run_id, table.name] += 1

    def _repaired(self, columns: list[sa.Column[Any]], rows: list[list[Any]]) -> Iterator[list[Any]]:
        """The rows that fit their columns, with what may be replaced replaced."""
        table = columns[0].table
        turned = [list(from_driver(kind_of(c), of)) for c, of in zip(columns, zip(*rows, strict=True), strict=True)]
        bad: dict[int, list[sa.Column[Any]]] = {}
        for column, values in zip(columns, turned, strict=True):
            for index in _bad_places(column, values):
                bad.setdefault(index, []).append(column)
        for index, row in enumerate(map(list, zip(*turned, strict=True))):
            if index not in bad:
                yield row
                continue
            self._note(table, row)
            places = {column.name: place for place, column in enumerate(columns)}
            fits = all(_replace(column, row, places) for column in bad[index])
            if table is schema.repetitions and fits and any(_is_number(column) for column in bad[index]):
                _fail(row, places)
            if fits:
                yield row

    def _read(self, table: sa.Table) -> Iterator[list[list[Any]]]:
        """The rows of a table, some at a time."""
        number = "repetition_id" if table is schema.operators else "rowid"
        names = ", ".join(f'"{column.name}"' for column in table.columns)
        query = f'SELECT {number}, {names} FROM "{table.name}" WHERE {number} BETWEEN ? AND ? ORDER BY {number}'
        ranges = [self._ends(table, number)]
        while ranges and self.looks < _MAX_LOOKS:
            low, high = ranges.pop()
            rows: list[list[Any]] = []
            last, whole = low - 1, True
            self.looks += 1
            try:
                for found in self.source.execute(query, (low, high)):
                    if len(rows) >= _AT_ONCE and found[0] != last:
                        whole = False
                        break
                    last = found[0]
                    rows.append(list(found[1:]))
            except (sqlite3.Error, UnicodeDecodeError):
                low = max(low, last + 1)
                if low >= high:
                    self.lost[table.name] += 1
                else:
                    middle = (low + high) // 2
                    ranges += [(middle + 1, high), (low, middle)]
            else:
                if not whole:
                    ranges.append((last + 1, high))
            if rows:
                yield rows

    def _ends(self, table: sa.Table, number: str) -> tuple[int, int]:
        try:
            low = self.source.execute(f'SELECT min({number}) FROM "{table.name}"').fetchone()[0]
            high = self.source.execute(f'SELECT max({number}) FROM "{table.name}"').fetchone()[0]
        except sqlite3.Error:
            self.lost[table.name] += 1
            return _ENDS
        return (low, high) if type(low) is int and type(high) is int else (0, 0) if low is None else _ENDS


# Tables whose rows say nothing that is measured.
_NAMING = ("runs", "cases", "binaries", "devices", "operator_names")
_REFERRED = {
    (constraint.referred_table.name, *(element.column.name for element in constraint.elements))
    for table in TABLES
    for constraint in table.foreign_key_constraints
} | {("runs", "run_id")}


def _bad_places(column: sa.Column[Any], values: list[Any]) -> list[int]:
    kind, found = kind_of(column), []
    start = 0
    while True:
        try:
            check(column, kind, values[start:], unpacked=True)
        except BadValue as error:
            if error.index >= len(values) - start:
                raise  # it never was a store
            found.append(start + error.index)
            # What was before it is good for one reason only; another one may come earlier.
            found += [
                start + place
                for place, value in enumerate(values[start : start + error.index])
                if _is_bad(column, value)
            ]
            start = start + error.index + 1
        else:
            return found


def _is_bad(column: sa.Column[Any], value: Any) -> bool:
    try:
        check(column, kind_of(column), [value], unpacked=True)
    except BadValue:
        return True
    return False


def _is_number(column: sa.Column[Any]) -> bool:
    return kind_of(column) in ("float", "int", "time")


def _replace(column: sa.Column[Any], row: list[Any], places: dict[str, int]) -> bool:
    """Put a value without content in place of a damaged one; not where the row says nothing without it."""
    place = places[column.name]
    if column.primary_key or column.foreign_keys:
        return False
    if column.nullable:
        row[place] = None
    elif isinstance(column.type, Packed):
        row[place] = pack({} if column.type.shape is dict else [])
    elif isinstance(column.type, Words) or (isinstance(column.type, Name) and not column.type.among):
        row[place] = _DAMAGED
    elif column is schema.runs.c.status:
        row[place] = "failed"
    elif column is schema.runs.c.started_utc:
        row[place] = _time_of(row[0])
    elif column.name in ("counts_latency", "counts_start"):
        row[place] = False
    else:
        return False
    return row[place] is not None or bool(column.nullable)


def _time_of(run_id: Any) -> int | None:
    """The start of a run by its id."""
    try:
        return to_us(datetime.strptime(str(run_id)[:15], "%Y%m%d-%H%M%S").replace(tzinfo=timezone.utc))
    except ValueError:
        return None


def _fail(row: list[Any], places: dict[str, int]) -> None:
    """A repetition that lost a number is none to be counted."""
    for column in schema.repetitions.columns:
        if column.nullable and _is_number(column):
            row[places[column.name]] = None
    row[places["status"]] = "failed"
    row[places["failure_kind"]] = "damaged"
    row[places["failure_message"]] = "its row in the results store is damaged"


def _text(data: bytes) -> Any:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data
