"""Inferences one after the other, warm-up and main phase, timed by a clock; or the latencies of a recorded process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from devbench.virtual.benchmark_model.choice import check_graph, choose, graph_of
from devbench.virtual.benchmark_model.flags import Flags
from devbench.virtual.benchmark_model.report import stat_line
from devbench.virtual.benchmark_model.talk import (
    Failed,
    MemoryMeter,
    explicitly_applied,
    info,
    log_flags,
    print_summary,
    warn,
)
from devbench.virtual.faults import (
    NOISE_VARIABLE,
    SEED_VARIABLE,
    SLOWER_VARIABLE,
    NoiseError,
    Replay,
    draw,
    parse_slower,
    read_noise,
)


def run_phases(
    flags: Flags,
    warm: Callable[[], None],
    regular: Callable[[], None],
    clock_ns: Callable[[], int] = time.perf_counter_ns,
) -> tuple[list[int], list[int]]:
    """Times of single inferences of the warm-up and of the main phase, in whole microseconds."""
    if flags.yes("dry_run"):
        return _run_phase(0, -1.0, flags, warm, clock_ns), _run_phase(0, -1.0, flags, regular, clock_ns)
    return (
        _run_phase(flags.whole("warmup_runs"), flags.real("warmup_min_secs"), flags, warm, clock_ns),
        _run_phase(flags.whole("num_runs"), flags.real("min_secs"), flags, regular, clock_ns),
    )


def _run_phase(
    min_runs: int, min_s: float, flags: Flags, run: Callable[[], None], clock_ns: Callable[[], int]
) -> list[int]:
    """Differences of a clock of whole microseconds."""
    longest_s, delay_s = flags.real("max_secs"), flags.real("run_delay")
    info(
        f"Running benchmark for at least {min_runs} iterations and at least {min_s:g} seconds but "
        f"terminate if exceeding {longest_s:g} seconds."
    )
    began_ns = clock_ns()
    times: list[int] = []
    while True:
        passed_s = (clock_ns() - began_ns) / 1e9
        if (len(times) >= min_runs and passed_s >= min_s) or passed_s > longest_s:
            break
        start_us = clock_ns() // 1000
        run()
        times.append(clock_ns() // 1000 - start_us)
        if delay_s > 0:
            time.sleep(delay_s)
    info(stat_line(times))
    print(flush=True)
    return times


def slowdown_of(delegate: str) -> float:
    """The factor by which the delegate's inferences are to take longer; a warning is printed if there is one."""
    text = os.environ.get(SLOWER_VARIABLE, "")
    try:
        slower = parse_slower(text) if text else None
    except NoiseError as problem:
        raise Failed(f"Failed to slow down: {problem}") from None
    if slower is None or slower.delegate != delegate:
        return 1.0
    warn(f"This cannot count as a measurement: inferences under {delegate} are made {slower.pct:g} % longer.")
    return 1 + slower.pct / 100


def lengthened(run: Callable[[], None], factor: float) -> Callable[[], None]:
    """`run` with a wait after it, so that it takes `factor` times as long."""
    if factor == 1:
        return run

    def run_and_wait() -> None:
        start = time.perf_counter_ns()
        run()
        end = start + factor * (time.perf_counter_ns() - start)
        # A busy wait, because a sleep is too long for a few microseconds.
        while time.perf_counter_ns() < end:
            pass

    return run_and_wait


def replay(flags: Flags) -> None:
    """Print what the tool prints, with the latencies of a process of the noise file. Loads no runtime, runs nothing.

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
        raise Failed(f"Failed to replay: {problem}") from None
    warn(
        f"This cannot count as a measurement: process {number + 1} of {len(processes)} in {noise.name} is replayed, "
        "nothing is run, there are no outputs and no profile."
    )
    recorded = Replay(processes[number], slowdown_of(choice.name))
    if choice.delegate:
        info(f"{choice.delegate} delegate created.")
        info(explicitly_applied(choice.delegate, "completely executed by the delegate"))
    info(f"The input model file size (MB): {Path(graph).stat().st_size / 1e6:g}")
    init_us, init_mb = (time.perf_counter_ns() - start) // 1000, memory.growth_mb()
    info(f"Initialized session in {init_us / 1000:g}ms.")
    print_summary(init_us, *run_phases(flags, recorded.run, recorded.run, recorded.clock_ns), memory, init_mb)
