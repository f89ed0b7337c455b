"""Types of columns that databases do not have alike: times, JSON, words; knows no table."""

from __future__ import annotations

import hashlib
import json
import zlib
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import BigInteger, LargeBinary, Text
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
# JSON of devices and tools shrinks to a fifth at any level, and a job must not wait for the last percent.
_LEVEL = 3
# One for all: making it takes as long as a small document.
_ENCODER = json.JSONEncoder(separators=(",", ":"), default=list)
# A hostile or damaged document must not fill the memory; the largest known measurement has some 3 MB.
_MOST_JSON_BYTES = 256 * 1024 * 1024


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
        return None if value is None else from_us(value)


class Packed(TypeDecorator[Any]):
    """JSON, compressed: what devices and tools say is long, much alike, and never compared by the database."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Any | None, dialect: Any) -> bytes | None:
        return None if value is None else pack(value)

    def process_result_value(self, value: bytes | None, dialect: Any) -> Any:
        return None if value is None else unpack(value)


class Words(TypeDecorator[str]):
    """Text from outside: PostgreSQL takes no zero character, and neither database half a surrogate pair."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else plain_words(value)


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
        ValueError: it is no packed JSON, or unpacks to more than 256 MiB.
    """
    return json.loads(unpack_text(data))


def unpack_text(data: bytes) -> str:
    """The JSON as text.

    Raises:
        ValueError: as `unpack`.
    """
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, _MOST_JSON_BYTES)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not unpacker.eof:
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
