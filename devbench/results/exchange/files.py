"""Writes and reads a table as JSON lines or as Parquet, some rows at a time; knows no store.

JSON lines need only Python; Parquet needs pyarrow (extra `parquet`), is a tenth of the size, and is read by
many programs. In JSON lines, times are ISO 8601 in UTC and JSON is JSON; in Parquet they are timestamps and text.
"""

from __future__ import annotations

import json
import marshal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, Literal, Protocol

import sqlalchemy as sa

from devbench.errors import InputError, install_hint
from devbench.results.artifacts import open_inside
from devbench.results.column_types import type_of, unpack_text
from devbench.results.exchange.rows import (
    TABLES,
    BadValue,
    Columns,
    check,
    columns_of,
    from_json,
    refused,
    to_json,
)

Format = Literal["jsonl", "parquet"]
FORMATS: tuple[Format, ...] = ("jsonl", "parquet")
_AT_ONCE = 20_000
# The largest line: each is read as a whole, and measurements of large models have some megabytes.
_LONGEST_LINE = 64 * 1024 * 1024
_MAX_AT_ONCE = 8 * 1024 * 1024
# The largest group of rows in a Parquet file, in bytes before it is unpacked; devbench writes groups of 20,000 rows.
_LARGEST_GROUP = 2 * 1024**3
# Larger files are read in a second process. Starting it takes half a second, in which smaller files are read already.
_LARGE_BYTES = 4 * 1024 * 1024
_LENGTH_BYTES = 8
Turn = Callable[[sa.Column[Any], Sequence[Any]], Sequence[Any]]


class Writer(Protocol):
    """A file that rows are added to."""

    def write(self, columns: Columns) -> None: ...
    def close(self) -> None: ...


def open_writer(path: Path, table: sa.Table, file_format: Format) -> Writer:
    """Return a new file for the rows of a table."""
    return _ParquetWriter(path, table) if file_format == "parquet" else _LinesWriter(path, table)


def read_file(path: Path, table: sa.Table, file_format: Format) -> Iterator[Columns]:
    """Yield the rows of a file in batches, in the form of `rows.py`.

    Raises:
        InputError: it is another kind of file, or its values do not fit the columns.
    """
    try:
        yield from _read_parquet(path, table) if file_format == "parquet" else _read_lines(path, table)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except RecursionError:
        raise InputError(f"{path}: JSON is nested too deep") from None


# -- JSON lines -------------------------------------------------------------------------------------------------------


class _LinesWriter:
    def __init__(self, path: Path, table: sa.Table) -> None:
        self._columns = columns_of(table)
        self._file: IO[str] = path.open("w", encoding="utf-8")

    def write(self, columns: Columns) -> None:
        names = [column.name for column in self._columns]
        for row in zip(*map(to_json, self._columns, columns), strict=True):
            self._file.write(json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n")

    def close(self) -> None:
        self._file.close()


def _read_lines(path: Path, table: sa.Table) -> Iterator[Columns]:
    columns = columns_of(table)
    names = [column.name for column in columns]
    done = 0
    with open_inside(path.parent, path.name) as file:
        while lines := _some_lines(file):
            rows = _objects(path, done, lines)
            try:
                found = list(zip(*map(itemgetter(*names), rows), strict=True))
            except KeyError:
                found = [tuple(row.get(name) for row in rows) for name in names]
            yield [_fitting(path, done, *one) for one in zip(columns, found, strict=True)]
            done += len(lines)


def _fitting(
    path: Path, before: int, column: sa.Column[Any], values: Sequence[Any], turn: Turn = from_json
) -> Sequence[Any]:
    """Return a column of a file's values as the database keeps them."""
    try:
        found = turn(column, values)
        check(column, found)
    except BadValue as error:
        row = before + error.index + 1
        place = f"{path}:{row}" if path.suffix == ".jsonl" else f"{path}: row {row}"
        raise refused(place, error) from None
    return found


def _some_lines(file: IO[bytes]) -> list[bytes]:
    lines: list[bytes] = []
    size = 0
    while len(lines) < _AT_ONCE and size < _MAX_AT_ONCE and (line := file.readline(_LONGEST_LINE)):
        lines.append(line)
        size += len(line)
    return lines


def _objects(path: Path, before: int, lines: Sequence[bytes]) -> list[dict[str, Any]]:
    """Return the JSON objects of the lines. All lines are parsed at once, and single lines only to find an error."""
    try:
        found = json.loads(b"[" + b",".join(lines) + b"]")
        if len(found) == len(lines) and set(map(type, found)) == {dict}:
            return list(found)
    except ValueError:
        pass
    for number, line in enumerate(lines, before + 1):
        try:
            if isinstance(json.loads(line), dict):
                continue
        except ValueError:
            pass
        raise InputError(f"{path}:{number}: not a JSON object", hint="the file is damaged or not devbench's")
    raise InputError(f"{path}: no lines of JSON objects", hint="the file is damaged or not devbench's")


# -- Parquet ----------------------------------------------------------------------------------------------------------


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        hint = f"{install_hint('parquet')}, or --format jsonl"
        raise InputError("Parquet files need the Python package pyarrow", hint=hint) from None
    return pyarrow


def _parquet_schema(pa: Any, table: sa.Table) -> Any:
    types = {
        "time": pa.timestamp("us", "UTC"), "packed": pa.string(), "bool": pa.bool_(),
        "float": pa.float64(), "int": pa.int64(), "text": pa.string(),
    }  # fmt: skip
    return pa.schema([pa.field(c.name, types[type_of(c).kind], nullable=bool(c.nullable)) for c in columns_of(table)])


class _ParquetWriter:
    def __init__(self, path: Path, table: sa.Table) -> None:
        self._pa = _pyarrow()
        self._kinds = [type_of(column).kind for column in columns_of(table)]
        self._schema = _parquet_schema(self._pa, table)
        self._file = self._pa.parquet.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, columns: Columns) -> None:
        arrays: list[Any] = []
        for kind, field, values in zip(self._kinds, self._schema, columns, strict=True):
            if kind == "packed":
                values = [None if value is None else unpack_text(value) for value in values]
            arrays.append(self._pa.array(values, self._pa.int64() if kind == "time" else field.type).cast(field.type))
        self._file.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        self._file.close()


def _read_parquet(path: Path, table: sa.Table) -> Iterator[Columns]:
    pa = _pyarrow()
    columns, fields = columns_of(table), _parquet_schema(pa, table)
    try:
        with open_inside(path.parent, path.name) as stream, pa.parquet.ParquetFile(stream) as file:
            missing = set(fields.names) - set(file.schema_arrow.names)
            if missing:
                raise InputError(f"{path}: no column {min(missing)}", hint="the file is not devbench's")
            groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
            if any(group.total_byte_size > _LARGEST_GROUP for group in groups):
                raise InputError(f"{path}: a group of rows is larger than 2 GiB", hint="the file is not devbench's")
            done = 0
            for batch in file.iter_batches(batch_size=_AT_ONCE, columns=fields.names):
                read: Columns = []
                for column, field in zip(columns, fields, strict=True):
                    values = batch.column(field.name).cast(field.type)
                    if type_of(column).kind == "time":
                        values = values.cast(pa.int64())
                    read.append(_fitting(path, done, column, values.to_pylist(), _from_parquet))
                done += batch.num_rows
                yield read
    except (pa.ArrowException, UnicodeDecodeError) as error:
        words = str(error).splitlines()[0]
        raise InputError(f"{path}: {words}", hint="the file is damaged or not devbench's") from None


def _from_parquet(column: sa.Column[Any], values: Sequence[Any]) -> Sequence[Any]:
    kind = type_of(column).kind
    if kind == "packed":
        # Many values are equal.
        packed: dict[Any, Any] = {None: None}
        for index, text in enumerate(values):
            if text not in packed:
                try:
                    packed[text] = from_json(column, [json.loads(text)])[0]
                except (ValueError, RecursionError) as error:
                    raise BadValue(column, getattr(error, "what", "not JSON"), index) from None
        return [packed[text] for text in values]
    # Times are already numbers here.
    return values if kind == "time" else from_json(column, values)


# -- large files ------------------------------------------------------------------------------------------------------


def read_large(path: Path, table: sa.Table, file_format: Format) -> Iterator[Columns]:
    """Do the same as `read_file` for a large file, in a second process, while this one fills the database.

    Reading costs about as much as adding the rows, so two cores halve the time. A file that makes the reader of Parquet
    crash ends only that process.

    Raises:
        InputError: as `read_file`.
    """
    try:
        large = path.stat().st_size > _LARGE_BYTES
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    if not large:
        yield from read_file(path, table, file_format)
        return
    command = [sys.executable, "-m", __name__, table.name, file_format, str(path)]
    nothing = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=nothing, stdout=subprocess.PIPE, stderr=nothing) as process:
        try:
            while batch := _receive(process, path):
                yield batch
        finally:
            process.kill()


def _receive(process: subprocess.Popen[bytes], path: Path) -> Columns:
    """Return the next rows; nothing at the end."""
    assert process.stdout is not None
    length = int.from_bytes(process.stdout.read(_LENGTH_BYTES), "big")
    data = process.stdout.read(length)
    if not length or len(data) < length:
        raise InputError(f"{path} cannot be read", hint="the file is damaged or not devbench's")
    columns, problem = marshal.loads(data)
    if problem is not None:
        raise InputError(problem[0], hint=problem[1])
    return list(columns)


def _send(columns: Columns, problem: tuple[str, str] | None = None) -> None:
    data = marshal.dumps((columns, problem))
    sys.stdout.buffer.write(len(data).to_bytes(_LENGTH_BYTES, "big"))
    sys.stdout.buffer.write(data)


def main(arguments: list[str]) -> None:
    """Read a file and send its rows to standard output, for `read_large`."""
    name, file_format, path = arguments
    table: Any = next(table for table in TABLES if table.name == name)
    try:
        for batch in read_file(Path(path), table, next(known for known in FORMATS if known == file_format)):
            _send(batch)
        _send([])
    except InputError as error:
        _send([], (error.what, error.hint))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
