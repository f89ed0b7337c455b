"""What is in a model, in figures: operators, parameters, multiply-accumulates, bytes, quantisation.

Pure functions over a `ModelView`. The figures are of the main graph with the shapes that the file states; an extent
that only the run decides counts as one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from devbench.models.graph.view import FLOATS, GraphView, ModelView, OperatorView, TensorView

_EIGHT_BITS_OR_LESS = frozenset({"int8", "uint8", "int4", "uint4", "int2"})
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
        per_tensor, per_channel, blockwise: constants by the grain of their scales.
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
        macs: multiply-accumulates of one run, of the operators that `macs_of` knows.
        weight_bytes: bytes of constants by their type, each buffer counted once.
        activation_bytes: all tensors of the run together, as if none shared memory.
        peak_bytes: the most that lives at once, in the file's order of execution.
        peak_operator: where that is.
        uncounted: types of operators that do work which `macs` leaves out.
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
    constants = _once_a_buffer(tensor for tensor in graph.tensors if tensor.constant)
    used = {tensor.index for operator in graph.operators for tensor in (*operator.inputs, *operator.outputs) if tensor}
    used |= {*graph.inputs, *graph.outputs}
    runtime = [tensor for tensor in graph.tensors if not tensor.constant and tensor.index in used]
    by_type: dict[str, int] = defaultdict(int)
    for tensor in constants:
        by_type[tensor.dtype] += tensor.stored_bytes
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
    """Whether a constant is a weight: a number with a fraction or a scale. Shapes, axes and indices are none."""
    return tensor.constant and (tensor.dtype in FLOATS or tensor.quantised or tensor.dtype in _EIGHT_BITS_OR_LESS)


def macs_of(operator: OperatorView) -> int:
    """Multiply-accumulates of one run of an operator; 0 for those that have none, or whose shapes do not fit.

    With `out` and `in` the elements of its output and input, `K` the kernel's height times width and `C` the
    kernel's input channels: CONV_2D out·K·C, CONV_3D the same with the depth, DEPTHWISE_CONV_2D out·K,
    TRANSPOSE_CONV in·K·(output channels), FULLY_CONNECTED out·(weights' last extent), BATCH_MATMUL out·(the shared
    extent). Biases and activations are not counted.
    """
    weights = operator.input(1)
    if weights is None or not operator.outputs:
        return 0
    out, shape = operator.outputs[0].elements, tuple(max(extent, 1) for extent in weights.shape)
    if operator.type == "CONV_2D" and len(shape) == 4:
        return out * math.prod(shape[1:])
    if operator.type == "CONV_3D" and len(shape) == 5:
        return out * math.prod(shape[:4])
    if operator.type == "DEPTHWISE_CONV_2D" and len(shape) == 4:
        return out * shape[1] * shape[2]
    if operator.type == "TRANSPOSE_CONV" and len(shape) == 4:
        source = operator.input(2)
        return source.elements * math.prod(shape[:3]) if source is not None else 0
    if operator.type == "FULLY_CONNECTED" and shape:
        return out * shape[-1]
    if operator.type == "BATCH_MATMUL" and len(shape) > 1:
        return out * shape[-1 if operator.flag("adjY") else -2]
    return 0


def _histogram(operators: Iterable[OperatorView]) -> tuple[OperatorCount, ...]:
    """The operators by type and version, the most work first, then the most operators."""
    rows: dict[tuple[str, int, bool], list[OperatorView]] = defaultdict(list)
    for operator in operators:
        rows[operator.type, operator.version, operator.custom].append(operator)
    counted = [
        OperatorCount(
            type=name,
            version=version,
            count=len(several),
            largest_rank=max((t.rank for one in several for t in (*one.inputs, *one.outputs) if t), default=0),
            macs=sum(map(macs_of, several)),
            custom=custom,
        )
        for (name, version, custom), several in rows.items()
    ]
    return tuple(sorted(counted, key=lambda row: (-row.macs, -row.count, row.type, row.version)))


def _once_a_buffer(tensors: Iterable[TensorView]) -> list[TensorView]:
    """One tensor of each buffer."""
    return list({tensor.buffer: tensor for tensor in tensors}.values())


def _largest(tensors: Iterable[TensorView], top: int) -> tuple[TensorView, ...]:
    return tuple(sorted(tensors, key=lambda tensor: (-_bytes(tensor), tensor.index))[:top])


def _bytes(tensor: TensorView) -> int:
    return tensor.stored_bytes or tensor.size_bytes


def _peak(graph: GraphView) -> tuple[int, int | None]:
    """The most bytes of tensors that live at once, and during which operator.

    A tensor lives from the operator that makes it, an input of the model from the first operator, to the last
    operator that reads it; outputs and variables to the end. Memory shared in place is not considered.
    """
    last = len(graph.operators) - 1
    first_use: dict[int, int] = dict.fromkeys(graph.inputs, 0)
    last_use: dict[int, int] = dict.fromkeys(graph.inputs, 0)
    for place, operator in enumerate(graph.operators):
        for tensor in operator.outputs:
            first_use.setdefault(tensor.index, place)
            last_use[tensor.index] = max(last_use.get(tensor.index, place), place)
        for source in operator.inputs:
            if source is not None:
                first_use.setdefault(source.index, 0)
                last_use[source.index] = place
    for index in graph.outputs:
        if index in first_use:
            last_use[index] = last
    changes = [0] * (last + 2)
    for index, place in first_use.items():
        tensor = graph.tensors[index]
        if not tensor.constant and last >= 0:
            changes[0 if tensor.variable else place] += tensor.size_bytes
            changes[(last if tensor.variable else last_use[index]) + 1] -= tensor.size_bytes
    living, peak, where = 0, 0, None
    for place in range(last + 1):
        living += changes[place]
        if living > peak:
            peak, where = living, place
    return peak, where


def _quantisation(graph: GraphView, constants: list[TensorView]) -> Quantisation:
    """What kind of quantisation a model has, by what its operators take.

    Full: operators with weights take whole numbers. Dynamic: they take fractions and weights of eight bits or less.
    Weight-only: such weights go through a DEQUANTIZE first.
    """
    kinds = set()
    for operator in graph.operators:
        source = operator.input(2 if operator.type == "TRANSPOSE_CONV" else 0)
        constants_of = [tensor for tensor in operator.given if tensor.constant]
        if operator.type == "DEQUANTIZE" and source is not None and source.constant:
            kinds.add("fp16 weights" if source.dtype == "float16" else "weight-only int8")
        elif source is not None and not source.constant and any(map(is_weight, constants_of)):
            small = any(tensor.dtype in _EIGHT_BITS_OR_LESS for tensor in constants_of)
            if source.quantised:
                kinds.add("full int")
            elif small and source.dtype in FLOATS:
                kinds.add("dynamic int8")
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
