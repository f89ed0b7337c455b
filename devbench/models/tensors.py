"""Inputs and outputs of a .tflite: name, type, shape; knows no device and no runtime."""

from __future__ import annotations

import contextlib
import math
import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devbench.errors import InputError

# Schema's TensorType to NumPy's name; other types cannot be given as raw bytes.
_TYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 8: "complex64", 9: "int8",
    10: "float64", 12: "uint64", 15: "uint32", 16: "uint16",
}  # fmt: skip

_MOST_SIGNATURES = 1000


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
    """The signatures of a model in the file's order; none where the flatbuffer cannot be followed."""
    from ai_edge_litert import schema_py_generated as schema

    found: list[Signature] = []
    with (
        contextlib.suppress(Exception),
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        model = schema.Model.GetRootAs(data)
        for number in range(min(model.SignatureDefsLength(), _MOST_SIGNATURES)):
            entry = model.SignatureDefs(number)
            name = (entry.SignatureKey() or b"").decode("utf-8", "replace")
            found.append(Signature(name, entry.SubgraphIndex()))
            del entry
        del model
    return tuple(found)


def read_tensors(path: Path, graph_number: int = 0) -> ModelTensors:
    """The tensors at the edge of a graph of the model, by default the main one.

    Raises:
        InputError: the flatbuffer cannot be followed.
    """
    from ai_edge_litert import schema_py_generated as schema

    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            model = schema.Model.GetRootAs(data)
            graph = model.Subgraphs(graph_number)
            defined = [model.SignatureDefs(n) for n in range(model.SignatureDefsLength())]
            named = next((one for one in defined if one.SubgraphIndex() == graph_number), None)
            names = _aliases(named.Inputs, named.InputsLength()) if named else {}
            inputs = tuple(_spec(graph, graph.Inputs(n), names) for n in range(graph.InputsLength()))
            names = _aliases(named.Outputs, named.OutputsLength()) if named else {}
            outputs = tuple(_spec(graph, graph.Outputs(n), names) for n in range(graph.OutputsLength()))
            del model, graph, named, defined
    except Exception as error:
        raise InputError(f"model {path}: its inputs and outputs cannot be read: {error}", hint="is it whole?") from None
    return ModelTensors(inputs, outputs)


def _aliases(entry: Callable[[int], Any], count: int) -> dict[int, str]:
    """The names of one side of a signature by the tensor's number."""
    entries = [entry(n) for n in range(count)]
    return {one.TensorIndex(): (one.Name() or b"").decode("utf-8", "replace") for one in entries}


def _spec(graph: Any, number: int, aliases: Mapping[int, str]) -> TensorSpec:
    tensor = graph.Tensors(number)
    name = (tensor.Name() or b"").decode("utf-8", "replace")
    shape = tuple(int(tensor.Shape(n)) for n in range(tensor.ShapeLength()))
    signed = tuple(int(tensor.ShapeSignature(n)) for n in range(tensor.ShapeSignatureLength()))
    is_open = len(signed) == len(shape) and any(size < 0 for size in signed)
    return TensorSpec(name, _TYPES.get(tensor.Type(), ""), shape, aliases.get(number, ""), signed if is_open else ())
