"""Writes runs of a store to a folder and reads them: one file per table, a manifest, optionally raw outputs.

Rows from a folder or from another store are added to a store in one transaction, each row once.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import sqlalchemy as sa

from devbench import __version__
from devbench.errors import EnvironmentProblem, InputError
from devbench.results import schema
from devbench.results.artifacts import MAX_RAW_BYTES, open_inside, parts_of
from devbench.results.exchange.files import FORMATS, Format, open_writer, read_large
from devbench.results.exchange.merge import Merged, Progress, merge
from devbench.results.exchange.rows import TABLES, Columns, columns_of, damaged, refused, store_rows

if TYPE_CHECKING:
    from devbench.results.selection import Selection
    from devbench.results.store import Store


FORMAT = "devbench-export-3"
MANIFEST = "manifest.json"
RAW = "artifacts"
_LARGEST_MANIFEST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of an export as a source of rows; all files were checked against the manifest."""

    path: Path
    file_format: Format
    rows: dict[str, int]

    def batches(self, table: sa.Table) -> Iterator[Columns]:
        """Yield the rows of a table, some at a time."""
        return read_large(self.path / f"{table.name}.{self.file_format}", table, self.file_format)


def open_folder(path: Path) -> Folder:
    """Return the export in a folder.

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
            raise InputError(f"{file} is not the manifest of an export")
        found = json.loads(text.decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        hint = f"{MANIFEST} is missing: give a folder that `devbench export` wrote"
        raise InputError(f"there is no export in {path}", hint=hint) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot read {file}: {error}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(f"{file} is not the manifest of an export")
    if found.get("schema") != schema.HEAD:
        hint = "import it with the devbench that wrote it"
        raise InputError(f"{path} has schema {found.get('schema')!s:.20}, this devbench knows {schema.HEAD}", hint=hint)
    tables = found.get("tables")
    entries = [tables.get(table.name) for table in TABLES] if isinstance(tables, dict) else []
    whole = entries and all(isinstance(e, dict) and isinstance(e.get("rows"), int) and "sha256" in e for e in entries)
    if not whole or found.get("files") not in FORMATS:
        raise InputError(f"{file} is not the manifest of an export")
    return found


def import_folder(store: Store, folder: Folder, progress: Progress = lambda table, rows: None) -> Merged:
    """Add an export to a store; existing rows are not changed.

    Raises:
        InputError: its rows are not what a store can hold.
    """
    with store.database.writing() as connection:
        merged = merge(connection, folder.batches, progress)
        merged.raw = copy_raw(merged.raw_paths, folder.path, RAW, store.artifacts.root, merged.runs)
    return merged


def merge_store(store: Store, other: Store, progress: Progress = lambda table, rows: None) -> Merged:
    """Add all runs of another store, with their raw outputs; existing rows are not changed.

    Raises:
        InputError: its rows are not what a store can hold, or it is the same store.
    """
    if store.database.url == other.database.url:
        raise InputError("a store cannot be merged with itself")
    there = other.artifacts.root
    with other.database.reading() as reading, store.database.writing() as connection:
        runs = sa.select(schema.runs.c.run_id)
        source = partial(store_rows, reading, runs, other.database.shown, refused)
        merged = merge(connection, source, progress)
        merged.raw = copy_raw(merged.raw_paths, there.parent, there.name, store.artifacts.root, merged.runs)
    return merged


@dataclass(frozen=True, slots=True)
class Exported:
    """The result of an export: rows by table, and the number of raw outputs."""

    folder: Path
    rows: Mapping[str, int]
    raw: int


def export_store(
    store: Store,
    folder: Path,
    selection: Selection,
    *,
    file_format: Format = "jsonl",
    raw: bool = False,
    progress: Callable[[str, int], None] = lambda table, rows: None,
) -> Exported:
    """Write the runs of `selection` to a new or empty folder.

    The manifest is written last: a folder without it is incomplete.

    Raises:
        InputError: the folder is not empty, or no run matches.
        EnvironmentProblem: it cannot be written.
    """
    runs = sa.select(schema.runs.c.run_id).where(*selection.of_runs())
    rows: dict[str, int] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InputError(f"the folder {folder} is not empty", hint="name another one")
        raw_paths: list[str] = []
        with store.database.reading() as connection:
            chosen = set(connection.execute(runs).scalars())
            if not chosen:
                raise InputError("no run to export", hint="see `devbench runs`")
            for table in TABLES:
                names = [column.name for column in columns_of(table)]
                place = names.index("raw_path") if "raw_path" in names else None
                rows[table.name] = 0
                writer = open_writer(folder / f"{table.name}.{file_format}", table, file_format)
                try:
                    for batch in store_rows(connection, runs, store.database.shown, damaged, table):
                        writer.write(batch)
                        rows[table.name] += len(batch[0])
                        progress(table.name, rows[table.name])
                        if place is not None:
                            raw_paths += batch[place]
                finally:
                    writer.close()
        copied = copy_raw(raw_paths, store.artifacts.root, "", folder / RAW, chosen) if raw else 0
        _write_manifest(folder, file_format, rows)
    except BaseException as error:
        if rows:
            _remove_tables(folder, file_format)
        if isinstance(error, OSError):
            raise EnvironmentProblem(f"cannot write to {folder}: {error.strerror or error}") from None
        raise
    return Exported(folder, rows, copied)


def _remove_tables(folder: Path, file_format: Format) -> None:
    """Remove the files of an export that failed, so that it can be done again."""
    for table in TABLES:
        with suppress(OSError):
            (folder / f"{table.name}.{file_format}").unlink(missing_ok=True)


def _write_manifest(folder: Path, file_format: Format, rows: Mapping[str, int]) -> None:
    tables: dict[str, Any] = {}
    for name, count in rows.items():
        with (folder / f"{name}.{file_format}").open("rb") as file:
            tables[name] = {"rows": count, "sha256": sha256_of_stream(file)}
    manifest = {
        "format": FORMAT,
        "files": file_format,
        "schema": schema.HEAD,
        "devbench_version": __version__,
        "made_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "tables": tables,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")


def sha256_of_stream(file: Any) -> str:
    digest = hashlib.sha256()
    while part := file.read(1024 * 1024):
        digest.update(part)
    return digest.hexdigest()


def copy_raw(raw_paths: Iterable[str], root: Path, below: str, target: Path, runs: Container[str]) -> int:
    """Copy raw outputs that exist and are not yet in `target`; returns how many. Paths and files may be hostile.

    Args:
        raw_paths: relative, the first part is the id of the run.
        root: the folder that they come from, and `below` the names within it; no link is followed below `root`.
        target: the folder of raw outputs to copy to.
        runs: ids; raw outputs of other runs are not copied.

    Raises:
        EnvironmentProblem: they cannot be written.
    """
    copied = 0
    for raw_path in raw_paths:
        try:
            parts = parts_of(raw_path)
            if parts[0] not in runs or any(part.startswith(".") for part in parts):
                continue
            source = open_inside(root, f"{below}/{raw_path}" if below else raw_path)
        except (InputError, OSError):
            continue
        with source:
            copied += _copied(source, target, parts)
    return copied


def _copied(source: IO[bytes], target: Path, parts: list[str]) -> bool:
    """Write a raw output to its place, unless there is a file already or the path contains a link."""
    here = target.joinpath(*parts)
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(1, len(parts)):
            folder = target.joinpath(*parts[:number])
            if folder.is_symlink():
                return False
            folder.mkdir(mode=0o700, exist_ok=True)
        if here.is_symlink() or here.exists() or os.fstat(source.fileno()).st_size > MAX_RAW_BYTES:
            return False
        handle, part = tempfile.mkstemp(dir=here.parent, prefix=f".{here.name[:100]}.")
        try:
            with os.fdopen(handle, "wb") as file:
                shutil.copyfileobj(source, file)
            Path(part).replace(here)
        finally:
            Path(part).unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentProblem(f"cannot copy a raw output to {here}: {error.strerror or error}") from None
    return True
