"""What is in a model, in figures: operators, parameters, multiply-accumulates, bytes, quantisation; and as the JSON
object that `devbench models inspect --json` prints (docs/models.md).

Pure functions over a `ModelView`. The figures are of the main graph with the shapes that the file states; an extent
that only the run decides counts as one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

from devbench.models.compiled import Compiled
from devbench.models.graph.view import FLOATS, GraphView, ModelView, OperatorView, TensorView
from devbench.text import clean

_SCHEMA = "devbench.inspect/1"
_MAX_NAME = 200
_EIGHT_BITS_OR_LESS = frozenset({"int8", "uint8", "int4", "uint4", "int2"})
# For each operator with multiply-accumulates: the ranks that its second input may have, and the extents of that input
# by which the number of elements of the output (for TRANSPOSE_CONV: of the input) is multiplied.
_MACS: dict[str, tuple[range, int, int | None]] = {
    "CONV_2D": (range(4, 5), 1, None), "CONV_3D": (range(5, 6), 0, 4), "DEPTHWISE_CONV_2D": (range(4, 5), 1, 3),
    "TRANSPOSE_CONV": (range(4, 5), 0, 3), "FULLY_CONNECTED": (range(1, 33), -1, None),
    "BATCH_MATMUL": (range(2, 33), -2, -1),
}  # fmt: skip
# Operators with weights of their own whose work is not counted here.
UNCOUNTED = frozenset({
    "LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "RNN", "UNIDIRECTIONAL_SEQUENCE_RNN",
    "BIDIRECTIONAL_SEQUENCE_RNN", "SVDF", "STABLEHLO_CONVOLUTION", "STABLEHLO_DOT_GENERAL",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class OperatorCount:
    """The operators of one type and version. `macs` are multiply-accumulates of one run."""

    type: str
    version: int
    count: int
    largest_rank: int
    macs: int
    custom: bool


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How numbers are stored.

    Attributes:
        kind: `none`, `fp16 weights`, `weight-only int8`, `dynamic int8`, `full int`, several joined by ` + `, where
            `int8` means eight bits or less.
        per_tensor, per_channel, blockwise: how many constants have one scale, one per channel, one per block.
    """

    kind: str
    per_tensor: int
    per_channel: int
    blockwise: int
    activations: int


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The figures of a model.

    Attributes:
        parameters: elements of the constants that are weights, each buffer counted once. Whole-number constants
            (shapes, axes, indices) are left out.
        left_out: elements of the constants that `parameters` leaves out.
        macs: multiply-accumulates of one run, summed over the operators that `macs_of` supports.
        weight_bytes: bytes of constants by their type, each buffer counted once.
        activation_bytes: all tensors of the run together, as if none shared memory.
        peak_bytes: the largest amount in use at one time, in the file's order of execution.
        peak_operator: the operator at which that is.
        uncounted: types of operators whose work is not included in `macs`.
    """

    operators: tuple[OperatorCount, ...]
    parameters: int
    left_out: int
    macs: int
    weight_bytes: dict[str, int]
    activation_bytes: int
    peak_bytes: int
    peak_operator: int | None
    largest_weights: tuple[TensorView, ...]
    largest_activations: tuple[TensorView, ...]
    quantisation: Quantisation
    uncounted: tuple[str, ...]


def facts_of(model: ModelView, top: int = 5) -> ModelFacts:
    """The figures of the model's main graph, with the `top` largest tensors of each kind."""
    graph = model.main
    # One tensor of each buffer.
    constants = list({tensor.buffer: tensor for tensor in graph.tensors if tensor.constant}.values())
    used = {*graph.inputs, *graph.outputs, *(one.index for operator in graph.operators for one in operator.tensors)}
    runtime = [tensor for tensor in graph.tensors if not tensor.constant and tensor.index in used]
    types = dict.fromkeys(tensor.dtype for tensor in constants)
    by_type = {dtype: sum(one.stored_bytes for one in constants if one.dtype == dtype) for dtype in types}
    peak_bytes, peak_operator = _peak(graph)
    operators = _histogram(graph.operators)
    return ModelFacts(
        operators=operators,
        parameters=sum(tensor.elements for tensor in constants if is_weight(tensor)),
        left_out=sum(tensor.elements for tensor in constants if not is_weight(tensor)),
        macs=sum(row.macs for row in operators),
        weight_bytes=dict(sorted(by_type.items(), key=lambda pair: -pair[1])),
        activation_bytes=sum(tensor.size_bytes for tensor in runtime),
        peak_bytes=peak_bytes,
        peak_operator=peak_operator,
        largest_weights=_largest(constants, top),
        largest_activations=_largest(runtime, top),
        quantisation=_quantisation(graph, constants),
        uncounted=tuple(sorted({row.type for row in operators if row.type in UNCOUNTED or row.custom})),
    )


def is_weight(tensor: TensorView) -> bool:
    """Whether a constant is a weight: a float or quantised. Shapes, axes and indices are not."""
    return tensor.constant and (tensor.dtype in FLOATS or tensor.quantised or tensor.dtype in _EIGHT_BITS_OR_LESS)


def macs_of(operator: OperatorView) -> int:
    """Multiply-accumulates of one run of an operator; 0 for those that have none, or whose shapes do not fit.

    With `out` and `in` the elements of its output and input, `K` the kernel's height times width and `C` the
    kernel's input channels: CONV_2D out·K·C, CONV_3D the same with the depth, DEPTHWISE_CONV_2D out·K,
    TRANSPOSE_CONV in·K·(output channels), FULLY_CONNECTED out·(weights' last extent), BATCH_MATMUL out·(the shared
    extent). Biases and activations are not counted.
    """
    ranks, first, end = _MACS.get(operator.type, (range(0), 0, 0))
    weights = operator.input(1)
    counted = operator.input(2) if operator.type == "TRANSPOSE_CONV" else next(iter(operator.outputs), None)
    if weights is None or counted is None or weights.rank not in ranks:
        return 0
    if operator.flag("adjY"):
        first, end = -1, None
    return counted.elements * math.prod(max(extent, 1) for extent in weights.shape[first:end])


def _histogram(operators: Iterable[OperatorView]) -> tuple[OperatorCount, ...]:
    """The operators by type and version, sorted by work, then by count."""
    rows: dict[tuple[str, int, bool], list[OperatorView]] = defaultdict(list)
    for operator in operators:
        rows[operator.type, operator.version, operator.custom].append(operator)
    counted = [
        OperatorCount(
            type=name,
            version=version,
            count=len(several),
            largest_rank=max((tensor.rank for one in several for tensor in one.tensors), default=0),
            macs=sum(map(macs_of, several)),
            custom=custom,
        )
        for (name, version, custom), several in rows.items()
    ]
    return tuple(sorted(counted, key=lambda row: (-row.macs, -row.count, row.type, row.version)))


def _largest(tensors: Iterable[TensorView], top: int) -> tuple[TensorView, ...]:
    return tuple(sorted(tensors, key=lambda one: (-(one.stored_bytes or one.size_bytes), one.index))[:top])


def _peak(graph: GraphView) -> tuple[int, int | None]:
    """The largest number of bytes of tensors in use at one time, and the operator at which that is.

    A tensor lives from the operator that makes it, an input of the model from the first operator, to the last
    operator that reads it; outputs and variables to the end. Memory shared in place is not considered.
    """
    places, last = list(enumerate(graph.operators)), len(graph.operators) - 1
    made = {tensor.index: place for place, operator in reversed(places) for tensor in operator.outputs}
    made |= dict.fromkeys(graph.inputs, 0)
    used = dict.fromkeys(graph.inputs, 0)
    used |= {tensor.index: place for place, operator in places for tensor in operator.tensors}
    used |= dict.fromkeys(used.keys() & {*graph.outputs}, last)
    changes = [0] * (last + 2)
    for index, end in used.items():
        tensor = graph.tensors[index]
        if not tensor.constant and places:
            changes[0 if tensor.variable else made.get(index, 0)] += tensor.size_bytes
            changes[(last if tensor.variable else end) + 1] -= tensor.size_bytes
    living = list(accumulate(changes[:-1]))
    peak = max(living, default=0)
    return peak, living.index(peak) if peak else None


def _quantisation(graph: GraphView, constants: list[TensorView]) -> Quantisation:
    """What kind of quantisation a model has, by what its operators take.

    Full: operators with weights take integers. Dynamic: they take floats, and weights of eight bits or less.
    Weight-only: such weights go through a DEQUANTIZE first.
    """
    kinds = {kind for kind in map(_quantised_by, graph.operators) if kind}
    if not kinds and any(tensor.dtype == "float16" for tensor in constants):
        kinds.add("fp16 weights")
    weights = [tensor for tensor in constants if tensor.quantised]
    return Quantisation(
        kind=" + ".join(sorted(kinds)) or "none",
        per_tensor=sum(tensor.scales == 1 and not tensor.blockwise for tensor in weights),
        per_channel=sum(tensor.scales > 1 and not tensor.blockwise for tensor in weights),
        blockwise=sum(tensor.blockwise for tensor in weights),
        activations=sum(tensor.quantised and not tensor.constant for tensor in graph.tensors),
    )


def _quantised_by(operator: OperatorView) -> str:
    """The kind of quantisation that an operator shows; empty for none."""
    source = operator.input(2 if operator.type == "TRANSPOSE_CONV" else 0)
    constants = [tensor for tensor in operator.given if tensor.constant]
    if source is None or source.constant:
        widened = source is not None and operator.type == "DEQUANTIZE" and source.dtype
        return {"float16": "fp16 weights"}.get(widened, "weight-only int8") if widened else ""
    is_dynamic = source.dtype in FLOATS and any(one.dtype in _EIGHT_BITS_OR_LESS for one in constants)
    kind = "full int" if source.quantised else "dynamic int8" if is_dynamic else ""
    return kind if any(map(is_weight, constants)) else ""


def to_json(model: ModelView, facts: ModelFacts, name: str, compiled: Compiled | None = None) -> dict[str, Any]:
    """A model as JSON. Keys are stable; new ones may be added."""
    graph, quantisation = model.main, facts.quantisation
    return {
        "schema": _SCHEMA,
        "model": name,
        "file_bytes": model.size_bytes,
        "schema_version": model.schema_version,
        "description": clean(model.description, _MAX_NAME),
        "buffers": {
            "count": len(model.buffers),
            "outside_flatbuffer": len(model.outside),
            "outside_flatbuffer_bytes": sum(model.outside),
        },
        "compiled": None if compiled is None else asdict(compiled),
        "metadata": [{"name": clean(one, _MAX_NAME), "bytes": size} for one, size in model.metadata],
        "signatures": [
            {
                "key": clean(one.key, _MAX_NAME),
                "subgraph": one.graph,
                "inputs": {clean(label, _MAX_NAME): number for label, number in one.inputs},
                "outputs": {clean(label, _MAX_NAME): number for label, number in one.outputs},
            }
            for one in model.signatures
        ],
        "subgraphs": [
            {
                "name": clean(one.name, _MAX_NAME),
                "operators": len(one.operators),
                "tensors": len(one.tensors),
                "inputs": len(one.inputs),
                "outputs": len(one.outputs),
            }
            for one in model.graphs
        ],
        "inputs": [_tensor(graph.tensors[number]) for number in graph.inputs],
        "outputs": [_tensor(graph.tensors[number]) for number in graph.outputs],
        "operators": [
            {
                "type": clean(row.type, _MAX_NAME),
                "version": row.version,
                "count": row.count,
                "largest_rank": row.largest_rank,
                "macs": row.macs,
                "custom": row.custom,
            }
            for row in facts.operators
        ],
        "operator_count": len(graph.operators),
        "parameters": facts.parameters,
        "integer_constants_left_out": facts.left_out,
        "macs": facts.macs,
        "macs_leave_out": list(facts.uncounted),
        "weight_bytes": facts.weight_bytes,
        "activation_bytes": facts.activation_bytes,
        "peak_activation_bytes": facts.peak_bytes,
        "peak_operator": facts.peak_operator,
        "quantisation": {
            "kind": quantisation.kind,
            "per_tensor": quantisation.per_tensor,
            "per_channel": quantisation.per_channel,
            "blockwise": quantisation.blockwise,
            "quantised_activations": quantisation.activations,
        },
        "largest_weights": [_tensor(tensor) for tensor in facts.largest_weights],
        "largest_activations": [_tensor(tensor) for tensor in facts.largest_activations],
    }


def _tensor(tensor: TensorView) -> dict[str, Any]:
    return {
        "tensor": tensor.index,
        "name": clean(tensor.name, _MAX_NAME),
        "type": tensor.dtype,
        "shape": list(tensor.shape),
        "dynamic": tensor.dynamic,
        "bytes": tensor.stored_bytes or tensor.size_bytes,
    }
