"""Imports modules that are needed later, during the waits of a device's preparation; knows no module by name.

Nothing is imported while a process is timed: a session waits for the end of the imports before it starts one.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
from collections.abc import Iterator, Sequence

# Python's switch interval between threads while modules are imported, in seconds; its default is 5 ms.
_SWITCH_S = 0.0002


class ImportAhead:
    """Imports modules in a thread of its own, once, from the first `start` on."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; a further call does nothing."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._import, daemon=True)
                self._thread.start()

    def finish(self) -> None:
        """Wait until all is imported."""
        if self._thread is not None:
            self._thread.join()

    def _import(self) -> None:
        with giving_way():
            for name in self._names:
                # The error is raised again by the import that needs the module.
                with contextlib.suppress(Exception):
                    importlib.import_module(name)


@contextlib.contextmanager
def giving_way() -> Iterator[None]:
    """Makes Python switch between threads often, so that a computing thread does not delay those with devices."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
