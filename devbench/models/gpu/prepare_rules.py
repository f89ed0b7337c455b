"""What the runtime finds before the delegate starts: which values it knows already, and which outputs have no size yet.

The values of a SHAPE are known when the model is prepared, and so are those of a few operators on known values. An
output whose size depends on anything else is dynamic, and the stock GPU delegate refuses a graph with one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from devbench.models.gpu.context import Violation
from devbench.models.graph.view import GraphView, OperatorView, TensorView

# Which inputs must be known for the output to have a size.
_SIZE_INPUTS: dict[str, tuple[int, ...]] = {
    "ARG_MAX": (1,), "ARG_MIN": (1,), "BATCH_TO_SPACE_ND": (1, 2), "SPACE_TO_BATCH_ND": (1, 2), "BROADCAST_TO": (1,),
    "EXPAND_DIMS": (1,), "FILL": (0,), "MIRROR_PAD": (1,), "PAD": (1,), "PADV2": (1,), "ONE_HOT": (1,),
    "RANDOM_UNIFORM": (0,), "RANDOM_STANDARD_NORMAL": (0,), "MULTINOMIAL": (0, 1), "RANGE": (0, 1, 2), "MEAN": (1,),
    "SUM": (1,), "REDUCE_MAX": (1,), "REDUCE_MIN": (1,), "REDUCE_PROD": (1,), "REDUCE_ANY": (1,), "REDUCE_ALL": (1,),
    "RESHAPE": (1,), "RESIZE_BILINEAR": (1,), "RESIZE_NEAREST_NEIGHBOR": (1,), "RFFT2D": (1,), "SCATTER_ND": (2,),
    "SEGMENT_SUM": (0, 1), "UNSORTED_SEGMENT_MAX": (1, 2), "UNSORTED_SEGMENT_MIN": (1, 2),
    "UNSORTED_SEGMENT_PROD": (1, 2), "UNSORTED_SEGMENT_SUM": (1, 2), "SPARSE_TO_DENSE": (1,), "SPLIT": (0,),
    "SPLIT_V": (1, 2), "STRIDED_SLICE": (1, 2, 3), "TILE": (1,), "TOPK_V2": (1,), "TRANSPOSE": (1,),
    "TRANSPOSE_CONV": (0,), "CONV_3D_TRANSPOSE": (0,), "WHERE": (0,), "NON_MAX_SUPPRESSION_V4": (2,),
    "NON_MAX_SUPPRESSION_V5": (2,),
}  # fmt: skip
_ALWAYS_KNOWN = frozenset({"SHAPE", "RANK"})
# Those that the runtime computes at once if all inputs are known.
_FOLDED = frozenset({
    "BROADCAST_ARGS", "CONCATENATION", "GATHER", "MUL", "RANGE", "RESHAPE", "STRIDED_SLICE", "TILE", "REDUCE_PROD",
})  # fmt: skip
_MAX_FOLDED = 8


@dataclass(frozen=True, slots=True)
class Prepared:
    """A graph as the runtime has prepared it; `violations` are by the number of the operator, the first is fatal."""

    known: frozenset[int]
    violations: Mapping[int, Violation]


def prepare(graph: GraphView, others: Mapping[int, Prepared], graphs: tuple[GraphView, ...]) -> Prepared:
    """Go over a graph as the runtime does; `others` are the graphs that its loops and branches run."""
    known = {tensor.index for tensor in graph.tensors if tensor.constant}
    violations = {}
    for operator in graph.operators:
        dynamic = _why_dynamic(operator, known) or _control_flow(operator, others, graphs)
        if dynamic:
            violations[operator.index] = Violation("dynamic", dynamic)
            continue
        inputs = [tensor for tensor in operator.inputs if tensor is not None]
        folded = operator.type in _FOLDED and all(tensor.index in known for tensor in inputs)
        if operator.type == "REDUCE_PROD" and operator.outputs and operator.outputs[0].elements > _MAX_FOLDED:
            folded = False
        if operator.type in _ALWAYS_KNOWN or folded:
            known |= {tensor.index for tensor in operator.outputs}
        unprepared = _unprepared(operator)
        if unprepared:
            violations[operator.index] = Violation("cpu-types", unprepared)
        if operator.type == "TRANSPOSE" and _is_int64(operator.input(1)):
            violations[operator.index] = Violation("index-type", "its order of axes is int64")
    return Prepared(frozenset(known), violations)


def _unprepared(operator: OperatorView) -> str:
    """Why the runtime cannot prepare it, with or without a delegate; empty where it can."""
    source, weights = operator.input(0), operator.input(1)
    if operator.type == "DEQUANTIZE" and source is not None and source.dtype == "int4":
        return "the 2.14 runtime does not widen int4"
    data = operator.input(2)
    if operator.type == "TRANSPOSE_CONV" and data is not None and data.dtype == "float32":
        return "" if weights is None or weights.dtype == "float32" else f"weights of {weights.dtype} for float32 data"
    return ""


def _is_int64(tensor: TensorView | None) -> bool:
    return tensor is not None and tensor.dtype == "int64"


def _why_dynamic(operator: OperatorView, known: set[int]) -> str:
    """Why an output has no size yet, empty where all have one."""
    if operator.type == "UNIQUE":
        return "its output is as long as the data says"
    if any(tensor.dtype == "string" for tensor in operator.outputs):
        return "its output is text"
    out, source = operator.outputs[0] if operator.outputs else None, operator.input(0)
    if operator.type == "READ_VARIABLE" and out is not None and not out.rank:
        return "a variable without dimensions"
    if operator.type == "TOPK_V2" and source is not None and source.dynamic:
        return "its input has open sizes"
    if operator.type == "SLICE" and out is not None and (out.dynamic or not out.rank):
        sizes = [operator.input(number) for number in (1, 2)]
        if (source is not None and source.dynamic) or any(one is None or one.index not in known for one in sizes):
            return "its sizes come at run time"
    for number in _SIZE_INPUTS.get(operator.type, ()):
        tensor = operator.input(number)
        if tensor is not None and tensor.index not in known:
            if operator.type == "WHERE":
                return "its output is as long as the data says"
            return f"input {number} sets the output's shape at run time"
    return ""


def called_graphs(operator: OperatorView) -> tuple[int, ...]:
    """The graphs that a loop or a branch runs."""
    names = {"WHILE": ("condSubgraphIndex", "bodySubgraphIndex"), "IF": ("thenSubgraphIndex", "elseSubgraphIndex")}
    return tuple(int(operator.options.get(name, -1)) for name in names.get(operator.type, ()))


def _control_flow(operator: OperatorView, others: Mapping[int, Prepared], graphs: tuple[GraphView, ...]) -> str:
    called = [number for number in called_graphs(operator) if number in others]
    if not called:
        return ""
    looked_at = called[1:] if operator.type == "WHILE" else called
    for number in looked_at:
        if any(one.rule == "dynamic" for one in others[number].violations.values()):
            return f"graph {number}, which it runs, has outputs without a size"
    if operator.type == "WHILE" and len(called) == 2:
        body = graphs[called[1]]
        for before, after in zip(body.inputs, body.outputs, strict=False):
            sizes = body.tensors[before], body.tensors[after]
            if sizes[0].shape != sizes[1].shape and sum(one.shape[0] if one.rank else 0 for one in sizes) != 1:
                return "its body changes the size of what it hands on"
    if operator.type == "IF" and len(called) == 2:
        first, second = (graphs[number] for number in called)
        for one, other in zip(first.outputs, second.outputs, strict=False):
            if first.tensors[one].shape != second.tensors[other].shape:
                return "its branches give different shapes"
    return ""
