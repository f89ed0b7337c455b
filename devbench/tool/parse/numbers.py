"""Numbers as the tool prints them, read within bounds (`devbench.numbers`); knows no line.

A number is used only if its end is certain: before the end of a complete line, or before a character that is not part
of a number.
"""

from __future__ import annotations

from devbench import numbers

NUMBER = r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
# What may follow a complete number: not a digit, not the mark of omitted text, not that of a cut line.
# The tool prints "(all same)" directly after equal times.
END = r"(?=[\s,;)\]\"'<`*|]|\(all same\)|$)"
# A count; the tools print at most nine digits.
COUNT = r"(?<![0-9])[0-9]{1,9}(?![0-9])"

# 1e13 µs are 115 days; 1e9 MB are a petabyte.
_MAX_US = 1e13
_MAX_MB = 1e9
_MAX_OTHER = 1e15


def number(token: str | None) -> float | None:
    """`token` as a finite number, an integer if it has no fraction; `None` for other text, `nan` and `inf`."""
    return _printed(token, numbers.real(token, minimum=-_MAX_OTHER, maximum=_MAX_OTHER))


def duration(token: str | None) -> float | None:
    """The duration of a phase in microseconds. `None` for zero, which the tool prints for a phase that did not run."""
    return _printed(token, numbers.real(token, maximum=_MAX_US, above=0))


def sample(token: str | None) -> float | None:
    """The duration of an inference in microseconds, rounded down by the tool: it can be zero."""
    return _printed(token, numbers.real(token, minimum=0, maximum=_MAX_US))


def megabytes(token: str | None) -> float | None:
    """A size in MB; an increase may be zero."""
    return _printed(token, numbers.real(token, minimum=0, maximum=_MAX_MB))


def whole(token: str | None) -> int | None:
    """`token` as a count, which may be printed as `1e+06`; or `None`."""
    value = numbers.real(token, minimum=0, maximum=_MAX_OTHER)
    return None if value is None else int(value)


def milliseconds_to_us(token: str | None, *, positive: bool = True) -> float | None:
    """Milliseconds as printed, in microseconds, without rounding errors; like `duration` or `sample`."""
    value = numbers.real(token, minimum=0, maximum=_MAX_US / 1000, above=0 if positive else None)
    return None if value is None else round(value * 1000, 6)


def finite(value: float, *, above: float | None = None) -> float | None:
    """A number of a protobuf if it can be a duration or a size: finite, at least zero, above a limit if given."""
    fits = 0 <= value <= _MAX_OTHER and (above is None or value > above)
    return value if fits else None


def is_impossible(token: str) -> bool:
    """Whether a printed duration is impossible: below zero or far too long."""
    value = numbers.real(token, minimum=-numbers.MAX_REAL)
    return value is None or value < 0 or value > _MAX_US


def _printed(token: str | None, value: float | None) -> float | None:
    if value is None or token is None:
        return None
    # Above 2^53 a float does not represent every integer.
    is_whole = not any(mark in token.lower() for mark in ".e")
    return int(value) if is_whole and abs(value) <= 2**53 else value
