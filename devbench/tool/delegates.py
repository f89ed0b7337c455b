"""Delegates from data files: the shipped `delegates.toml` and a user's own; knows no device."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from devbench.errors import InputError
from devbench.tomlfile import read_toml
from devbench.tool.case import Cache, Delegate, Expect, Parameter, Require, Requirements
from devbench.tool.flags import FLAG_NAME
from devbench.tool.measurement import ToolName

_SHIPPED = Path(__file__).with_name("delegates.toml")
_KEYS = {
    "title",
    "flags",
    "litert_flags",
    "reported_as",
    "require",
    "default",
    "files",
    "env",
    "note",
    "requires",
    "expect",
    "cache",
    "parameter",
}
_REQUIRES_KEYS = {"abi", "soc", "min_sdk", "library"}
_NAME = re.compile(r"[a-z0-9][a-z0-9._+-]{0,39}")
_ACCELERATOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LIBRARY = re.compile(r"(?:[A-Za-z0-9._+/-]{0,160}/)?[A-Za-z0-9_][A-Za-z0-9._+-]{0,60}\.so(?:\.\d{1,3}){0,3}")
# NNAPI chooses among named devices only since then.
_ACCELERATOR_SDK = 29


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
    """The delegate of that name, whatever the case of its letters; a parameter stands behind a colon.

    Raises:
        InputError: there is none, it takes no parameter, or lacks one; names those that there are.
    """
    word, colon, parameter = name.partition(":")
    found = known.get(word) or known.get(word.lower())
    if found is None:
        hint = f"known: {', '.join(known)}; or add yours with --delegates-file"
        raise InputError(f"unknown delegate {name!r}", hint=hint)
    if colon:
        return _with_parameter(found, parameter)
    if found.parameter == "library":
        hint = f"for example {found.name}:libs/libmine.so, or an entry of your own in --delegates-file"
        raise InputError(f"delegate {found.name!r} needs its library", hint=hint)
    return bare(found)


def _with_parameter(delegate: Delegate, parameter: str) -> Delegate:
    name = f"{delegate.name}:{parameter}"
    if not delegate.parameter:
        raise InputError(f"delegate {name!r}: {delegate.name} takes no parameter", hint=f"write {delegate.name} alone")
    form = _LIBRARY if delegate.parameter == "library" else _ACCELERATOR
    if not form.fullmatch(parameter):
        hint = "letters, digits and . _ -" if delegate.parameter == "accelerator" else "a path that ends in .so"
        raise InputError(f"delegate {name!r}: not a name for its {delegate.parameter}", hint=f"{hint}, without blanks")
    files, requires, word = delegate.files, delegate.requires, parameter
    if delegate.parameter == "library":
        files, word = (*files, str(Path(parameter).resolve())), Path(parameter).name
    else:
        requires = replace(requires, min_sdk=max(requires.min_sdk or 0, _ACCELERATOR_SDK))

    def filled(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        return tuple((key, value.replace("{parameter}", word)) for key, value in pairs)

    return replace(
        delegate,
        name=name,
        title=f"{delegate.title} {word}"[:80],
        flags=filled(delegate.flags),
        litert_flags=filled(delegate.litert_flags),
        env=filled(delegate.env),
        files=files,
        requires=requires,
        parameter="",
    )


def bare(delegate: Delegate) -> Delegate:
    """The delegate by its bare name: flags for an accelerator's name are left to the tool's defaults."""
    if delegate.parameter != "accelerator":
        return delegate

    def kept(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        return tuple((key, value) for key, value in pairs if "{parameter}" not in value)

    return replace(
        delegate,
        flags=kept(delegate.flags),
        litert_flags=kept(delegate.litert_flags),
        env=kept(delegate.env),
        parameter="",
    )


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
    expect, cache, parameter = table.get("expect", ""), table.get("cache", "kept"), table.get("parameter", "")
    if expect not in ("full", "partial", ""):
        raise InputError(f"{where}: expect = {expect!r}", hint='use "full" or "partial", or leave it out')
    if cache not in ("kept", "fresh"):
        raise InputError(f"{where}: cache = {cache!r}", hint='use "kept" or "fresh"')
    if parameter not in ("accelerator", "library", ""):
        raise InputError(f"{where}: parameter = {parameter!r}", hint='use "accelerator" or "library"')
    known_expect: Expect = expect
    known_cache: Cache = cache
    known_parameter: Parameter = parameter
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
        expect=known_expect,
        cache=known_cache,
        parameter=known_parameter,
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


def unmet(
    delegate: Delegate,
    *,
    tool: ToolName,
    abi: str,
    soc: str,
    sdk: int | None,
    present: Collection[str] | None = None,
    known_failures: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Why the delegate cannot run on a device, in words; empty where nothing is known against it.

    Args:
        tool: which of the two tools the device would run.
        abi, soc, sdk: of the device; unknown ones are not held against it.
        present: those of the required libraries that the device has; `None` where it was not asked.
        known_failures: delegate's name to why it is known to fail on this kind of device.
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
    if needs.library and present is not None and not set(needs.library) & set(present):
        reasons.append(f"the device has none of {', '.join(needs.library)}")
    failure = known_failures.get(delegate.name) or known_failures.get(delegate.name.partition(":")[0])
    if failure:
        reasons.append(f"known to fail here: {failure}")
    used = " ".join(value for _, value in (*delegate.flags, *delegate.litert_flags, *delegate.env))
    if delegate.parameter == "library":
        reasons.append(f"needs its library: {delegate.name}:PATH.so")
    elif "{files}" in used and not delegate.files:
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
