"""Small tables that devbench keeps as JSON in its data folder, by key; knows nothing of what is in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from devbench.errors import EnvironmentProblem, InputError
from devbench.host.whole_files import write_whole

_MAX_BYTES = 1 << 20
_LOCK_TIMEOUT_S = 10.0

T = TypeVar("T")


def load(file: Path, entry: Callable[[Any], T], hint: str) -> dict[str, T]:
    """The table in a file; empty if there is none.

    Args:
        entry: makes a value of what JSON has for it; raises ValueError, TypeError or InputError for anything else.
        hint: what to do if the file is damaged.

    Raises:
        InputError: the file is damaged.
    """
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ValueError("it is too large")
        read = json.loads(file.read_text("utf-8"))
        if not isinstance(read, dict):
            raise ValueError("it is not a table")
        return {str(key): entry(value) for key, value in read.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, RecursionError, InputError) as error:
        raise InputError(f"{file}: cannot be used: {error}", hint=hint) from None


@contextmanager
def changing(file: Path, read: Callable[[], Mapping[str, T]]) -> Iterator[dict[str, T]]:
    """The table of a JSON file, written back if the block ends without an error; one process at a time.

    Raises:
        InputError: the file cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(str(file) + ".lock", timeout=_LOCK_TIMEOUT_S):
            book = dict(read())
            yield book
            write_whole(file, lambda part: part.write(json.dumps(book, indent=1, sort_keys=True) + "\n"))
    except (OSError, Timeout, EnvironmentProblem) as error:
        raise InputError(f"{file}: cannot be written: {error}", hint="make it writable, or set DEVBENCH_HOME") from None
