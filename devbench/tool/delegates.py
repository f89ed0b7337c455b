"""Delegates from data files: the shipped `delegates.toml` and a user's own; knows no device."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devbench.errors import InputError
from devbench.tool.case import Delegate, Require
from devbench.tool.flags import FLAG_NAME

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_SHIPPED = Path(__file__).with_name("delegates.toml")
_KEYS = {"title", "flags", "litert_flags", "reported_as", "require"}
_NAME = re.compile(r"[a-z0-9][a-z0-9._+-]{0,39}")
_MOST_BYTES = 1 << 20


def load_delegates(extra: Path | None = None) -> dict[str, Delegate]:
    """All delegates by name, the shipped ones first; an entry of `extra` replaces a shipped one of its name.

    Raises:
        InputError: a file cannot be read, or is not a file of delegates; names the entry and the key.
    """
    delegates = _read(_SHIPPED)
    if extra is not None:
        delegates |= _read(extra)
    return delegates


def find_delegate(name: str, known: Mapping[str, Delegate]) -> Delegate:
    """The delegate of that name, whatever the case of its letters.

    Raises:
        InputError: there is none; names those that there are.
    """
    found = known.get(name) or known.get(name.lower())
    if found is None:
        hint = f"known: {', '.join(known)}; or add yours with --delegates-file"
        raise InputError(f"unknown delegate {name!r}", hint=hint)
    return found


def _read(path: Path) -> dict[str, Delegate]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path} is larger than {_MOST_BYTES >> 20} MiB", hint="is it a file of delegates?")
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", hint="check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not TOML: {error}", hint="mend the file") from None
    return {name: _delegate(path, name, table) for name, table in tables.items()}


def _delegate(path: Path, name: str, table: Any) -> Delegate:
    where = f"{path}: [{name}]"
    if not _NAME.fullmatch(name):
        raise InputError(f"{where}: not a name for a delegate", hint="small letters, digits and . _ + -")
    if not isinstance(table, dict):
        raise InputError(f"{where}: not a table", hint=f"write [{name}] and keys below it")
    unknown = set(table) - _KEYS
    if unknown:
        raise InputError(f"{where}: unknown key {min(unknown)}", hint=f"keys are {', '.join(sorted(_KEYS))}")
    require = table.get("require", "any")
    if require not in ("any", "full"):
        raise InputError(f"{where}: require = {require!r}", hint='use "any" or "full"')
    title = table.get("title", name)
    reported = table.get("reported_as", [])
    if not isinstance(title, str) or not isinstance(reported, list) or not all(isinstance(n, str) for n in reported):
        raise InputError(f"{where}: title is text and reported_as a list of texts", hint="mend the entry")
    known_require: Require = require
    return Delegate(
        name=name,
        title=title[:80],
        flags=_flags(where, table.get("flags", {})),
        litert_flags=_flags(where, table.get("litert_flags", {})),
        reported_as=tuple(reported),
        require=known_require,
    )


def _flags(where: str, table: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(table, dict):
        raise InputError(f"{where}: flags are a table", hint='for example flags = { use_gpu = "true" }')
    flags = []
    for name, value in table.items():
        if not re.fullmatch(FLAG_NAME, name):
            raise InputError(f"{where}: {name!r} is not a flag's name", hint="without dashes, as in use_gpu")
        if isinstance(value, bool):
            value = "true" if value else "false"
        if not isinstance(value, (str, int, float)):
            raise InputError(f"{where}: the value of {name} is neither text nor number", hint="quote it")
        flags.append((name, str(value)))
    return tuple(flags)
