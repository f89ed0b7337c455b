"""What makes the delegate fail when it builds its part of the graph: operators that it accepted but cannot build.

Each check follows what the delegate reads of an operator: data must be no constant and must have dimensions, and a
constant must have the rank and type in which it is read. Slices and arithmetic are in `extents`.
"""

from __future__ import annotations

from collections.abc import Iterable

from devbench.models.gpu.context import (
    Checks,
    Context,
    OperatorCheck,
    Violation,
    always,
    axis_name,
    broken,
    is_row,
    layout,
    on_input,
    readable,
    run_checks,
    shown,
    unreadable,
    with_inputs,
)
from devbench.models.gpu.cpu_rules import SIGN_BIT
from devbench.models.gpu.extents import TWO_INPUTS, after_broadcast, build_arithmetic, build_slice
from devbench.models.graph.view import OperatorView, TensorView

_ACTIVATED = frozenset({"ADD", "CONCATENATION", "FULLY_CONNECTED"})
_NO_KERNEL = frozenset({"FLOOR", "FLOOR_DIV", "FLOOR_MOD"})
_MAY_REPEAT = frozenset({*TWO_INPUTS, "CONCATENATION", "PACK"})
# Which inputs are data; of all others the first one is.
_DATA: dict[str, tuple[int, ...]] = {
    "SPLIT": (1,), "TRANSPOSE_CONV": (2,), "DENSIFY": (), "DEQUANTIZE": (), **dict.fromkeys(_MAY_REPEAT, ()),
}  # fmt: skip


def violations(operator: OperatorView, context: Context) -> Iterable[Violation]:
    """Every reason why the delegate fails while it builds this operator."""
    if operator.type in _NO_KERNEL:
        yield Violation("no-kernel", "it is accepted, but has no OpenCL kernel")
    yield from _data(operator, context)
    yield from _tensors(operator, context)
    yield from run_checks(_CHECKS, operator, context)
    if operator.options.get("fusedActivationFunction") == SIGN_BIT and operator.type in _ACTIVATED:
        yield Violation("add-activation", "a fused SIGN_BIT")


def _data(operator: OperatorView, context: Context) -> Iterable[Violation]:
    """A constant input where the delegate can only read inputs computed at run time."""
    rule = "matmul-constant" if operator.type == "BATCH_MATMUL" else "constant-data"
    tensors = (operator.input(number) for number in _DATA.get(operator.type, (0,)))
    constants = (one for one in tensors if one is not None and context.is_constant(one))
    return [Violation(rule, f"its data is a constant of {shown(one)}") for one in constants]


def _tensors(operator: OperatorView, context: Context) -> Iterable[Violation]:
    """Tensors of the run that the delegate cannot represent."""
    read = _read_at_run(operator, context)
    if operator.type not in _MAY_REPEAT and len({tensor.index for tensor in read}) < len(read):
        yield Violation("same-inputs", "two inputs are the same tensor")
    for tensor in (*read, *operator.outputs):
        small = tensor.dtype in ("int8", "uint8")
        if tensor.rank == 0:
            yield Violation("scalar", "a tensor without dimensions")
        elif 0 in tensor.shape:
            yield Violation("empty", "a tensor without elements")
        elif small and not tensor.quantised:
            yield Violation("not-quantised", "an 8-bit tensor without a scale")
        elif small and tensor.scales > 1:
            yield Violation("not-quantised", "an 8-bit tensor of the run with a scale for each channel")


def _read_at_run(operator: OperatorView, context: Context) -> list[TensorView]:
    """The inputs that the delegate copies to the GPU, without sizes and axes, which it may ignore."""
    count = 1 if operator.type in ("RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "TILE") else None
    ignored = "int32" if operator.type in ("SPLIT", "SPLIT_V", "TRANSPOSE_CONV") else ""
    return [tensor for tensor in context.runtime(operator)[:count] if tensor.dtype != ignored]


def _has_strides(operator: OperatorView, size: int) -> bool:
    return operator.options.get("strideH") == size == operator.options.get("strideW")


@with_inputs(2)
def _convolution(
    operator: OperatorView, context: Context, source: TensorView, weights: TensorView
) -> Iterable[Violation]:
    constant = context.is_constant(weights)
    one = all(extent == 1 for tensor in (source, operator.outputs[0]) for extent in tensor.shape[:3])
    single = constant and one and weights.shape[1:3] == (1, 1) and _has_strides(operator, 1)
    grouped = not constant and source.shape[-1:] != weights.shape[-1:]
    return broken(
        (single, "program", "a 1×1 convolution of a single pixel"),
        (grouped, "grouped-weights", f"weights of {shown(weights)} come at run time"),
    )


@with_inputs(2)
def _depthwise(
    operator: OperatorView, context: Context, source: TensorView, weights: TensorView
) -> Iterable[Violation]:
    runtime = not context.is_constant(weights)
    several = runtime and operator.options.get("depthMultiplier", 1) != 1
    bare = runtime and operator.input(2) is None and not _is_densified(weights, context)
    return broken(
        (several, "depthwise-run", f"weights of {shown(weights)} come at run time"),
        (bare, "depthwise-bias", "weights at run time without a bias"),
    )


def _is_densified(tensor: TensorView, context: Context) -> bool:
    maker = context.maker(tensor)
    if maker is not None and maker.type == "DEQUANTIZE":
        maker = context.maker(maker.input(0))
    return maker is not None and maker.type == "DENSIFY"


@with_inputs(2)
def _transposed(
    operator: OperatorView, context: Context, shape: TensorView, weights: TensorView
) -> Iterable[Violation]:
    other = not _has_strides(operator, 2) or weights.shape[1:3] not in ((3, 3), (4, 4))
    return broken((other, "program", "a transposed convolution other than 3×3 and 4×4 with a stride of 2"))


@with_inputs(2)
def _fully_connected(
    operator: OperatorView, context: Context, source: TensorView, weights: TensorView
) -> Iterable[Violation]:
    out = operator.outputs[0]
    given, made = layout(source), layout(out)
    if not context.is_constant(weights) or weights.rank != 2:
        return ()
    return broken(
        (given.c != weights.shape[1], "fc-channels", f"an input of {shown(source)} on weights of {shown(weights)}"),
        ((given.b == 1) != (made.b == 1), "fc-rows", f"{shown(source)} becomes {shown(out)}: the first axis changes"),
        (is_row(source), "program", "a single row"),
    )


@with_inputs(2)
def _matmul(operator: OperatorView, context: Context, first: TensorView, second: TensorView) -> Iterable[Violation]:
    constant = context.is_constant(second)
    wrong = constant and second.rank != 2
    return (
        *broken((wrong, "matmul-constant", f"a constant second input of {shown(second)}")),
        *unreadable(second, context, 2),
        *broken((constant and is_row(first), "program", "a single row")),
    )


def _single(operator: OperatorView, context: Context) -> Iterable[Violation]:
    return broken((len(operator.inputs) == 1, "single-concat", "it has one input"))


def _single_constant(operator: OperatorView, context: Context) -> Iterable[Violation]:
    alone = len(operator.inputs) == 1 and context.constants(operator)
    return broken((alone, "constant-data", "its only input is a constant"))


def _readable_parts(operator: OperatorView, context: Context) -> Iterable[Violation]:
    return (one for tensor in context.constants(operator) for one in unreadable(tensor, context, 4))


def _packed_twice(operator: OperatorView, context: Context) -> Iterable[Violation]:
    """A tensor that is an input of PACK twice, if the delegate does not reshape it first."""
    out, read = operator.outputs[0], context.runtime(operator)
    axis = axis_name(out, int(operator.options.get("axis", 0)))
    whole = axis and any(layout(tensor) == layout(out)._replace(**{axis: 1}) for tensor in read)
    twice = len({tensor.index for tensor in read}) < len(read)
    return broken((whole and twice, "same-inputs", "two inputs are the same tensor"))


def _select(operator: OperatorView, context: Context) -> Iterable[Violation]:
    condition, out = operator.input(0), operator.outputs[0]
    if condition is not None and condition.elements != 1 and layout(condition).b != 1 == layout(out).b:
        detail = f"a condition of {shown(condition)} for {shown(out)}: its first axis is read as a batch"
        yield Violation("broadcast-batch", detail)
    for number, ranks in ((1, (4,)), (2, (3, 4))):
        tensor = operator.input(number)
        if tensor is None or tensor.elements != 1:
            yield from unreadable(tensor, context, *ranks)
        elif not context.is_constant(tensor):
            yield Violation("runtime-scalar", f"input {number} is one value that comes at run time")


@with_inputs(1)
def _densify(operator: OperatorView, context: Context, source: TensorView) -> Iterable[Violation]:
    yield from unreadable(source, context, 4) if source.sparse else [Violation("densify", "its input is not sparse")]
    out = operator.outputs[0]
    readers = context.reading(out)
    if len(readers) == 1 and readers[0].type == "DEQUANTIZE":
        out = readers[0].outputs[0]
        readers = context.reading(out)
    layers = [one for one in readers if one.type in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")]
    weights = [one for one in (reader.input(1) for reader in layers) if one is not None and one.index == out.index]
    other = not readers or len(weights) < len(readers)
    yield from broken((other, "densify", "only weights of a convolution may be made dense"))


@with_inputs(1)
def _dequantise(operator: OperatorView, context: Context, source: TensorView) -> Iterable[Violation]:
    is_half = not context.is_constant(source) and source.dtype == "float16"
    widens = is_half and not _is_densified(operator.outputs[0], context)
    return broken((widens, "fp16-input", "it widens a float16 tensor of the run"))


def _quantise(operator: OperatorView, context: Context) -> Iterable[Violation]:
    out = operator.outputs[0]
    scaled = out.dtype in ("int8", "uint8") and out.quantised
    return broken((not scaled, "not-quantised", "its output has no scale"))


@with_inputs(2)
def _prelu(operator: OperatorView, context: Context, source: TensorView, alpha: TensorView) -> Iterable[Violation]:
    given, slopes = layout(source), alpha.shape[-1] if alpha.rank else 0
    if not context.is_constant(alpha):
        yield Violation("prelu-alpha", "its slopes come at run time")
    elif is_row(alpha) and alpha.rank:
        yield from broken((slopes != given.c, "prelu-alpha", f"{slopes} slopes for {given.c} channels"))
    else:
        yield from unreadable(alpha, context, 3, 4)
        yield from broken(
            (alpha.shape[-3:] != given[1:], "prelu-alpha", f"slopes of {shown(alpha)} for {shown(source)}"),
            (given.b != 1, "prelu-alpha", f"slopes of {shown(alpha)} for a batch of {given.b}"),
        )


@with_inputs(1)
def _gather(operator: OperatorView, context: Context, source: TensorView) -> Iterable[Violation]:
    number = int(operator.options.get("axis", 0))
    axis = axis_name(source, number)
    tensors = [layout(tensor) for tensor in (*context.runtime(operator), operator.outputs[0])]
    one_row = axis == "b" and all(one.b == 1 for one in tensors)
    return broken(
        (axis is None, "axis", f"axis {number} of {shown(source)}"),
        (one_row, "gather-batch", "it takes one row of the first axis, which has one"),
    )


def _mirrored(operator: OperatorView, context: Context) -> Iterable[Violation]:
    batch = layout(operator.outputs[0]).b
    return broken((batch != 1, "mirror-batch", f"a batch of {batch}"))


@with_inputs(2)
def _cumsum(operator: OperatorView, context: Context, source: TensorView, axis: TensorView) -> Iterable[Violation]:
    if not axis.values:
        return ()
    place = axis.values[0] + 4 - source.rank
    outside = place < 0 or (place == 0 and source.shape[0] == 1)
    return broken((outside, "cumsum-sign", f"axis {axis.values[0]} of {source.rank}"))


def _not_constant(place: int, rule: str, detail: str) -> OperatorCheck:
    return on_input(place, lambda one, context: not context.is_constant(one), rule, detail)


_BIAS = _not_constant(2, "runtime-bias", "its bias comes at run time")
_WIDTHS = on_input(1, lambda one, context: one.dtype == "int64", "index-type-part", "its widths are int64")
_CHECKS: Checks = {
    **dict.fromkeys(TWO_INPUTS, (build_arithmetic,)),
    **dict.fromkeys(("SELECT", "SELECT_V2"), (_select,)),
    **dict.fromkeys(("SLICE", "STRIDED_SLICE"), (build_slice,)),
    **dict.fromkeys(("PAD", "PADV2"), (_WIDTHS,)),
    "MIRROR_PAD": (_WIDTHS, _mirrored),
    "CONV_2D": (_BIAS, readable(1, 4), _convolution),
    "DEPTHWISE_CONV_2D": (_BIAS, readable(1, 4), _depthwise),
    "TRANSPOSE_CONV": (
        readable(1, 4), _transposed, _not_constant(3, "runtime-bias", "its bias comes at run time"),
    ),
    "FULLY_CONNECTED": (_BIAS, readable(1, 2), _fully_connected),
    "BATCH_MATMUL": (_matmul,),
    "TRANSPOSE": (
        on_input(1, lambda one, context: not 2 <= one.elements <= 4, "transpose-rank", "{0.elements} axes"),
        _not_constant(1, "runtime-sizes", "its order of axes is no constant of the model"),
    ),
    "CONCATENATION": (_single, _readable_parts),
    "PACK": (_single_constant, _packed_twice, _readable_parts),
    "DENSIFY": (_densify,),
    "DEQUANTIZE": (readable(0, 4), _dequantise),
    "QUANTIZE": (_quantise,),
    "PRELU": (_prelu,),
    "GATHER": (_gather,),
    "CUMSUM": (_cumsum,),
    "LSTM": (always("program", "an LSTM cell"),),
    "CAST": (after_broadcast,),
}  # fmt: skip
