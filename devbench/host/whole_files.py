"""Files of this machine: written next to their place and then moved there, so that a file that exists is complete; read
only if they are regular files.

Opening a pipe waits for its other end, perhaps forever, and a device such as /dev/zero has no end.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from devbench.errors import EnvironmentProblem, system_errors


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Turns errors of writing a report into one line with the next step.

    Raises:
        EnvironmentProblem: the folder cannot be written to.
    """
    with system_errors(f"cannot write the report to {folder}", "choose another folder with --out", EnvironmentProblem):
        yield


def write_whole(path: Path, write: Callable[[IO[str]], object], newline: str | None = None) -> None:
    """Write a text file next to its place and move it there, so that a file that exists is complete.

    Raises:
        EnvironmentProblem: it cannot be written.
    """
    with aside(path) as part, part.open("w", encoding="utf-8", newline=newline) as file:
        write(file)


def write_whole_bytes(path: Path, data: bytes) -> None:
    """Like `write_whole`, for bytes."""
    with aside(path) as part:
        part.write_bytes(data)


def _mode(path: Path) -> int:
    """The permissions for a file that replaces `path`: those of `path`, else those that the user's umask allows."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        umask = os.umask(0o077)
        os.umask(umask)
        return 0o666 & ~umask


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """A file in the folder of `path` that takes its place if the block ends without an error.

    Raises:
        EnvironmentProblem: it cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
        os.close(handle)
        part = Path(name)
        try:
            yield part
            part.chmod(_mode(path))
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise EnvironmentProblem(f"cannot write {path}: {error.strerror or error}", hint="is there room?") from None


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
    with system_errors(f"cannot write {path}"):
        yield
