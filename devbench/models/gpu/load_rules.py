"""What the stock tool of TensorFlow 2.14 can load: its operators with their versions, and its types.

The tool checks every operator code that a model declares, also those that no operator uses.
"""

from __future__ import annotations

from collections.abc import Iterator

from devbench.models.gpu.context import Violation
from devbench.models.graph.view import GraphView, OperatorCode, OperatorView

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


def _code_violations(code: OperatorCode) -> Iterator[Violation]:
    """What keeps the tool from loading a model that declares this operator code."""
    if code.custom:
        return
    highest = _LOADED.get(code.type)
    if highest is None:
        yield Violation("runtime-operator", "the 2.14 runtime does not have it")
    elif code.version > highest:
        yield Violation("runtime-version", f"version {code.version}, the 2.14 runtime has at most {highest}")
    elif code.version < _LOWEST.get(code.type, 1):
        yield Violation("runtime-version", f"version {code.version}, the 2.14 runtime begins at {_LOWEST[code.type]}")


def violations(operator: OperatorView) -> Iterator[Violation]:
    """What keeps the tool from loading a model with this operator."""
    if operator.custom:
        if operator.type not in CUSTOM:
            kind = "a TensorFlow operator (Flex)" if operator.type.startswith("Flex") else "a custom operator"
            yield Violation("custom", f"{kind} that the stock tool does not have")
    else:
        yield from _code_violations(OperatorCode(operator.type, operator.version, custom=False))
    for tensor in (*operator.inputs, *operator.outputs):
        if tensor is not None and tensor.dtype in _NEW_TYPES:
            yield Violation("runtime-type", f"a tensor of type {tensor.dtype}, which the 2.14 runtime does not have")
            return


def unused_codes(codes: tuple[OperatorCode, ...], graphs: tuple[GraphView, ...]) -> list[OperatorView]:
    """The operator codes that no operator of any graph has, as operators without inputs and outputs."""
    used = {(one.type, one.version, one.custom) for graph in graphs for one in graph.operators}
    return [
        OperatorView(-1, code.type, (), (), version=code.version, custom=code.custom)
        for code in codes
        if (code.type, code.version, code.custom) not in used
    ]
