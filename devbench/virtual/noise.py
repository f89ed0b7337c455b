"""Recorded latencies of real processes, and how a virtual device is told to be slow with them; knows no tool.

Tests of rankings need true noise and a true difference. The noise is recorded from real processes of the virtual tool
(`DEVBENCH_VIRTUAL_RECORD=FILE` makes it write the latencies of its main phase) and replayed under the fault `noise`;
the difference is put on top by the fault `slower`.

A noise file is JSON: a list of processes, each a list of single inferences in microseconds, above zero.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NOISE_VARIABLE = "DEVBENCH_VIRTUAL_NOISE"
SLOWER_VARIABLE = "DEVBENCH_VIRTUAL_SLOWER"
SEED_VARIABLE = "DEVBENCH_VIRTUAL_SEED"
RECORD_VARIABLE = "DEVBENCH_VIRTUAL_RECORD"
SLOWER_DELEGATES = ("cpu", "xnnpack", "gpu")
_MAX_BYTES = 64 << 20
_MAX_PCT = 1000.0


class NoiseError(ValueError):
    """A noise file or a slow-down that makes no sense; the text says why."""


@dataclass(frozen=True, slots=True)
class Slower:
    """A delegate whose inferences take `pct` percent longer."""

    delegate: str
    pct: float

    def factor(self, delegate: str) -> float:
        """By what latencies under `delegate` are multiplied."""
        return 1 + self.pct / 100 if delegate == self.delegate else 1.0


def parse_slower(text: str) -> Slower:
    """`NAME:PCT`, such as `gpu:5`.

    Raises:
        NoiseError: it is something else.
    """
    name, _, value = text.partition(":")
    try:
        pct = float(value.removesuffix("%"))
    except ValueError:
        pct = math.nan
    if name not in SLOWER_DELEGATES or not 0 <= pct <= _MAX_PCT:
        raise NoiseError(f"{text!r} is not NAME:PCT, such as gpu:5, with NAME one of {', '.join(SLOWER_DELEGATES)}")
    return Slower(name, pct)


def read_noise(path: Path) -> tuple[tuple[float, ...], ...]:
    """The processes of a noise file, each with its single inferences in microseconds.

    Raises:
        NoiseError: the file is not there, too large, or no such list.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise NoiseError(f"{path} is larger than {_MAX_BYTES >> 20} MiB")
        found = json.loads(path.read_text("utf-8"))
    except OSError as problem:
        raise NoiseError(f"{path}: {problem.strerror}") from None
    except (ValueError, RecursionError) as problem:
        raise problem if isinstance(problem, NoiseError) else NoiseError(f"{path} is no JSON") from None
    if not isinstance(found, list) or not found:
        raise NoiseError(f"{path} is not a list of processes")
    for process in found:
        if not isinstance(process, list) or not process or not all(_is_latency(value) for value in process):
            raise NoiseError(f"{path}: a process is not a list of microseconds above zero")
    return tuple(tuple(map(float, process)) for process in found)


def _is_latency(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


class Replay:
    """One recorded process in place of inferences: it has a clock of its own, which each inference moves on.

    Args:
        latencies_us: of single inferences; after the last comes the first again.
        factor: by what they are multiplied.
    """

    def __init__(self, latencies_us: Sequence[float], factor: float = 1.0) -> None:
        self._latencies_us = latencies_us
        self._factor = factor
        self._next = 0
        self._now_ns = 0.0

    def clock_ns(self) -> int:
        """Nanoseconds since the process began."""
        return int(self._now_ns)

    def run(self) -> None:
        """One inference, which takes no time of this machine's."""
        self._now_ns += 1000 * self._factor * self._latencies_us[self._next]
        self._next = (self._next + 1) % len(self._latencies_us)


def draw(processes: int, seed: int | None, counter: Path | None) -> int:
    """The number of the recorded process to replay, drawn at random with replacement.

    Args:
        processes: how many there are.
        seed: makes the device's processes draw the same sequence in every run; `None` draws anew.
        counter: a file of the device that grows by a byte with each process; `None` outside of a device.
    """
    if seed is None:
        return random.randrange(processes)
    if counter is None:
        return random.Random(seed).randrange(processes)
    with counter.open("ab") as file:
        file.write(b".")
        file.flush()
        count = file.tell()
    return random.Random(f"{seed}/{count}").randrange(processes)
