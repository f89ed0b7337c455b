"""Files of a folder that came from outside: opened without following any link, and regular files only.

A link in such a folder would let its author read or write any file of this machine. Knows no store and no format.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import IO

from devbench.errors import InputError

_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
# A FIFO would be waited for.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | _NO_LINK
_WALK = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NO_LINK
_BY_FOLDER = os.open in os.supports_dir_fd


def open_inside(root: Path, relative: str) -> IO[bytes]:
    """The regular file at `relative` below `root`, for reading. `root` itself may be a link.

    Raises:
        InputError: `relative` leads outside or over a link, or there is no regular file.
        FileNotFoundError: there is nothing.
        OSError: it cannot be read.
    """
    parts = parts_of(relative)
    if not _BY_FOLDER:
        return _open_by_path(root, parts, relative)
    folder = os.open(root, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        for part in parts[:-1]:
            # Also where a file or a link stands in place of a folder.
            inner = _opened(part, _WALK, folder, root, relative)
            os.close(folder)
            folder = inner
        return _regular(_opened(parts[-1], _READ, folder, root, relative), root, relative)
    finally:
        os.close(folder)


def parts_of(relative: str) -> list[str]:
    """The names that a relative path consists of.

    Raises:
        InputError: it leads outside, or is none.
    """
    parts = relative.split("/")
    if any(part in ("", ".", "..") or "\0" in part or os.sep in part or len(part) > 255 for part in parts):
        raise InputError(f"{relative[:200]!r} is no path within a folder")
    if os.name == "nt" and ":" in relative:
        raise InputError(f"{relative[:200]!r} is no path within a folder")
    return parts


def _opened(part: str, flags: int, folder: int, root: Path, relative: str) -> int:
    try:
        return os.open(part, flags, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        try:
            is_link = stat.S_ISLNK(os.lstat(part, dir_fd=folder).st_mode)
        except (OSError, ValueError):
            is_link = False
        if is_link:
            raise InputError(f"{root / relative}: {part} is a link; links are not followed") from None
        raise OSError(error.errno, error.strerror, str(root / relative)) from None


def _open_by_path(root: Path, parts: list[str], relative: str) -> IO[bytes]:
    path = root
    for part in parts:
        path /= part
        if stat.S_ISLNK(path.lstat().st_mode):
            raise InputError(f"{root / relative}: {part} is a link; links are not followed")
    return _regular(os.open(path, _READ), root, relative)


def _regular(number: int, root: Path, relative: str) -> IO[bytes]:
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise InputError(f"{root / relative} is no regular file")
    return os.fdopen(number, "rb")
