"""Raw outputs as they are shown: one that is damaged is shown as what is known of it, one that is gone is none."""

from __future__ import annotations

from collections.abc import Callable

from devbench.errors import DevbenchError
from devbench.results.artifacts import DamagedRaw


def readable(read: Callable[[str], bytes]) -> Callable[[str], bytes | None]:
    """`read`, which gives the raw output at a path of a store, without its errors."""

    def shown(path: str) -> bytes | None:
        try:
            return read(path)
        except DamagedRaw as error:
            return error.what.encode("utf-8", "replace")
        except DevbenchError:
            return None

    return shown
