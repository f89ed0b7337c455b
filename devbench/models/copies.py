"""What is copied at each run of a model: bytes in and out, and the time of a copy of both in this machine's memory.

The stock tool copies all inputs into the model before each run, and a GPU delegate copies inputs and outputs between
the memories of CPU and GPU. Only a phone can show the time of the copies on a GPU. Knows no device.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from devbench.frozen import dataclass
from devbench.models.tensors import TensorSpec, read_tensors

_COPIES = 200
# At most this many bytes are copied: a size from a damaged file must not take all memory.
_MAX_COPIED = 64 << 20


@dataclass(frozen=True, slots=True)
class Copies:
    """Bytes of all inputs and of all outputs, and the median time of a copy of both here, in microseconds."""

    in_bytes: int
    out_bytes: int
    host_us: float


def copies_of(path: Path) -> Copies:
    """What a run of the model's main graph copies. An open dimension has the size that the file states.

    Raises:
        InputError: the file cannot be read as a model.
    """
    tensors = read_tensors(path)
    taken, given = (_bytes(specs) for specs in (tensors.inputs, tensors.outputs))
    data = bytearray(min(taken + given, _MAX_COPIED))
    into, took = memoryview(bytearray(len(data))), []
    for _ in range(_COPIES):
        began = time.perf_counter_ns()
        into[:] = data
        took.append((time.perf_counter_ns() - began) / 1e3)
    return Copies(taken, given, round(median(took) * (taken + given) / max(1, len(data)), 3))


def _bytes(specs: Sequence[TensorSpec]) -> int:
    """The sum of the sizes; tensors of text have no fixed size and do not count."""
    return sum(max(one.size_bytes, 0) for one in specs if one.dtype)
