"""Raw outputs on this machine's disk, compressed, and the files of imported folders; knows no database.

A raw output is written under another name and then renamed, so a file that exists is complete. In an imported folder,
no link is followed: a link would let its author read or write any file of this machine.
"""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from devbench.errors import EnvironmentProblem, InputError
from devbench.frozen import dataclass

# Every compression level shrinks raw text to a tenth; a low level is fast.
_LEVEL = 3
# The limit of an unpacked raw output, because a kilobyte of a file from elsewhere may unpack to a megabyte.
MAX_RAW_BYTES = 256 << 20


class DamagedRaw(InputError):
    """A raw output is in the store, but cannot be unpacked."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """The runs whose raw outputs were removed, or would be in a dry run; oldest first."""

    runs: tuple[str, ...]
    files: int
    size_bytes: int


class Artifacts:
    """The folder of raw outputs, with a folder for each run."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, run_id: str, name: str, data: bytes | Iterable[bytes]) -> str:
        """Write a raw output, or its blocks; return its path relative to the root.

        Raises:
            EnvironmentProblem: it cannot be written.
        """
        relative = f"{run_id}/{name}.txt.gz"
        target = self.root / relative
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            with os.fdopen(handle, "wb") as file, gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed:
                for block in [data] if isinstance(data, bytes) else data:
                    packed.write(block)
            Path(part).replace(target)
        except OSError as error:
            raise EnvironmentProblem(
                f"cannot keep a raw output in {self.root}: {error.strerror or error}", hint="make room, then run again"
            ) from None
        return relative

    def prune(self, run_ids: Iterable[str], *, dry_run: bool = False) -> Pruned:
        """Remove the raw outputs of runs.

        Raises:
            EnvironmentProblem: a file cannot be removed.
        """
        dropped, files, size_bytes = [], 0, 0
        for run_id in run_ids:
            folder = self.root / run_id
            # In a store from elsewhere, ids of runs may be any text.
            if folder.parent != self.root or folder.is_symlink() or not folder.is_dir():
                continue
            dropped.append(run_id)
            try:
                sizes = [path.lstat().st_size for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
                if not dry_run:
                    shutil.rmtree(folder)
            except OSError as error:
                raise EnvironmentProblem(f"cannot remove {folder}: {error.strerror or error}") from None
            files += len(sizes)
            size_bytes += sum(sizes)
        return Pruned(tuple(dropped), files, size_bytes)

    def read(self, relative: str) -> bytes:
        """Return the raw output at a path that `write` gave.

        Raises:
            DamagedRaw: it exists, but is not a complete gzip file, or is larger than 256 MiB.
            InputError: it does not exist any more, or is not in this store.
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


_NO_LINK = os.O_NOFOLLOW | os.O_CLOEXEC
# Opening a FIFO would wait.
_READ = os.O_RDONLY | os.O_NONBLOCK | _NO_LINK
_WALK = os.O_RDONLY | os.O_DIRECTORY | _NO_LINK


def open_inside(root: Path, relative: str) -> IO[bytes]:
    """Return the regular file at `relative` below `root`, for reading. `root` itself may be a link.

    Raises:
        InputError: `relative` leads outside or over a link, or there is not a regular file.
        FileNotFoundError: there is nothing.
        OSError: it cannot be read.
    """
    parts = parts_of(relative)
    number = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for place, part in enumerate(parts, 1):
            try:
                inner = os.open(part, _READ if place == len(parts) else _WALK, dir_fd=number)
            except OSError:
                if root.joinpath(*parts[:place]).is_symlink():
                    raise InputError(f"{root / relative}: {part} is a link; links are not followed") from None
                raise
            os.close(number)
            number = inner
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise InputError(f"{root / relative} is not a regular file")
    except BaseException:
        os.close(number)
        raise
    return os.fdopen(number, "rb")


def parts_of(relative: str) -> list[str]:
    """Return the names that a relative path consists of.

    Raises:
        InputError: it leads outside, or is not a path.
    """
    parts = relative.split("/")
    if any(part in ("", ".", "..") or "\0" in part or os.sep in part or len(part) > 255 for part in parts):
        raise InputError(f"{relative[:200]!r} is not a path within a folder")
    return parts
