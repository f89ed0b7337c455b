"""A results store that is opened when it is first used: until then, its modules need not be imported.

A store that is not a file is opened at once: an error of its address or its server is shown before a device is used.
"""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from devbench.results.store import Store


class StoreLater:
    """For `with StoreLater(url) as store`: a store like `Store(url)`, opened at its first use, in any thread."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._opened: Store | None = None

    def __enter__(self) -> Store:
        given = self._url or os.environ.get("DEVBENCH_STORE") or ""
        if "://" in given and not given.startswith("sqlite:///"):
            self._open()
        return cast("Store", self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opened is not None:
            self._opened.__exit__(kind, error, trace)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._open(), name)

    def _open(self) -> Store:
        with self._lock:
            if self._opened is None:
                from devbench.results.store import Store

                self._opened = Store(self._url).__enter__()
            return self._opened
