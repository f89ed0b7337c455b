"""Reads numbers in text from outside (devices, tools, logs, headers, files) within bounds. Imports no other module of
devbench.

Python's own functions accept too much: `²` passes `isdigit`, Arabic digits pass `int`, `1e999` becomes infinite, and
`int` raises an error for thousands of digits. All code that reads text from outside therefore uses these two functions.
They accept ASCII digits of limited length and finite values within a range, and return `None` for anything else.
"""

from __future__ import annotations

import math
import re

# This fits every integer column of the store and of the protocols.
MAX_WHOLE = 2**63 - 1
MAX_REAL = 1e18
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_REAL = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")
_BLANKS = " \t\r\n"


def whole(text: str | bytes | None, *, minimum: int = 0, maximum: int = MAX_WHOLE) -> int | None:
    """Return `text` as a whole number from `minimum` to `maximum`, or `None`. Blanks around it are ignored."""
    found = _WHOLE.fullmatch(_ascii(text))
    if found is None:
        return None
    value = int(found.group())
    return value if minimum <= value <= maximum else None


def real(
    text: str | bytes | None, *, minimum: float = -MAX_REAL, maximum: float = MAX_REAL, above: float | None = None
) -> float | None:
    """Return `text` as a finite number from `minimum` to `maximum`, or `None`. Blanks around it are ignored.

    Args:
        text: decimal, with or without an exponent.
        minimum, maximum: the range, both included.
        above: a lower limit that is not itself allowed, such as 0 for a duration that cannot be zero.
    """
    found = _REAL.fullmatch(_ascii(text))
    if found is None:
        return None
    value = float(found.group())
    fits = math.isfinite(value) and minimum <= value <= maximum and (above is None or value > above)
    return value if fits else None


def _ascii(text: str | bytes | None) -> str:
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    return (text or "").strip(_BLANKS)
