"""Inputs and outputs of a .tflite: name, type, shape; knows no device and no runtime."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path

from devbench.errors import InputError
from devbench.models.graph.tables import Table, open_tables
from devbench.models.graph.view import type_name

# Types that can be given as raw bytes; NumPy calls them as the schema does.
_RAW_TYPES = frozenset({
    "float32", "float16", "int32", "uint8", "int64", "bool", "int16", "complex64", "int8", "float64", "uint64",
    "uint32", "uint16",
})  # fmt: skip
_MAX_SIGNATURES = 1000


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor at the edge of the graph.

    Attributes:
        name: the tensor's.
        dtype: NumPy's name, empty for a type that has no raw form.
        alias: its name in the signature, which is what the model's maker called it; empty without one.
        open_shape: the shape with -1 for each dimension that may have any size; empty if all are fixed.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    alias: str = ""
    open_shape: tuple[int, ...] = ()

    @property
    def shown(self) -> str:
        """The name for people, which options take too."""
        return self.alias or self.name

    @property
    def size_bytes(self) -> int:
        import numpy as np

        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class ModelTensors:
    """Inputs and outputs of a graph, in its order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """A way to call a model. `graph` is the number of the subgraph that it runs; 0 is the main graph."""

    name: str
    graph: int


def read_signatures(path: Path) -> tuple[Signature, ...]:
    """The signatures of a model in the file's order, as far as the file can be followed."""
    found: list[Signature] = []
    with contextlib.suppress(InputError), open_tables(path) as model:
        for number in range(min(model.count("signatures"), _MAX_SIGNATURES)):
            entry = model.item("signatures", number)
            found.append(Signature(entry.text("key"), entry.number("graph")))
    return tuple(found)


def read_tensors(path: Path, graph_number: int = 0) -> ModelTensors:
    """The tensors at the edge of a graph of the model, by default the main one.

    Raises:
        InputError: the file cannot be followed.
    """
    with open_tables(path) as model:
        graph = model.item("graphs", graph_number)
        signature = next((one for one in model.each("signatures") if one.number("graph") == graph_number), None)
        return ModelTensors(_edge(graph, "inputs", signature), _edge(graph, "outputs", signature))


def _edge(graph: Table, side: str, signature: Table | None) -> tuple[TensorSpec, ...]:
    """The tensors of one side, with their names in the signature."""
    entries = signature.each(side) if signature is not None else ()
    aliases = {one.number("tensor"): one.text("name") for one in entries}
    return tuple(_spec(graph.item("tensors", number), aliases.get(number, "")) for number in graph.numbers(side))


def _spec(tensor: Table, alias: str) -> TensorSpec:
    shape, signed = tensor.numbers("shape"), tensor.numbers("shape_signature")
    is_open = len(signed) == len(shape) and any(size < 0 for size in signed)
    dtype = type_name(tensor.number("type"))
    raw = dtype if dtype in _RAW_TYPES else ""
    return TensorSpec(tensor.text("name"), raw, shape, alias, signed if is_open else ())
