"""User-defined delegates on a farm: entries as JSON, libraries by hash. Does not depend on the database or phones.

Flags and environment variables cannot contain a path, except to a file of the delegate: `{files}/libmine.so`. An
entry's requirements on devices are not sent: the submission selects the phones.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, get_args

from devbench.errors import InputError
from devbench.host.paths import cache_dir
from devbench.host.whole_files import write_whole
from devbench.tool.case import FLAG_NAME, Cache, Delegate, Require
from devbench.tool.delegates import NAME, load_delegates

_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FLAG = re.compile(FLAG_NAME)
_VALUE = re.compile(r"(?:\{(?:files|cache|model)\}/?)?[A-Za-z0-9 ._:,=+{}@-]{0,200}")
_TITLE = re.compile(r"[^\x00-\x1f\x7f]{0,80}")
_PAIRS = ("flags", "litert_flags", "env")
_CHOICES = {"require": get_args(Require), "cache": get_args(Cache)}
_KEYS = {"title", "reported_as", "files", *_PAIRS, *_CHOICES}
_MOST = 64


class Files(Protocol):
    """A storage of files by their SHA-256 (`devbench.farm.storage`)."""

    def put(self, file: Path) -> str:
        """Store a file and return its SHA-256."""

    def fetch(self, sha256: str) -> Path:
        """Fetch the file with that hash and return its path on this host."""


def to_json(used: Sequence[Delegate], files: Files) -> dict[str, dict[str, Any]]:
    """Return the entries of the delegates that devbench does not ship, and put their files into the storage.

    Raises:
        InputError: a file of a delegate cannot be read.
    """
    shipped = load_delegates()
    return {
        one.name: {
            "title": one.title,
            "reported_as": list(one.reported_as),
            "files": [{"name": Path(file).name, "sha256": files.put(Path(file))} for file in one.files],
            **{name: dict(getattr(one, name)) for name in _PAIRS},
            **{name: getattr(one, name) for name in _CHOICES},
        }
        for one in dict.fromkeys(used)
        if one.files or one.name.partition(":")[0] not in shipped
    }


def read(values: Any) -> dict[str, dict[str, Any]]:
    """Check entries from JSON and return them unchanged.

    Raises:
        InputError: an entry has a field or a value that is not allowed.
    """
    if not isinstance(values, dict) or len(values) > _MOST:
        raise _refused("they are not a table")
    for name, table in values.items():
        if not _fits(NAME, name) or not isinstance(table, dict) or set(table) != _KEYS:
            raise _refused(f"{name!r:.60} is not an entry")
        words = [(_TITLE, table["title"]), *((_TITLE, text) for text in _list(table["reported_as"]))]
        for key in _PAIRS:
            if not isinstance(table[key], dict) or len(table[key]) > _MOST:
                raise _refused(f"{key} of {name} are not a table")
            words += [pair for flag, value in table[key].items() for pair in ((_FLAG, flag), (_VALUE, value))]
        for file in _list(table["files"]):
            if not isinstance(file, dict) or set(file) != {"name", "sha256"}:
                raise _refused(f"a file of {name} is not a name and a SHA-256")
            words += [(_FILE, file["name"]), (_SHA256, file["sha256"])]
        wrong = next((text for allowed, text in words if not _fits(allowed, text)), None)
        if wrong is not None or any(table[key] not in allowed for key, allowed in _CHOICES.items()):
            raise _refused(f"{name} has {wrong!r:.60}")
    return values


def to_file(entries: Mapping[str, Mapping[str, Any]], files: Files) -> Path:
    """Write a delegates file with these entries on this host, with the libraries next to it, and return its path.

    Raises:
        EnvironmentProblem: a library cannot be fetched.
    """
    digest = hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()
    folder = cache_dir() / "farm-delegates" / digest
    lines = []
    for name, table in entries.items():
        places = []
        for file in table["files"]:
            place = folder / name / file["name"]
            place.parent.mkdir(parents=True, exist_ok=True)
            fetched, new = files.fetch(file["sha256"]), place.with_name(f".{place.name}.{os.getpid()}")
            new.unlink(missing_ok=True)
            # The cache may remove its copy later; a hard link keeps the file.
            os.link(fetched, new)
            new.replace(place)
            places.append(f"{name}/{file['name']}")
        lines.append(f"[{json.dumps(name)}]")
        values = {key: table[key] for key in ("title", "reported_as", *_CHOICES)}
        lines += [f"{key} = {json.dumps(value)}" for key, value in {**values, "files": places}.items()]
        for key in _PAIRS:
            pairs = ", ".join(f"{json.dumps(flag)} = {json.dumps(value)}" for flag, value in table[key].items())
            lines.append(f"{key} = {{ {pairs} }}")
    write_whole(folder / "delegates.toml", lambda part: part.write("\n".join(lines) + "\n"))
    return folder / "delegates.toml"


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > _MOST:
        raise _refused("a list of an entry is none")
    return value


def _fits(allowed: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and allowed.fullmatch(value) is not None


def _refused(what: str) -> InputError:
    return InputError(
        f"the farm's job is refused: its delegates: {what}", hint="use {files}/NAME for files of the entry"
    )
