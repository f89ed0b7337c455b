"""Values of columns between databases and files, and whether they are what a column takes; knows no file.

Rows are as the database keeps them (`column_types.py`), whatever the database: times are microseconds, JSON is packed.
What a value may be is declared by the type of its column, which a run that stores it is held to as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from devbench.results.column_types import (
    LONGEST_TEXT,
    TIMES_US,
    Name,
    Packed,
    Real,
    Utc,
    WholeNumber,
    compact,
    from_us,
    pack_text,
    plain_words,
    to_us,
    unpack,
)

Kind = Literal["time", "packed", "bool", "float", "int", "text"]
_KINDS: tuple[tuple[type | tuple[type, ...], Kind], ...] = (
    (Utc, "time"), (Packed, "packed"), (sa.Boolean, "bool"), (Real, "float"), ((WholeNumber, sa.Integer), "int"),
)  # fmt: skip
_TYPES: dict[Kind, set[type]] = {
    "time": {int}, "packed": {bytes}, "bool": {bool}, "float": {float, int}, "int": {int}, "text": {str},
}  # fmt: skip
_WORD = {"time": "time", "packed": "JSON", "bool": "truth value", "float": "number", "int": "whole number",
         "text": "text"}  # fmt: skip


class BadValue(ValueError):
    """A value is none that its column may hold.

    Attributes:
        column: which.
        what: what is wrong with it.
        index: its place among the values that were looked at, from 0.
    """

    def __init__(self, column: sa.Column[Any], what: str, index: int) -> None:
        super().__init__(f"{column.table.name}.{column.name}: {what}")
        self.column, self.what, self.index = column, what, index


def kind_of(column: sa.Column[Any]) -> Kind:
    return next((kind for of, kind in _KINDS if isinstance(column.type, of)), "text")


def from_driver(kind: Kind, values: Sequence[Any]) -> Sequence[Any]:
    """A column as a driver gives it, made the same for all of them; what fits no column stays as it is."""
    if kind == "bool":
        # SQLite has numbers.
        return [value == 1 if value in (0, 1) and type(value) is int else value for value in values]
    if kind == "packed":
        return [bytes(value) if isinstance(value, memoryview) else value for value in values]
    return values


def to_json(kind: Kind, value: Any) -> Any:
    """A value for a line of JSON."""
    if value is None:
        return None
    if kind == "time":
        return from_us(value).isoformat()
    return unpack(value) if kind == "packed" else value


def from_json(column: sa.Column[Any], kind: Kind, values: Sequence[Any]) -> Sequence[Any]:
    """A column of a file's JSON values.

    Raises:
        BadValue: a time is none, or JSON has another shape.
    """
    if kind == "time":
        return [None if value is None else _time(column, value, index) for index, value in enumerate(values)]
    if kind == "packed":
        assert isinstance(column.type, Packed)
        for index, value in enumerate(values):
            if value is not None and not column.type.fits(value):
                raise BadValue(column, f"{str(value)[:40]!r} is no {column.type.words}", index)
        # Most of what processes say of a device is alike, and packed once.
        texts = [None if value is None else compact(value) for value in values]
        packed = {text: pack_text(text) for text in set(texts) if text is not None}
        return [None if text is None else packed[text] for text in texts]
    if kind == "text":
        plain = [value if type(value) is not str or value.isascii() else plain_words(value) for value in values]
        return [value if type(value) is not str or "\0" not in value else plain_words(value) for value in plain]
    return values


def _time(column: sa.Column[Any], value: Any, index: int) -> int:
    try:
        return to_us(datetime.fromisoformat(value))
    except (TypeError, ValueError, OverflowError):
        raise BadValue(column, f"{str(value)[:40]!r} is no time with a zone", index) from None


def check(column: sa.Column[Any], kind: Kind, values: Sequence[Any], *, unpacked: bool = False) -> None:
    """Refuse a column with anything that it cannot hold.

    Args:
        column: with its type.
        kind: of the column.
        values: of some rows.
        unpacked: also look into packed JSON, which did not come through `from_json`.

    Raises:
        BadValue: the first of them.
    """
    found = set(map(type, values))
    if type(None) in found and not column.nullable:
        raise BadValue(column, "a value is missing", _first(values, lambda value: value is None))
    alien = found - {type(None)} - _TYPES[kind]
    if alien:
        index = _first(values, lambda value: type(value) in alien)
        raise BadValue(column, f"{str(values[index])[:40]!r} is no {_WORD[kind]}", index)
    known = [value for value in values if value is not None] if type(None) in found else values
    if not known or kind == "bool":
        return
    if kind == "packed":
        if unpacked:
            _check_packed(column, values)
    elif kind == "text":
        _check_text(column, values, known)
    elif isinstance(column.type, Real):
        kept = column.type
        # All at once, for there are millions; one by one only to say which.
        if not (all(map(math.isfinite, known)) and kept.fits(min(known)) and kept.fits(max(known))):
            index = _first(values, lambda value: value is not None and not kept.fits(value))
            raise BadValue(column, f"the number {values[index]!r:.40} is not finite or out of range", index)
    else:
        low, high = _range(column)
        if min(known) < low or max(known) > high:
            index = _first(values, lambda value: value is not None and not low <= value <= high)
            raise BadValue(column, f"the number {values[index]!r:.40} is out of range", index)


def _range(column: sa.Column[Any]) -> tuple[int, int]:
    kept = column.type
    if isinstance(kept, Utc):
        return TIMES_US
    if isinstance(kept, WholeNumber):
        return kept.minimum, 2 ** (63 if kept.big else 31) - 1
    bits = 63 if isinstance(kept, sa.BigInteger) else 31
    return -(2**bits), 2**bits - 1


def _check_text(column: sa.Column[Any], values: Sequence[Any], known: Sequence[str]) -> None:
    kept = column.type
    longest = kept.length if isinstance(kept, Name) else LONGEST_TEXT
    if max(map(len, known)) > longest:
        index = _first(values, lambda value: value is not None and len(value) > longest)
        raise BadValue(column, f"longer than {longest} characters", index)
    among = kept.among if isinstance(kept, Name) else ()
    if among and not set(among).issuperset(known):
        index = _first(values, lambda value: value is not None and value not in among)
        raise BadValue(column, f"{values[index]!r} is none of {', '.join(among)}", index)


def _check_packed(column: sa.Column[Any], values: Sequence[Any]) -> None:
    assert isinstance(column.type, Packed)
    # Most of them are alike.
    for data in dict.fromkeys(values):
        if data is None:
            continue
        try:
            column.type.process_result_value(data, None)
        except ValueError as error:
            raise BadValue(column, str(error), list(values).index(data)) from None


def _first(values: Sequence[Any], wanted: Callable[[Any], bool]) -> int:
    return next(index for index, value in enumerate(values) if wanted(value))
