"""Files of this machine that a user names: only regular files are read.

Opening a pipe waits for its other end, perhaps forever, and a device such as /dev/zero has no end.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devbench.errors import InputError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def other_than_file(path: Path) -> str:
    """What is at `path` instead of a file, such as "a folder"; empty for a file, and if nothing is there.

    Raises:
        OSError: it cannot be read, for a reason other than its absence.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a failure of the operating system to write `path` into an InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
