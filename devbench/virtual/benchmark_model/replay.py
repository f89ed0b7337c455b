"""The latencies of a recorded process in place of inferences, for tests: loads no runtime, runs nothing, says so."""

from __future__ import annotations

import os
import time
from pathlib import Path

from devbench.virtual.benchmark_model.choice import check_graph, choose, graph_of
from devbench.virtual.benchmark_model.flags import Flags
from devbench.virtual.benchmark_model.memory import MemoryMeter
from devbench.virtual.benchmark_model.phases import phases, run_phase, slower_of
from devbench.virtual.benchmark_model.talk import (
    Failed,
    error,
    explicitly_applied,
    info,
    log_flags,
    print_summary,
    warn,
)
from devbench.virtual.noise import NOISE_VARIABLE, SEED_VARIABLE, NoiseError, Replay, draw, read_noise


def replay(flags: Flags) -> None:
    """Say what the tool says, with the latencies of a process of the noise file, slowed down where that was told.

    Raises:
        Failed: no model, or no such noise.
    """
    start = time.perf_counter_ns()
    log_flags(flags)
    graph = graph_of(flags)
    memory = MemoryMeter(flags)
    check_graph(graph)
    info(f"Loaded model {graph}")
    choice = choose(flags)
    noise = Path(os.environ[NOISE_VARIABLE])
    seed = os.environ.get(SEED_VARIABLE, "")
    root = os.environ.get("DEVBENCH_VIRTUAL_ROOT")
    counter = Path(root, "data", "local", "replayed") if root else None
    try:
        processes = read_noise(noise)
        number = draw(len(processes), int(seed) if seed else None, counter)
    except (NoiseError, OSError, ValueError) as problem:
        error(f"Failed to replay: {problem}")
        raise Failed from None
    warn(
        f"This cannot count as a measurement: process {number + 1} of {len(processes)} in {noise.name} is replayed, "
        "nothing is run, there are no outputs and no profile."
    )
    recorded = Replay(processes[number], slower_of(choice.name).factor(choice.name))
    if choice.delegate:
        info(f"{choice.delegate} delegate created.")
        info(explicitly_applied(choice.delegate, "completely executed by the delegate"))
    info(f"The input model file size (MB): {Path(graph).stat().st_size / 1e6:g}")
    init_us, init_mb = (time.perf_counter_ns() - start) // 1000, memory.growth_mb()
    info(f"Initialized session in {init_us / 1000:g}ms.")
    warm, regular = phases(flags)
    warmup_us = run_phase(warm, flags, recorded.run, recorded.clock_ns)
    runs_us = run_phase(regular, flags, recorded.run, recorded.clock_ns)
    print_summary(init_us, warmup_us, runs_us, memory, init_mb)
