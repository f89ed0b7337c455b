"""Opens SQLite files with the available rights, checks them before anything is read, and explains errors.

A file from elsewhere may hold more than rows: triggers, views in place of tables, computed columns, damaged pages. It
is opened for reading only, with limits, and refused if its tables are not those of devbench. Knows no query.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

BUSY_TIMEOUT_S = 60
_CACHE_KB = 64 * 1024
# Limits for a file from elsewhere: the time to read all of it, and the size of a value.
_LONGEST_READ_S = 3600.0
_LARGEST_VALUE_BYTES = 128 << 20
_STEPS_BETWEEN_LOOKS = 100_000
_MIN_RIGHTS = os.R_OK | os.W_OK

_FULL = ("disk is full", "No space left")
_DAMAGED = ("malformed", "not a database", "Could not decode to UTF-8", "disk image")


def can_write(file: Path) -> bool:
    """Whether an SQLite file, which needs further files next to it, can be written."""
    if file.exists():
        return os.access(file, _MIN_RIGHTS) and os.access(file.parent, os.W_OK)
    return True


def connect_to_read(file: Path, *, limited: bool) -> sqlite3.Connection:
    """Open a connection that writes nothing, also on media that cannot be written.

    Args:
        file: the database's file.
        limited: the file is from elsewhere, so the time and memory of a read are limited.
    """
    address = f"file:{quote(str(file))}"
    log = file.with_name(f"{file.name}-wal")
    if os.access(file.parent, os.W_OK):
        connection = _connect(f"{address}?mode=ro")
    elif not log.exists() or not log.stat().st_size:
        # Without `immutable`, SQLite would try to create files in a folder that cannot be written.
        connection = _connect(f"{address}?mode=ro&immutable=1")
    else:
        connection = _copied(file, log)
    connection.execute("PRAGMA query_only=ON")
    connection.execute("PRAGMA mmap_size=0")
    if limited:
        end = time.monotonic() + _LONGEST_READ_S
        connection.set_progress_handler(lambda: int(time.monotonic() > end), _STEPS_BETWEEN_LOOKS)
        if hasattr(connection, "setlimit"):
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_VALUE_BYTES)
    return connection


def _connect(address: str) -> sqlite3.Connection:
    return sqlite3.connect(address, uri=True, check_same_thread=False)


def _copied(file: Path, log: Path) -> sqlite3.Connection:
    """Return the database with the changes of its log, which SQLite cannot read in a folder that cannot be written."""
    with tempfile.TemporaryDirectory(prefix="devbench-") as folder:
        copy = Path(folder) / file.name
        shutil.copyfile(file, copy)
        shutil.copyfile(log, copy.with_name(log.name))
        found = sqlite3.connect(":memory:", check_same_thread=False)
        with sqlite3.connect(copy) as source:
            source.backup(found)
        source.close()
    return found


def prepare(connection: sqlite3.Connection, *, writes: bool) -> None:
    """Apply the settings of each connection."""
    # The driver's own transactions begin too late; those of `engine.py` begin with BEGIN.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}")
    if writes:
        # Readers do not wait for a run that writes, and a crash loses nothing that was committed.
        _write_ahead(connection)
    pragmas = ("synchronous=NORMAL", "foreign_keys=ON", f"cache_size=-{_CACHE_KB}", "trusted_schema=OFF")
    for pragma in (*pragmas, "cell_size_check=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _write_ahead(connection: Any) -> None:
    """Switch to a write-ahead log (WAL). SQLite's switch does not wait for other processes, so it is tried again."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def alien_parts(connection: sa.Connection, tables: Iterable[sa.Table]) -> str:
    """Return the parts of a database that devbench did not make, as text; empty if there are none."""
    known = {table.name: {column.name for column in table.columns} for table in tables}
    found: dict[str, set[str]] = {}
    for kind, name, text in connection.exec_driver_sql("SELECT type, name, substr(sql, 1, 40) FROM sqlite_master"):
        if kind == "trigger":
            return f"it has the trigger {name!s:.60}"
        if name in known and (kind != "table" or str(text).upper().startswith("CREATE VIRTUAL")):
            return f"{name} is not a table"
        if name in known and kind == "table":
            columns = connection.exec_driver_sql(f'PRAGMA table_xinfo("{name}")').all()
            if any(column[6] for column in columns):
                return f"{name} has computed columns"
            found[name] = {column[1] for column in columns}
    return differing(known, found)


def differing(known: Mapping[str, set[str]], found: Mapping[str, set[str]]) -> str:
    """Return as text which table or column is missing or unknown; empty if none is."""
    for name, columns in known.items():
        if name not in found:
            return f"it has no table {name}"
        if missing := columns - found[name]:
            return f"{name} has no column {min(missing)}"
        if more := found[name] - columns:
            return f"{name} has an unknown column {min(more)!s:.60}"
    return ""


def is_damage(error: BaseException) -> bool:
    """Whether SQLite says that the file itself is damaged."""
    return isinstance(error, sqlite3.Error) and any(words in str(error) for words in _DAMAGED)


def explained(error: BaseException) -> tuple[str, str]:
    """Return what is wrong and what to do for an error of the driver; empty if the error's own text is enough."""
    text = str(error)
    kinds = (
        (_FULL, "the disk is full", "make room, then run again"),
        (("disk I/O error",), "the disk cannot be read or written", "check the disk: is it full, or failing?"),
        (("not a database",), "the file is not an SQLite database", "name another --store, or restore it from a copy"),
        (("malformed", "disk image"), "the file is damaged", "restore it from a copy, or name another --store"),
        (("Could not decode",), "it has invalid text", "restore it from a copy, or name another --store"),
        (("readonly", "unable to open"), "no right to write to it", "give write access to the file and its folder"),
        (("locked", "busy"), "another process has it locked", "wait for that process to end, then try again"),
        (("interrupted",), "reading it takes too long", "it is damaged or not devbench's"),
        (
            ("no such table", "no such column", "has no column"),
            f"its tables are those of another devbench ({text[:80]})",
            "use the devbench that wrote it, or another --store",
        ),
    )
    return next(((what, hint) for signs, what, hint in kinds if any(sign in text for sign in signs)), ("", ""))
