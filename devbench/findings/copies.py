"""What is copied at each run of a stage, as a run of pipelines keeps it with its options; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from devbench.frozen import dataclass
from devbench.numbers import MAX_REAL

# The option of a run that has, for each model, what a run of it copies.
COPIES = "copies"


@dataclass(frozen=True, slots=True)
class Copied:
    """What is copied at each run of a repeated stage; a delegate that swaps buffers between steps copies none of it.

    Attributes:
        runs: for one image.
        in_bytes, out_bytes: of all inputs and of all outputs, at each run.
        host_us: a copy of both in the memory of the computer that ran devbench.
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
    """The copies of a stage from what was kept of its model; `None` for anything else, which another host may store."""
    if not isinstance(kept, Mapping):
        return None
    values: list[Any] = [kept.get(name) for name in ("in_bytes", "out_bytes", "host_us")]
    if not all(isinstance(one, int | float) and 0 <= one <= MAX_REAL for one in values):
        return None
    return Copied(stage, runs, int(values[0]), int(values[1]), float(values[2]))
