"""Where rows come from: the interface, and a store as such a source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import sqlalchemy as sa

from devbench.results.exchange.tables import columns_of, rows_of
from devbench.results.exchange.values import from_driver, kind_of

Row = Sequence[Any]
# Some rows of a table, as columns.
Columns = list[Sequence[Any]]
_AT_ONCE = 20_000


class Source(Protocol):
    """Tables of rows, as `exchange/values.py` has them."""

    def batches(self, table: sa.Table) -> Iterator[Columns]:
        """The rows of a table, some at a time, as the columns of `columns_of`.

        Raises:
            InputError: they are not what the table can hold.
        """
        ...


class StoreSource:
    """The runs of a store.

    Args:
        connection: for as long as rows are asked for; all of them are as it sees the store.
        runs: selects the ids of the runs.
    """

    def __init__(self, connection: sa.Connection, runs: sa.Select[Any]) -> None:
        self._connection = connection
        self._runs = runs

    def batches(self, table: sa.Table) -> Iterator[Columns]:
        """As `Source.batches`."""
        kinds = [kind_of(column) for column in columns_of(table)]
        query = rows_of(table, self._runs).order_by(*table.primary_key).execution_options(stream_results=True)
        for rows in self._connection.execute(query).partitions(_AT_ONCE):
            yield [from_driver(kind, of) for kind, of in zip(kinds, zip(*rows, strict=True), strict=True)]
