"""Raw outputs on this machine's disk, compressed; knows no database.

A file is written aside and moved into place, so that one that exists is whole.
"""

from __future__ import annotations

import gzip
import os
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from devbench.errors import EnvironmentProblem, InputError
from devbench.results.inside import open_inside, parts_of

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
