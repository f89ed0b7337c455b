"""Numbers as the tool prints them, read within bounds (`devbench.numbers`); knows no line.

A number is taken only where it surely ends: before the end of a line that was ended, or before a character that no
number goes on with.
"""

from __future__ import annotations

from devbench import numbers

NUMBER = r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
# What may follow a number that is whole; not more of it, not a mark of text that was left out, not that of a cut text.
# The tool puts "(all same)" right behind the last of equal times.
END = r"(?=[\s,;)\]\"'<`*|]|\(all same\)|$)"
# A count: no tool prints more digits.
COUNT = r"(?<![0-9])[0-9]{1,9}(?![0-9])"

# 1e13 µs are 115 days; 1e9 MB are a petabyte.
_MAX_US = 1e13
_MAX_MB = 1e9
_MAX_OTHER = 1e15


def number(token: str | None) -> float | None:
    """`token` as a finite number, whole where it is printed so; `None` for none, for `nan` and `inf`."""
    return _printed(token, numbers.real(token, minimum=-_MAX_OTHER, maximum=_MAX_OTHER))


def duration(token: str | None) -> float | None:
    """A duration of a phase in microseconds. Zero is what the tool prints for a phase that it did not run: `None`."""
    return _printed(token, numbers.real(token, maximum=_MAX_US, above=0))


def sample(token: str | None) -> float | None:
    """A duration of single inferences in microseconds, cut to whole ones by the tool, so that it may be zero."""
    return _printed(token, numbers.real(token, minimum=0, maximum=_MAX_US))


def megabytes(token: str | None) -> float | None:
    """A size in MB; a growth may be zero."""
    return _printed(token, numbers.real(token, minimum=0, maximum=_MAX_MB))


def whole(token: str | None) -> int | None:
    """`token` as a count, also where it is printed as `1e+06`; or `None`."""
    value = numbers.real(token, minimum=0, maximum=_MAX_OTHER)
    return None if value is None else int(value)


def milliseconds_to_us(token: str | None, *, positive: bool = True) -> float | None:
    """Milliseconds as printed, in microseconds, without the noise of binary fractions; as `duration` or `sample`."""
    value = numbers.real(token, minimum=0, maximum=_MAX_US / 1000, above=0 if positive else None)
    return None if value is None else round(value * 1000, 6)


def finite(value: float, *, above: float | None = None) -> float | None:
    """A number of a protobuf, where it can be a duration or a size: finite, at least zero, above a limit if given."""
    fits = 0 <= value <= _MAX_OTHER and (above is None or value > above)
    return value if fits else None


def is_impossible(token: str) -> bool:
    """Whether a printed duration can be none: below zero or absurdly long."""
    value = numbers.real(token, minimum=-numbers.MAX_REAL)
    return value is None or value < 0 or value > _MAX_US


def _printed(token: str | None, value: float | None) -> float | None:
    if value is None or token is None:
        return None
    # Above 2^53 a float no longer holds every whole number.
    is_whole = not any(mark in token.lower() for mark in ".e")
    return int(value) if is_whole and abs(value) <= 2**53 else value
