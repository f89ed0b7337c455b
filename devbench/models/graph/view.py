"""A read-only view of a model: operators, tensors, options; and the schema's names of operators and types.

The views are small frozen dataclasses. `graph.read.read_model` makes them of a file; knows no file format and no
delegate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cache

from devbench.frozen import dataclass

# Bits of one element; types that are missing here (strings, resources) have no size of their own.
_BITS = {
    "float32": 32, "float16": 16, "bfloat16": 16, "float64": 64, "float8_e4m3fn": 8, "float8_e5m2": 8,
    "int2": 2, "int4": 4, "uint4": 4, "int8": 8, "uint8": 8, "int16": 16, "uint16": 16, "int32": 32, "uint32": 32,
    "int64": 64, "uint64": 64, "bool": 8, "complex64": 64, "complex128": 128,
}  # fmt: skip
FLOATS = frozenset({"float32", "float16", "bfloat16", "float64"})
# Element types in the schema's order, as NumPy writes those that it has.
TYPES = (
    "float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8", "float64",
    "complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4", "bfloat16", "int2", "uint4",
    "float8_e4m3fn", "float8_e5m2",
)  # fmt: skip


def type_name(number: int) -> str:
    """`float32`; `unknown` for a number that the schema does not have."""
    return TYPES[number] if 0 <= number < len(TYPES) else "unknown"


def operator_names() -> Mapping[int, str]:
    """The names of the built-in operators."""
    from ai_edge_litert import schema_py_generated as schema

    return numbered_names(schema.BuiltinOperator)


@cache
def numbered_names(enum: type) -> Mapping[int, str]:
    """The names of a generated enumeration by their numbers."""
    return {number: name for name, number in vars(enum).items() if isinstance(number, int)}


def shape_text(shape: Sequence[int]) -> str:
    """`1×32×32×4`; empty without dimensions."""
    return "×".join(map(str, shape))


@dataclass(frozen=True, slots=True)
class TensorView:
    """A tensor of a graph.

    Attributes:
        index: its number in the graph; two views with the same number are the same tensor.
        shape: the extents; `dynamic` says that some of them may change at run time.
        dtype: the schema's name in small letters (`float32`, `int4`, `string`).
        constant: its values are in the model.
        scales: how many quantisation scales it has: 0 is not quantised, 1 per tensor, more per channel.
        blockwise: quantised in blocks, whose scales are a separate tensor.
        sparse: a constant of which only the blocks that are not zero are stored.
        values: those of a small whole-number constant (axes, paddings, permutations), `None` for others.
        buffer: the number of the buffer with a constant's values; several tensors may share one.
        stored_bytes: the size of that buffer, 0 for a tensor that is not constant.
    """

    index: int
    shape: tuple[int, ...]
    dtype: str = "float32"
    name: str = ""
    constant: bool = False
    dynamic: bool = False
    variable: bool = False
    scales: int = 0
    blockwise: bool = False
    sparse: bool = False
    values: tuple[int, ...] | None = None
    buffer: int = 0
    stored_bytes: int = 0

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def elements(self) -> int:
        """How many elements it has; 1 for a scalar. Unknown extents count as 1."""
        return math.prod(extent if extent >= 0 else 1 for extent in self.shape)

    @property
    def size_bytes(self) -> int:
        """The size of its values in memory, 0 for a type without a size."""
        return (self.elements * _BITS.get(self.dtype, 0) + 7) // 8

    @property
    def quantised(self) -> bool:
        return self.scales > 0 or self.blockwise


@dataclass(frozen=True, slots=True)
class OperatorView:
    """An operator of a graph.

    Attributes:
        index: its place in the order of execution.
        type: the schema's name (`CONV_2D`), or the custom operator's own name.
        version: the operator's version, as the model requires it.
        inputs: `None` for an optional input that is left out.
        options: the single values of its options by their name in the schema (`strideH`, `keepDims`).
    """

    index: int
    type: str
    inputs: tuple[TensorView | None, ...]
    outputs: tuple[TensorView, ...]
    version: int = 1
    options: Mapping[str, int | float | bool] = field(default_factory=dict)
    custom: bool = False

    def input(self, number: int) -> TensorView | None:
        """An input by its number, `None` without one."""
        return self.inputs[number] if number < len(self.inputs) else None

    def flag(self, name: str) -> bool:
        """An option that is on or off; off if it is missing."""
        return bool(self.options.get(name, False))

    @property
    def given(self) -> list[TensorView]:
        """The inputs that are not left out."""
        return [tensor for tensor in self.inputs if tensor is not None]

    @property
    def tensors(self) -> list[TensorView]:
        """The inputs that are not left out, then the outputs."""
        return [*self.given, *self.outputs]


@dataclass(frozen=True, slots=True)
class GraphView:
    """A subgraph: its tensors in order, its operators in the order of execution, its edges as numbers of tensors."""

    operators: tuple[OperatorView, ...]
    tensors: tuple[TensorView, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class SignatureView:
    """A way to call the model: names for the tensors of a graph."""

    key: str
    graph: int
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class OperatorCode:
    """A type of operator that the model declares, whether or not an operator has it."""

    type: str
    version: int
    custom: bool


@dataclass(frozen=True, slots=True)
class StoredBuffer:
    """Where the bytes of a buffer are in the file.

    Attributes:
        start: 0 without bytes; a constant without elements has a start and a size of 0.
        size: in bytes.
        outside: it is behind the flatbuffer, as in files over 2 GB.
    """

    start: int
    size: int
    outside: bool


@dataclass(frozen=True, slots=True)
class ModelView:
    """A whole model.

    Attributes:
        graphs: the first is the main one.
        codes: all types of operators that the model declares.
        buffers: where the values of constants are; tensors refer to them by number.
        metadata: names and sizes in bytes.
    """

    graphs: tuple[GraphView, ...]
    size_bytes: int
    schema_version: int
    description: str = ""
    codes: tuple[OperatorCode, ...] = ()
    signatures: tuple[SignatureView, ...] = ()
    metadata: tuple[tuple[str, int], ...] = ()
    buffers: tuple[StoredBuffer, ...] = ()

    @property
    def main(self) -> GraphView:
        return self.graphs[0]

    @property
    def outside(self) -> list[int]:
        """The sizes in bytes of the buffers behind the flatbuffer."""
        return [buffer.size for buffer in self.buffers if buffer.outside]
