"""An export's folder, or another store, into a store: each row once, all of it or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from devbench.errors import InputError
from devbench.results import schema
from devbench.results.exchange.export import FORMAT, MANIFEST, RAW, copy_raw, sha256_of_stream
from devbench.results.exchange.files import FORMATS, Format, place
from devbench.results.exchange.merge import Merged, Progress, merge
from devbench.results.exchange.reader import read_large
from devbench.results.exchange.source import Columns, StoreSource, refused
from devbench.results.exchange.tables import TABLES
from devbench.results.inside import open_inside

if TYPE_CHECKING:
    from devbench.results.store import Store

_LARGEST_MANIFEST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of it, and how many raw outputs were copied."""

    merged: Merged
    raw: int


@dataclass(frozen=True, slots=True)
class Folder:
    """An export's folder as a source of rows; every file is what the manifest says it is."""

    path: Path
    file_format: Format
    rows: dict[str, int]

    def batches(self, table: sa.Table) -> Iterator[Columns]:
        """As `RowSource.batches`."""
        yield from read_large(self.path / f"{table.name}.{self.file_format}", table, self.file_format)

    def place(self, table: sa.Table, row: int) -> str:
        """As `RowSource.place`."""
        return place(self.path / f"{table.name}.{self.file_format}", row)


def open_folder(path: Path) -> Folder:
    """The export in a folder.

    Raises:
        InputError: there is none, a newer devbench wrote it, or a file was changed, cut or is missing.
    """
    manifest = _manifest(path)
    tables = manifest["tables"]
    folder = Folder(path, manifest["files"], {name: tables[name]["rows"] for name in tables})
    for table in TABLES:
        file = path / f"{table.name}.{folder.file_format}"
        try:
            with open_inside(path, file.name) as stream:
                same = sha256_of_stream(stream) == tables[table.name]["sha256"]
        except OSError as error:
            raise InputError(f"cannot read {file}: {error.strerror or error}") from None
        if not same:
            raise InputError(f"{file} is not what {MANIFEST} says", hint="it was changed or cut: copy it once more")
    return folder


def _manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    try:
        with open_inside(path, MANIFEST) as stream:
            text = stream.read(_LARGEST_MANIFEST + 1)
        if len(text) > _LARGEST_MANIFEST:
            raise InputError(f"{file} is no manifest of an export")
        found = json.loads(text.decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"there is no export in {path}", hint=f"{MANIFEST} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read {file}: {error}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(f"{file} is no manifest of an export")
    if found.get("schema") != schema.HEAD:
        hint = "import it with the devbench that wrote it"
        raise InputError(f"{path} has schema {found.get('schema')!s:.20}, this devbench knows {schema.HEAD}", hint=hint)
    tables = found.get("tables")
    entries = [tables.get(table.name) for table in TABLES] if isinstance(tables, dict) else []
    whole = entries and all(isinstance(e, dict) and isinstance(e.get("rows"), int) and "sha256" in e for e in entries)
    if not whole or found.get("files") not in FORMATS:
        raise InputError(f"{file} is no manifest of an export")
    return found


def import_folder(store: Store, folder: Folder, progress: Progress = lambda table, rows: None) -> Loaded:
    """Add an export to a store; what is there already is left as it is.

    Raises:
        InputError: its rows are not what a store can hold.
    """
    with store.transaction() as connection:
        merged = merge(connection, folder, progress)
        raw = copy_raw(merged.raw_paths, folder.path, RAW, store.artifacts.root, merged.runs)
    return Loaded(merged, raw)


def merge_store(store: Store, other: Store, progress: Progress = lambda table, rows: None) -> Loaded:
    """Add all runs of another store, with their raw outputs; what is there already is left as it is.

    Raises:
        InputError: its rows are not what a store can hold, or it is the same store.
    """
    if store.database.url == other.database.url:
        raise InputError("a store cannot be merged with itself")
    there = other.artifacts.root
    with other.database.reading() as reading, store.transaction() as connection:
        source = StoreSource(reading, sa.select(schema.runs.c.run_id), other.database.shown, refused)
        merged = merge(connection, source, progress)
        raw = copy_raw(merged.raw_paths, there.parent, there.name, store.artifacts.root, merged.runs)
    return Loaded(merged, raw)
