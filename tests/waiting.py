"""Waiting in tests for what another process or thread does: the deadline ends a hang and measures no speed."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(done: Callable[[], object], *, seconds: float = 60.0, pause_s: float = 0.05) -> None:
    """Call `done` until its value is true.

    Raises:
        AssertionError: it was not true within so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise AssertionError(f"not true within {seconds:g} s")
        time.sleep(pause_s)
