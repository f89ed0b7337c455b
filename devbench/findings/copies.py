"""Reads from a pipeline run's stored options how much data is copied at each run of a stage. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from devbench.frozen import dataclass
from devbench.numbers import MAX_REAL

# The option under which a run stores, for each model, the bytes and the time of its copies.
COPIES = "copies"


@dataclass(frozen=True, slots=True)
class Copied:
    """The data copied at each run of a repeated stage. A delegate that swaps buffers between steps copies nothing.

    Attributes:
        runs: the runs of the stage for one image.
        in_bytes, out_bytes: the size of all inputs and of all outputs, at each run.
        host_us: microseconds for a copy of both in the memory of the computer that ran devbench.
    """

    stage: str
    runs: int
    in_bytes: int
    out_bytes: int
    host_us: float

    @property
    def image_bytes(self) -> int:
        return self.runs * (self.in_bytes + self.out_bytes)


def copied(stage: str, runs: int, kept: object) -> Copied | None:
    """Return the copies of a stage from its model's stored values; `None` if these are not numbers."""
    if not isinstance(kept, Mapping):
        return None
    values: list[Any] = [kept.get(name) for name in ("in_bytes", "out_bytes", "host_us")]
    if not all(isinstance(one, int | float) and 0 <= one <= MAX_REAL for one in values):
        return None
    return Copied(stage, runs, int(values[0]), int(values[1]), float(values[2]))
