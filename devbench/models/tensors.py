"""Inputs and outputs of a .tflite: name, type, shape; knows no device and no runtime."""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor at the edge of the graph.

    Attributes:
        name: the tensor's.
        dtype: NumPy's name, empty for a type that has no raw form.
        alias: its name in the model's first signature, which is what the model's maker called it; empty without one.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    alias: str = ""

    @property
    def size_bytes(self) -> int:
        import numpy as np

        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class ModelTensors:
    """Inputs and outputs of the main graph, in the model's order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def read_tensors(path: Path) -> ModelTensors:
    """The tensors at the edge of the model's main graph.

    Raises:
        InputError: the flatbuffer cannot be followed.
    """
    from ai_edge_litert import schema_py_generated as schema

    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            model = schema.Model.GetRootAs(data)
            graph = model.Subgraphs(0)
            named = model.SignatureDefs(0) if model.SignatureDefsLength() else None
            names = _aliases(named.Inputs, named.InputsLength()) if named else {}
            inputs = tuple(_spec(graph, graph.Inputs(n), names) for n in range(graph.InputsLength()))
            names = _aliases(named.Outputs, named.OutputsLength()) if named else {}
            outputs = tuple(_spec(graph, graph.Outputs(n), names) for n in range(graph.OutputsLength()))
            del model, graph, named
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
    return TensorSpec(name, _TYPES.get(tensor.Type(), ""), shape, aliases.get(number, ""))
