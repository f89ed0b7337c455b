"""Locks for one process at a time. The system releases a lock when its process ends; the lock's file names the process.

A file that is left from a process that has ended locks nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from devbench.errors import EXIT_ENVIRONMENT, EnvironmentProblem
from devbench.text import clean

_MAX_HOLDER_BYTES = 400


class Held(EnvironmentProblem):
    """Another process holds the lock; `holder` describes that process."""

    transient = True

    def __init__(self, what: str, holder: str, *, hint: str = "", exit_code: int = EXIT_ENVIRONMENT) -> None:
        super().__init__(f"{what} ({holder})" if holder else what, hint=hint)
        self.holder = holder
        self.exit_code = exit_code


@contextmanager
def hold(
    path: Path, *, held: str, hint: str = "", wait_s: float = 0.0, exit_code: int = EXIT_ENVIRONMENT
) -> Iterator[None]:
    """Hold the lock of that file while the block runs; the file is removed afterwards.

    Args:
        path: the lock's file, on a disk of this machine; made if it is missing.
        held, hint, exit_code: the error if another process holds it.
        wait_s: how long to wait for that process.

    Raises:
        Held: another process holds it for more than `wait_s` seconds.
        EnvironmentProblem: the file cannot be made.
    """
    from filelock import FileLock, Timeout

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire(timeout=wait_s)
    except Timeout:
        raise Held(held, _holder(path), hint=hint, exit_code=exit_code) from None
    except OSError as error:
        raise EnvironmentProblem(f"cannot lock {path}: {error.strerror or error}", hint="make it writable") from None
    try:
        now = datetime.now(timezone.utc)
        path.write_text(f"process {os.getpid()} on {socket.gethostname()} since {now:%Y-%m-%d %H:%M:%S} UTC\n", "utf-8")
        yield
    finally:
        # Removed while it is held, so that a waiting process notices that the file is another one.
        path.unlink(missing_ok=True)
        lock.release()


def is_held(path: Path) -> bool:
    """Whether a process holds the lock of that file. The check takes a free lock for a moment."""
    from filelock import FileLock, Timeout

    if not path.is_file():
        return False
    try:
        with FileLock(path).acquire(timeout=0):
            return False
    except (Timeout, OSError):
        return True


def _holder(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return clean(file.read(_MAX_HOLDER_BYTES).decode("utf-8", "replace"))
    except OSError:
        return ""
