"""Numbers as the tool prints them; knows no line.

A number is taken only where it surely ends: before the end of a line that was ended, or before a character that no
number goes on with.
"""

from __future__ import annotations

import math

_MOST_MS = 1e12
NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
# What may follow a number that is whole; not more of it, not a mark of text that was left out, not that of a cut text.
END = r"(?=[\s,;)\]\"'<]|$)"
# A count: no tool prints more digits, and no conversion of a hostile one may fail.
COUNT = r"(?<!\d)\d{1,9}(?!\d)"


def number(token: str | None) -> float | None:
    """`token` as a finite number, whole where it is printed so; `None` for none, for `nan` and `inf`."""
    if token is None:
        return None
    try:
        value = float(token)
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    return int(token) if token.lstrip("+-").isdigit() and len(token) < 20 else value


def whole(token: str | None) -> int | None:
    """`token` as a whole number, or `None`."""
    value = number(token)
    return None if value is None else int(value)


def milliseconds_to_us(token: str | None) -> float | None:
    """Milliseconds as printed, in microseconds, without the noise of binary fractions."""
    value = number(token)
    return None if value is None or abs(value) > _MOST_MS else round(value * 1000, 6)
