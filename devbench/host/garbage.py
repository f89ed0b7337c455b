"""Python's search for reference cycles, switched off while many rows are handled; knows nothing of them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_cycle_search() -> Iterator[None]:
    """Among millions of rows of numbers the search takes a third of the time and finds nothing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            # Objects of now are not searched any more: a search at the end would find nothing either.
            gc.freeze()
            gc.enable()
