"""Reading the TOML files that people write: one clear line for each thing that can be wrong with the file itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from devbench.errors import InputError
from devbench.regular import other_than_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MOST_BYTES = 1 << 20


def read_toml(path: Path, title: str = "", hint: str = "mend the file") -> dict[str, Any]:
    """The tables of a file.

    Args:
        path: the file.
        title: what to call it in an error; its path where nothing is given.
        hint: the next step in an error.

    Raises:
        InputError: it cannot be read, is too large, or is not TOML.
    """
    name = title or str(path)
    try:
        if other := other_than_file(path):
            raise InputError(f"{name}: is {other}", hint="give the file itself")
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{name}: larger than {_MOST_BYTES >> 20} MiB", hint=hint)
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror or error}", hint="check the path") from None
    except (ValueError, RecursionError) as error:
        # Also what Python's own limits refuse, such as a number of thousands of digits.
        raise InputError(f"{name}: not TOML: {error}", hint=hint) from None
