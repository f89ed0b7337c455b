"""Models of one or a few operators, made without a converter: any version, shape and type, sensible or not.

x = Tensor((1, 8, 8, 4))
build([Op("ABS", [x], [Tensor((1, 8, 8, 4))])])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_NUMPY = {
    "FLOAT32": np.float32, "FLOAT16": np.float16, "INT32": np.int32, "INT64": np.int64, "INT8": np.int8,
    "UINT8": np.uint8, "INT4": np.int8, "INT16": np.int16, "BOOL": np.bool_,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor; a constant where `data` is given. Each object is a tensor of its own, whatever its fields."""

    shape: Sequence[int]
    dtype: str = "FLOAT32"
    data: Any = None
    scale: Sequence[float] = ()
    axis: int = 0
    signature: Sequence[int] | None = None
    name: str = ""
    sparse: bool = False
    blockwise: bool = False


@dataclass(frozen=True, eq=False)
class Op:
    """An operator: the schema's name, or a custom one; `options` are the fields of the schema's class `kind`."""

    name: str
    inputs: Sequence[Tensor | None]
    outputs: Sequence[Tensor]
    version: int = 1
    kind: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


def constant(
    shape: Sequence[int], dtype: str = "FLOAT32", fill: float | None = None, scale: Sequence[float] = ()
) -> Tensor:
    """A constant of small random numbers, or all `fill`."""
    rng = np.random.default_rng(int(np.prod(shape)) + len(shape))
    values = np.full(shape, fill) if fill is not None else rng.uniform(-1, 1, shape) * (1 if "FLOAT" in dtype else 100)
    return Tensor(tuple(shape), dtype, values, scale)


def ints(*values: int, dtype: str = "INT32") -> Tensor:
    """A constant vector of whole numbers."""
    return Tensor((len(values),), dtype, np.array(values))


@dataclass(frozen=True, eq=False)
class Part:
    """A graph; inputs are by default the tensors that no operator makes, outputs those that no operator reads."""

    ops: Sequence[Op]
    inputs: Sequence[Tensor] | None = None
    outputs: Sequence[Tensor] | None = None


def build(
    ops: Sequence[Op], *, inputs: Sequence[Tensor] | None = None, outputs: Sequence[Tensor] | None = None
) -> bytes:
    """The .tflite of these operators in one graph."""
    return build_graphs([Part(ops, inputs, outputs)])


def build_graphs(parts: Sequence[Part], unused: Sequence[Op] = (), signatures: Sequence[tuple[str, int]] = ()) -> bytes:
    """The .tflite of several graphs, the first is the main one; the codes of `unused` operators are only declared.

    `signatures` are names and the number of their graph; their inputs and outputs are called as the tensors.
    """
    model = schema.ModelT()
    model.version, model.description = 3, "a probe"
    model.buffers, model.operatorCodes = [_buffer(None)], []
    model.subgraphs = [_graph(part, model, f"graph{number}" if number else "main") for number, part in enumerate(parts)]
    model.operatorCodes += [_code(op) for op in unused]
    model.signatureDefs = [_signature(name, model.subgraphs[graph], graph) for name, graph in signatures] or None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _graph(part: Part, model: Any, name: str) -> Any:
    graph, ops = schema.SubGraphT(), part.ops
    tensors: list[Tensor] = []
    named = [*(part.inputs or ()), *(part.outputs or ())]
    for tensor in (*(tensor for op in ops for tensor in (*op.inputs, *op.outputs)), *named):
        if tensor is not None and not any(tensor is other for other in tensors):
            tensors.append(tensor)
    place = {id(tensor): number for number, tensor in enumerate(tensors)}
    made = {id(tensor) for op in ops for tensor in op.outputs}
    read = {id(tensor) for op in ops for tensor in op.inputs if tensor is not None}
    graph.tensors = [_tensor(tensor, number, model.buffers) for number, tensor in enumerate(tensors)]
    inputs = part.inputs or [t for t in tensors if t.data is None and id(t) not in made]
    outputs = part.outputs or [t for t in tensors if id(t) in made and id(t) not in read]
    graph.inputs, graph.outputs = [place[id(one)] for one in inputs], [place[id(one)] for one in outputs]
    graph.operators, graph.name = [], name
    for op in ops:
        model.operatorCodes.append(_code(op))
        graph.operators.append(_operator(op, len(model.operatorCodes) - 1, place))
    return graph


def _signature(name: str, graph: Any, number: int) -> Any:
    made = schema.SignatureDefT()
    made.signatureKey, made.subgraphIndex = name, number
    made.inputs, made.outputs = [_edges(graph, side) for side in (graph.inputs, graph.outputs)]
    return made


def _edges(graph: Any, indices: Sequence[int]) -> list[Any]:
    found = []
    for index in indices:
        edge = schema.TensorMapT()
        edge.name, edge.tensorIndex = graph.tensors[index].name, index
        found.append(edge)
    return found


def _buffer(data: bytes | None) -> Any:
    buffer = schema.BufferT()
    buffer.data = None if data is None else np.frombuffer(data, np.uint8)
    return buffer


def _tensor(tensor: Tensor, number: int, buffers: list[Any]) -> Any:
    made = schema.TensorT()
    made.shape, made.name = list(tensor.shape), tensor.name or f"t{number}"
    made.type = getattr(schema.TensorType, tensor.dtype)
    made.shapeSignature = None if tensor.signature is None else list(tensor.signature)
    if tensor.data is not None:
        buffers.append(_buffer(np.asarray(tensor.data).astype(_NUMPY[tensor.dtype]).tobytes()))
        made.buffer = len(buffers) - 1
    if tensor.scale:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = list(tensor.scale)
        made.quantization.zeroPoint = [0] * len(tensor.scale)
        made.quantization.quantizedDimension = tensor.axis
    if tensor.sparse:
        made.sparsity = _dense_rows(tensor)
    if tensor.blockwise:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.detailsType = schema.QuantizationDetails.BlockwiseQuantization
        made.quantization.details = schema.BlockwiseQuantizationT(scales=0, blockSize=32)
    return made


def _dense_rows(tensor: Tensor) -> Any:
    """A description of a sparse tensor in which every axis is dense."""
    axes = range(len(tensor.shape))
    return schema.SparsityParametersT(
        traversalOrder=list(axes),
        dimMetadata=[schema.DimensionMetadataT(denseSize=int(tensor.shape[axis])) for axis in axes],
    )


def _code(op: Op) -> Any:
    code = schema.OperatorCodeT()
    builtin = getattr(schema.BuiltinOperator, op.name, None)
    if builtin is None:
        builtin, code.customCode = schema.BuiltinOperator.CUSTOM, op.name
    code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), op.version
    return code


def _operator(op: Op, code: int, place: Mapping[int, int]) -> Any:
    made = schema.OperatorT()
    made.opcodeIndex = code
    made.inputs = [-1 if tensor is None else place[id(tensor)] for tensor in op.inputs]
    made.outputs = [place[id(tensor)] for tensor in op.outputs]
    if op.kind:
        made.builtinOptionsType = getattr(schema.BuiltinOptions, op.kind)
        made.builtinOptions = getattr(schema, f"{op.kind}T")()
        for name, value in op.options.items():
            assert hasattr(made.builtinOptions, name), name
            setattr(made.builtinOptions, name, value)
    return made
