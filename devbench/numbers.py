"""Numbers that come from outside (devices, tools, logs, headers, files), read within bounds; knows no package.

Python reads more than it should: `²` passes `isdigit`, Arabic digits pass `int`, `1e999` is infinite, thousands of
digits end in an error. Every reader of text from outside uses these two functions: ASCII digits, a limited length,
a finite value within a range, and `None` for anything else.
"""

from __future__ import annotations

import math
import re

# Fits every integer column of the store and of the protocols.
MAX_WHOLE = 2**63 - 1
MAX_REAL = 1e18
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_REAL = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?")
_BLANKS = " \t\r\n"


def whole(text: str | bytes | None, *, minimum: int = 0, maximum: int = MAX_WHOLE) -> int | None:
    """`text` as a whole number from `minimum` to `maximum`, or `None`. Blanks around it are ignored."""
    found = _WHOLE.fullmatch(_ascii(text))
    if found is None:
        return None
    value = int(found.group())
    return value if minimum <= value <= maximum else None


def real(
    text: str | bytes | None, *, minimum: float = -MAX_REAL, maximum: float = MAX_REAL, above: float | None = None
) -> float | None:
    """`text` as a finite number from `minimum` to `maximum`, or `None`. Blanks around it are ignored.

    Args:
        text: decimal, with or without an exponent.
        minimum, maximum: the range, both included.
        above: a limit that is not included: 0 for a duration that cannot be zero.
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
