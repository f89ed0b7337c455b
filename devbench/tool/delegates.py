"""Delegates from data files: the shipped `delegates.toml` and a user's own; knows no device."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devbench.errors import InputError
from devbench.tomlfile import read_toml
from devbench.tool.case import Delegate, Require, Requirements
from devbench.tool.flags import FLAG_NAME
from devbench.tool.measurement import ToolName

_SHIPPED = Path(__file__).with_name("delegates.toml")
_KEYS = {"title", "flags", "litert_flags", "reported_as", "require", "default", "files", "env", "note", "requires"}
_REQUIRES_KEYS = {"abi", "soc", "min_sdk", "library"}
_NAME = re.compile(r"[a-z0-9][a-z0-9._+-]{0,39}")


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
    tables = read_toml(path)
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
    files, note, default = table.get("files", []), table.get("note", ""), table.get("default", False)
    if not isinstance(files, list) or not all(isinstance(f, str) for f in files):
        raise InputError(f"{where}: files is not a list of texts", hint='for example files = ["libs/libQnnHtp.so"]')
    if not isinstance(note, str) or not isinstance(default, bool):
        raise InputError(f"{where}: note is text and default is true or false", hint="mend the entry")
    known_require: Require = require
    return Delegate(
        name=name,
        title=title[:80],
        flags=_flags(where, table.get("flags", {})),
        litert_flags=_flags(where, table.get("litert_flags", {})),
        reported_as=tuple(reported),
        require=known_require,
        default=default,
        files=tuple(str((path.parent / file).resolve()) for file in files),
        env=_flags(where, table.get("env", {})),
        note=note[:300],
        requires=_requires(where, table.get("requires", {})),
    )


def _requires(where: str, table: Any) -> Requirements:
    if not isinstance(table, dict) or not set(table) <= _REQUIRES_KEYS:
        raise InputError(f"{where}: requires is a table of {', '.join(sorted(_REQUIRES_KEYS))}", hint="mend the entry")
    abi, soc, sdk = table.get("abi", ""), table.get("soc", ""), table.get("min_sdk")
    library = table.get("library", [])
    for name, pattern in (("abi", abi), ("soc", soc)):
        try:
            re.compile(pattern)
        except (re.error, ValueError, TypeError, RecursionError, OverflowError) as error:
            raise InputError(f"{where}: requires.{name} is not a regular expression: {error}", hint="mend it") from None
    if not (sdk is None or (isinstance(sdk, int) and not isinstance(sdk, bool))):
        raise InputError(f"{where}: requires.min_sdk is not a whole number", hint="for example min_sdk = 29")
    if not isinstance(library, list) or not all(isinstance(p, str) for p in library):
        raise InputError(f"{where}: requires.library is not a list of paths", hint="mend the entry")
    return Requirements(abi, soc, sdk, tuple(library))


def unmet(delegate: Delegate, *, tool: ToolName, abi: str, soc: str, sdk: int | None) -> list[str]:
    """Why the delegate cannot run on a device, in words; empty where nothing is known against it.

    Args:
        tool: which of the two tools the device would run.
        abi, soc, sdk: of the device; unknown ones are not held against it.
    """
    needs = delegate.requires
    reasons = []
    if not (delegate.litert_flags if tool == "litert" else delegate.flags):
        which = "LiteRT's" if tool == "litert" else "TensorFlow Lite's"
        reasons.append(f"{which} benchmark_model has no flags for it")
    if needs.abi and abi and not re.fullmatch(needs.abi, abi, re.IGNORECASE):
        reasons.append(f"not for {abi}")
    if needs.soc and soc and not re.fullmatch(needs.soc, soc, re.IGNORECASE):
        reasons.append(f"not for the SoC {soc}")
    if needs.min_sdk is not None and sdk is not None and sdk < needs.min_sdk:
        reasons.append(f"needs Android API {needs.min_sdk}, the device has {sdk}")
    used = " ".join(value for _, value in (*delegate.flags, *delegate.litert_flags, *delegate.env))
    if "{files}" in used and not delegate.files:
        reasons.append("needs files: copy its entry into a file of your own and add them")
    missing = [file for file in delegate.files if not Path(file).is_file()]
    return reasons + [f"{file} does not exist" for file in missing]


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
