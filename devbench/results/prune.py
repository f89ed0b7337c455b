"""Raw outputs dropped by their age: what was measured stays in the database, what the devices said goes."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from devbench.errors import EnvironmentProblem, InputError
from devbench.results import schema

if TYPE_CHECKING:
    from devbench.results.store import Store

_AGE = re.compile(r"(\d{1,5})\s*([hdwmy])")
_HOURS = {"h": 1, "d": 24, "w": 7 * 24, "m": 30 * 24, "y": 365 * 24}


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was dropped, or would be: raw outputs of these runs, oldest first."""

    runs: tuple[str, ...]
    files: int
    size_bytes: int


def parse_age(text: str) -> timedelta:
    """`90d`, `12w`, `6m` (of 30 days), `1y` (of 365), `36h`.

    Raises:
        InputError: it is none of these.
    """
    found = _AGE.fullmatch(text.strip())
    if not found:
        raise InputError(f"{text!r} is no age", hint="for example 90d, 12w, 6m or 1y")
    return timedelta(hours=int(found[1]) * _HOURS[found[2]])


def prune(store: Store, older_than: timedelta, now: datetime, *, dry_run: bool = False) -> Pruned:
    """Drop the raw outputs of runs that started longer ago than that; no row of the database changes.

    Raises:
        EnvironmentProblem: a file cannot be removed.
    """
    runs = schema.runs
    query = sa.select(runs.c.run_id).where(runs.c.started_utc < now - older_than).order_by(runs.c.started_utc)
    with store.database.reading() as connection:
        old = list(connection.execute(query).scalars())
    dropped, files, size_bytes = [], 0, 0
    for run_id in old:
        folder = store.artifacts.root / run_id
        # A store from elsewhere may call its runs what it likes.
        if folder.parent != store.artifacts.root or folder.is_symlink() or not folder.is_dir():
            continue
        sizes = _sizes(folder)
        if not dry_run:
            _remove(folder)
        dropped.append(run_id)
        files += len(sizes)
        size_bytes += sum(sizes)
    return Pruned(tuple(dropped), files, size_bytes)


def _sizes(folder: Path) -> list[int]:
    """The sizes of the files below a folder; one that is deleted meanwhile is left out."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                found.append(Path(place, name).lstat().st_size)
    return found


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise EnvironmentProblem(f"cannot remove {folder}: {error.strerror or error}") from None
