"""Raw outputs on this machine's disk, compressed, and files of folders from outside; knows no database.

A raw output is written under another name and then renamed, so a file that exists is whole. In a folder from outside no
link is followed: a link would let its author read or write any file of this machine.
"""

from __future__ import annotations

import gzip
import os
import stat
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from devbench.errors import EnvironmentProblem, InputError

# Raw text shrinks to a tenth at any level, and a job must not wait for the last percent.
_LEVEL = 3
# Of a file from elsewhere a kilobyte may unpack to a megabyte.
MAX_RAW_BYTES = 256 << 20


class DamagedRaw(InputError):
    """A raw output is in the store, but cannot be unpacked."""


class Artifacts:
    """A folder of raw outputs, a folder a run."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, run_id: str, name: str, blocks: Iterable[bytes]) -> str:
        """Keep a raw output that comes in blocks; gives its path relative to the root.

        Raises:
            EnvironmentProblem: the disk does not take it.
        """
        relative = f"{run_id}/{name}.txt.gz"
        target = self.root / relative
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            with os.fdopen(handle, "wb") as file, gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed:
                for block in blocks:
                    packed.write(block)
            Path(part).replace(target)
        except OSError as error:
            raise EnvironmentProblem(
                f"cannot keep a raw output in {self.root}: {error.strerror or error}", hint="make room, then run again"
            ) from None
        return relative

    def read(self, relative: str) -> bytes:
        """The raw output at a path that `write` gave.

        Raises:
            DamagedRaw: it is there, but no whole gzip file, or larger than 256 MiB.
            InputError: it is not there any more, or is no file of this store.
        """
        try:
            parts_of(relative)
        except InputError:
            raise InputError(f"{relative[:200]} is not a raw output of this store") from None
        try:
            with open_inside(self.root, relative) as file, gzip.GzipFile(fileobj=file) as unpacked:
                data = unpacked.read(MAX_RAW_BYTES + 1)
                if not file.tell():
                    raise EOFError("the file is empty")
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DamagedRaw(f"raw output damaged: {relative} ({error})") from None
        except OSError as error:
            raise InputError(f"raw output {relative} cannot be read: {error.strerror or error}") from None
        if len(data) > MAX_RAW_BYTES:
            raise DamagedRaw(f"raw output damaged: {relative} (larger than {MAX_RAW_BYTES >> 20} MiB)")
        return data


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
