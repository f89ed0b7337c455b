"""The virtual tool's own memory: growth of its high-water mark and the peak by periodic monitoring; knows no model."""

from __future__ import annotations

import resource
import sys
import threading

from devbench.virtual.benchmark_model.flags import Flags

_IS_MAC = sys.platform == "darwin"


class MemoryMeter:
    """Memory of this process since the tool started.

    Args:
        flags: say whether and how often the peak is looked at.
    """

    def __init__(self, flags: Flags) -> None:
        self._start_mb = _high_water_mb()
        self._interval_s = max(1, flags.whole("memory_footprint_check_interval_ms")) / 1000
        self._peak_mb = self._start_mb
        self._watch = flags.yes("report_peak_memory_footprint")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._monitor, daemon=True)
        if self._watch:
            self._thread.start()

    def growth_mb(self) -> float:
        """Growth of the high-water mark."""
        return _high_water_mb() - self._start_mb

    def peak_mb(self) -> float | None:
        """The peak in MB, `None` where nobody watched it; ends the monitoring."""
        if not self._watch:
            return None
        self._stop.set()
        self._thread.join()
        return max(self._peak_mb, _high_water_mb())

    def _monitor(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._peak_mb = max(self._peak_mb, _high_water_mb())


def _high_water_mb() -> float:
    """`ru_maxrss` in MB: kilobytes on Linux, bytes on macOS."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024 if _IS_MAC else 1024)
