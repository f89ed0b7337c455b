"""Values of columns between databases and files, and whether they are what a column takes; knows no file.

Rows are as the database keeps them (`columns.py`), whatever the database: times are microseconds, JSON is packed, or
text where the column is JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from devbench.errors import InputError
from devbench.results.columns import Packed, Utc, compact, from_us, pack_text, plain_words, to_us, unpack
from devbench.results.exchange.tables import SHAPES, WORDS

Kind = Literal["time", "packed", "json", "bool", "float", "int", "text"]
_KINDS: tuple[tuple[type, Kind], ...] = (
    (Utc, "time"), (Packed, "packed"), (sa.JSON, "json"), (sa.Boolean, "bool"), (sa.Float, "float"),
    (sa.Integer, "int"),
)  # fmt: skip
_TYPES: dict[Kind, set[type]] = {
    "time": {int}, "packed": {bytes}, "json": {str}, "bool": {bool}, "float": {float, int}, "int": {int}, "text": {str},
}  # fmt: skip
_WORD = {"time": "time", "packed": "JSON", "json": "JSON", "bool": "truth value", "float": "number",
         "int": "whole number", "text": "text"}  # fmt: skip
_LONGEST_TEXT = 1024 * 1024
# The year 1 to the year 9999, which is what Python's times hold.
_TIMES_US = (-62_135_596_800_000_000, 253_402_300_799_999_999)


def kind_of(column: sa.Column[Any]) -> Kind:
    return next((kind for of, kind in _KINDS if isinstance(column.type, of)), "text")


def from_driver(kind: Kind, values: Sequence[Any]) -> Sequence[Any]:
    """A column as a driver gives it, made the same for all of them."""
    if kind == "bool":
        return [None if value is None else bool(value) for value in values]
    if kind == "packed":
        return [None if value is None else bytes(value) for value in values]
    if kind == "json":
        # Of PostgreSQL's driver it is read already.
        return [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return values


def to_json(kind: Kind, value: Any) -> Any:
    """A value for a line of JSON."""
    if value is None:
        return None
    if kind == "time":
        return from_us(value).isoformat()
    if kind == "packed":
        return unpack(value)
    return json.loads(value) if kind == "json" else value


def from_json(column: sa.Column[Any], kind: Kind, values: Sequence[Any]) -> Sequence[Any]:
    """A column of a file's JSON values.

    Raises:
        InputError: a time is none, or JSON has another shape.
    """
    if kind == "time":
        return [None if value is None else _time(column, value) for value in values]
    if kind in ("packed", "json"):
        shape = SHAPES[f"{column.table.name}.{column.name}"]
        for value in values:
            if value is not None and not isinstance(value, shape):
                raise wrong(column, f"{str(value)[:40]!r} is no JSON {'object' if shape is dict else 'array'}")
        return _written(kind, values)
    if kind == "text":
        plain = [value if type(value) is not str or value.isascii() else plain_words(value) for value in values]
        return [value if type(value) is not str or "\0" not in value else plain_words(value) for value in plain]
    return values


def _written(kind: Kind, values: Sequence[Any]) -> Sequence[Any]:
    """JSON as the column keeps it. Most of what processes say of a device is alike, and packed once."""
    texts = [None if value is None else compact(value) for value in values]
    if kind == "json":
        return texts
    packed = {text: pack_text(text) for text in set(texts) if text is not None}
    return [None if text is None else packed[text] for text in texts]


def _time(column: sa.Column[Any], value: Any) -> int:
    try:
        return to_us(datetime.fromisoformat(value))
    except (TypeError, ValueError):
        raise wrong(column, f"{str(value)[:40]!r} is no time with a zone") from None


def check(column: sa.Column[Any], kind: Kind, values: Sequence[Any]) -> None:
    """Refuse a column with anything that it cannot hold.

    Raises:
        InputError: says which column, and what of it.
    """
    found = set(map(type, values))
    if type(None) in found and not column.nullable:
        raise wrong(column, "a value is missing")
    alien = found - {type(None)} - _TYPES[kind]
    if alien:
        value = next(value for value in values if type(value) in alien)
        raise wrong(column, f"{str(value)[:40]!r} is no {_WORD[kind]}")
    known = [value for value in values if value is not None] if type(None) in found else values
    if not known or kind in ("packed", "json", "bool"):
        return
    if kind == "text":
        longest = getattr(column.type, "length", None) or _LONGEST_TEXT
        if max(map(len, known)) > longest:
            raise wrong(column, f"longer than {longest} characters")
        words = WORDS.get(f"{column.table.name}.{column.name}")
        if words is not None and not words.issuperset(known):
            raise wrong(column, f"{next(value for value in known if value not in words)!r} is none of {sorted(words)}")
    elif kind == "float":
        if not all(map(math.isfinite, known)):
            raise wrong(column, "a number is not finite")
    else:
        bits = 63 if isinstance(column.type, sa.BigInteger) else 31
        least, most = _TIMES_US if kind == "time" else (-(2**bits), 2**bits - 1)
        if min(known) < least or max(known) > most:
            raise wrong(column, "a number is out of range")


def wrong(column: sa.Column[Any], what: str) -> InputError:
    return InputError(f"{column.table.name}.{column.name}: {what}", hint="the file is damaged or not devbench's")
