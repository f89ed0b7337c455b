"""A large file of an export, read by a process of its own while this one fills the database; knows no store.

Reading costs about as much as adding the rows, so that two cores halve the time; and a file that brings down the reader
of Parquet brings down that process only.
"""

from __future__ import annotations

import marshal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from devbench.errors import InputError
from devbench.results.exchange.files import FORMATS, Format, read_file
from devbench.results.exchange.source import Columns
from devbench.results.exchange.tables import TABLES

# A process takes half a second to start; smaller files are read in less.
_LARGE_BYTES = 4 * 1024 * 1024
_LENGTH_BYTES = 8


def read_large(path: Path, table: sa.Table, file_format: Format) -> Iterator[Columns]:
    """As `files.read_file`, in another process where the file is large.

    Raises:
        InputError: as `files.read_file`.
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
    """The next rows; nothing at the end."""
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
