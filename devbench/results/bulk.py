"""Reads and adds very many rows at once, as the database keeps them; knows no record and no file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import sqlalchemy as sa

_AT_ONCE = 20_000


def fetch(connection: sa.Connection, query: sa.Select[Any]) -> dict[str, Sequence[Any]]:
    """The columns of a query by name, as the database driver returns them: times in microseconds, JSON compressed."""
    result = connection.execute(query)
    names = list(result.keys())
    assert result.cursor is not None
    rows = result.cursor.fetchall()
    return dict(zip(names, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(names, ())


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
    """New numbers for `count` rows of a table with an `id`; in a transaction that writes."""
    if connection.dialect.name == "postgresql":
        numbers = f"SELECT nextval(pg_get_serial_sequence('{table.name}', 'id')) FROM generate_series(1, {count})"
        return [row[0] for row in connection.exec_driver_sql(numbers)]
    # The transaction holds SQLite's only lock for writing.
    newest = connection.execute(sa.select(sa.func.max(table.c.id))).scalar() or 0
    return range(newest + 1, newest + 1 + count)


def _changes(connection: sa.Connection) -> int:
    return int(connection.exec_driver_sql("SELECT total_changes()").scalar_one())


def _copy(connection: sa.Connection, table: str, names: str, rows: Iterable[Sequence[Any]]) -> int:
    """COPY cannot skip rows: it fills a temporary table, from which the new rows are taken."""
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
