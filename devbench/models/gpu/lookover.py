"""What the delegate refuses while it looks a graph over: such an operator stays on the CPU.

The order within an operator is the delegate's own: is it known, its version, its own rules, then types and ranks; the
first finding is the reason that the tool prints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from devbench.models.gpu.arithmetic import COMPARED
from devbench.models.gpu.context import Context, Finding
from devbench.models.gpu.layout import words
from devbench.models.gpu.rules import KNOWN
from devbench.models.graph.view import OperatorView, TensorView

COMPARISONS = COMPARED
_FLOATS = frozenset({"float32", "float16"})
_ALLOWED_TYPES = frozenset({"float32", "float16", "int8", "uint8"})
# Operators that also take another type at run time: of their inputs, and of their outputs.
_OTHER_TYPES: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "CAST": (frozenset({"int32", "bool"}), frozenset({"int32", "bool"})),
    "GATHER": (frozenset({"int32"}), frozenset()),
    "ONE_HOT": (frozenset({"int32"}), frozenset()),
    "SELECT": (frozenset({"bool"}), frozenset()),
    "SELECT_V2": (frozenset({"bool"}), frozenset()),
    "LOGICAL_AND": (frozenset({"bool"}), frozenset({"bool"})),
    **{name: (frozenset[str](), frozenset({"bool"})) for name in COMPARISONS},
}
MAX_RANK = 4
_SIGN_BIT = 5
_Check = Callable[[OperatorView, Context], Iterator[Finding]]


def refused(operator: OperatorView, context: Context) -> Iterator[Finding]:
    """Everything that keeps an operator on the CPU, the reason that the tool prints first."""
    highest = KNOWN.get(operator.type)
    if highest is None or operator.custom:
        rule = "broadcast-to" if operator.type == "BROADCAST_TO" else "unknown"
        yield Finding(rule, "the delegate does not know it")
        return
    if operator.version > highest:
        yield Finding("version", f"version {operator.version}, at most {highest} is taken")
    look = _LOOK.get(operator.type)
    if look is not None:
        yield from look(operator, context)
    yield from _ranks_and_types(operator, context)


def _ranks_and_types(operator: OperatorView, context: Context) -> Iterator[Finding]:
    tensors = [tensor for tensor in (*operator.inputs, *operator.outputs) if tensor is not None]
    rank = max((tensor.rank for tensor in tensors), default=0)
    if rank > MAX_RANK:
        yield Finding("rank", f"a tensor of rank {rank}, at most {MAX_RANK} is taken")
    more = _OTHER_TYPES.get(operator.type, (frozenset[str](), frozenset[str]()))
    sides: tuple[tuple[TensorView | None, ...], ...] = (operator.inputs, operator.outputs)
    for side, others in zip(sides, more, strict=True):
        for tensor in side:
            if tensor is None or context.is_constant(tensor) or tensor.variable:
                continue
            if tensor.index in context.known or tensor.index in context.handed_over:
                continue
            if tensor.dtype not in _ALLOWED_TYPES and tensor.dtype not in others:
                yield Finding("type", f"{tensor.dtype} at run time")


def _inputs(operator: OperatorView, context: Context, runtime: int, constants: int | None = None) -> bool:
    """Whether it has so many inputs of either kind, and one output."""
    if constants is not None and len(context.constants(operator)) != constants:
        return False
    return len(context.runtime(operator)) == runtime and len(operator.outputs) == 1


def _one_input(operator: OperatorView, context: Context) -> Iterator[Finding]:
    count = len(context.runtime(operator))
    if count != 1:
        rule = "constant-input" if not count else "inputs"
        yield Finding(rule, "its only input is a constant" if not count else f"{count} inputs come at run time")
    elif len(operator.outputs) != 1:
        yield Finding("inputs", f"{len(operator.outputs)} outputs")


def _unary(operator: OperatorView, context: Context) -> Iterator[Finding]:
    yield from _one_input(operator, context)
    if context.constants(operator):
        yield Finding("constant-input", "its only input is a constant")


def _binary(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if not _inputs(operator, context, 2, 0) and not _inputs(operator, context, 1, 1):
        yield Finding("constant-input", "both inputs are constants")
    yield from _activation(operator)


def _activation(operator: OperatorView) -> Iterator[Finding]:
    if operator.options.get("fusedActivationFunction") == _SIGN_BIT:
        yield Finding("activation", "a fused SIGN_BIT")


def _comparison(operator: OperatorView, context: Context) -> Iterator[Finding]:
    readers = context.readers.get(operator.outputs[0].index, ()) if operator.outputs else ()
    following = readers[0] if len(readers) == 1 else None
    if (
        following is None
        or following.type not in ("SELECT", "SELECT_V2", "CAST")
        or following.outputs[0].dtype not in _FLOATS
    ):
        yield Finding("bool-result", "its result must go to one SELECT or one CAST to float, and nowhere else")


def _convolution(operator: OperatorView, context: Context) -> Iterator[Finding]:
    count = len(context.runtime(operator))
    if count > 2:
        yield Finding("inputs", f"{count} inputs at run time, at most 2 are taken")
    for name in ("strideH", "strideW", "dilationHFactor", "dilationWFactor"):
        if operator.options.get(name, 1) <= 0:
            yield Finding("strides", f"{name} is {operator.options[name]}")
    if operator.type != "TRANSPOSE_CONV":
        yield from _activation(operator)


def _depthwise(operator: OperatorView, context: Context) -> Iterator[Finding]:
    yield from _convolution(operator, context)
    source, weights, bias, out = operator.input(0), operator.input(1), operator.input(2), operator.outputs[0]
    multiplier = operator.options.get("depthMultiplier", 1)
    if source is None or weights is None:
        return
    if any(tensor.rank != 4 for tensor in (source, weights, out)):
        yield Finding("depthwise-shapes", "its input, weights and output must have four dimensions")
    elif source.shape[0] != out.shape[0] or weights.shape[3] != out.shape[3]:
        yield Finding("depthwise-shapes", f"weights of {words(weights.shape)} for an output of {words(out.shape)}")
    elif out.shape[3] != source.shape[3] * multiplier:
        yield Finding("depthwise-shapes", f"{out.shape[3]} channels from {source.shape[3]} × {multiplier}")
    elif bias is not None and bias.elements != out.shape[3]:
        yield Finding("depthwise-shapes", f"a bias of {words(bias.shape)}")
    if multiplier != 1 and source.shape[-1:] != (1,):
        yield Finding("depth-multiplier", f"depth multiplier {multiplier} on {source.shape[-1]} channels")


def _fully_connected(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if operator.options.get("weightsFormat", 0):
        yield Finding("weights-format", "its weights are shuffled")
    if len(context.runtime(operator)) > 2:
        yield Finding("inputs", "weights and bias both come at run time")
    source = operator.input(0)
    if context.is_constant(source):
        yield Finding("inputs", "its input is a constant")
    if operator.flag("keepNumDims") and source is not None and source.rank != operator.outputs[0].rank:
        yield Finding("keep-dims", f"{words(source.shape)} becomes {words(operator.outputs[0].shape)}")


def _pool(operator: OperatorView, context: Context) -> Iterator[Finding]:
    yield from _one_input(operator, context)
    for name in ("filterHeight", "filterWidth", "strideH", "strideW"):
        if operator.options.get(name, 1) <= 0:
            yield Finding("strides", f"{name} is {operator.options[name]}")
    yield from _activation(operator)


def _mul(operator: OperatorView, context: Context) -> Iterator[Finding]:
    first, second = operator.input(0), operator.input(1)
    if first is not None and second is not None and first.rank == second.rank:
        pairs = list(zip(first.shape, second.shape, strict=True))
        if any(a < b for a, b in pairs) and any(a > b for a, b in pairs):
            yield Finding("broadcast-cross", f"{words(first.shape)} and {words(second.shape)}, each larger in one axis")
    yield from _activation(operator)


def _softmax(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if operator.options.get("beta", 1.0) != 1.0:
        yield Finding("softmax-beta", f"beta is {operator.options['beta']:g}, only 1 is taken")


def _pad(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if operator.type == "MIRROR_PAD" and operator.options.get("mode", 0) != 0:
        yield Finding("pad-mode", "symmetric padding")
    yield from _one_input(operator, context)
    paddings = operator.input(1)
    if paddings is not None and paddings.shape not in ((3, 2), (4, 2)):
        yield Finding("pad-rank", f"paddings of {words(paddings.shape)}, only 3×2 and 4×2 are taken")


def _slice(operator: OperatorView, context: Context) -> Iterator[Finding]:
    for name in ("ellipsisMask", "newAxisMask", "shrinkAxisMask"):
        if operator.options.get(name, 0):
            yield Finding("slice-mask", f"{name[:-4].lower().replace('axis', ' axis')} mask")
    source = operator.input(0)
    if source is not None and source.rank not in (3, 4):
        yield Finding("slice-rank", f"a slice of rank {source.rank}, only 3 and 4 are taken")


def _gather(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if not _inputs(operator, context, 2, 0) and not _inputs(operator, context, 1, 1):
        yield Finding("constant-input", "both inputs are constants")
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
    if made == "bool" and wanted in _FLOATS:
        maker = context.makers.get(source.index)
        if maker is None or len(context.readers.get(source.index, ())) != 1:
            yield Finding("bool-cast", "a bool is cast only where an operator makes it and nothing else reads it")
        elif len(context.readers.get(target.index, ())) != 1:
            yield Finding("bool-cast", "exactly one operator must read what is cast from bool")
        elif maker.type in COMPARISONS:
            return
    yield from _one_input(operator, context)
    if (made == "bool" and wanted in _FLOATS) or (made in _FLOATS and wanted == "bool"):
        return
    if not {made, wanted} <= {"float32", "int32"}:
        yield Finding("cast-types", f"from {made} to {wanted}")


def _select(operator: OperatorView, context: Context) -> Iterator[Finding]:
    condition = operator.input(0)
    if condition is not None and condition.dtype != "bool" and condition.dtype not in _FLOATS:
        yield Finding("select-shapes", f"its condition is {condition.dtype}")
    for number in (1, 2):
        tensor = operator.input(number)
        if tensor is None:
            continue
        small = tensor.rank == 0 or (tensor.rank == 1 and tensor.shape[0] <= 1)
        if tensor.dtype not in _FLOATS or not (small or tensor.shape == operator.outputs[0].shape):
            yield Finding("select-shapes", f"input {number} is {tensor.dtype} {words(tensor.shape)}")
            return


def _one_hot(operator: OperatorView, context: Context) -> Iterator[Finding]:
    indices, axis = operator.input(0), operator.options.get("axis", -1)
    if indices is None:
        return
    if indices.dtype != "int32":
        yield Finding("one-hot", f"indices are {indices.dtype}, only int32 is taken")
    if axis != -1 and (not indices.rank or axis != indices.shape[-1]):
        yield Finding("one-hot", f"its axis is {axis}")
    if any(extent != 1 for extent in indices.shape[1 if indices.rank > 3 else 0 : -1]):
        yield Finding("one-hot", f"indices of {words(indices.shape)}: all but the last axis must be 1")
    for number in (2, 3):
        value = operator.input(number)
        if value is None or value.dtype != "float32" or not context.is_constant(value) or value.elements != 1:
            yield Finding("one-hot", "its on and off values must be single float32 constants")
            return


def _axes(operator: OperatorView, context: Context) -> Iterator[Finding]:
    yield from _one_input(operator, context)
    axes = operator.input(1)
    if axes is not None and axes.dtype != "int32":
        yield Finding("axes-type", f"its axes are {axes.dtype}, only int32 is taken")


def _cumsum(operator: OperatorView, context: Context) -> Iterator[Finding]:
    source, axis = operator.input(0), operator.input(1)
    if source is not None and (source.dtype not in _FLOATS or operator.outputs[0].dtype != source.dtype):
        yield Finding("cumsum-axis", f"its input is {source.dtype}")
    if axis is None or axis.dtype != "int32" or not context.is_constant(axis):
        yield Finding("cumsum-axis", "its axis is no int32 constant")


def _block(operator: OperatorView, context: Context) -> Iterator[Finding]:
    yield from _one_input(operator, context)
    if operator.options.get("blockSize", 0) <= 1:
        yield Finding("block-size", "a block of one changes nothing")


def _two(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if len(operator.inputs) != 2:
        yield Finding("add-n", f"{len(operator.inputs)} inputs, only 2 are taken")


def _dequantise(operator: OperatorView, context: Context) -> Iterator[Finding]:
    source = operator.input(0)
    if source is not None and source.dtype == "int16":
        yield Finding("dequantise-type", "from int16")


def _densify(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if context.runtime(operator):
        yield Finding("inputs", "its input comes at run time")


def _resize(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if len(context.runtime(operator)) > 1:
        yield Finding("sized-by-shape", "its size comes from a SHAPE operator")
    yield from _one_input(operator, context)
    if operator.type == "RESIZE_BILINEAR" and operator.flag("alignCorners") and operator.flag("halfPixelCenters"):
        yield Finding("resize-centres", "aligned corners and half pixel centres together")


def _lstm(operator: OperatorView, context: Context) -> Iterator[Finding]:
    options = operator.options
    if options.get("kernelType", 0) == 0:
        if len(operator.inputs) not in (20, 24) or len(operator.outputs) != 1:
            yield Finding("lstm", f"{len(operator.inputs)} inputs and {len(operator.outputs)} outputs")
        elif options.get("fusedActivationFunction") != 4:
            yield Finding("lstm", "its activation is not TANH")
    elif len(context.runtime(operator)) != 3 or len(context.constants(operator)) != 2 or len(operator.outputs) != 4:
        yield Finding("lstm", f"{len(operator.inputs)} inputs and {len(operator.outputs)} outputs")
    elif options.get("fusedActivationFunction") != 4 or options.get("cellClip") or options.get("projClip"):
        yield Finding("lstm", "its activation is not TANH, or it clips")


_UNARY = (
    "ABS", "COS", "ELU", "EXP", "FLOOR", "GELU", "LOG", "LOGISTIC", "NEG", "RSQRT", "SIGN", "SIN", "SQRT", "SQUARE",
    "TANH",
)  # fmt: skip
_BINARY = ("DIV", "FLOOR_DIV", "FLOOR_MOD", "LOGICAL_AND", "MAXIMUM", "MINIMUM", "POW", "SQUARED_DIFFERENCE", "SUB")
_REDUCED = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")
_LOOK: dict[str, _Check] = {
    **dict.fromkeys(_UNARY, _unary), **dict.fromkeys(_BINARY, _binary), **dict.fromkeys(COMPARISONS, _comparison),
    **dict.fromkeys(_REDUCED, _axes), **dict.fromkeys(("HARD_SWISH", "QUANTIZE", "TILE", "TRANSPOSE"), _one_input),
    **dict.fromkeys(("RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _resize),
    "CONV_2D": _convolution, "TRANSPOSE_CONV": _convolution, "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected, "MUL": _mul, "SOFTMAX": _softmax, "PAD": _pad, "PADV2": _pad,
    "MIRROR_PAD": _pad, "SLICE": _slice, "STRIDED_SLICE": _slice, "GATHER": _gather, "CAST": _cast, "SELECT": _select,
    "SELECT_V2": _select, "ONE_HOT": _one_hot, "CUMSUM": _cumsum, "DEPTH_TO_SPACE": _block, "SPACE_TO_DEPTH": _block,
    "ADD_N": _two, "ADD": _two, "BATCH_MATMUL": _two, "DEQUANTIZE": _dequantise, "DENSIFY": _densify,
    "AVERAGE_POOL_2D": _pool, "MAX_POOL_2D": _pool, "LSTM": _lstm,
}  # fmt: skip
