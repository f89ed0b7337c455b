"""Types of columns: times, JSON, texts, numbers; knows no table.

A type declares the values of a column for runs, imports and readers: other values are not stored, imported or shown.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, LargeBinary, String, Text
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
# Every compression level shrinks JSON of devices and tools to a fifth; a low level is fast.
_LEVEL = 3
# The encoder is made only once, because that takes as long as encoding a small document.
_ENCODER = json.JSONEncoder(separators=(",", ":"), default=list)
# A hostile or damaged document must not fill the memory; the largest known measurement has some 3 MB.
_MAX_JSON_BYTES = 64 * 1024 * 1024
# The years 1 to 9999, the range of Python's times.
TIMES_US = (-62_135_596_800_000_000, 253_402_300_799_999_999)
MAX_REAL = 1e18
LONGEST_TEXT = 1024 * 1024
Kind = Literal["time", "packed", "bool", "float", "int", "text"]


class DamagedValue(ValueError):
    """A value in the database does not fit its column."""


# Within packed JSON: the keys that are read, and the types of their values. Keys that are not named may have any value;
# a key may be missing, and any value may be `None`.
Fits = Callable[[Any], bool]


def _is(*types: type) -> Fits:
    return lambda value: value is None or type(value) in types


def _list_of(fits: Fits) -> Fits:
    return lambda value: value is None or (isinstance(value, list) and all(map(fits, value)))


def _table_of(fits: Fits) -> Fits:
    return lambda value: value is None or (isinstance(value, dict) and all(map(fits, value.values())))


_TEXT, _NUMBER, _FLAG = _is(str), _is(int, float), _is(bool)


def _input_shape(value: Any) -> bool:
    """Return the name of a column type, with its sizes."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[1], list)


FIELDS: Mapping[str, Mapping[str, Fits]] = {
    # Facts of a device, and options of a job.
    "document": {
        "key": _TEXT, "notes": _list_of(_TEXT), "sensors": _list_of(lambda value: isinstance(value, (str, dict, list))),
        "abis": _list_of(_TEXT), "reported_as": _list_of(_TEXT), "via": _TEXT, "signature": _TEXT,
        "input_shapes": _list_of(_input_shape),
        "extra_flags": _is(list),
    },
    "conditions": {"temperatures_c": _table_of(_NUMBER), "taken_utc": _TEXT},
    "measurement": {"unsupported_ops": _list_of(lambda value: isinstance(value, dict))},
    "output": {
        "name": _TEXT, "against": _TEXT, "dtype": _TEXT, "max_abs": _NUMBER, "max_rel": _NUMBER, "cosine": _NUMBER,
        "snr_db": _NUMBER, "nan": _NUMBER, "inf": _NUMBER, "all_zero": _FLAG, "wrong_size": _FLAG, "wrong": _FLAG,
        "limits": _is(dict),
    },
}  # fmt: skip


def to_us(value: datetime) -> int:
    """Return microseconds since 1970-01-01 UTC."""
    return (value - _EPOCH) // _MICROSECOND


def from_us(value: int) -> datetime:
    return _EPOCH + timedelta(microseconds=value)


class Kept(TypeDecorator[Any]):
    """A column's type: a value that does not fit is neither stored, nor imported, nor shown.

    Attributes:
        kind: the kind of all values of such a column except `None`.
        words: what a value has to be, for messages.
    """

    kind: Kind = "text"
    words = "text"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # SQLAlchemy requires this attribute in each class. It allows statements with such a type to be cached.
        cls.cache_ok = True

    def fits(self, value: Any) -> bool:
        """Whether a value, in the form of the database, is valid for the column."""
        raise NotImplementedError

    def process_result_value(self, value: Any | None, dialect: Any) -> Any:
        if value is not None and not self.fits(value):
            raise DamagedValue(f"{str(value)[:40]!r} is not {self.words}")
        return value


class Utc(Kept):
    """A time with a zone in Python, and whole microseconds since 1970 in the database, which are read much faster."""

    impl = BigInteger
    kind, words = "time", "a time with a zone"

    def fits(self, value: Any) -> bool:
        return type(value) is int and TIMES_US[0] <= value <= TIMES_US[1]

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        return None if value is None else to_us(value)

    def process_result_value(self, value: Any | None, dialect: Any) -> datetime | None:
        return None if value is None else from_us(super().process_result_value(value, dialect))


class Packed(Kept):
    """JSON, compressed: outputs of devices and tools are long, similar, and never compared by the database.

    Args:
        shape: what the JSON is: `dict`, or `str` for a list of texts, `Mapping` for a list of objects.
        fields: the entry of `FIELDS` that lists the fields of the objects.
    """

    impl = LargeBinary
    kind = "packed"

    def __init__(self, shape: type, fields: str = "") -> None:
        super().__init__()
        self.shape, self.fields = shape, fields
        what = "object" if shape is dict else "array of texts" if shape is str else "array of objects"
        self.words = f"a JSON {what}" + (f" of the kind {fields}" if fields else "")

    def has_shape(self, value: Any) -> bool:
        """Whether JSON has the required shape."""
        if self.shape is dict:
            return self._is_object(value)
        of_member = self._is_object if self.shape is Mapping else lambda member: isinstance(member, str)
        return isinstance(value, (list, tuple)) and all(map(of_member, value))

    def _is_object(self, value: Any) -> bool:
        known = FIELDS[self.fields] if self.fields else {}
        return isinstance(value, dict) and all(fits(value[key]) for key, fits in known.items() if key in value)

    def fits(self, value: Any) -> bool:
        try:
            self.process_result_value(value, None)
        except DamagedValue:
            return False
        return True

    def process_bind_param(self, value: Any | None, dialect: Any) -> bytes | None:
        return None if value is None else pack(value)

    def process_result_value(self, value: Any | None, dialect: Any) -> Any:
        if value is None:
            return None
        try:
            found = unpack(value)
        except (ValueError, TypeError, RecursionError) as error:
            raise DamagedValue(f"not packed JSON: {str(error)[:100]}") from None
        if not self.has_shape(found):
            raise DamagedValue(f"not {self.words}")
        return found


class Words(Kept):
    """Text from outside, without zero characters (which PostgreSQL rejects) and halves of surrogate pairs (which all
    databases reject).
    """

    impl: Any = Text
    length = LONGEST_TEXT
    among: tuple[str, ...] = ()

    def fits(self, value: Any) -> bool:
        return type(value) is str and len(value) <= self.length and (not self.among or value in self.among)

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else storable_text(value)


class Name(Words):
    """A short text; `among`: the allowed texts."""

    impl = String

    def __init__(self, length: int, among: tuple[str, ...] = ()) -> None:
        super().__init__(length)
        self.length, self.among = length, among
        self.words = f"one of {', '.join(among)}" if among else f"text of at most {length} characters"


class _Number(Kept):
    def in_range(self, value: Any) -> bool:
        """Whether a number is within the bounds of the column; NumPy's numbers are accepted, too."""
        raise NotImplementedError

    def fits(self, value: Any) -> bool:
        return type(value) in ((float, int) if self.kind == "float" else (int,)) and self.in_range(value)

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        return self.impl_instance.coerce_compared_value(op, value)

    def process_bind_param(self, value: float | None, dialect: Any) -> float | None:
        if value is not None and not self.in_range(value):
            raise ValueError(f"{value!r:.40} is not {self.words}")
        return value


class Real(_Number):
    """A finite number from `minimum` to `maximum`; above zero if `positive`, as a duration that cannot be zero."""

    impl = Float
    kind, words = "float", "a finite number in the range of its column"

    def __init__(self, minimum: float = -MAX_REAL, maximum: float = MAX_REAL, *, positive: bool = False) -> None:
        super().__init__()
        self.minimum, self.maximum, self.positive = minimum, maximum, positive

    def in_range(self, value: Any) -> bool:
        return bool(self.minimum <= value <= self.maximum and (value > 0 or not self.positive))


class WholeNumber(_Number):
    """A whole number of 32 bits from `minimum` on; of 64 bits if `big`."""

    impl = Integer
    kind, words = "int", "a whole number in the range of its column"

    def __init__(self, minimum: int = 0, *, big: bool = False) -> None:
        super().__init__()
        self.minimum, self.big = minimum, big

    def load_dialect_impl(self, dialect: Any) -> Any:
        return dialect.type_descriptor(BigInteger() if self.big else Integer())

    def in_range(self, value: Any) -> bool:
        return bool(self.minimum <= value < 2 ** (63 if self.big else 31))


class Flag(Kept):
    """A truth value."""

    impl = Boolean
    kind, words = "bool", "a truth value"

    def fits(self, value: Any) -> bool:
        return type(value) is bool


def type_of(column: Column[Any]) -> Kept:
    """Return the type of a column.

    Plain integer columns, such as ids of rows, accept any whole number of their size.
    """
    if isinstance(column.type, Kept):
        return column.type
    if isinstance(column.type, Boolean):
        return Flag()
    big = isinstance(column.type, BigInteger)
    return WholeNumber(-(2 ** (63 if big else 31)), big=big)


def storable_text(value: str) -> str:
    """Return `value` without the characters that a database rejects."""
    if value.isascii() and "\0" not in value:
        return value
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def pack(value: Any) -> bytes:
    """Return JSON in the compressed form of a `Packed` column."""
    return pack_text(compact(value))


def pack_text(text: str) -> bytes:
    """Do the same as `pack` for JSON that is already text (from `compact`)."""
    return zlib.compress(text.encode("ascii"), _LEVEL)


def unpack(data: bytes) -> Any:
    """Return the value that was given to `pack`.

    Raises:
        ValueError: it is not packed JSON, or unpacks to more than 64 MiB.
    """
    text = unpack_text(data)
    found = json.loads(text)
    if "\\ud" in text:
        # Halves of surrogate pairs cannot be written to a file or a terminal.
        found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    return found


def unpack_text(data: bytes) -> str:
    """Return the JSON as text.

    Raises:
        ValueError: as `unpack`.
    """
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, _MAX_JSON_BYTES)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("damaged or too large")
    return text.decode("utf-8")


def content_id(*content: Any) -> int:
    """Return a number computed from the content of a row. It is the same in every store, so equal rows are stored once.

    It has 63 bits: among a million different rows two have the same number with a probability of 5·10⁻⁸.
    """
    digest = hashlib.blake2b(compact(content).encode("ascii"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def compact(value: Any) -> str:
    """Return the JSON of a value, in ASCII and without a space."""
    return _ENCODER.encode(value)
