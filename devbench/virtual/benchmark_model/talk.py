"""The virtual tool's messages other than statistics, in the stock tool's words and on its streams; and its memory."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import threading
from collections.abc import Iterator, Sequence

from devbench.virtual.benchmark_model.flags import Flags

_BLOCK_BYTES = 1 << 16
# `ru_maxrss` is in kilobytes on Linux and in bytes on macOS.
_RSS_PER_MB = 1 << 20 if sys.platform == "darwin" else 1 << 10
_TITLES = {
    "num_runs": "Min num runs",
    "min_secs": "Min runs duration (seconds)",
    "max_secs": "Max runs duration (seconds)",
    "num_threads": "Num threads",
    "warmup_runs": "Min warmup runs",
    "warmup_min_secs": "Min warmup runs duration (seconds)",
    "report_peak_memory_footprint": "Report the peak memory footprint",
    "graph": "Graph",
    "require_full_delegation": "Require full delegation",
    "enable_op_profiling": "Enable op profiling",
    "use_xnnpack": "Use xnnpack",
    "use_gpu": "Use gpu",
}


class Failed(Exception):
    """The benchmark cannot continue. The arguments are the lines of the error."""


def info(text: str) -> None:
    print(f"INFO: {text}", flush=True)


def warn(text: str) -> None:
    print(f"WARN: {text}", flush=True)


def error(text: str) -> None:
    print(f"ERROR: {text}", file=sys.stderr, flush=True)


def log_flags(flags: Flags) -> None:
    """Print the parameters with their values."""
    info(f"Log parameter values verbosely: [{int(flags.yes('verbose'))}]")
    for name, title in _TITLES.items():
        value = flags.values.get(name, "")
        if value != "" and (name in flags.named or name == "graph" or flags.yes("verbose")):
            shown = int(value) if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else value
            info(f"{title}: [{shown}]")


class MemoryMeter:
    """Memory of this process since the tool started.

    Args:
        flags: whether and how often the peak is read.
    """

    def __init__(self, flags: Flags) -> None:
        self._start_mb = self._peak_mb = _high_water_mb()
        self._interval_s = max(1, flags.whole("memory_footprint_check_interval_ms")) / 1000
        self._watch = flags.yes("report_peak_memory_footprint")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._monitor, daemon=True)
        if self._watch:
            self._thread.start()

    def growth_mb(self) -> float:
        """Growth of the high-water mark."""
        return _high_water_mb() - self._start_mb

    def peak_mb(self) -> float | None:
        """The peak in MB, `None` if it is not monitored; ends the monitoring."""
        if not self._watch:
            return None
        self._stop.set()
        self._thread.join()
        return max(self._peak_mb, _high_water_mb())

    def _monitor(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._peak_mb = max(self._peak_mb, _high_water_mb())


def _high_water_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _RSS_PER_MB


def print_summary(
    init_us: int, warmup_us: Sequence[int], runs_us: Sequence[int], memory: MemoryMeter, init_mb: float
) -> None:
    """Print the lines at the end: times and memory."""
    warmup_avg, runs_avg = (sum(times) / len(times) if times else 0.0 for times in (warmup_us, runs_us))
    info(
        f"Inference timings in us: Init: {init_us}, First inference: {warmup_us[0] if warmup_us else 0}, "
        f"Warmup (avg): {warmup_avg:g}, Inference (avg): {runs_avg:g}"
    )
    info(
        "Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual "
        "memory footprint of the model at runtime. Take the information at your discretion."
    )
    info(f"Memory footprint delta from the start of the tool (MB): init={init_mb:g} overall={memory.growth_mb():g}")
    peak_mb = memory.peak_mb()
    if peak_mb is not None:
        info(f"Overall peak memory footprint (MB) via periodic monitoring: {peak_mb:g}")


def explicitly_applied(delegate: str, how: str) -> str:
    """How much of the graph a delegate runs."""
    return f"Explicitly applied {delegate} delegate, and the model graph will be {how}."


@contextlib.contextmanager
def heard_stderr() -> Iterator[list[str]]:
    """The texts that native libraries print on standard error, which still go there; complete after the block."""
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
