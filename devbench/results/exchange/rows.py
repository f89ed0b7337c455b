"""The tables and columns that are exported and imported, how values are written, and whether they fit.

Rows are as the database keeps them (`column_types.py`), whatever the database: times are microseconds, JSON is packed.
Totals of jobs (`writing.py`) are not exported: the importing store computes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from devbench.errors import DevbenchError, InputError
from devbench.results import schema
from devbench.results.column_types import (
    Kept,
    Kind,
    Packed,
    Words,
    compact,
    from_us,
    pack_text,
    storable_text,
    to_us,
    type_of,
    unpack,
)
from devbench.results.engine import DamagedStore
from devbench.results.pipeline_schema import pipeline_samples, pipeline_sessions, pipeline_stages

# Some rows of a table, as columns.
Columns = list[Sequence[Any]]
# The rows of a table, some at a time.
RowSource = Callable[[sa.Table], Iterator[Columns]]
_AT_ONCE = 20_000
_TYPES: dict[Kind, set[type]] = {
    "time": {int}, "packed": {bytes}, "bool": {bool}, "float": {float, int}, "int": {int}, "text": {str},
}  # fmt: skip
# The tables in an order in which rows refer to earlier ones only.
TABLES: tuple[sa.Table, ...] = (
    schema.runs,
    schema.labels,
    schema.documents,
    schema.models,
    schema.binaries,
    schema.cases,
    schema.devices,
    schema.device_moves,
    schema.notices,
    schema.jobs,
    schema.files,
    schema.job_files,
    schema.repetitions,
    schema.details,
    schema.conditions,
    schema.operator_names,
    schema.operators,
    pipeline_sessions,
    pipeline_stages,
    pipeline_samples,
)


def columns_of(table: sa.Table) -> list[sa.Column[Any]]:
    """Return the exported columns in their order."""
    return [column for column in table.columns if column.name not in ("counts_latency", "counts_start")]


def rows_of(table: sa.Table, runs: sa.Select[Any]) -> sa.Select[Any]:
    """Return the rows of a table that belong to runs.

    Args:
        table: one of `TABLES`.
        runs: selects the ids of the runs.
    """
    # Values as the database driver returns them.
    columns: list[Any] = [sa.type_coerce(column, sa.types.NULLTYPE).label(column.name) for column in columns_of(table)]
    query = sa.select(*columns)
    devices, jobs, repetitions, operators = schema.devices, schema.jobs, schema.repetitions, schema.operators
    of_runs = jobs.c.run_id.in_(runs)
    if "run_id" in table.c:
        return query.where(table.c.run_id.in_(runs))
    if "job_id" in table.c:
        return query.where(table.c.job_id.in_(sa.select(jobs.c.id).where(of_runs)))
    if "session_id" in table.c:
        sessions = sa.select(pipeline_sessions.c.id).where(pipeline_sessions.c.run_id.in_(runs))
        return query.where(table.c.session_id.in_(sessions))
    of_repetitions = sa.select(repetitions.c.id).join(jobs, jobs.c.id == repetitions.c.job_id).where(of_runs)
    if "repetition_id" in table.c:
        return query.where(table.c.repetition_id.in_(of_repetitions))
    used: dict[str, sa.SelectBase] = {
        "documents": sa.union(
            sa.select(devices.c.facts_id).where(devices.c.run_id.in_(runs)), sa.select(jobs.c.options_id).where(of_runs)
        ),
        "models": sa.select(jobs.c.model_sha256).where(of_runs),
        "binaries": sa.select(jobs.c.binary_sha256).where(of_runs),
        "files": sa.select(schema.job_files.c.sha256).where(
            schema.job_files.c.job_id.in_(sa.select(jobs.c.id).where(of_runs))
        ),
        "cases": sa.select(jobs.c.case_id).where(of_runs),
        "operator_names": sa.select(operators.c.name_id).where(operators.c.repetition_id.in_(of_repetitions)),
    }
    return query.where(next(iter(table.primary_key)).in_(used[table.name]))


class BadValue(ValueError):
    """A value does not fit its column.

    Attributes:
        column, what: which column, and what is wrong.
        index: its place among the values that were looked at, from 0.
    """

    def __init__(self, column: sa.Column[Any], what: str, index: int) -> None:
        super().__init__(f"{column.table.name}.{column.name}: {what}")
        self.column, self.what, self.index = column, what, index


def from_driver(column: sa.Column[Any], values: Sequence[Any]) -> Sequence[Any]:
    """Return a column in one form for all database drivers; values of a wrong type stay unchanged."""
    kind = type_of(column).kind
    if kind == "bool":
        # SQLite stores truth values as 0 and 1.
        return [value == 1 if value in (0, 1) and type(value) is int else value for value in values]
    if kind == "packed":
        return [bytes(value) if isinstance(value, memoryview) else value for value in values]
    return values


def to_json(column: sa.Column[Any], values: Sequence[Any]) -> Sequence[Any]:
    """Return a column for lines of JSON."""
    kind = type_of(column).kind
    turned: Callable[[Any], Any] | None = {"time": lambda us: from_us(us).isoformat(), "packed": unpack}.get(kind)
    return [None if value is None else turned(value) for value in values] if turned else values


def from_json(column: sa.Column[Any], values: Sequence[Any]) -> Sequence[Any]:
    """Return a column of a file's JSON values; those that fit no column stay as they are.

    Raises:
        BadValue: a value is not a time, or JSON of another shape.
    """
    kept = type_of(column)
    if kept.kind == "time":
        return [None if value is None else _time(column, value, index) for index, value in enumerate(values)]
    if isinstance(kept, Packed):
        for index, value in enumerate(values):
            if value is not None and not kept.has_shape(value):
                raise BadValue(column, f"{str(value)[:40]!r} is not {kept.words}", index)
        # Many values are equal; each is packed once.
        texts = [None if value is None else compact(value) for value in values]
        packed = {text: None if text is None else pack_text(text) for text in set(texts)}
        return [packed[text] for text in texts]
    if kept.kind == "text":
        return [storable_text(value) if type(value) is str else value for value in values]
    return values


def _time(column: sa.Column[Any], value: Any, index: int) -> int:
    try:
        return to_us(datetime.fromisoformat(value))
    except (TypeError, ValueError, OverflowError):
        raise BadValue(column, f"{str(value)[:40]!r} is not {type_of(column).words}", index) from None


def bad_values(column: sa.Column[Any], values: Sequence[Any], *, unpacked: bool = False) -> Iterator[BadValue]:
    """Yield the values that do not fit a column.

    Args:
        column: the column, with its type.
        values: the values of some rows.
        unpacked: also look into packed JSON, which did not come through `from_json`.
    """
    kept = type_of(column)
    nothing = None in values
    known = [value for value in values if value is not None] if nothing else values
    if (not nothing or column.nullable) and _all_fit(kept, known, unpacked=unpacked):
        return
    for index, value in enumerate(values):
        if value is None:
            if not column.nullable:
                yield BadValue(column, "a value is missing", index)
        elif not (kept.fits(value) if unpacked or kept.kind != "packed" else type(value) is bytes):
            yield BadValue(column, f"{str(value)[:40]!r} is not {kept.words}", index)


def _all_fit(kept: Kept, known: Sequence[Any], *, unpacked: bool) -> bool:
    """Whether all values fit, by those that are least likely to: there may be millions."""
    if not set(map(type, known)) <= _TYPES[kept.kind]:
        return False
    if not known or kept.kind == "bool" or (kept.kind == "packed" and not unpacked):
        return True
    if kept.kind == "packed":
        return all(map(kept.fits, set(known)))
    if isinstance(kept, Words):
        return all(map(kept.fits, set(known) if kept.among else [max(known, key=len)]))
    return kept.fits(min(known)) and kept.fits(max(known)) and (kept.kind != "float" or all(map(math.isfinite, known)))


def check(column: sa.Column[Any], values: Sequence[Any], *, unpacked: bool = False) -> None:
    """Raise the first error that `bad_values` finds.

    Raises:
        BadValue: a value does not fit the column.
    """
    for error in bad_values(column, values, unpacked=unpacked):
        raise error


def refused(place: str, error: BadValue) -> InputError:
    """Return the error line for a bad value."""
    return InputError(f"{place}: {error}", hint="it is damaged or not devbench's; nothing was imported")


def damaged(place: str, error: BadValue) -> DamagedStore:
    """Return the error line for a bad value of the own store."""
    return DamagedStore(f"{place}: {error}", hint="it is damaged; restore it from a copy")


def store_rows(
    connection: sa.Connection,
    runs: sa.Select[Any],
    name: str,
    problem: Callable[[str, BadValue], DevbenchError],
    table: sa.Table,
) -> Iterator[Columns]:
    """Yield the rows of a table of a store, some at a time, as the columns of `columns_of`.

    Args:
        connection: must stay open until the last row was read; all rows are from its snapshot of the store.
        runs: selects the ids of the runs.
        name: the store's name, for messages.
        problem: makes the error of a value that does not fit.
        table: one of `TABLES`.
    """
    query = rows_of(table, runs).order_by(*table.primary_key).execution_options(stream_results=True)
    done = 0
    for rows in connection.execute(query).partitions(_AT_ONCE):
        columns: Columns = []
        for column, values in zip(columns_of(table), zip(*rows, strict=True), strict=True):
            columns.append(from_driver(column, values))
            try:
                check(column, columns[-1], unpacked=True)
            except BadValue as error:
                raise problem(f"{name}: {table.name}, row {done + error.index + 1}", error) from None
        done += len(rows)
        yield columns
