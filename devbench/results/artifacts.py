"""Raw outputs on this machine's disk, compressed; knows no database.

A file is written aside and moved into place, so that one that exists is whole.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from pathlib import Path

from devbench.errors import EnvironmentProblem, InputError

# Raw text shrinks to a tenth at any level, and a job must not wait for the last percent.
_LEVEL = 3


class Artifacts:
    """A folder of raw outputs, a folder a run."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, run_id: str, name: str, data: bytes) -> str:
        """Keep `data`; gives its path relative to the root.

        Raises:
            EnvironmentProblem: the disk does not take it.
        """
        relative = f"{run_id}/{name}.txt.gz"
        target = self.root / relative
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            with os.fdopen(handle, "wb") as file:
                file.write(gzip.compress(data, _LEVEL, mtime=0))
            Path(part).replace(target)
        except OSError as error:
            raise EnvironmentProblem(
                f"cannot keep a raw output in {self.root}: {error.strerror or error}", hint="make room, then run again"
            ) from None
        return relative

    def read(self, relative: str) -> bytes:
        """The raw output at a path that `write` gave.

        Raises:
            InputError: it is not there any more, or is damaged.
        """
        path = (self.root / relative).resolve()
        if self.root.resolve() not in path.parents:
            raise InputError(f"{relative} is not a raw output of this store")
        try:
            return gzip.decompress(path.read_bytes())
        except (OSError, EOFError) as error:
            raise InputError(f"raw output {path} cannot be read: {error}") from None
