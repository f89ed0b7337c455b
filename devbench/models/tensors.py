"""Inputs and outputs of a .tflite: name, type, shape; knows no device and no runtime."""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass
from pathlib import Path

from devbench.errors import InputError

# Schema's TensorType to NumPy's name; other types cannot be given as raw bytes.
_TYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 8: "complex64", 9: "int8",
    10: "float64", 12: "uint64", 15: "uint32", 16: "uint16",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor at the edge of the graph. `dtype` is NumPy's name, empty for a type that has no raw form."""

    name: str
    dtype: str
    shape: tuple[int, ...]

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
            graph = schema.Model.GetRootAs(data).Subgraphs(0)
            inputs = tuple(_spec(graph.Tensors(graph.Inputs(n))) for n in range(graph.InputsLength()))
            outputs = tuple(_spec(graph.Tensors(graph.Outputs(n))) for n in range(graph.OutputsLength()))
            del graph
    except Exception as error:
        raise InputError(f"model {path}: its inputs and outputs cannot be read: {error}", hint="is it whole?") from None
    return ModelTensors(inputs, outputs)


def _spec(tensor: object) -> TensorSpec:
    name = (tensor.Name() or b"").decode("utf-8", "replace")  # type: ignore[attr-defined]
    shape = tuple(int(tensor.Shape(n)) for n in range(tensor.ShapeLength()))  # type: ignore[attr-defined]
    return TensorSpec(name, _TYPES.get(tensor.Type(), ""), shape)  # type: ignore[attr-defined]
