"""Inferences one after the other, warm-up and main phase, timed by a clock; knows no runtime."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from devbench.virtual.benchmark_model.flags import Flags
from devbench.virtual.benchmark_model.report import stat_line
from devbench.virtual.benchmark_model.talk import Failed, error, info, warn
from devbench.virtual.noise import SLOWER_VARIABLE, NoiseError, Slower, parse_slower


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase runs at least so often and so long."""

    min_runs: int
    min_s: float


def phases(flags: Flags) -> tuple[Phase, Phase]:
    """The warm-up and the main phase."""
    if flags.yes("dry_run"):
        return Phase(0, -1.0), Phase(0, -1.0)
    return (
        Phase(flags.whole("warmup_runs"), flags.real("warmup_min_secs")),
        Phase(flags.whole("num_runs"), flags.real("min_secs")),
    )


def run_phase(
    phase: Phase, flags: Flags, run: Callable[[], None], clock_ns: Callable[[], int] = time.perf_counter_ns
) -> list[int]:
    """Times of single inferences in whole microseconds, differences of a clock of whole microseconds."""
    longest_s, delay_s = flags.real("max_secs"), flags.real("run_delay")
    info(
        f"Running benchmark for at least {phase.min_runs} iterations and at least {phase.min_s:g} seconds but "
        f"terminate if exceeding {longest_s:g} seconds."
    )
    began_ns = clock_ns()
    times: list[int] = []
    while True:
        passed_s = (clock_ns() - began_ns) / 1e9
        if (len(times) >= phase.min_runs and passed_s >= phase.min_s) or passed_s > longest_s:
            break
        start_us = clock_ns() // 1000
        run()
        times.append(clock_ns() // 1000 - start_us)
        if delay_s > 0:
            time.sleep(delay_s)
    info(stat_line(times))
    print(flush=True)
    return times


def slower_of(delegate: str) -> Slower:
    """Which delegate was told to be slower; said where it is this one."""
    text = os.environ.get(SLOWER_VARIABLE, "")
    try:
        slower = parse_slower(text) if text else Slower("", 0.0)
    except NoiseError as problem:
        error(f"Failed to slow down: {problem}")
        raise Failed from None
    if slower.delegate == delegate:
        warn(f"This cannot count as a measurement: inferences under {delegate} are made {slower.pct:g} % longer.")
    return slower


def lengthened(run: Callable[[], None], share: float) -> Callable[[], None]:
    """`run` with a wait after it that is so large a share of its time."""
    if not share:
        return run

    def run_and_wait() -> None:
        start = time.perf_counter_ns()
        run()
        now = time.perf_counter_ns()
        end = now + share * (now - start)
        # Not a sleep, which is too long for a share of a few microseconds.
        while time.perf_counter_ns() < end:
            pass

    return run_and_wait
