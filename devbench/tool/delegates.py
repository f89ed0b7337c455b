"""Delegates from data files: `delegates.toml`, which comes with devbench, and the user's; knows no device."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from devbench.errors import InputError
from devbench.host.toml_types import made
from devbench.host.tomlfile import check, read_toml, wrong
from devbench.text import near
from devbench.tool.case import Delegate
from devbench.tool.measurement import ToolName

Pair = tuple[str, str]
_SHIPPED = Path(__file__).with_name("delegates.toml")
NAME = re.compile(r"[a-z0-9][a-z0-9._+-]{0,39}")
_ACCELERATOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LIBRARY = re.compile(r"(?:[A-Za-z0-9._+/-]{0,160}/)?[A-Za-z0-9_][A-Za-z0-9._+-]{0,60}\.so(?:\.\d{1,3}){0,3}")
# NNAPI has named devices since this API level.
_ACCELERATOR_SDK = 29


def load_delegates(extra: Path | None = None) -> dict[str, Delegate]:
    """All delegates by name. Those of devbench come first; an entry of `extra` replaces one with the same name.

    Raises:
        InputError: a file cannot be read, or is not a file of delegates; the message has the entry and the key.
    """
    own = {} if extra is None else read_delegates(extra)
    return {**read_delegates(_SHIPPED, checked=False), **own}


def find_delegate(name: str, known: Mapping[str, Delegate]) -> Delegate:
    """The delegate with that name, case ignored; a parameter follows a colon.

    Raises:
        InputError: there is none, it takes no parameter, or it needs one; the hint has the known ones.
    """
    word, colon, parameter = name.partition(":")
    found = known.get(word) or known.get(word.lower())
    if found is None:
        raise InputError(f"unknown delegate {name!r}", hint=near(word, known, "all delegates: devbench delegates"))
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

    found = _with_pairs(delegate, lambda pair: (pair[0], pair[1].replace("{parameter}", word)))
    return replace(found, name=name, title=f"{delegate.title} {word}"[:80], files=files, requires=requires)


def bare(delegate: Delegate) -> Delegate:
    """The delegate without a parameter: flags that need an accelerator's name are left out."""
    if delegate.parameter != "accelerator":
        return delegate
    return _with_pairs(delegate, lambda pair: None if "{parameter}" in pair[1] else pair)


def _with_pairs(delegate: Delegate, change: Callable[[Pair], Pair | None]) -> Delegate:
    """A delegate without a parameter, its flags and environment changed; `None` leaves a pair out."""
    flags, litert_flags, env = (
        tuple(new for pair in pairs if (new := change(pair)) is not None)
        for pairs in (delegate.flags, delegate.litert_flags, delegate.env)
    )
    return replace(delegate, flags=flags, litert_flags=litert_flags, env=env, parameter="")


def read_delegates(path: Path, *, checked: bool = True) -> dict[str, Delegate]:
    """The delegates of a file by name; a file that is not checked must be right.

    Raises:
        InputError: with the file, the line, the entry and the key.
    """
    found = {}
    for name, table in read_toml(path).items():
        if checked:
            _check(path, name, table)
        one: Delegate = made(Delegate, table)
        found[name] = replace(
            one,
            name=name,
            title=(one.title or name)[:80],
            files=tuple(str((path.parent / file).resolve()) for file in one.files),
            note=one.note[:300],
        )
    return found


def _check(path: Path, name: str, table: Any) -> None:
    if not NAME.fullmatch(name):
        raise wrong("delegates", path, (name,), "is not a name for a delegate", "small letters, digits and . _ + -")
    if not isinstance(table, dict):
        raise wrong("delegates", path, (name,), "is not a table", f"write [{name}] and keys below it")
    check("delegates", path, table, Delegate, hint="docs/delegates.md has every key", below=(name,))


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
    """Reasons why the delegate cannot run on a device; empty if none is known.

    Args:
        tool: which of the two tools would run.
        abi, soc, sdk: those of the device; a requirement on an unknown one counts as met.
        present: the required libraries that the device has; `None` if that is unknown.
        known_failures: by the delegate's name, why it fails on this kind of device.
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
