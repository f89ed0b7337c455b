"""Whether two models compute the same: both run by LiteRT on this machine on the same generated inputs."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devbench.errors import DevbenchError
from devbench.models.graph.edit import Graph
from devbench.models.graph.file import load_model
from devbench.models.reference import HostRun, Kernels, run_on_host
from devbench.models.tensors import ModelTensors, make_inputs, read_tensors

TOLERANCE = 1e-3
# The newest results of models in this process. The model that one rewrite writes is often the input of the next one.
_MOST_RUNS = 8
_runs: dict[tuple[object, ...], HostRun] = {}


class OutputsDiffer(DevbenchError):
    """A rewritten model has other outputs than the original."""


@dataclass(frozen=True, slots=True)
class OutputDifference:
    """How far an output of one model is from that of another, over all sets of inputs.

    Attributes:
        output: its name.
        largest: max |b − a|, in the output's unit; infinite if one is not finite and the other differs.
        relative: `largest` by max |a|.
        snr_db: 10·log₁₀(Σa² / Σ(b − a)²); infinite if they are equal.
    """

    output: str
    largest: float
    relative: float
    snr_db: float


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """Two models compared: their outputs, and their time and memory on this machine."""

    errors: tuple[OutputDifference, ...]
    inputs: int
    before: HostRun
    after: HostRun

    @property
    def worst(self) -> OutputDifference:
        return max(self.errors, key=lambda error: error.relative)


def compare_models(
    before: Path,
    after: Path,
    inputs: int = 3,
    *,
    kernels: Kernels = "builtin",
    tell: Callable[[str], None] = lambda what: None,
) -> ModelComparison:
    """Run both on `inputs` sets of generated inputs.

    Raises:
        ReferenceFailed: LiteRT does not run one of them.
        OutputsDiffer: their inputs or outputs have other types or shapes.
    """
    tensors, others = read_tensors(before), read_tensors(after)
    for side, mine, its in (("inputs", tensors.inputs, others.inputs), ("outputs", tensors.outputs, others.outputs)):
        if [(spec.dtype, spec.shape) for spec in mine] != [(spec.dtype, spec.shape) for spec in its]:
            raise OutputsDiffer(f"{after.name} has other {side} than {before.name}")
    bounds = _index_limits(before)
    sets = [make_inputs(tensors.inputs, {}, seed, bounds) for seed in range(inputs)]
    runs = []
    for path in (before, after):
        tell(f"running {path.name}")
        runs.append(_run(path, sets, kernels))
    return ModelComparison(output_errors(tensors, *runs), inputs, *runs)


def _run(path: Path, sets: Sequence[Sequence[NDArray[Any]]], kernels: Kernels) -> HostRun:
    """The results of a model on these inputs. An unchanged file is not run again, even under another name."""
    given = hashlib.sha256(b"".join(array.tobytes() for inputs in sets for array in inputs)).digest()
    state = path.stat()
    key = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, kernels, len(sets), given)
    if key not in _runs:
        while len(_runs) >= _MOST_RUNS:
            del _runs[next(iter(_runs))]
        _runs[key] = run_on_host(path, sets, threads=os.cpu_count() or 1, kernels=kernels)
    return _runs[key]


def output_errors(tensors: ModelTensors, before: HostRun, after: HostRun) -> tuple[OutputDifference, ...]:
    """How far each output of one run is from that of another, on the same inputs."""
    errors, at = [], 0
    for spec in tensors.outputs:
        span = slice(at, at := at + spec.size_bytes)
        pair = (b"".join(outputs[span] for outputs in run.outputs) for run in (before, after))
        errors.append(output_error(spec.shown, *(np.frombuffer(data, spec.dtype) for data in pair)))
    return tuple(errors)


def require_equal(comparison: ModelComparison, tolerance: float = TOLERANCE) -> None:
    """Raises OutputsDiffer if an output differs by more than `tolerance`, relative to its largest value."""
    worst = comparison.worst
    if not worst.relative <= tolerance:
        raise OutputsDiffer(
            f"output {worst.output} differs by {worst.largest:.3g}, {worst.relative:.2g} of its largest value",
            hint=f"no more than {tolerance:g} is allowed; leave rewrites out with --skip to find which it is",
        )


def output_error(name: str, a: NDArray[Any], b: NDArray[Any]) -> OutputDifference:
    """How far `b` is from `a`; both have one shape."""
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    finite = np.isfinite(a)
    if (finite != np.isfinite(b)).any() or not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return OutputDifference(name, math.inf, math.inf, -math.inf)
    a, b = a[finite], b[finite]
    largest = float(np.abs(b - a).max(initial=0.0))
    scale = float(np.abs(a).max(initial=0.0))
    relative = largest / scale if scale else (math.inf if largest else 0.0)
    noise, signal = float(np.square(b - a).sum()), float(np.square(a).sum())
    snr = math.inf if not noise else 10 * math.log10(signal / noise) if signal else -math.inf
    return OutputDifference(name, largest, relative, snr)


def _index_limits(path: Path) -> dict[str, int]:
    """For each input that has row numbers of a constant table: the number of rows of the table."""
    graph = Graph(load_model(path))
    found: dict[str, int] = {}
    for operator in graph.operators("GATHER", "EMBEDDING_LOOKUP"):
        lookup = graph.kind(operator) == "EMBEDDING_LOOKUP"
        indices, table = operator.inputs if lookup else reversed(operator.inputs)
        while (maker := graph.producer(indices, "RESHAPE", "CAST")) is not None:
            indices = maker.inputs[0]
        rows = graph.shape(table)[:1]
        if indices in graph.inputs and graph.is_constant(table) and rows:
            found[graph.name(indices)] = min(rows[0], found.get(graph.name(indices), rows[0]))
    return found
