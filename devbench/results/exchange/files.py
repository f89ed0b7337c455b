"""Files of rows: a table as JSON lines or as Parquet, written and read some rows at a time; knows no store.

JSON lines need nothing beside Python; Parquet needs pyarrow (extra `parquet`), is a tenth of the size, and is read by
everything that reads tables. Times are ISO 8601 in UTC there and timestamps here, JSON is JSON there and text here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, Literal, Protocol

import sqlalchemy as sa

from devbench.errors import InputError, install_hint
from devbench.results.column_types import unpack_text
from devbench.results.exchange.source import Columns, refused
from devbench.results.exchange.tables import columns_of
from devbench.results.exchange.values import BadValue, Kind, check, from_json, kind_of, to_json
from devbench.results.inside import open_inside

Format = Literal["jsonl", "parquet"]
FORMATS: tuple[Format, ...] = ("jsonl", "parquet")
_AT_ONCE = 20_000
# Measurements of large models have some megabytes; a line is read whole.
_LONGEST_LINE = 64 * 1024 * 1024
_MAX_AT_ONCE = 8 * 1024 * 1024
# Before it is unpacked; devbench writes groups of 20,000 rows.
_LARGEST_GROUP = 2 * 1024**3


class Writer(Protocol):
    """A file that rows are added to."""

    def write(self, columns: Columns) -> None: ...
    def close(self) -> None: ...


def open_writer(path: Path, table: sa.Table, file_format: Format) -> Writer:
    """A new file for the rows of a table."""
    return _ParquetWriter(path, table) if file_format == "parquet" else _LinesWriter(path, table)


def read_file(path: Path, table: sa.Table, file_format: Format) -> Iterator[Columns]:
    """The rows of a file, some at a time, as `exchange/values.py` has them.

    Raises:
        InputError: it is no such file, or its values are not what the columns hold.
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
        self._columns = [(column.name, kind_of(column)) for column in columns_of(table)]
        self._file: IO[str] = path.open("w", encoding="utf-8")

    def write(self, columns: Columns) -> None:
        for row in zip(*columns, strict=True):
            values = {
                name: value if kind in ("int", "float", "text", "bool") else to_json(kind, value)
                for (name, kind), value in zip(self._columns, row, strict=True)
            }
            self._file.write(json.dumps(values, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self._file.close()


def _read_lines(path: Path, table: sa.Table) -> Iterator[Columns]:
    columns = columns_of(table)
    names = [column.name for column in columns]
    kinds = [kind_of(column) for column in columns]
    done = 0
    with open_inside(path.parent, path.name) as file:
        while lines := _some_lines(file):
            rows = _objects(path, done, lines)
            try:
                found = list(zip(*map(itemgetter(*names), rows), strict=True))
            except KeyError:
                found = [tuple(row.get(name) for row in rows) for name in names]
            yield _checked(path, done, columns, kinds, found)
            done += len(lines)


def _checked(
    path: Path, before: int, columns: Sequence[sa.Column[Any]], kinds: Sequence[Kind], found: Sequence[Sequence[Any]]
) -> Columns:
    """The rows as the database keeps them."""
    try:
        values = [from_json(column, kind, of) for column, kind, of in zip(columns, kinds, found, strict=True)]
        for column, kind, of in zip(columns, kinds, values, strict=True):
            check(column, kind, of)
    except BadValue as error:
        raise refused(place(path, before + error.index + 1), error) from None
    return values


def place(path: Path, row: int) -> str:
    """Where a row of a file is: lines of JSON lines, rows of Parquet."""
    return f"{path}:{row}" if path.suffix == ".jsonl" else f"{path}: row {row}"


def _some_lines(file: IO[bytes]) -> list[bytes]:
    lines: list[bytes] = []
    size = 0
    while len(lines) < _AT_ONCE and size < _MAX_AT_ONCE and (line := file.readline(_LONGEST_LINE)):
        lines.append(line)
        size += len(line)
    return lines


def _objects(path: Path, before: int, lines: Sequence[bytes]) -> list[dict[str, Any]]:
    """The JSON objects of lines, read at once; one by one only to say which of them is none."""
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
        raise InputError(f"{path}:{number}: no JSON object", hint="the file is damaged or not devbench's")
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


def _types(pa: Any) -> dict[Kind, Any]:
    return {
        "time": pa.timestamp("us", "UTC"), "packed": pa.string(), "bool": pa.bool_(),
        "float": pa.float64(), "int": pa.int64(), "text": pa.string(),
    }  # fmt: skip


class _ParquetWriter:
    def __init__(self, path: Path, table: sa.Table) -> None:
        self._pa = _pyarrow()
        types = _types(self._pa)
        self._kinds = [kind_of(column) for column in columns_of(table)]
        columns = [
            self._pa.field(column.name, types[kind], nullable=bool(column.nullable))
            for column, kind in zip(columns_of(table), self._kinds, strict=True)
        ]
        self._schema = self._pa.schema(columns)
        self._file = self._pa.parquet.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, columns: Columns) -> None:
        pa = self._pa
        arrays: list[Any] = []
        for kind, field, values in zip(self._kinds, self._schema, columns, strict=True):
            if kind == "time":
                arrays.append(pa.array(values, pa.int64()).cast(field.type))
            elif kind == "packed":
                texts = [None if value is None else unpack_text(value) for value in values]
                arrays.append(pa.array(texts, field.type))
            else:
                arrays.append(pa.array(values, field.type))
        self._file.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        self._file.close()


def _read_parquet(path: Path, table: sa.Table) -> Iterator[Columns]:
    pa = _pyarrow()
    types = _types(pa)
    columns = columns_of(table)
    kinds = [kind_of(column) for column in columns]
    names = [column.name for column in columns]
    try:
        with open_inside(path.parent, path.name) as stream, pa.parquet.ParquetFile(stream) as file:
            missing = set(names) - set(file.schema_arrow.names)
            if missing:
                raise InputError(f"{path}: no column {min(missing)}", hint="the file is not devbench's")
            groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
            if any(group.total_byte_size > _LARGEST_GROUP for group in groups):
                raise InputError(f"{path}: a group of rows is larger than 2 GiB", hint="the file is not devbench's")
            done = 0
            for batch in file.iter_batches(batch_size=_AT_ONCE, columns=names):
                read: Columns = []
                for column, kind in zip(columns, kinds, strict=True):
                    values = batch.column(column.name).cast(types[kind])
                    listed = (values.cast(pa.int64()) if kind == "time" else values).to_pylist()
                    read.append(_values(path, done, column, kind, listed))
                done += batch.num_rows
                yield read
    except (pa.ArrowException, UnicodeDecodeError) as error:
        words = str(error).splitlines()[0]
        raise InputError(f"{path}: {words}", hint="the file is damaged or not devbench's") from None


def _values(path: Path, before: int, column: sa.Column[Any], kind: Kind, values: Sequence[Any]) -> Sequence[Any]:
    try:
        if kind == "packed":
            read = _packed(column, values)
        else:
            # A time is a number already.
            read = values if kind == "time" else from_json(column, kind, values)
        check(column, kind, read)
    except BadValue as error:
        raise refused(place(path, before + error.index + 1), error) from None
    return read


def _packed(column: sa.Column[Any], values: Sequence[Any]) -> Sequence[Any]:
    # Most of what processes say of a device is alike.
    packed: dict[Any, Any] = {None: None}
    for index, text in enumerate(values):
        if text not in packed:
            try:
                packed[text] = from_json(column, "packed", [json.loads(text)])[0]
            except BadValue as error:
                raise BadValue(column, error.what, index) from None
            except (ValueError, RecursionError):
                raise BadValue(column, "no JSON", index) from None
    return [packed[text] for text in values]
