"""What the delegate refuses when it checks a graph: such an operator stays on the CPU.

The order within an operator is the delegate's own: whether it knows the operator, its version, its own rules, then
types and ranks. The first violation is the reason that the tool prints.
"""

from __future__ import annotations

from collections.abc import Iterable

from devbench.models.gpu.context import (
    Checks,
    Context,
    OperatorCheck,
    Violation,
    broken,
    on_input,
    on_option,
    run_checks,
    shown,
    with_inputs,
)
from devbench.models.gpu.extents import COMPARED
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


def violations(operator: OperatorView, context: Context) -> Iterable[Violation]:
    """Every reason that keeps an operator on the CPU; the tool prints the first."""
    highest = KNOWN.get(operator.type)
    if highest is None or operator.custom:
        rule = "broadcast-to" if operator.type == "BROADCAST_TO" else "unknown"
        yield Violation(rule, "the delegate does not support it")
        return
    if operator.version > highest:
        yield Violation("version", f"version {operator.version}, at most {highest} is taken")
    if not operator.outputs:
        # The model is damaged; all further checks need an output.
        yield Violation("inputs", "0 outputs")
        return
    yield from run_checks(_CHECKS, operator, context)
    yield from _ranks_and_types(operator, context)


def _ranks_and_types(operator: OperatorView, context: Context) -> Iterable[Violation]:
    rank = max((one.rank for one in operator.tensors), default=0)
    if rank > MAX_RANK:
        yield Violation("rank", f"a tensor of rank {rank}, at most {MAX_RANK} is taken")
    inputs, outputs = _OTHER_TYPES.get(operator.type, (_NONE, _NONE))
    typed = [(tensor, inputs) for tensor in operator.given] + [(tensor, outputs) for tensor in operator.outputs]
    for tensor, others in typed:
        if context.is_constant(tensor) or tensor.variable or tensor.index in context.known | context.handed_over:
            continue
        if tensor.dtype not in _ALLOWED_TYPES and tensor.dtype not in others:
            yield Violation("type", f"{tensor.dtype} at run time")


def _one_input(operator: OperatorView, context: Context) -> Iterable[Violation]:
    count, outputs = len(context.runtime(operator)), len(operator.outputs)
    return broken(
        (not count, "constant-input", "its only input is a constant"),
        (count > 1, "inputs", f"{count} inputs come at run time"),
        (outputs != 1, "inputs", f"{outputs} outputs"),
    )


def _two_inputs(operator: OperatorView, context: Context) -> Iterable[Violation]:
    counts = len(context.runtime(operator)), len(context.constants(operator)), len(operator.outputs)
    return broken((counts not in ((2, 0, 1), (1, 1, 1)), "constant-input", "both inputs are constants"))


def _no_constant(operator: OperatorView, context: Context) -> Iterable[Violation]:
    return broken((context.constants(operator), "constant-input", "its only input is a constant"))


def _add(operator: OperatorView, context: Context) -> Iterable[Violation]:
    count = len(operator.inputs)
    return broken((count != 2, "add-n", f"{count} inputs, only 2 are taken"))


def _at_most(most: int, rule: str, detail: str) -> OperatorCheck:
    """A check that no more than `most` inputs come at run time; `detail` has `{}` for their number."""

    def check(operator: OperatorView, context: Context) -> Iterable[Violation]:
        count = len(context.runtime(operator))
        return broken((count > most, rule, detail.format(count)))

    return check


def _positive(*options: str) -> list[OperatorCheck]:
    return [on_option(name, lambda value: value <= 0, "strides", f"{name} is {{}}", 1) for name in options]


def _int32(place: int, rule: str, what: str) -> OperatorCheck:
    detail = what + " {0.dtype}, only int32 is taken"
    return on_input(place, lambda one, context: one.dtype != "int32", rule, detail)


def _comparison(operator: OperatorView, context: Context) -> Iterable[Violation]:
    readers = context.reading(operator.outputs[0])
    takes = len(readers) == 1 and readers[0].type in ("SELECT", "SELECT_V2", "CAST")
    to_float = takes and readers[0].outputs[0].dtype in _FLOATS
    return broken((not to_float, "bool-result", "its result must be read by one SELECT or one CAST to float only"))


@with_inputs(2)
def _depthwise(
    operator: OperatorView, context: Context, source: TensorView, weights: TensorView
) -> Iterable[Violation]:
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


@with_inputs(1)
def _keeps_dims(operator: OperatorView, context: Context, source: TensorView) -> Iterable[Violation]:
    out = operator.outputs[0]
    changed = operator.flag("keepNumDims") and source.rank != out.rank
    return broken((changed, "keep-dims", f"{shown(source)} becomes {shown(out)}"))


@with_inputs(2)
def _crossed(operator: OperatorView, context: Context, first: TensorView, second: TensorView) -> Iterable[Violation]:
    pairs = list(zip(first.shape, second.shape, strict=True)) if first.rank == second.rank else []
    crossed = any(a < b for a, b in pairs) and any(a > b for a, b in pairs)
    return broken((crossed, "broadcast-cross", f"{shown(first)} and {shown(second)}, each larger in one axis"))


@with_inputs(1)
def _cast(operator: OperatorView, context: Context, source: TensorView) -> Iterable[Violation]:
    target = operator.outputs[0]
    made, wanted = source.dtype, target.dtype
    if made == "bool" and wanted in _FLOATS:
        maker = context.maker(source)
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


def _choices(operator: OperatorView, context: Context) -> Iterable[Violation]:
    for number, tensor in ((number, operator.input(number)) for number in (1, 2)):
        if tensor is None:
            continue
        small = tensor.rank == 0 or (tensor.rank == 1 and tensor.shape[0] <= 1)
        if tensor.dtype not in _FLOATS or not (small or tensor.shape == operator.outputs[0].shape):
            yield Violation("select-shapes", f"input {number} is {tensor.dtype} {shown(tensor)}")
            return


@with_inputs(1)
def _one_hot(operator: OperatorView, context: Context, indices: TensorView) -> Iterable[Violation]:
    axis, values = operator.options.get("axis", -1), [operator.input(number) for number in (2, 3)]
    singles = [
        one is not None and one.dtype == "float32" and context.is_constant(one) and one.elements == 1 for one in values
    ]
    spread = any(extent != 1 for extent in indices.shape[1 if indices.rank > 3 else 0 : -1])
    return broken(
        (axis != -1 and indices.shape[-1:] != (axis,), "one-hot", f"its axis is {axis}"),
        (spread, "one-hot", f"indices of {shown(indices)}: all but the last axis must be 1"),
        (not all(singles), "one-hot", "its on and off values must be single float32 constants"),
    )


@with_inputs(1)
def _cumsum(operator: OperatorView, context: Context, source: TensorView) -> Iterable[Violation]:
    axis, out = operator.input(1), operator.outputs[0]
    fixed = axis is not None and axis.dtype == "int32" and context.is_constant(axis)
    return broken(
        (source.dtype not in _FLOATS or out.dtype != source.dtype, "cumsum-axis", f"its input is {source.dtype}"),
        (not fixed, "cumsum-axis", "its axis is no int32 constant"),
    )


def _centres(operator: OperatorView, context: Context) -> Iterable[Violation]:
    both = operator.flag("alignCorners") and operator.flag("halfPixelCenters")
    return broken((both, "resize-centres", "aligned corners and half pixel centres together"))


def _lstm(operator: OperatorView, context: Context) -> Iterable[Violation]:
    options, inputs, outputs = operator.options, len(operator.inputs), len(operator.outputs)
    not_tanh = options.get("fusedActivationFunction") != _TANH
    wrong_count = f"{inputs} inputs and {outputs} outputs"
    if options.get("kernelType", 0) == 0:
        taken = inputs in (20, 24) and outputs == 1
        return broken((not taken, "lstm", wrong_count), (not_tanh, "lstm", "its activation is not TANH"))
    clips = not_tanh or options.get("cellClip") or options.get("projClip")
    taken = len(context.runtime(operator)) == 3 and len(context.constants(operator)) == 2 and outputs == 4
    return broken((not taken, "lstm", wrong_count), (clips, "lstm", "its activation is not TANH, or it clips"))


_ACTIVATION = on_option("fusedActivationFunction", lambda value: value == SIGN_BIT, "activation", "a fused SIGN_BIT")
_CONVOLUTION = (
    _at_most(2, "inputs", "{} inputs at run time, at most 2 are taken"),
    *_positive("strideH", "strideW", "dilationHFactor", "dilationWFactor"),
)
_POOL = (_one_input, *_positive("filterHeight", "filterWidth", "strideH", "strideW"), _ACTIVATION)
_RESIZE = (_at_most(1, "sized-by-shape", "its size comes from a SHAPE operator"), _one_input)
_PAD = (
    _one_input,
    on_input(
        1, lambda one, context: one.shape not in ((3, 2), (4, 2)), "pad-rank",
        "paddings of {1}, only 3×2 and 4×2 are taken",
    ),
)  # fmt: skip
_SLICE = (
    *(
        on_option(f"{name}Mask", bool, "slice-mask", f"{text} mask")
        for name, text in (("ellipsis", "ellipsis"), ("newAxis", "new axis"), ("shrinkAxis", "shrink axis"))
    ),
    on_input(
        0, lambda one, context: one.rank not in (3, 4), "slice-rank", "a slice of rank {0.rank}, only 3 and 4 are taken"
    ),
)
_SELECT = (
    on_input(
        0, lambda one, context: one.dtype not in _FLOATS | _BOOL, "select-shapes", "its condition is {0.dtype}"
    ),
    _choices,
)  # fmt: skip
_BLOCK = (_one_input, on_option("blockSize", lambda value: value <= 1, "block-size", "a block of one changes nothing"))
_UNARY = (
    "ABS", "COS", "ELU", "EXP", "FLOOR", "GELU", "LOG", "LOGISTIC", "NEG", "RSQRT", "SIGN", "SIN", "SQRT", "SQUARE",
    "TANH",
)  # fmt: skip
_BINARY = ("DIV", "FLOOR_DIV", "FLOOR_MOD", "LOGICAL_AND", "MAXIMUM", "MINIMUM", "POW", "SQUARED_DIFFERENCE", "SUB")
_REDUCED = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")
_CHECKS: Checks = {
    **dict.fromkeys(_UNARY, (_one_input, _no_constant)),
    **dict.fromkeys(_BINARY, (_two_inputs, _ACTIVATION)),
    **dict.fromkeys(COMPARED, (_comparison,)),
    **dict.fromkeys(_REDUCED, (_one_input, _int32(1, "axes-type", "its axes are"))),
    **dict.fromkeys(("HARD_SWISH", "QUANTIZE", "TILE", "TRANSPOSE"), (_one_input,)),
    **dict.fromkeys(("RESHAPE", "RESIZE_NEAREST_NEIGHBOR"), _RESIZE),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), _POOL),
    **dict.fromkeys(("PAD", "PADV2"), _PAD),
    **dict.fromkeys(("SLICE", "STRIDED_SLICE"), _SLICE),
    **dict.fromkeys(("SELECT", "SELECT_V2"), _SELECT),
    **dict.fromkeys(("DEPTH_TO_SPACE", "SPACE_TO_DEPTH"), _BLOCK),
    **dict.fromkeys(("ADD_N", "ADD", "BATCH_MATMUL"), (_add,)),
    "RESIZE_BILINEAR": (*_RESIZE, _centres),
    "CONV_2D": (*_CONVOLUTION, _ACTIVATION),
    "TRANSPOSE_CONV": _CONVOLUTION,
    "DEPTHWISE_CONV_2D": (*_CONVOLUTION, _ACTIVATION, _depthwise),
    "FULLY_CONNECTED": (
        on_option("weightsFormat", bool, "weights-format", "its weights are shuffled"),
        _at_most(2, "inputs", "weights and bias both come at run time"),
        on_input(0, lambda one, context: context.is_constant(one), "inputs", "its input is a constant"),
        _keeps_dims,
    ),
    "MUL": (_crossed, _ACTIVATION),
    "SOFTMAX": (
        on_option("beta", lambda value: value != 1.0, "softmax-beta", "beta is {:g}, only 1 is taken", 1.0),
    ),
    "MIRROR_PAD": (on_option("mode", bool, "pad-mode", "symmetric padding"), *_PAD),
    "GATHER": (
        _two_inputs,
        on_input(0, lambda one, context: one.dtype == "int32", "gather-type", "its data is int32"),
        on_input(
            1, lambda one, context: one.rank != 1, "gather-indices", "indices of rank {0.rank}, only 1 is taken"
        ),
        _int32(1, "gather-type", "indices are"),
    ),
    "CAST": (_cast,),
    "ONE_HOT": (_int32(0, "one-hot", "indices are"), _one_hot),
    "CUMSUM": (_cumsum,),
    "DEQUANTIZE": (on_input(0, lambda one, context: one.dtype == "int16", "dequantise-type", "from int16"),),
    "DENSIFY": (_at_most(0, "inputs", "its input comes at run time"),),
    "LSTM": (_lstm,),
}  # fmt: skip
