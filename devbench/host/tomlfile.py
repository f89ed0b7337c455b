"""The TOML files that people write: read within bounds, checked against the dataclass of their top table.

Every error is one line that names the file, the line, the key and the next step. The fields of the dataclasses have the
types in `toml_types`. pydantic is imported only when a file is checked, since that takes longer than many commands run.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from devbench.errors import InputError
from devbench.host.toml_types import keys_of, shown
from devbench.host.whole_files import other_than_file
from devbench.text import clean, near

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from pydantic import TypeAdapter

At = tuple[str | int, ...]
_MAX_BYTES = 1 << 20
_MAX_NAME = 80
_MAX_ERRORS = 20


def read_toml(path: Path, title: str = "", hint: str = "fix the file") -> dict[str, Any]:
    """The tables of a file.

    Args:
        path: the file.
        title: its name in an error; its path by default.
        hint: the next step in an error.

    Raises:
        InputError: it cannot be read, is too large, or is not TOML.
    """
    name = title or str(path)
    try:
        if other := other_than_file(path):
            raise InputError(f"{name}: is {other}", hint="give the file itself")
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{name}: larger than {_MAX_BYTES >> 20} MiB", hint=hint)
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror or error}", hint="check the path") from None
    except (ValueError, RecursionError) as error:
        # Python's own limits, too: a number of thousands of digits is a ValueError.
        raise InputError(f"{name}: not TOML: {error}", hint=hint) from None


def wrong(kind: str, path: Path, at: At, what: str, hint: str) -> InputError:
    """An error about a place in a file, with its line.

    Args:
        kind: what the file is, such as `suite`.
        path: the file.
        at: the keys and the positions in lists that lead to the place.
        what: what is wrong there: the end of the sentence, or a colon and a sentence.
        hint: the next step.
    """
    from devbench.host.toml_lines import key_lines

    try:
        lines = key_lines(path.read_text("utf-8", "replace"))
    except OSError:
        lines = {}
    found = at
    while found not in lines and len(found) > 1:
        found = found[:-1]
    line = lines.get(found, 0)
    shown = clean(".".join(str(part) for part in at if isinstance(part, str)), _MAX_NAME)
    where = f"{path}:{line}" if line else str(path)
    between = " " if shown and not what.startswith(":") else ""
    return InputError(f"{kind} {where}: {shown}{between}{what}", hint=hint)


@functools.cache
def checker(table: type) -> TypeAdapter[Any]:
    """What checks a table against its dataclass."""
    from pydantic import TypeAdapter, with_config

    return TypeAdapter(with_config({"extra": "forbid"})(table))


def check(kind: str, path: Path, values: Mapping[str, Any], table: type, *, hint: str = "", below: At = ()) -> None:
    """Refuse a file that does not fit its dataclass.

    Args:
        kind: what the file is, such as `suite`.
        path: the file.
        values: its tables, as `read_toml` gives them, or one of them.
        table: the dataclass with the keys and values that it may contain.
        hint: the next step, if the key has no description.
        below: the keys that lead to `values`.

    Raises:
        InputError: the first error in the order of the file; `more` has the others.
    """
    from pydantic import ValidationError

    try:
        checker(table).validate_python(values)
    except ValidationError as error:
        errors = error.errors(include_url=False)[:_MAX_ERRORS]
        found = sorted((_explained(kind, path, one, table, hint, below) for one in errors), key=_line)
        found[0].more = tuple(found[1:])
        raise found[0] from None


def _line(error: InputError) -> int:
    number = error.what.split(": ", 1)[0].rpartition(":")[2]
    return int(number) if number.isdigit() else 0


def _explained(kind: str, path: Path, error: Any, table: type, hint: str, below: At) -> InputError:
    """An error of pydantic as a person reads it."""
    # pydantic's mark for an error in a key, not in its value.
    at: At = tuple(part for part in error["loc"] if part != "[key]")
    _, declared, described = _walk(table, at)
    described = described or hint
    if error["type"] == "words":
        what, hint = error["ctx"]["what"], error["ctx"]["hint"] or described
    elif error["type"] == "literal_error":
        known = get_args(declared)
        what = f"{shown(error['input'])} is unknown"
        hint = near(str(error["input"]), known, f"use {' or '.join(filter(None, known))}")
    elif error["type"] == "unexpected_keyword_argument":
        what, hint = _unknown(kind, str(at[-1]), below + at[:-1], table, _walk(table, at[:-1])[0] or table)
    elif error["type"] == "missing":
        at, needed = at[:-1], str(at[-1])
        number = f"{at[-1] + 1} " if at and isinstance(at[-1], int) else ""
        what, hint = f"{number}has no {needed}", f"{needed}: {described}" if described else f"add {needed}"
    else:
        what, hint = _KINDS.get(error["type"], "is not a table"), described
    return wrong(kind, path, below + at, what, hint)


_KINDS = {"string_type": "is not a text", "tuple_type": "is not a list"}


def _walk(top: type, at: At) -> tuple[type | None, Any, str]:
    """The table at a place, if it is one; the type of its key and the key's description, if it is known."""
    table: type | None = top
    declared, described = None, ""
    for part in at:
        if isinstance(part, str) and table is not None:
            field, declared = keys_of(table).get(part, (None, None))
            described = field.metadata.get("description", "") if field is not None else ""
            table = _table_of(declared)
    return table, declared, described


def _table_of(declared: Any) -> type | None:
    """The table that a key has, or the tables in its list."""
    if isinstance(declared, type) and is_dataclass(declared):
        return declared
    return next((found for one in get_args(declared) if (found := _table_of(one)) is not None), None)


def _unknown(kind: str, name: str, at: At, top: type, table: type) -> tuple[str, str]:
    """The error for an unknown key, and the key that was probably meant, here or in another table."""
    known = list(keys_of(table))
    where = ".".join(str(part) for part in at if isinstance(part, str))
    what = getattr(table, "UNKNOWN", f"is not a key of {where or f'a {kind}'}")
    keys = f"keys {'here ' if where else ''}are {', '.join(known)}"
    hint = near(name, known, "")
    if not hint and table is not top and name in keys_of(top):
        hint = f"{name} belongs to the top of the file, before the first [table]; {keys}"
    for other, (_, declared) in keys_of(top).items():
        inside = _table_of(declared)
        if not hint and inside is not None and name in keys_of(inside):
            form = f"[{other}]" if inside is declared else f"[[{other}]]"
            hint = f"{name} belongs into a {form}"
    return what, hint or keys
