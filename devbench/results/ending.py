"""Stores the end of a run even if the disk is full, and says how a run ended whose process died. Knows no device and no
plan.

For a full disk, two small files per run are kept next to the raw outputs from its start. The first is removed if the
database cannot take the end of the run, to make room for it. If that is not enough, the end is written into the second
one, in place, which needs no more room. The next process that opens the store applies it.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from devbench.host.locks import is_held
from devbench.host.paths import data_dir

_FOLDER = ".ends"
_ROOM_BYTES = 256 * 1024
_END_BYTES = 4096
# The age at which the files of killed runs are removed if the runs were not resumed.
_OLD_S = 7 * 24 * 3600.0


def keep_room(root: Path, run_id: str) -> None:
    """Reserve disk space for the end of a run; without it, the end may be lost on a full disk."""
    with suppress(OSError):
        (root / _FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, data in ((f"{run_id}.room", os.urandom(_ROOM_BYTES)), (f"{run_id}.end", b" " * _END_BYTES)):
            with (root / _FOLDER / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())


def make_room(root: Path, run_id: str) -> bool:
    """Free the disk space that was reserved for a run's end; return whether there was any."""
    try:
        (root / _FOLDER / f"{run_id}.room").unlink()
    except OSError:
        return False
    return True


def note_end(root: Path, run_id: str, values: Mapping[str, str]) -> None:
    """Write how a run ended to a file, for the next process that opens the store; errors are ignored."""
    # A character takes at most twelve bytes in JSON, so 300 characters fit into the file.
    cut = {name: value[:300] for name, value in values.items()}
    data = json.dumps(cut).encode("ascii")[:_END_BYTES].ljust(_END_BYTES)
    with suppress(OSError), (root / _FOLDER / f"{run_id}.end").open("r+b") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def forget(root: Path, run_id: str) -> None:
    """Remove the files of a run that ended."""
    for name in (f"{run_id}.room", f"{run_id}.end"):
        with suppress(OSError):
            (root / _FOLDER / name).unlink(missing_ok=True)


def noted_ends(root: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the runs whose end could not be stored, with the values given to `note_end`."""
    for file in sorted((root / _FOLDER).glob("*.end")):
        try:
            data = file.read_bytes()[:_END_BYTES].strip()
            if not data and time.time() - file.stat().st_mtime > _OLD_S:
                forget(root, file.stem)
            values = json.loads(data) if data else None
        except (OSError, ValueError):
            continue
        if isinstance(values, dict) and all(isinstance(value, str) for value in values.values()):
            yield file.stem, values


def lock_of(run_id: str) -> Path:
    """Return the lock that the process which measures a run holds, on its machine."""
    return data_dir() / "locks" / f"run-{run_id}.lock"


def end_text(run_id: str, status: str, end_reason: str, host: str, *, pipeline: bool) -> str:
    """Return how a run ended and why, as text; also for a process that died without storing an end."""
    if status == "running" and host == socket.gethostname() and not is_held(lock_of(run_id)):
        step = "measure it again" if pipeline else f"`devbench run --resume {run_id}` measures the rest"
        return f"running: its process ended without closing it; {step}"
    return f"{status}: {end_reason}" if end_reason else status
