"""A connection to the database of a store: which one, opened safely, its tables made; knows no query.

Several processes may open, write and read one store at once. On SQLite a writer takes its lock at the beginning of a
transaction: one that reads first and writes later could find the store changed in between and would have to give up.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from devbench.errors import EnvironmentProblem, InputError
from devbench.masking import is_clear, mask_url, scrub, secrets_of
from devbench.paths import data_dir
from devbench.results import schema
from devbench.results.pipeline_schema import pipeline_sessions

_BUSY_TIMEOUT_S = 60
_CACHE_KB = 64 * 1024
# Any number that nothing else uses: who makes or changes the tables holds PostgreSQL's lock of it.
_PREPARE_LOCK = 7_381_024_517
_EXAMPLES = "for example results.db or postgresql+psycopg://user@host/devbench"

# Loaded, so that its tables are among those that are made.
assert pipeline_sessions.metadata is schema.metadata


class StoreProblem(EnvironmentProblem):
    """The database cannot be opened, read or written."""


class Database:
    """The database of a store.

    Args:
        url: SQLAlchemy URL or path of an SQLite file; `None` means DEVBENCH_STORE or the user's own store.
        create: make an SQLite file that is not there.

    Raises:
        InputError: the URL makes no sense, or there is no such file and none is to be made.
        StoreProblem: the database cannot be opened, or a newer devbench wrote it.
    """

    def __init__(self, url: str | None = None, *, create: bool = True) -> None:
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
        self.file = Path(str(database)).absolute() if self._is_file(database) else None
        try:
            if self.file is not None:
                if not create and not self.file.is_file():
                    raise InputError(f"there is no results store {self.file}", hint="`devbench run` makes one")
                self.file.parent.mkdir(parents=True, exist_ok=True)
                if not self.file.exists():
                    # Commands and labels are its owner's business; SQLite gives its log files the same rights.
                    self.file.touch(mode=0o600)
            self._engine = self._connect()
            self._open()
        except OSError as error:
            raise StoreProblem(f"cannot open the results store {self.shown}: {error.strerror or error}") from None
        except ModuleNotFoundError as error:
            raise self._driver_missing(error) from None

    def _is_file(self, database: str | None) -> bool:
        return self.url.get_backend_name() == "sqlite" and database not in (None, "", ":memory:")

    def _driver_missing(self, error: ModuleNotFoundError) -> InputError:
        hint = "pip install 'devbench[postgres]'" if error.name in ("psycopg", "psycopg2") else "install it"
        return InputError(f"--store {self.shown}: needs the Python package {error.name}", hint=hint)

    def _connect(self) -> sa.Engine:
        engine = sa.create_engine(self.url)
        if engine.dialect.name == "sqlite":

            @sa.event.listens_for(engine, "connect")
            def _pragmas(connection: Any, record: Any) -> None:
                # The driver's own transactions begin too late; ours begin in `_begin`.
                connection.isolation_level = None
                connection.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_S * 1000}")
                # Readers do not wait for a run that writes, and a crash loses nothing that was committed.
                _write_ahead(connection)
                for pragma in (
                    "synchronous=NORMAL",
                    "foreign_keys=ON",
                    f"cache_size=-{_CACHE_KB}",
                ):
                    connection.execute(f"PRAGMA {pragma}")

            @sa.event.listens_for(engine, "begin")
            def _begin(connection: sa.Connection) -> None:
                writes = connection.get_execution_options().get("writes", False)
                connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    def _open(self) -> None:
        """Make the tables of a new store; one that has them is only asked."""
        with self.reading() as connection:
            if self._has_tables(connection):
                return
        with self.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_PREPARE_LOCK)))
            if not self._has_tables(connection):
                schema.metadata.create_all(connection)
                connection.execute(schema.version.insert().values(version_num=schema.HEAD))

    def _has_tables(self, connection: sa.Connection) -> bool:
        """Whether the store has the tables of this devbench; not, if it is new.

        Raises:
            StoreProblem: its tables are of another version.
        """
        tables = set(sa.inspect(connection).get_table_names())
        if schema.version.name in tables:
            found = connection.execute(sa.select(schema.version.c.version_num)).scalar()
        else:
            found = "of a development version" if {"meta", "runs"} & tables else None
        if found not in (None, schema.HEAD):
            raise StoreProblem(
                f"the results store {self.shown} has schema {found!s:.40}, this devbench knows {schema.HEAD}",
                hint="use the devbench that wrote it, or another --store",
            )
        return found is not None

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection that sees the store as it is now, whatever others write meanwhile."""
        with self._transaction(writes=False) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A connection whose changes are kept together or not at all."""
        with self._transaction(writes=True) as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection:
                connection.execution_options(writes=writes)
                if not writes and connection.dialect.name == "postgresql":
                    # As SQLite does anyway: all queries of a report see the store at one moment.
                    connection.execution_options(isolation_level="REPEATABLE READ")
                with connection.begin():
                    yield connection
        except SQLAlchemyError as error:
            reason = scrub(str(getattr(error, "orig", None) or error).splitlines()[0], self._secrets)
            raise StoreProblem(
                f"results store {self.shown}: {reason}", hint="is the path writable, the disk not full?"
            ) from error

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def _write_ahead(connection: Any) -> None:
    """Keep changes in a log of their own (WAL); the switch to it does not wait for others by itself."""
    deadline = time.monotonic() + _BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def insert_new(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add the rows whose key is not there yet; two writers may add the same ones at once."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    if rows:
        # In one order always: two writers that waited for each other would wait for ever.
        key = [column.name for column in table.primary_key]
        ordered = sorted(rows, key=lambda row: [row[name] for name in key])
        connection.execute(insert(table).on_conflict_do_nothing(), ordered)
