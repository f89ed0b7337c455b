"""What the runtime refuses before the delegate starts: when the stock tool of TensorFlow 2.14 loads a model, and when
it prepares its graphs.

The tool checks every operator code that a model declares, also those that no operator uses. The values of a SHAPE are
known when the model is prepared, and so are those of a few operators on known values. An output whose size depends on
anything else is dynamic, and the stock GPU delegate refuses a graph with one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from devbench.models.gpu.context import Violation, broken
from devbench.models.graph.view import GraphView, ModelView, OperatorView

# Operator → the highest version that the runtime loads. BROADCAST_TO begins at 2, all others at 1.
_LOADED: dict[str, int] = {
    "ABS": 5, "ADD": 5, "ADD_N": 1, "ARG_MAX": 3, "ARG_MIN": 3, "ASSIGN_VARIABLE": 1, "ATAN2": 1, "AVERAGE_POOL_2D": 3,
    "BATCH_MATMUL": 4, "BATCH_TO_SPACE_ND": 4, "BIDIRECTIONAL_SEQUENCE_LSTM": 3, "BIDIRECTIONAL_SEQUENCE_RNN": 3,
    "BITCAST": 1, "BITWISE_XOR": 1, "BROADCAST_ARGS": 1, "BROADCAST_TO": 3, "BUCKETIZE": 1, "CALL_ONCE": 1, "CAST": 5,
    "CEIL": 1, "COMPLEX_ABS": 1, "CONCATENATION": 4, "CONV_2D": 7, "CONV_3D": 1, "CONV_3D_TRANSPOSE": 1, "COS": 1,
    "CUMSUM": 1, "DENSIFY": 1, "DEPTHWISE_CONV_2D": 7, "DEPTH_TO_SPACE": 2, "DEQUANTIZE": 5, "DIV": 2,
    "DYNAMIC_UPDATE_SLICE": 1, "ELU": 1, "EMBEDDING_LOOKUP": 3, "EMBEDDING_LOOKUP_SPARSE": 1, "EQUAL": 4, "EXP": 2,
    "EXPAND_DIMS": 1, "FAKE_QUANT": 2, "FILL": 4, "FLOOR": 1, "FLOOR_DIV": 3, "FLOOR_MOD": 2, "FULLY_CONNECTED": 10,
    "GATHER": 6, "GATHER_ND": 4, "GELU": 2, "GREATER": 2, "GREATER_EQUAL": 3, "HARD_SWISH": 1, "HASHTABLE": 1,
    "HASHTABLE_FIND": 1, "HASHTABLE_IMPORT": 1, "HASHTABLE_LOOKUP": 1, "HASHTABLE_SIZE": 1, "IF": 1, "IMAG": 1,
    "L2_NORMALIZATION": 2, "L2_POOL_2D": 1, "LEAKY_RELU": 2, "LESS": 3, "LESS_EQUAL": 2,
    "LOCAL_RESPONSE_NORMALIZATION": 1, "LOG": 1, "LOGICAL_AND": 1, "LOGICAL_NOT": 1, "LOGICAL_OR": 1, "LOGISTIC": 3,
    "LOG_SOFTMAX": 2, "LSH_PROJECTION": 1, "LSTM": 4, "MATRIX_DIAG": 1, "MATRIX_SET_DIAG": 1, "MAXIMUM": 4,
    "MAX_POOL_2D": 3, "MEAN": 3, "MINIMUM": 4, "MIRROR_PAD": 3, "MUL": 7, "MULTINOMIAL": 1, "NEG": 1,
    "NON_MAX_SUPPRESSION_V4": 1, "NON_MAX_SUPPRESSION_V5": 1, "NOT_EQUAL": 3, "ONE_HOT": 1, "PACK": 4, "PAD": 4,
    "PADV2": 4, "POW": 1, "PRELU": 1, "QUANTIZE": 3, "RANDOM_STANDARD_NORMAL": 1, "RANDOM_UNIFORM": 1, "RANGE": 2,
    "RANK": 1, "READ_VARIABLE": 1, "REAL": 1, "REDUCE_ALL": 1, "REDUCE_ANY": 1, "REDUCE_MAX": 3, "REDUCE_MIN": 3,
    "REDUCE_PROD": 2, "RELU": 3, "RELU6": 3, "RELU_0_TO_1": 1, "RELU_N1_TO_1": 1, "RESHAPE": 1, "RESIZE_BILINEAR": 4,
    "RESIZE_NEAREST_NEIGHBOR": 4, "REVERSE_SEQUENCE": 1, "REVERSE_V2": 3, "RFFT2D": 1, "RIGHT_SHIFT": 1, "RNN": 3,
    "ROUND": 1, "RSQRT": 2, "SCATTER_ND": 1, "SEGMENT_SUM": 1, "SELECT": 4, "SELECT_V2": 2, "SHAPE": 1, "SIGN": 2,
    "SIN": 1, "SKIP_GRAM": 1, "SLICE": 6, "SOFTMAX": 3, "SPACE_TO_BATCH_ND": 4, "SPACE_TO_DEPTH": 2,
    "SPARSE_TO_DENSE": 3, "SPLIT": 4, "SPLIT_V": 2, "SQRT": 1, "SQUARE": 1, "SQUARED_DIFFERENCE": 2, "SQUEEZE": 2,
    "STRIDED_SLICE": 8, "SUB": 5, "SUM": 2, "SVDF": 4, "TANH": 3, "TILE": 3, "TOPK_V2": 3, "TRANSPOSE": 6,
    "TRANSPOSE_CONV": 4, "UNIDIRECTIONAL_SEQUENCE_LSTM": 4, "UNIDIRECTIONAL_SEQUENCE_RNN": 3, "UNIQUE": 1, "UNPACK": 4,
    "UNSORTED_SEGMENT_MAX": 1, "UNSORTED_SEGMENT_MIN": 1, "UNSORTED_SEGMENT_PROD": 1, "UNSORTED_SEGMENT_SUM": 1,
    "VAR_HANDLE": 1, "WHERE": 2, "WHILE": 1, "ZEROS_LIKE": 1,
}  # fmt: skip
_LOWEST = {"BROADCAST_TO": 2}
# Custom operators that the tool has.
CUSTOM = frozenset({"NumericVerify", "Mfcc", "AudioSpectrogram", "TFLite_Detection_PostProcess"})
_NEW_TYPES = frozenset({"bfloat16", "int2", "uint4", "float8_e4m3fn", "float8_e5m2", "unknown"})
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
    "TRANSPOSE_CONV": (0,), "CONV_3D_TRANSPOSE": (0,), "NON_MAX_SUPPRESSION_V4": (2,),
    "NON_MAX_SUPPRESSION_V5": (2,), "WHERE": (0,),
}  # fmt: skip
# The options that name a graph.
_CALLED = {"WHILE": ("condSubgraphIndex", "bodySubgraphIndex"), "IF": ("thenSubgraphIndex", "elseSubgraphIndex")}
_ALWAYS_KNOWN = frozenset({"SHAPE", "RANK"})
# The runtime computes these when it prepares the model, if all inputs are known.
_FOLDED = frozenset({
    "BROADCAST_ARGS", "CONCATENATION", "GATHER", "MUL", "RANGE", "RESHAPE", "STRIDED_SLICE", "TILE", "REDUCE_PROD",
})  # fmt: skip
_MAX_FOLDED = 8


def load_violations(operator: OperatorView) -> Iterator[Violation]:
    """What keeps the tool from loading a model with this operator."""
    highest, lowest, version = _LOADED.get(operator.type), _LOWEST.get(operator.type, 1), operator.version
    if operator.custom:
        if operator.type not in CUSTOM:
            kind = "a TensorFlow operator (Flex)" if operator.type.startswith("Flex") else "a custom operator"
            yield Violation("custom", f"{kind} that the stock tool does not have")
    elif highest is None:
        yield Violation("runtime-operator", "the 2.14 runtime does not have it")
    elif version > highest:
        yield Violation("runtime-version", f"version {version}, the 2.14 runtime has at most {highest}")
    elif version < lowest:
        yield Violation("runtime-version", f"version {version}, the 2.14 runtime begins at {lowest}")
    new = next((tensor.dtype for tensor in operator.tensors if tensor.dtype in _NEW_TYPES), None)
    if new is not None:
        yield Violation("runtime-type", f"a tensor of type {new}, which the 2.14 runtime does not have")


def unused_codes(model: ModelView) -> list[OperatorView]:
    """The operator codes that no operator of any graph has, as operators without inputs and outputs."""
    used = {(one.type, one.version, one.custom) for graph in model.graphs for one in graph.operators}
    return [
        OperatorView(-1, code.type, (), (), version=code.version, custom=code.custom)
        for code in model.codes
        if (code.type, code.version, code.custom) not in used
    ]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A graph as the runtime has prepared it; `violations` are by the number of the operator."""

    known: frozenset[int]
    violations: Mapping[int, Violation]


def prepare(graph: GraphView, others: Mapping[int, Prepared], graphs: tuple[GraphView, ...]) -> Prepared:
    """Prepare a graph as the runtime does; `others` are the graphs that its loops and branches run."""
    known = {tensor.index for tensor in graph.tensors if tensor.constant}
    violations = {}
    for operator in graph.operators:
        dynamic = _why_dynamic(operator, known) or _control_flow(operator, others, graphs)
        if dynamic:
            violations[operator.index] = Violation("dynamic", dynamic)
            continue
        too_large = operator.type == "REDUCE_PROD" and any(one.elements > _MAX_FOLDED for one in operator.outputs[:1])
        folded = operator.type in _FOLDED and not too_large and all(one.index in known for one in operator.given)
        if operator.type in _ALWAYS_KNOWN or folded:
            known |= {tensor.index for tensor in operator.outputs}
        for violation in _unprepared(operator):
            violations[operator.index] = violation
    return Prepared(frozenset(known), violations)


def _unprepared(operator: OperatorView) -> list[Violation]:
    """Why the runtime cannot prepare it, with or without a delegate."""
    first, second, third = (None if one is None else one.dtype for one in map(operator.input, range(3)))
    kind = operator.type
    mixed = kind == "TRANSPOSE_CONV" and third == "float32" and second not in (None, "float32")
    return broken(
        (kind == "DEQUANTIZE" and first == "int4", "cpu-types", "the 2.14 runtime does not widen int4"),
        (mixed, "cpu-types", f"weights of {second} for float32 data"),
        (kind == "TRANSPOSE" and second == "int64", "index-type", "its order of axes is int64"),
    )


def _why_dynamic(operator: OperatorView, known: set[int]) -> str:
    """Why an output has no size yet; empty if all have one."""
    kind, source = operator.type, operator.input(0)
    is_open = source is not None and source.dynamic
    inputs = ((number, operator.input(number)) for number in _SIZE_INPUTS.get(kind, ()))
    unknown = [number for number, one in inputs if one is not None and one.index not in known]
    scalars = any(not one.rank for one in operator.outputs[:1])
    unsized = any(one is None or one.index not in known for one in map(operator.input, (1, 2)))
    cut = kind == "SLICE" and (scalars or any(one.dynamic for one in operator.outputs[:1])) and (is_open or unsized)
    reasons = (
        (kind == "UNIQUE" or (kind == "WHERE" and unknown), "the size of its output depends on the data"),
        (any(one.dtype == "string" for one in operator.outputs), "its output is text"),
        (kind == "READ_VARIABLE" and scalars, "a variable without dimensions"),
        (kind == "TOPK_V2" and is_open, "its input has open sizes"),
        (cut, "its sizes come at run time"),
        (unknown, f"input {min(unknown, default=0)} sets the output's shape at run time"),
    )
    return next((reason for applies, reason in reasons if applies), "")


def called_graphs(operator: OperatorView) -> tuple[int, ...]:
    """The graphs that a loop or a branch runs."""
    return tuple(int(operator.options.get(name, -1)) for name in _CALLED.get(operator.type, ()))


def _control_flow(operator: OperatorView, others: Mapping[int, Prepared], graphs: tuple[GraphView, ...]) -> str:
    """Why a loop or a branch has outputs without a size, empty for others."""
    called = [number for number in called_graphs(operator) if number in others]
    for number in called[operator.type == "WHILE" :]:
        if any(one.rule == "dynamic" for one in others[number].violations.values()):
            return f"graph {number}, which it runs, has outputs without a size"
    if len(called) < 2:
        return ""
    first, second = (graphs[number] for number in called)
    if operator.type == "IF":
        pairs = zip(_shapes(first, first.outputs), _shapes(second, second.outputs), strict=False)
        return "its branches give different shapes" if any(one != other for one, other in pairs) else ""
    pairs = zip(_shapes(second, second.inputs), _shapes(second, second.outputs), strict=False)
    changed = any(one != other and sum((*one[:1], *other[:1])) != 1 for one, other in pairs)
    return "its body changes the size of a variable" if changed else ""


def _shapes(graph: GraphView, numbers: Sequence[int]) -> list[tuple[int, ...]]:
    return [graph.tensors[number].shape for number in numbers]
