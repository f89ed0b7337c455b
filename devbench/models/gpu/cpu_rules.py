"""What the delegate refuses when it checks a graph: such an operator stays on the CPU.

The order within an operator is the delegate's own: whether it knows the operator, its version, its own rules, then
types and ranks. The first violation is the reason that the tool prints.
"""

from __future__ import annotations

from collections.abc import Iterator

from devbench.models.gpu.arithmetic import COMPARED
from devbench.models.gpu.context import Check, Context, Violation, with_inputs
from devbench.models.gpu.layout import shown
from devbench.models.gpu.rules import KNOWN
from devbench.models.graph.view import OperatorView, TensorView

_FLOATS = frozenset({"float32", "float16"})
_ALLOWED_TYPES = frozenset({"float32", "float16", "int8", "uint8"})
_NONE: frozenset[str] = frozenset()
_BOOL, _INT = frozenset({"bool"}), frozenset({"int32"})
# Operators that also take another type at run time: of their inputs, and of their outputs.
_OTHER_TYPES: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "CAST": (_INT | _BOOL, _INT | _BOOL), "GATHER": (_INT, _NONE), "ONE_HOT": (_INT, _NONE), "SELECT": (_BOOL, _NONE),
    "SELECT_V2": (_BOOL, _NONE), "LOGICAL_AND": (_BOOL, _BOOL), **dict.fromkeys(COMPARED, (_NONE, _BOOL)),
}  # fmt: skip
MAX_RANK = 4
SIGN_BIT = 5
_TANH = 4


def violations(operator: OperatorView, context: Context) -> Iterator[Violation]:
    """Everything that keeps an operator on the CPU, the reason that the tool prints first."""
    highest = KNOWN.get(operator.type)
    if highest is None or operator.custom:
        rule = "broadcast-to" if operator.type == "BROADCAST_TO" else "unknown"
        yield Violation(rule, "the delegate does not know it")
        return
    if operator.version > highest:
        yield Violation("version", f"version {operator.version}, at most {highest} is taken")
    if not operator.outputs:
        # A damaged model; the checks below and those of the build rely on an output.
        yield Violation("inputs", "0 outputs")
        return
    check = _CHECKS.get(operator.type)
    if check is not None:
        yield from check(operator, context)
    yield from _ranks_and_types(operator, context)


def _ranks_and_types(operator: OperatorView, context: Context) -> Iterator[Violation]:
    rank = max((one.rank for one in (*operator.inputs, *operator.outputs) if one is not None), default=0)
    if rank > MAX_RANK:
        yield Violation("rank", f"a tensor of rank {rank}, at most {MAX_RANK} is taken")
    inputs, outputs = _OTHER_TYPES.get(operator.type, (_NONE, _NONE))
    typed = [(tensor, inputs) for tensor in operator.inputs] + [(tensor, outputs) for tensor in operator.outputs]
    for tensor, others in typed:
        if tensor is None or context.is_constant(tensor) or tensor.variable:
            continue
        if tensor.index in context.known or tensor.index in context.handed_over:
            continue
        if tensor.dtype not in _ALLOWED_TYPES and tensor.dtype not in others:
            yield Violation("type", f"{tensor.dtype} at run time")


def _one_input(operator: OperatorView, context: Context) -> Iterator[Violation]:
    count = len(context.runtime(operator))
    if not count:
        yield Violation("constant-input", "its only input is a constant")
    elif count != 1:
        yield Violation("inputs", f"{count} inputs come at run time")
    elif len(operator.outputs) != 1:
        yield Violation("inputs", f"{len(operator.outputs)} outputs")


def _two_inputs(operator: OperatorView, context: Context) -> Iterator[Violation]:
    counts = len(context.runtime(operator)), len(context.constants(operator))
    if counts not in ((2, 0), (1, 1)) or len(operator.outputs) != 1:
        yield Violation("constant-input", "both inputs are constants")


def _unary(operator: OperatorView, context: Context) -> Iterator[Violation]:
    yield from _one_input(operator, context)
    if context.constants(operator):
        yield Violation("constant-input", "its only input is a constant")


def _binary(operator: OperatorView, context: Context) -> Iterator[Violation]:
    yield from _two_inputs(operator, context)
    yield from _activation(operator)


def _activation(operator: OperatorView) -> Iterator[Violation]:
    if operator.options.get("fusedActivationFunction") == SIGN_BIT:
        yield Violation("activation", "a fused SIGN_BIT")


def _positive(operator: OperatorView, *options: str) -> Iterator[Violation]:
    for name in options:
        if operator.options.get(name, 1) <= 0:
            yield Violation("strides", f"{name} is {operator.options[name]}")


def _comparison(operator: OperatorView, context: Context) -> Iterator[Violation]:
    readers = context.reading(operator.outputs[0])
    takes = len(readers) == 1 and readers[0].type in ("SELECT", "SELECT_V2", "CAST")
    if not takes or readers[0].outputs[0].dtype not in _FLOATS:
        yield Violation("bool-result", "its result must go to one SELECT or one CAST to float, and nowhere else")


def _convolution(operator: OperatorView, context: Context) -> Iterator[Violation]:
    count = len(context.runtime(operator))
    if count > 2:
        yield Violation("inputs", f"{count} inputs at run time, at most 2 are taken")
    yield from _positive(operator, "strideH", "strideW", "dilationHFactor", "dilationWFactor")
    if operator.type != "TRANSPOSE_CONV":
        yield from _activation(operator)


@with_inputs(2)
def _depthwise(
    operator: OperatorView, context: Context, source: TensorView, weights: TensorView
) -> Iterator[Violation]:
    yield from _convolution(operator, context)
    bias, out, multiplier = operator.input(2), operator.outputs[0], operator.options.get("depthMultiplier", 1)
    if any(tensor.rank != 4 for tensor in (source, weights, out)):
        yield Violation("depthwise-shapes", "its input, weights and output must have four dimensions")
    elif source.shape[0] != out.shape[0] or weights.shape[3] != out.shape[3]:
        yield Violation("depthwise-shapes", f"weights of {shown(weights)} for an output of {shown(out)}")
    elif out.shape[3] != source.shape[3] * multiplier:
        yield Violation("depthwise-shapes", f"{out.shape[3]} channels from {source.shape[3]} × {multiplier}")
    elif bias is not None and bias.elements != out.shape[3]:
        yield Violation("depthwise-shapes", f"a bias of {shown(bias)}")
    if multiplier != 1 and source.shape[-1:] != (1,):
        yield Violation("depth-multiplier", f"depth multiplier {multiplier} on {source.shape[-1]} channels")


def _fully_connected(operator: OperatorView, context: Context) -> Iterator[Violation]:
    source = operator.input(0)
    if operator.options.get("weightsFormat", 0):
        yield Violation("weights-format", "its weights are shuffled")
    if len(context.runtime(operator)) > 2:
        yield Violation("inputs", "weights and bias both come at run time")
    if context.is_constant(source):
        yield Violation("inputs", "its input is a constant")
    if operator.flag("keepNumDims") and source is not None and source.rank != operator.outputs[0].rank:
        yield Violation("keep-dims", f"{shown(source)} becomes {shown(operator.outputs[0])}")


def _pool(operator: OperatorView, context: Context) -> Iterator[Violation]:
    yield from _one_input(operator, context)
    yield from _positive(operator, "filterHeight", "filterWidth", "strideH", "strideW")
    yield from _activation(operator)


def _mul(operator: OperatorView, context: Context) -> Iterator[Violation]:
    first, second = operator.input(0), operator.input(1)
    if first is not None and second is not None and first.rank == second.rank:
        pairs = list(zip(first.shape, second.shape, strict=True))
        if any(a < b for a, b in pairs) and any(a > b for a, b in pairs):
            yield Violation("broadcast-cross", f"{shown(first)} and {shown(second)}, each larger in one axis")
    yield from _activation(operator)


def _softmax(operator: OperatorView, context: Context) -> Iterator[Violation]:
    if operator.options.get("beta", 1.0) != 1.0:
        yield Violation("softmax-beta", f"beta is {operator.options['beta']:g}, only 1 is taken")


def _pad(operator: OperatorView, context: Context) -> Iterator[Violation]:
    if operator.type == "MIRROR_PAD" and operator.options.get("mode", 0) != 0:
        yield Violation("pad-mode", "symmetric padding")
    yield from _one_input(operator, context)
    paddings = operator.input(1)
    if paddings is not None and paddings.shape not in ((3, 2), (4, 2)):
        yield Violation("pad-rank", f"paddings of {shown(paddings)}, only 3×2 and 4×2 are taken")


@with_inputs(1)
def _slice(operator: OperatorView, context: Context, source: TensorView) -> Iterator[Violation]:
    for name in ("ellipsisMask", "newAxisMask", "shrinkAxisMask"):
        if operator.options.get(name, 0):
            yield Violation("slice-mask", f"{name[:-4].lower().replace('axis', ' axis')} mask")
    if source.rank not in (3, 4):
        yield Violation("slice-rank", f"a slice of rank {source.rank}, only 3 and 4 are taken")


def _gather(operator: OperatorView, context: Context) -> Iterator[Violation]:
    yield from _two_inputs(operator, context)
    yield from _gathered(operator, context)


@with_inputs(2)
def _gathered(operator: OperatorView, context: Context, source: TensorView, indices: TensorView) -> Iterator[Violation]:
    if source.dtype == "int32":
        yield Violation("gather-type", "it gathers int32")
    if indices.rank != 1:
        yield Violation("gather-indices", f"indices of rank {indices.rank}, only 1 is taken")
    if indices.dtype != "int32":
        yield Violation("gather-type", f"indices are {indices.dtype}, only int32 is taken")


@with_inputs(1)
def _cast(operator: OperatorView, context: Context, source: TensorView) -> Iterator[Violation]:
    target = operator.outputs[0]
    made, wanted = source.dtype, target.dtype
    if made == "bool" and wanted in _FLOATS:
        maker = context.makers.get(source.index)
        if maker is None or len(context.reading(source)) != 1:
            yield Violation("bool-cast", "a bool is cast only where an operator makes it and nothing else reads it")
        elif len(context.reading(target)) != 1:
            yield Violation("bool-cast", "exactly one operator must read what is cast from bool")
        elif maker.type in COMPARED:
            return
    yield from _one_input(operator, context)
    between = (made == "bool" and wanted in _FLOATS) or (made in _FLOATS and wanted == "bool")
    if not between and not {made, wanted} <= {"float32", "int32"}:
        yield Violation("cast-types", f"from {made} to {wanted}")


def _select(operator: OperatorView, context: Context) -> Iterator[Violation]:
    condition = operator.input(0)
    if condition is not None and condition.dtype != "bool" and condition.dtype not in _FLOATS:
        yield Violation("select-shapes", f"its condition is {condition.dtype}")
    for number in (1, 2):
        tensor = operator.input(number)
        if tensor is None:
            continue
        small = tensor.rank == 0 or (tensor.rank == 1 and tensor.shape[0] <= 1)
        if tensor.dtype not in _FLOATS or not (small or tensor.shape == operator.outputs[0].shape):
            yield Violation("select-shapes", f"input {number} is {tensor.dtype} {shown(tensor)}")
            return


@with_inputs(1)
def _one_hot(operator: OperatorView, context: Context, indices: TensorView) -> Iterator[Violation]:
    axis, values = operator.options.get("axis", -1), [operator.input(number) for number in (2, 3)]
    if indices.dtype != "int32":
        yield Violation("one-hot", f"indices are {indices.dtype}, only int32 is taken")
    if axis != -1 and (not indices.rank or axis != indices.shape[-1]):
        yield Violation("one-hot", f"its axis is {axis}")
    if any(extent != 1 for extent in indices.shape[1 if indices.rank > 3 else 0 : -1]):
        yield Violation("one-hot", f"indices of {shown(indices)}: all but the last axis must be 1")
    if any(
        one is None or one.dtype != "float32" or not context.is_constant(one) or one.elements != 1 for one in values
    ):
        yield Violation("one-hot", "its on and off values must be single float32 constants")


def _axes(operator: OperatorView, context: Context) -> Iterator[Violation]:
    yield from _one_input(operator, context)
    axes = operator.input(1)
    if axes is not None and axes.dtype != "int32":
        yield Violation("axes-type", f"its axes are {axes.dtype}, only int32 is taken")


@with_inputs(1)
def _cumsum(operator: OperatorView, context: Context, source: TensorView) -> Iterator[Violation]:
    axis = operator.input(1)
    if source.dtype not in _FLOATS or operator.outputs[0].dtype != source.dtype:
        yield Violation("cumsum-axis", f"its input is {source.dtype}")
    if axis is None or axis.dtype != "int32" or not context.is_constant(axis):
        yield Violation("cumsum-axis", "its axis is no int32 constant")


def _block(operator: OperatorView, context: Context) -> Iterator[Violation]:
    yield from _one_input(operator, context)
    if operator.options.get("blockSize", 0) <= 1:
        yield Violation("block-size", "a block of one changes nothing")


def _two(operator: OperatorView, context: Context) -> Iterator[Violation]:
    if len(operator.inputs) != 2:
        yield Violation("add-n", f"{len(operator.inputs)} inputs, only 2 are taken")


@with_inputs(1)
def _dequantise(operator: OperatorView, context: Context, source: TensorView) -> Iterator[Violation]:
    if source.dtype == "int16":
        yield Violation("dequantise-type", "from int16")


def _densify(operator: OperatorView, context: Context) -> Iterator[Violation]:
    if context.runtime(operator):
        yield Violation("inputs", "its input comes at run time")


def _resize(operator: OperatorView, context: Context) -> Iterator[Violation]:
    if len(context.runtime(operator)) > 1:
        yield Violation("sized-by-shape", "its size comes from a SHAPE operator")
    yield from _one_input(operator, context)
    if operator.type == "RESIZE_BILINEAR" and operator.flag("alignCorners") and operator.flag("halfPixelCenters"):
        yield Violation("resize-centres", "aligned corners and half pixel centres together")


def _lstm(operator: OperatorView, context: Context) -> Iterator[Violation]:
    options, outputs = operator.options, len(operator.outputs)
    if options.get("kernelType", 0) == 0:
        takes = len(operator.inputs) in (20, 24) and outputs == 1
        clips, other = False, "its activation is not TANH"
    else:
        takes = len(context.runtime(operator)) == 3 and len(context.constants(operator)) == 2 and outputs == 4
        clips = bool(options.get("cellClip") or options.get("projClip"))
        other = "its activation is not TANH, or it clips"
    if not takes:
        yield Violation("lstm", f"{len(operator.inputs)} inputs and {outputs} outputs")
    elif clips or options.get("fusedActivationFunction") != _TANH:
        yield Violation("lstm", other)


_UNARY = (
    "ABS", "COS", "ELU", "EXP", "FLOOR", "GELU", "LOG", "LOGISTIC", "NEG", "RSQRT", "SIGN", "SIN", "SQRT", "SQUARE",
    "TANH",
)  # fmt: skip
_BINARY = ("DIV", "FLOOR_DIV", "FLOOR_MOD", "LOGICAL_AND", "MAXIMUM", "MINIMUM", "POW", "SQUARED_DIFFERENCE", "SUB")
_REDUCED = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")
_CHECKS: dict[str, Check] = {
    **dict.fromkeys(_UNARY, _unary), **dict.fromkeys(_BINARY, _binary), **dict.fromkeys(COMPARED, _comparison),
    **dict.fromkeys(_REDUCED, _axes), **dict.fromkeys(("HARD_SWISH", "QUANTIZE", "TILE", "TRANSPOSE"), _one_input),
    **dict.fromkeys(("RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _resize),
    "CONV_2D": _convolution, "TRANSPOSE_CONV": _convolution, "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected, "MUL": _mul, "SOFTMAX": _softmax, "PAD": _pad, "PADV2": _pad,
    "MIRROR_PAD": _pad, "SLICE": _slice, "STRIDED_SLICE": _slice, "GATHER": _gather, "CAST": _cast, "SELECT": _select,
    "SELECT_V2": _select, "ONE_HOT": _one_hot, "CUMSUM": _cumsum, "DEPTH_TO_SPACE": _block, "SPACE_TO_DEPTH": _block,
    "ADD_N": _two, "ADD": _two, "BATCH_MATMUL": _two, "DEQUANTIZE": _dequantise, "DENSIFY": _densify,
    "AVERAGE_POOL_2D": _pool, "MAX_POOL_2D": _pool, "LSTM": _lstm,
}  # fmt: skip
