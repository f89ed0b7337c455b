"""Reasons why repetitions are unreliable, those that are alike told once."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Not single digits: of a thermal status each is a state of its own.
_FIGURE = re.compile(r"\d+\.\d+|\d{2,}")


def reasons_words(reasons: Sequence[str], *, counted: bool = True) -> str:
    """Reasons, those that differ in their figures only once: `other load: 4.0 on 2 CPUs (3 times alike)`.

    How often is left out unless `counted`.
    """
    alike: dict[str, list[str]] = {}
    for reason in reasons:
        alike.setdefault(_FIGURE.sub("", reason), []).append(reason)
    return ", ".join(_once(those) if counted else those[0] for those in alike.values())


def _once(reasons: Sequence[str]) -> str:
    """The first of reasons that are alike, and how many there are."""
    alike = "" if len(set(reasons)) == 1 else " alike"
    return reasons[0] + (f" ({len(reasons)} times{alike})" if len(reasons) > 1 else "")
