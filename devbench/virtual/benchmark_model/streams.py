"""Hearing what a native library prints on standard error while it still goes there."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

_BLOCK_BYTES = 1 << 16


@contextlib.contextmanager
def heard_stderr() -> Iterator[list[str]]:
    """The texts that come on the process's standard error; complete when the context ends."""
    heard: list[str] = []
    original = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)

    def pass_on() -> None:
        while data := os.read(reading, _BLOCK_BYTES):
            os.write(original, data)
            heard.append(data.decode("utf-8", "replace"))

    thread = threading.Thread(target=pass_on, daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        # The pipe ends with its last writer, which is standard error itself.
        os.dup2(original, 2)
        thread.join()
        os.close(reading)
        os.close(original)
