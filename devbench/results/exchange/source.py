"""Where rows come from: the interface, and a store as such a source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import sqlalchemy as sa

from devbench.errors import DevbenchError, InputError
from devbench.results.engine import DamagedStore
from devbench.results.exchange.tables import columns_of, rows_of
from devbench.results.exchange.values import BadValue, check, from_driver, kind_of

Row = Sequence[Any]
# Some rows of a table, as columns.
Columns = list[Sequence[Any]]
_AT_ONCE = 20_000


def refused(place: str, error: BadValue) -> InputError:
    """The error line for a bad value."""
    return InputError(f"{place}: {error}", hint="it is damaged or not devbench's; nothing was taken over")


def damaged(place: str, error: BadValue) -> DamagedStore:
    """The error line for a bad value of the own store."""
    return DamagedStore(f"{place}: {error}", hint="it is damaged; restore it from a copy")


Problem = Callable[[str, BadValue], DevbenchError]


class RowSource(Protocol):
    """Tables of rows, as `exchange/values.py` has them."""

    def batches(self, table: sa.Table) -> Iterator[Columns]:
        """The rows of a table, some at a time, as the columns of `columns_of`.

        Raises:
            InputError: they are not what the table can hold.
        """
        ...

    def place(self, table: sa.Table, row: int) -> str:
        """Where a row of a table is, in words; `row` counts from 1."""
        ...


class StoreSource:
    """The runs of a store.

    Args:
        connection: for as long as rows are asked for; all of them are as it sees the store.
        runs: selects the ids of the runs.
        name: of the store, for words.
        problem: makes the error of a value that no column may hold.
    """

    def __init__(self, connection: sa.Connection, runs: sa.Select[Any], name: str, problem: Problem) -> None:
        self._connection = connection
        self._problem = problem
        self._runs = runs
        self._name = name

    def place(self, table: sa.Table, row: int) -> str:
        """As `RowSource.place`."""
        return f"{self._name}: {table.name}, row {row}"

    def batches(self, table: sa.Table) -> Iterator[Columns]:
        """As `RowSource.batches`."""
        kinds = [kind_of(column) for column in columns_of(table)]
        query = rows_of(table, self._runs).order_by(*table.primary_key).execution_options(stream_results=True)
        done = 0
        for rows in self._connection.execute(query).partitions(_AT_ONCE):
            columns = [from_driver(kind, of) for kind, of in zip(kinds, zip(*rows, strict=True), strict=True)]
            for column, kind, values in zip(columns_of(table), kinds, columns, strict=True):
                try:
                    check(column, kind, values, unpacked=True)
                except BadValue as error:
                    raise self._problem(self.place(table, done + error.index + 1), error) from None
            done += len(rows)
            yield columns
