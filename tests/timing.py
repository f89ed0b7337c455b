"""Times in tests: what a neighbour's burst on a shared machine may spoil is measured once more, with the same bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def held_once_more(measure: Callable[[], T], check: Callable[[T], None]) -> T:
    """Measures, and measures once more where the check of the times fails; the second failure is the test's."""
    measured = measure()
    try:
        check(measured)
    except AssertionError:
        measured = measure()
        check(measured)
    return measured
