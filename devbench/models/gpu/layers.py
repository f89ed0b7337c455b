"""The rules of single operators, each a small function over one operator and the graph around it.

Two kinds: what the delegate refuses while it looks the graph over (the operator stays on the CPU), and what it only
finds when it builds the part that it took (it gives up).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from devbench.models.gpu.context import Context, Finding
from devbench.models.gpu.shapes import batch, words
from devbench.models.graph_view import FLOATS, OperatorView

COMPARISONS = frozenset({"EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"})
_REDUCTIONS = frozenset({"MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"})
_ONE_INPUT = frozenset({
    "ABS", "COS", "ELU", "EXP", "GELU", "LOG", "LOGISTIC", "NEG", "RSQRT", "SIGN", "SIN", "SQRT", "SQUARE", "TANH",
    "HARD_SWISH", "RESHAPE", "TRANSPOSE", "TILE", *_REDUCTIONS,
})  # fmt: skip
_NO_TWIN = frozenset({"SUB", "DIV", "POW", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "BATCH_MATMUL"})
# The input that must not be a constant.
_DATA_INPUT = {"SLICE": 0, "SPLIT": 1, "SOFTMAX": 0, "GATHER": 0, "SELECT": 0, "SELECT_V2": 0}
_SIGN_BIT = 5
_Checks = dict[str, Callable[[OperatorView, Context], Iterator[Finding]]]


def own_rules(operator: OperatorView, context: Context) -> tuple[Iterator[Finding], Iterator[Finding]]:
    """What is refused at the look-over, and what ends the delegate."""
    return _refused(operator, context), _stopping(operator, context)


def _refused(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if operator.type in _ONE_INPUT and not context.runtime(operator):
        yield Finding("constant-input", "its only input is a constant")
    if operator.type in ("SUB", "MAXIMUM", "MINIMUM") and not context.runtime(operator):
        yield Finding("constant-input", "both inputs are constants")
    look = _LOOK_OVER.get(operator.type)
    if look is not None:
        yield from look(operator, context)
    if operator.options.get("fusedActivationFunction") == _SIGN_BIT and operator.type != "ADD":
        yield Finding("activation", "a fused SIGN_BIT")


def _stopping(operator: OperatorView, context: Context) -> Iterator[Finding]:
    data = _DATA_INPUT.get(operator.type)
    if data is not None and context.is_constant(operator.input(data)):
        tensor = operator.inputs[data]
        yield Finding("constant-data", f"its data is a constant of {words(tensor.shape) if tensor else ''}")
    runtime = [tensor.index for tensor in context.runtime(operator)]
    if operator.type in _NO_TWIN and len(set(runtime)) < len(runtime):
        yield Finding("same-inputs", "both inputs are the same tensor")
    build = _BUILD.get(operator.type)
    if build is not None:
        yield from build(operator, context)


def _convolution(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if len(context.runtime(operator)) > 2:
        yield Finding("inputs", f"{len(context.runtime(operator))} inputs at run time, at most 2 are taken")


def _depthwise(operator: OperatorView, context: Context) -> Iterator[Finding]:
    yield from _convolution(operator, context)
    source = operator.input(0)
    multiplier = operator.options.get("depthMultiplier", 1)
    if multiplier != 1 and source is not None and source.shape[-1:] != (1,):
        yield Finding("depth-multiplier", f"depth multiplier {multiplier} on {source.shape[-1]} channels")


def _fully_connected(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if len(context.runtime(operator)) > 2:
        yield Finding("inputs", "weights and bias both come at run time")
    if context.is_constant(operator.input(0)):
        yield Finding("inputs", "its input is a constant")


def _mul(operator: OperatorView, context: Context) -> Iterator[Finding]:
    first, second = operator.input(0), operator.input(1)
    if first is None or second is None or first.rank != second.rank:
        return
    pairs = list(zip(first.shape, second.shape, strict=True))
    if any(a < b for a, b in pairs) and any(a > b for a, b in pairs):
        yield Finding("broadcast-cross", f"{words(first.shape)} and {words(second.shape)}, each larger in one axis")


def _softmax(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if operator.options.get("beta", 1.0) != 1.0:
        yield Finding("softmax-beta", f"beta is {operator.options['beta']:g}, only 1 is taken")


def _pad(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if operator.type == "MIRROR_PAD" and operator.options.get("mode", 0) != 0:
        yield Finding("pad-mode", "symmetric padding")
    paddings = operator.input(1)
    if paddings is not None and paddings.shape[:1] not in ((3,), (4,)):
        yield Finding("pad-rank", f"paddings of {words(paddings.shape)}, only 3×2 and 4×2 are taken")


def _slice(operator: OperatorView, context: Context) -> Iterator[Finding]:
    source = operator.input(0)
    for name in ("ellipsisMask", "newAxisMask", "shrinkAxisMask"):
        if operator.options.get(name, 0):
            yield Finding("slice-mask", f"{name[:-4].lower().replace('axis', ' axis')} mask")
    if source is not None and source.rank not in (3, 4):
        yield Finding("slice-rank", f"a slice of rank {source.rank}, only 3 and 4 are taken")


def _gather(operator: OperatorView, context: Context) -> Iterator[Finding]:
    source, indices = operator.input(0), operator.input(1)
    if source is not None and source.dtype == "int32":
        yield Finding("gather-type", "it gathers int32")
    if indices is not None and indices.rank != 1:
        yield Finding("gather-indices", f"indices of rank {indices.rank}, only 1 is taken")
    if indices is not None and indices.dtype != "int32":
        yield Finding("gather-type", f"indices are {indices.dtype}, only int32 is taken")


def _cast(operator: OperatorView, context: Context) -> Iterator[Finding]:
    source, target = operator.input(0), operator.outputs[0]
    if source is None:
        return
    made, wanted = source.dtype, target.dtype
    if made == "bool" and wanted in FLOATS:
        maker = context.makers.get(source.index)
        alone = len(context.readers.get(source.index, ())) == 1
        if maker is None or not alone:
            yield Finding("bool-cast", "a bool is cast only where an operator makes it and nobody else reads it")
        elif target.index in context.graph.outputs:
            yield Finding("bool-cast", "a cast from bool may not be an output of the model")
    elif made in FLOATS and wanted == "bool":
        return
    elif not {made, wanted} <= {"float32", "int32"}:
        yield Finding("cast-types", f"from {made} to {wanted}")


def _comparison(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if not operator.outputs:
        return
    result = operator.outputs[0].index
    readers = context.readers.get(result, ())
    taken = len(readers) == 1 and (
        readers[0].type in ("SELECT", "SELECT_V2")
        or (readers[0].type == "CAST" and readers[0].outputs[0].dtype in FLOATS)
    )
    if not taken:
        yield Finding("bool-result", "its result must go to one SELECT or one CAST to float, and nowhere else")


def _select(operator: OperatorView, context: Context) -> Iterator[Finding]:
    for number in (1, 2):
        tensor = operator.input(number)
        if tensor is None:
            continue
        small = tensor.rank == 0 or tensor.shape == (1,)
        if tensor.dtype not in FLOATS or not (small or tensor.shape == operator.outputs[0].shape):
            yield Finding("select-shapes", f"input {number} is {tensor.dtype} {words(tensor.shape)}")
            return


def _one_hot(operator: OperatorView, context: Context) -> Iterator[Finding]:
    indices = operator.input(0)
    if indices is not None and indices.dtype != "int32":
        yield Finding("one-hot", f"indices are {indices.dtype}, only int32 is taken")
    if indices is not None and any(extent != 1 for extent in indices.shape[:-1]) and indices.rank <= 3:
        yield Finding("one-hot", f"indices of {words(indices.shape)}: all but the last axis must be 1")
    if any(not context.is_constant(operator.input(number)) for number in (2, 3)):
        yield Finding("one-hot", "its on and off values are not constants")


def _sized_by_shape(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if sum(tensor.shape != (0,) for tensor in context.runtime(operator)) > 1:
        yield Finding("inputs", "its size comes from a SHAPE operator")


def _cumsum(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if not context.is_constant(operator.input(1)):
        yield Finding("cumsum-axis", "its axis comes at run time")


def _block(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if operator.options.get("blockSize") == 1:
        yield Finding("block-size", "a block of one changes nothing")


def _add_n(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if len(operator.inputs) != 2:
        yield Finding("add-n", f"{len(operator.inputs)} inputs, only 2 are taken")


def _dequantise(operator: OperatorView, context: Context) -> Iterator[Finding]:
    source = operator.input(0)
    if source is not None and source.dtype == "int16":
        yield Finding("dequantise-type", "from int16")


_LOOK_OVER: _Checks = {
    "CONV_2D": _convolution, "TRANSPOSE_CONV": _convolution, "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected, "MUL": _mul, "SOFTMAX": _softmax, "PAD": _pad, "PADV2": _pad,
    "MIRROR_PAD": _pad, "SLICE": _slice, "STRIDED_SLICE": _slice, "GATHER": _gather, "CAST": _cast,
    **dict.fromkeys(COMPARISONS, _comparison), "SELECT": _select, "SELECT_V2": _select, "ONE_HOT": _one_hot,
    "CUMSUM": _cumsum, "DEPTH_TO_SPACE": _block, "SPACE_TO_DEPTH": _block, "ADD_N": _add_n,
    "DEQUANTIZE": _dequantise, "RESHAPE": _sized_by_shape,
    "RESIZE_BILINEAR": _sized_by_shape, "RESIZE_NEAREST_NEIGHBOR": _sized_by_shape,
}  # fmt: skip


def _build_convolution(operator: OperatorView, context: Context) -> Iterator[Finding]:
    bias = operator.input(2)
    if operator.type != "TRANSPOSE_CONV" and bias is not None and not context.is_constant(bias):
        yield Finding("runtime-bias", "its bias comes at run time")
    if operator.type != "DEPTHWISE_CONV_2D" and context.is_constant(operator.input(0)) and operator.type == "CONV_2D":
        yield Finding("constant-data", "its input is a constant")
    weights = operator.input(1)
    if operator.type == "DEPTHWISE_CONV_2D" and bias is None and not context.is_constant(weights):
        yield Finding("depthwise-bias", "weights at run time without a bias")
    if operator.type == "CONV_2D" and weights is not None and context.is_constant(weights):
        one = all(
            extent == 1 for tensor in (operator.input(0), operator.outputs[0]) if tensor for extent in tensor.shape[:3]
        )
        strides = (operator.options.get("strideH"), operator.options.get("strideW"))
        if one and weights.shape[1:3] == (1, 1) and strides == (1, 1):
            yield Finding("program", "a 1×1 convolution of a single pixel")


def _build_fully_connected(operator: OperatorView, context: Context) -> Iterator[Finding]:
    source, weights, result = operator.input(0), operator.input(1), operator.outputs[0]
    if source is None or weights is None or weights.rank != 2:
        return
    if source.rank == 1 or source.shape[-1] != weights.shape[-1]:
        yield Finding("fc-channels", f"an input of {words(source.shape)} on weights of {words(weights.shape)}")
    elif source.rank > result.rank and batch(source) != batch(result):
        yield Finding("fc-rows", f"{words(source.shape)} becomes {words(result.shape)}: the first axis changes")
    elif context.is_constant(weights) and all(extent == 1 for extent in source.shape[:-1]):
        yield Finding("program", "a single row")


def _matmul(operator: OperatorView, context: Context) -> Iterator[Finding]:
    first, second = operator.input(0), operator.input(1)
    if context.is_constant(first):
        yield Finding("matmul-constant", "its first input is a constant")
    rows = first is not None and all(extent == 1 for extent in first.shape[:-1])
    if rows and second is not None and context.is_constant(second) and second.rank == 2:
        yield Finding("program", "a single row")
    if second is not None and context.is_constant(second) and (second.rank != 2 or second.dtype not in FLOATS):
        yield Finding("matmul-constant", f"a constant second input of {words(second.shape)}")


def _transpose(operator: OperatorView, context: Context) -> Iterator[Finding]:
    source = operator.input(0)
    if source is not None and source.rank == 1:
        yield Finding("transpose-rank", "a vector")


def _strided(operator: OperatorView, context: Context) -> Iterator[Finding]:
    strides, source = operator.input(3), operator.input(0)
    if strides is None or source is None or strides.values is None:
        return
    if any(stride < 0 for stride in strides.values):
        yield Finding("slice-reverse", "a negative stride")
    if source.rank == 3 and source.shape[0] != operator.outputs[0].shape[0]:
        yield Finding("slice-batch", "it cuts the first axis of three")
    if len(strides.values) < source.rank:
        yield Finding("slice-extent", f"{len(strides.values)} axes of {source.rank} are given")
    ends = operator.input(2)
    mask = int(operator.options.get("endMask", 0))
    for axis, (end, extent) in enumerate(zip((ends.values if ends else None) or (), source.shape, strict=False)):
        if end > extent and not mask >> axis & 1:
            yield Finding("slice-extent", f"end {end} of axis {axis}, which has {extent}")
            return


def _concatenation(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if len(operator.inputs) == 1:
        yield Finding("single-concat", "it has one input")
    for tensor in context.constants(operator):
        if tensor.rank != 4:
            yield Finding("constant-4d", f"a constant of {words(tensor.shape)}")
            return


def _select_constants(operator: OperatorView, context: Context) -> Iterator[Finding]:
    for tensor in (operator.input(1), operator.input(2)):
        if tensor is not None and context.is_constant(tensor) and tensor.rank == 2:
            yield Finding("constant-4d", f"a constant of {words(tensor.shape)}")
            return


def _build_transposed(operator: OperatorView, context: Context) -> Iterator[Finding]:
    weights = operator.input(1)
    strides = (operator.options.get("strideH"), operator.options.get("strideW"))
    if weights is not None and (strides != (2, 2) or weights.shape[1:3] not in ((3, 3), (4, 4))):
        yield Finding("program", "only 3×3 and 4×4 with a stride of 2 were built there")


def _lstm(operator: OperatorView, context: Context) -> Iterator[Finding]:
    yield Finding("program", "an LSTM cell")


def _dequantised_constant(operator: OperatorView, context: Context) -> Iterator[Finding]:
    source = operator.input(0)
    if source is not None and source.constant and source.rank != 4:
        yield Finding("constant-4d", f"a constant of {words(source.shape)}")


def _add(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if operator.options.get("fusedActivationFunction") == _SIGN_BIT:
        yield Finding("add-activation", "a fused SIGN_BIT")
    if not context.runtime(operator):
        yield Finding("constant-data", "both inputs are constants")


def _prelu(operator: OperatorView, context: Context) -> Iterator[Finding]:
    source, alpha = operator.input(0), operator.input(1)
    if source is None or alpha is None:
        return
    if not context.is_constant(alpha):
        yield Finding("prelu-alpha", "its slopes come at run time")
    elif alpha.elements == 1 and source.shape[-1:] != (1,):
        yield Finding("prelu-alpha", "one slope for all channels")


_BUILD: _Checks = {
    "CONV_2D": _build_convolution, "DEPTHWISE_CONV_2D": _build_convolution, "FULLY_CONNECTED": _build_fully_connected,
    "BATCH_MATMUL": _matmul, "TRANSPOSE": _transpose, "STRIDED_SLICE": _strided, "CONCATENATION": _concatenation,
    "PACK": _concatenation, "SELECT": _select_constants, "SELECT_V2": _select_constants,
    "DEQUANTIZE": _dequantised_constant, "ADD": _add, "MUL": _add, "PRELU": _prelu,
    "TRANSPOSE_CONV": _build_transposed, "LSTM": _lstm,
}  # fmt: skip
