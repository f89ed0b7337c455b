"""What the virtual tool says besides statistics, in the stock tool's words and on its streams."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from devbench.virtual.benchmark_model.flags import Flags
from devbench.virtual.benchmark_model.memory import MemoryMeter


class Failed(Exception):
    """The benchmark cannot go on; everything there is to say has been printed."""


def info(text: str) -> None:
    print(f"INFO: {text}", flush=True)


def warn(text: str) -> None:
    print(f"WARN: {text}", flush=True)


def error(text: str) -> None:
    print(f"ERROR: {text}", file=sys.stderr, flush=True)


def log_flags(flags: Flags) -> None:
    """The parameters with their values."""
    titles = {
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
    info(f"Log parameter values verbosely: [{int(flags.yes('verbose'))}]")
    for name, title in titles.items():
        if name in flags.values and (name in flags.named or name == "graph" or flags.yes("verbose")):
            value = flags.values[name]
            shown = int(value) if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else value
            if name != "graph" or value:
                info(f"{title}: [{shown}]")


def print_summary(
    init_us: int, warmup_us: Sequence[int], runs_us: Sequence[int], memory: MemoryMeter, init_mb: float
) -> None:
    """The lines at the end: times and memory."""

    def average(times: Sequence[int]) -> float:
        return sum(times) / len(times) if times else 0.0

    info(
        f"Inference timings in us: Init: {init_us}, First inference: {warmup_us[0] if warmup_us else 0}, "
        f"Warmup (avg): {average(warmup_us):g}, Inference (avg): {average(runs_us):g}"
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
    """How much of the graph a delegate took."""
    return f"Explicitly applied {delegate} delegate, and the model graph will be {how}."
