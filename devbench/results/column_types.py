"""Types of columns, each with what its values may be: times, JSON, words, numbers; knows no table.

A type declares the values of a column for runs, imports and readers alike: a value outside it is neither stored nor
imported nor shown.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import BigInteger, Float, Integer, LargeBinary, String, Text
from sqlalchemy.types import TypeDecorator

from devbench.results.json_fields import fields_fit

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
# JSON of devices and tools shrinks to a fifth at any level, and a job must not wait for the last percent.
_LEVEL = 3
# One for all: making it takes as long as a small document.
_ENCODER = json.JSONEncoder(separators=(",", ":"), default=list)
# A hostile or damaged document must not fill the memory; the largest known measurement has some 3 MB.
_MAX_JSON_BYTES = 64 * 1024 * 1024
# The year 1 to the year 9999, which is what Python's times hold.
TIMES_US = (-62_135_596_800_000_000, 253_402_300_799_999_999)
MAX_REAL = 1e18
LONGEST_TEXT = 1024 * 1024


class DamagedValue(ValueError):
    """A value in the database is none that its column may hold."""


def to_us(value: datetime) -> int:
    """Microseconds since 1970-01-01 UTC."""
    return (value - _EPOCH) // _MICROSECOND


def from_us(value: int) -> datetime:
    return _EPOCH + timedelta(microseconds=value)


class Utc(TypeDecorator[datetime]):
    """A time with its zone in Python, whole microseconds since 1970 in the database: years are read at once."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        return None if value is None else to_us(value)

    def process_result_value(self, value: Any | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if type(value) is not int or not TIMES_US[0] <= value <= TIMES_US[1]:
            raise DamagedValue(f"{str(value)[:40]!r} is no time")
        return from_us(value)


class Packed(TypeDecorator[Any]):
    """JSON, compressed: what devices and tools say is long, much alike, and never compared by the database.

    Args:
        shape: what the JSON is: `dict`, or `str` for a list of texts, `Mapping` for a list of objects.
        fields: of the objects, by their name in `json_fields.py`.
    """

    impl = LargeBinary
    cache_ok = True

    def __init__(self, shape: type, fields: str = "") -> None:
        super().__init__()
        self.shape, self.fields = shape, fields

    def fits(self, value: Any) -> bool:
        """Whether JSON has the shape."""
        if self.shape is dict:
            return isinstance(value, dict) and self._fields_fit(value)
        if not isinstance(value, (list, tuple)):
            return False
        if self.shape is str:
            return all(isinstance(member, str) for member in value)
        return all(isinstance(member, dict) and self._fields_fit(member) for member in value)

    def _fields_fit(self, value: Mapping[str, Any]) -> bool:
        return not self.fields or fields_fit(self.fields, value)

    @property
    def words(self) -> str:
        """The shape in words."""
        what = "object" if self.shape is dict else "array of texts" if self.shape is str else "array of objects"
        return f"JSON {what}" + (f" of the kind {self.fields}" if self.fields else "")

    def process_bind_param(self, value: Any | None, dialect: Any) -> bytes | None:
        return None if value is None else pack(value)

    def process_result_value(self, value: Any | None, dialect: Any) -> Any:
        if value is None:
            return None
        try:
            found = unpack(value)
        except (ValueError, TypeError, RecursionError) as error:
            raise DamagedValue(f"no packed JSON: {str(error)[:100]}") from None
        if not self.fits(found):
            raise DamagedValue(f"no {self.words}")
        return found


class Words(TypeDecorator[str]):
    """Text from outside: PostgreSQL takes no zero character, and neither database half a surrogate pair."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else plain_words(value)

    def process_result_value(self, value: Any | None, dialect: Any) -> str | None:
        return _text(value, LONGEST_TEXT)


class Name(TypeDecorator[str]):
    """A short text; `among`: the only ones that have a meaning."""

    impl = String
    cache_ok = True

    def __init__(self, length: int, among: tuple[str, ...] = ()) -> None:
        super().__init__(length)
        self.length, self.among = length, among

    def process_result_value(self, value: Any | None, dialect: Any) -> str | None:
        found = _text(value, self.length)
        if found is not None and self.among and found not in self.among:
            raise DamagedValue(f"{found!r} is none of {', '.join(self.among)}")
        return found


class Real(TypeDecorator[float]):
    """A finite number from `minimum` to `maximum`; above zero if `positive`, as a duration that cannot be zero."""

    impl = Float
    cache_ok = True

    def __init__(self, minimum: float = -MAX_REAL, maximum: float = MAX_REAL, *, positive: bool = False) -> None:
        super().__init__()
        self.minimum, self.maximum, self.positive = minimum, maximum, positive

    def fits(self, value: float) -> bool:
        """Whether a number may be in the column."""
        return bool(math.isfinite(value) and self.minimum <= value <= self.maximum and (value > 0 or not self.positive))

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        return self.impl_instance.coerce_compared_value(op, value)

    def process_bind_param(self, value: float | None, dialect: Any) -> float | None:
        if value is not None and not self.fits(value):
            raise ValueError(f"the number {value!r} is not finite or out of range")
        return value

    def process_result_value(self, value: Any | None, dialect: Any) -> float | None:
        if value is not None and (type(value) not in (float, int) or not self.fits(value)):
            raise DamagedValue(f"{str(value)[:40]!r} is no number in the range of its column")
        return value


class WholeNumber(TypeDecorator[int]):
    """A whole number of 32 bits from `minimum` on; of 64 bits if `big`."""

    impl = Integer
    cache_ok = True

    def __init__(self, minimum: int = 0, *, big: bool = False) -> None:
        super().__init__()
        self.minimum, self.big = minimum, big

    def load_dialect_impl(self, dialect: Any) -> Any:
        return dialect.type_descriptor(BigInteger() if self.big else Integer())

    def fits(self, value: int) -> bool:
        """Whether a number may be in the column."""
        return bool(self.minimum <= value < 2 ** (63 if self.big else 31))

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        return self.impl_instance.coerce_compared_value(op, value)

    def process_bind_param(self, value: int | None, dialect: Any) -> int | None:
        if value is not None and not self.fits(value):
            raise ValueError(f"the number {value!r} is out of range")
        return value

    def process_result_value(self, value: Any | None, dialect: Any) -> int | None:
        if value is not None and (type(value) is not int or not self.fits(value)):
            raise DamagedValue(f"{str(value)[:40]!r} is no whole number in the range of its column")
        return value


def _text(value: Any | None, longest: int) -> str | None:
    if value is not None and (type(value) is not str or len(value) > longest):
        raise DamagedValue(f"{str(value)[:40]!r} is no text of at most {longest} characters")
    return value


def plain_words(value: str) -> str:
    """`value` as any database takes it."""
    if value.isascii() and "\0" not in value:
        return value
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def pack(value: Any) -> bytes:
    """JSON as a column of the type `Packed` keeps it."""
    return pack_text(compact(value))


def pack_text(text: str) -> bytes:
    """As `pack`, of the text of `compact`."""
    return zlib.compress(text.encode("ascii"), _LEVEL)


def unpack(data: bytes) -> Any:
    """The value again.

    Raises:
        ValueError: it is no packed JSON, or unpacks to more than 64 MiB.
    """
    text = unpack_text(data)
    found = json.loads(text)
    if "\\ud" in text:
        # Halves of surrogate pairs, which no file and no terminal can write.
        found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
    return found


def unpack_text(data: bytes) -> str:
    """The JSON as text.

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
    """A number that says what is in a row, the same in every store, so that rows that repeat are kept once.

    Of 63 bits: among a million different rows two are alike with a probability of 5·10⁻⁸.
    """
    digest = hashlib.blake2b(compact(content).encode("ascii"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def compact(value: Any) -> str:
    """The JSON of a value, in ASCII and without a space."""
    return _ENCODER.encode(value)
