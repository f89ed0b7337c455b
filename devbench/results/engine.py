"""Opens the database of a store safely, makes its tables, and reads and writes many rows at once.

Several processes may open, write and read one store at once. On SQLite a writer takes its lock at the beginning of a
transaction: if it read first and wrote later, another process could change the store in between, and the transaction
would fail.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from devbench.errors import EnvironmentProblem, InputError, install_hint
from devbench.host.masking import is_clear, mask_url, scrub, secrets_of
from devbench.host.paths import data_dir
from devbench.results import schema
from devbench.results import sqlite as files
from devbench.results.column_types import DamagedValue
from devbench.results.pipeline_schema import pipeline_sessions

# The number of the PostgreSQL lock that a process has while it makes the tables; nothing else uses this number.
_PREPARE_LOCK = 7_381_024_517
_BUG = "devbench gave the database a value that it cannot hold: please report this as a bug"
_RESTORE = "`devbench export FOLDER` saves what can be read; import that into another --store"
_EXAMPLES = "for example results.db or postgresql+psycopg://user@host/devbench"

# This import adds the tables of pipelines to the metadata.
assert pipeline_sessions.metadata is schema.metadata


class StoreProblem(EnvironmentProblem):
    """The database cannot be opened, read or written."""


# The SQLite files that were opened, and the replacement of each damaged one, with the damaged file's time and size.
opened: set[Path] = set()
_replaced: dict[Path, tuple[Path, tuple[int, int]]] = {}


def replace(file: Path, by: Path) -> None:
    """Make later reads of `file` use `by` instead, until `file` changes."""
    found = file.stat()
    _replaced[file] = by, (found.st_mtime_ns, found.st_size)


def replacement(file: Path) -> Path | None:
    """Return the file that is read instead of `file`; `None` if `file` itself is read."""
    by, known = _replaced.get(file, (None, None))
    if by is None or not by.is_file() or not file.is_file():
        return None
    found = file.stat()
    return by if (found.st_mtime_ns, found.st_size) == known else None


class OtherTables(StoreProblem):
    """The tables are not those of this version of devbench, or the list of tables is damaged."""


class DamagedStore(StoreProblem):
    """The database has pages or values that cannot be read; the others can (`salvage.py`)."""


class Database:
    """The database of a store.

    Args:
        url: SQLAlchemy URL or path of an SQLite file; `None` means DEVBENCH_STORE or the user's own store.
        create: make an SQLite file if it is missing.
        foreign: the file is from elsewhere, so it is opened read-only and with limits.
        rebuilt: the file was made from a damaged store, so it is not checked for damage itself.

    Raises:
        InputError: the URL is invalid, or the file does not exist and is not to be made.
        StoreProblem: the database cannot be opened, or a newer devbench wrote it.
    """

    def __init__(
        self, url: str | None = None, *, create: bool = True, foreign: bool = False, rebuilt: bool = False
    ) -> None:
        given = url or os.environ.get("DEVBENCH_STORE") or str(data_dir() / "results.db")
        if not is_clear(given):
            raise InputError(
                f"--store {mask_url(given)!r} is not the URL of a database",
                hint=f"quote @ and ? in a password as %40 and %3F; {_EXAMPLES}",
            )
        if "://" not in given:
            given = f"sqlite:///{Path(given).expanduser().absolute()}"
        try:
            self.url = make_url(given)
            self._secrets = secrets_of(given) if self.url.get_backend_name() != "sqlite" else ()
            self.shown = mask_url(given)
            self.url.get_dialect()
        except (ArgumentError, ValueError):
            raise InputError(f"--store {mask_url(given)!r} is not the URL of a database", hint=_EXAMPLES) from None
        except ModuleNotFoundError as error:
            raise self._driver_missing(error) from None
        if self.url.get_backend_name() not in ("sqlite", "postgresql"):
            raise InputError(f"--store {self.shown}: a store is an SQLite file or in PostgreSQL", hint=_EXAMPLES)
        database = self.url.database
        is_file = self.url.get_backend_name() == "sqlite" and database not in (None, "", ":memory:")
        self.file = Path(str(database)).absolute() if is_file else None
        self._foreign = foreign
        self._rebuilt = rebuilt
        self.read_only = foreign
        try:
            if self.file is not None:
                self.read_only = foreign or not files.can_write(self.file) or replacement(self.file) is not None
                if (not create or self.file.exists()) and not self.file.is_file():
                    raise InputError(f"there is no results store {self.file}", hint="`devbench run` makes one")
                if not self.file.exists():
                    self.file.parent.mkdir(parents=True, exist_ok=True)
                    # Only the user may read the file, because it has commands and labels. SQLite gives its log files
                    # the same rights.
                    self.file.touch(mode=0o600)
            self._engine = self._connect()
            self._open()
        except OSError as error:
            raise StoreProblem(f"cannot open the results store {self.shown}: {error.strerror or error}") from None
        except ModuleNotFoundError as error:
            raise self._driver_missing(error) from None

    def _driver_missing(self, error: ModuleNotFoundError) -> InputError:
        hint = install_hint("postgres") if error.name in ("psycopg", "psycopg2") else "install it"
        return InputError(f"--store {self.shown}: needs the Python package {error.name}", hint=hint)

    def _connect(self) -> sa.Engine:
        file = self.file
        if file is not None:
            if not self._foreign and not self._rebuilt:
                opened.add(file)
            file = replacement(file) or file
        if file is not None and self.read_only:
            engine = sa.create_engine(
                "sqlite://",
                creator=lambda: files.connect_to_read(file, limited=self._foreign),
                poolclass=sa.pool.QueuePool,
            )
        else:
            engine = sa.create_engine(self.url)
        if engine.dialect.name == "sqlite":

            @sa.event.listens_for(engine, "connect")
            def _pragmas(connection: Any, record: Any) -> None:
                files.prepare(connection, writes=not self.read_only)

            @sa.event.listens_for(engine, "begin")
            def _begin(connection: sa.Connection) -> None:
                writes = connection.get_execution_options().get("writes", False)
                connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    def _open(self) -> None:
        """Make the tables if the store is new; if it has them, nothing is written."""
        with self.reading() as connection:
            if self._has_tables(connection):
                return
        if self._foreign:
            raise InputError(f"{self.shown} is not a results store", hint="its tables are missing")
        with self.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_PREPARE_LOCK)))
            if not self._has_tables(connection):
                schema.metadata.create_all(connection)
                connection.execute(schema.version.insert().values(version_num=schema.HEAD))

    def _has_tables(self, connection: sa.Connection) -> bool:
        """Whether the store has the tables of this devbench; false for a new store.

        Raises:
            StoreProblem: its tables are of another version, or not as devbench makes them.
        """
        tables = set(sa.inspect(connection).get_table_names())
        if schema.version.name in tables:
            found = connection.execute(sa.select(schema.version.c.version_num)).scalar()
        else:
            found = "of a development version" if {"meta", "runs"} & tables else None
        hint = "use the devbench that wrote it, or another --store"
        if found not in (None, schema.HEAD):
            raise StoreProblem(
                f"the results store {self.shown} has schema {found!s:.40}, this devbench knows {schema.HEAD}", hint=hint
            )
        if found is None:
            return False
        alien = self._alien_parts(connection)
        if alien:
            words = f"the results store {self.shown} is not as this devbench makes it: {alien}"
            raise OtherTables(words, hint=hint)
        return True

    def _alien_parts(self, connection: sa.Connection) -> str:
        tables = schema.metadata.sorted_tables
        if connection.dialect.name == "sqlite":
            return files.alien_parts(connection, tables)
        there = sa.text(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
        )
        found: dict[str, set[str]] = {}
        for table, column in connection.execute(there):
            found.setdefault(table, set()).add(column)
        return files.differing({table.name: {column.name for column in table.columns} for table in tables}, found)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Open a connection whose queries all see the store at one moment, whatever others write meanwhile."""
        with self._transaction(writes=False) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Open a connection whose changes are stored together or not at all."""
        with self._transaction(writes=True) as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[sa.Connection]:
        if writes and self.read_only:
            why = "it is only read from" if self._foreign else "no right to write to it"
            hint = "give write access to the file and its folder, or name another --store"
            raise StoreProblem(f"results store {self.shown}: {why}", hint=hint)
        try:
            with self._engine.connect() as connection:
                connection.execution_options(writes=writes)
                if not writes and connection.dialect.name == "postgresql":
                    # With this isolation level all queries of a report see the store at one moment, as on SQLite.
                    connection.execution_options(isolation_level="REPEATABLE READ")
                with connection.begin():
                    yield connection
        except UnicodeDecodeError as error:
            # SQLite's own error would contain text of the file.
            raise DamagedStore(f"results store {self.shown}: the file is damaged", hint=_RESTORE) from error
        except DamagedValue as error:
            raise DamagedStore(f"results store {self.shown}: it has a damaged value: {error}", hint=_RESTORE) from error
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            what, hint = files.explained(cause)
            if not what:
                what, hint = (
                    scrub((str(cause).splitlines() or [""])[0], self._secrets),
                    "is it reachable, the disk not full?" if isinstance(error, DBAPIError) else _BUG,
                )
            if files.is_damage(cause):
                raise DamagedStore(f"results store {self.shown}: {what}", hint=_RESTORE) from error
            raise StoreProblem(f"results store {self.shown}: {what}", hint=hint) from error

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def insert_new(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add the rows with new keys; two writers may add the same ones at once."""
    # Import only the dialect that is used, since an import takes a while.
    dialect = importlib.import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
    insert = dialect.insert
    if rows:
        # Rows are always added in the same order, because otherwise two writers could block each other.
        key = [column.name for column in table.primary_key]
        ordered = sorted(rows, key=lambda row: [row[name] for name in key])
        connection.execute(insert(table).on_conflict_do_nothing(), ordered)


_AT_ONCE = 20_000
_KEYS_AT_ONCE = 1_000
T = TypeVar("T")


def fetch(connection: sa.Connection, query: sa.Select[Any]) -> dict[str, Sequence[Any]]:
    """Return the columns of a query by name, in the driver's form: times in microseconds, JSON compressed."""
    result = connection.execute(query)
    names = list(result.keys())
    assert result.cursor is not None
    rows = result.cursor.fetchall()
    return dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ())


def portions(keys: Sequence[T]) -> Iterator[Sequence[T]]:
    """Divide keys into portions for one statement each: SQLite allows about 32,000 parameters."""
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        yield keys[start : start + _KEYS_AT_ONCE]


def insert_rows(
    connection: sa.Connection, table: sa.TableClause, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> int:
    """Add rows in the order of `columns`; rows with an existing key or other existing unique columns are left out.

    Values are as the database keeps them (`column_types.py`): microseconds, packed bytes. No type converts them: for
    millions of rows that would take longer than the database.

    Returns:
        How many were added.
    """
    remaining = iter(rows)
    quote = connection.dialect.identifier_preparer.quote
    names = ", ".join(map(quote, columns))
    if connection.dialect.name == "postgresql":
        return _copy(connection, quote(table.name), names, remaining)
    before = _changes(connection)
    places = ", ".join("?" * len(columns))
    statement = f"INSERT OR IGNORE INTO {quote(table.name)} ({names}) VALUES ({places})"
    while some := list(map(tuple, islice(remaining, _AT_ONCE))):
        connection.exec_driver_sql(statement, some)
    return _changes(connection) - before


def new_ids(connection: sa.Connection, table: sa.Table, count: int) -> Sequence[int]:
    """Return new numbers for `count` rows of a table with an `id`; call it in a writing transaction."""
    if connection.dialect.name == "postgresql":
        numbers = f"SELECT nextval(pg_get_serial_sequence('{table.name}', 'id')) FROM generate_series(1, {count})"
        return [row[0] for row in connection.exec_driver_sql(numbers)]
    # The transaction holds SQLite's only lock for writing.
    newest = connection.execute(sa.select(sa.func.max(table.c.id))).scalar() or 0
    return range(newest + 1, newest + 1 + count)


def _changes(connection: sa.Connection) -> int:
    return int(connection.exec_driver_sql("SELECT total_changes()").scalar_one())


def _copy(connection: sa.Connection, table: str, names: str, rows: Iterable[Sequence[Any]]) -> int:
    """Add rows with PostgreSQL's COPY.

    It cannot skip rows, so it fills a temporary table, from which new rows are taken.
    """
    from psycopg import Error

    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS SELECT {names} FROM {table} LIMIT 0")
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(f"COPY incoming ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    except Error as error:
        raise sa.exc.SQLAlchemyError(str(error)) from error
    added = connection.exec_driver_sql(
        f"INSERT INTO {table} ({names}) SELECT {names} FROM incoming ON CONFLICT DO NOTHING"
    ).rowcount
    connection.exec_driver_sql("DROP TABLE incoming")
    return added
