"""Keys of devices in rows that arrive: histories that were joined or parted here stay so; knows no file.

A device of a run is the same here and there if it was measured under the same key; what became of that key is this
store's own decision.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa

from devbench.results import schema
from devbench.results.exchange.source import Columns, Row, RowSource
from devbench.results.exchange.tables import columns_of


class DeviceKeys:
    """The key here for each key there, by run."""

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
        """The columns of a batch with this store's keys."""
        names = [column.name for column in columns_of(table)]
        name = "key" if table is schema.devices else "device_key"
        if name not in names or table is schema.device_moves:
            return batch
        columns = list(batch)
        place, runs = names.index(name), batch[names.index("run_id")]
        pairs = zip(runs, batch[place], strict=True)
        columns[place] = [self._keys.get(pair, pair[1]) for pair in pairs]
        return columns

    def moved(self, runs: Collection[str]) -> Iterable[Row]:
        """Rows of `device_moves` for these runs."""
        for (run_id, there), key in self._keys.items():
            was = self._there.get((run_id, there), there)
            if run_id in runs and key != was:
                yield run_id, key, was

    def _key(self, run_id: str, key: str) -> str:
        was = self._there.get((run_id, key), key)
        if run_id in self._known:
            return str(self._here.get((run_id, was), was))
        joined = self._aliases.get(was, key)
        # A run that measured both measured two devices, whatever was decided.
        return key if joined != key and (run_id, joined) in self._arriving else joined


def _rows(source: RowSource, table: sa.Table) -> Iterable[tuple[Any, ...]]:
    for batch in source.batches(table):
        yield from zip(*batch, strict=True)
