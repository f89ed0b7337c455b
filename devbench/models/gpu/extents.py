"""Arithmetic, comparisons and slices: what the delegate can build, by the extents of the tensors.

Arithmetic: a constant is read as one value, as channels, or as height, width and channels. Of two tensors of the run
the second is read at the place of the result; a batch that only it has does not build ("use of undeclared identifier
'B'"). SLICE and STRIDED_SLICE: the extents that the delegate works out must be those of the output.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from devbench.models.gpu.context import (
    AXES,
    Context,
    GpuLayout,
    Violation,
    is_row,
    layout,
    shown,
    unreadable,
    with_inputs,
)
from devbench.models.graph.view import OperatorView, TensorView

TWO_INPUTS = frozenset({
    "ADD", "ADD_N", "SUB", "MUL", "DIV", "POW", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "EQUAL", "NOT_EQUAL",
    "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "LOGICAL_AND", "FLOOR_DIV", "FLOOR_MOD",
})  # fmt: skip
COMPARED = frozenset({"EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"})
# Operators on each element, which become one program with what is before them.
_FUSED = TWO_INPUTS | {
    "ABS", "COS", "ELU", "EXP", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOG", "LOGISTIC", "NEG", "RELU", "RELU6", "RSQRT",
    "SIGN", "SIN", "SQRT", "SQUARE", "TANH",
}  # fmt: skip
_MAX_FUSED = 50
_SUMS = frozenset({"ADD", "ADD_N"})
_RULES = {"b": "slice-batch", "h": "slice-extent", "w": "slice-extent", "c": "slice-extent"}
_Values = Sequence[tuple[int, ...]]


def build_arithmetic(operator: OperatorView, context: Context) -> Iterable[Violation]:
    """Why the delegate cannot build it."""
    runtime, constants = context.runtime(operator), context.constants(operator)
    if len(runtime) == 2:
        if runtime[0].index == runtime[1].index:
            if operator.type not in (*_SUMS, "MUL"):
                yield Violation("same-inputs", "both inputs are the same tensor")
            return
        yield from _batches(operator, runtime)
    elif not runtime:
        yield Violation("constant-data", "both inputs are constants")
    else:
        given, out = layout(runtime[0]), layout(operator.outputs[0])
        if given and out and given.b != 1 == out.b:
            shapes = f"{shown(runtime[0])} becomes {shown(operator.outputs[0])}"
            yield Violation("broadcast-batch", f"{shapes}: its first axis is taken for a batch")
    yield from after_broadcast(operator, context)
    for tensor in constants:
        if tensor.dtype in ("int32", "bool"):
            continue
        if is_row(tensor):
            yield from unreadable(tensor, context, tensor.rank)
        else:
            yield from unreadable(tensor, context, 2, *((3, 4) if tensor.rank != 2 else ()))
            if tensor.rank == 4 and tensor.shape[0] != 1:
                yield Violation("constant-batch", f"a constant of {shown(tensor)}")


def after_broadcast(operator: OperatorView, context: Context) -> Iterable[Violation]:
    """A comparison or a cast right after arithmetic that broadcasts: both become one program of types that differ."""
    runtime = context.runtime(operator)
    readers = context.reading(operator.outputs[0])
    if not runtime or operator.outputs[0].dtype not in ("bool", "int32") or (readers and readers[0].type == "CAST"):
        return
    pair, out = ordered(operator, runtime) if len(runtime) == 2 else None, layout(operator.outputs[0])
    if pair is not None and pair[0] != out:
        return
    tensor = runtime[0]
    for _ in range(_MAX_FUSED):
        maker = context.makers.get(tensor.index)
        if maker is None or len(context.readers[tensor.index]) > 1 or tensor.index in context.graph.outputs:
            return
        read = context.runtime(maker)
        if not read or maker.type not in _FUSED:
            return
        sides = ordered(maker, read) if len(read) == 2 else None
        if sides is not None and sides[0] != layout(tensor):
            if maker.type not in _SUMS:
                yield Violation("comparison-fused", f"operator {maker.index} ({maker.type}) before it broadcasts")
            return
        tensor = _first_read(maker, read, context)


def _first_read(operator: OperatorView, read: list[TensorView], context: Context) -> TensorView:
    """The tensor that continues the same program: of a sum or product of equal shapes the one that is made last."""
    if len(read) == 2 and operator.type in (*_SUMS, "MUL") and read[0].shape == read[1].shape:
        makers = [context.makers.get(tensor.index) for tensor in read]
        places = [-1 if maker is None else maker.index for maker in makers]
        return read[places.index(max(places))]
    return read[0]


def ordered(operator: OperatorView, runtime: list[TensorView]) -> tuple[GpuLayout, GpuLayout] | None:
    """The two tensors of the run in the order in which the delegate takes them."""
    first, second = layout(runtime[0]), layout(runtime[1])
    if first is None or second is None:
        return None
    larger = first.h <= second.h and first.w <= second.w and first.c == second.c
    if larger and operator.type in (*_SUMS, "MUL"):
        return second, first
    return first, second


def _batches(operator: OperatorView, runtime: list[TensorView]) -> Iterable[Violation]:
    pair, out = ordered(operator, runtime), layout(operator.outputs[0])
    if pair is None or out is None or out.b != 1:
        return
    first, second = pair
    is_sum = operator.type in _SUMS
    # Sums of different channels have a program of their own.
    apart = is_sum and first.c != second.c and second.c != 1
    if (second.b != 1 and (is_sum or first == out)) or (apart and first.b != 1):
        yield Violation(
            "broadcast-batch",
            f"{shown(runtime[0])} and {shown(runtime[1])}: a first axis is taken for a batch",
        )


@with_inputs(1)
def build_slice(operator: OperatorView, context: Context, source: TensorView) -> Iterable[Violation]:
    """Why the delegate cannot build a SLICE or a STRIDED_SLICE."""
    given, made = layout(source), layout(operator.outputs[0])
    if given is None or made is None:
        return ()
    is_strided = operator.type == "STRIDED_SLICE"
    read = _read(operator, context, 3 if is_strided else 2)
    if isinstance(read, Violation):
        found: Violation | None = read
    elif is_strided:
        found = _strided(operator, source, given, made, read)
    else:
        found = _slice(operator, source, given, made, read)
    return [] if found is None else [found]


def _read(operator: OperatorView, context: Context, count: int) -> list[tuple[int, ...]] | Violation:
    """The values of the inputs after the first, or why the delegate cannot read them."""
    found = []
    for place in range(1, count + 1):
        tensor = operator.input(place)
        if tensor is None:
            return Violation("runtime-sizes", f"input {place} is missing")
        if tensor.dtype == "int64":
            return Violation("index-type-part", f"input {place} is int64")
        if not context.is_constant(tensor) or tensor.values is None:
            return Violation("runtime-sizes", f"input {place} is no constant of the model")
        found.append(tensor.values)
    return found


def _slice(
    operator: OperatorView, source: TensorView, given: GpuLayout, made: GpuLayout, read: _Values
) -> Violation | None:
    names = "bwc" if source.rank == 3 else AXES if len(read[0]) == 4 else "hwc"
    if any(len(values) != len(names) for values in read):
        return Violation("slice-rank", f"{len(read[0])} axes of {source.rank}")
    begins = dict.fromkeys(AXES, 0) | dict(zip(names, read[0], strict=True))
    sizes = given._asdict() | dict(zip(names, read[1], strict=True))
    for axis, extent, wanted in zip(AXES, given, made, strict=True):
        end = extent if sizes[axis] == -1 else begins[axis] + sizes[axis]
        found = end + (extent if end < 0 else 0) - begins[axis]
        if found != wanted:
            return Violation(_RULES[axis], f"{found} of axis {axis} for {shown(operator.outputs[0])}")
    return None


def _strided(
    operator: OperatorView, source: TensorView, given: GpuLayout, made: GpuLayout, read: _Values
) -> Violation | None:
    """Bounds of three values are those of height, width and channels, also of batch, width and channels."""
    names = {3: "hwc", 4: AXES}.get(len(read[0]), "")
    if not names or any(len(values) < len(names) for values in read):
        return Violation("slice-extent", f"{len(read[0])} axes of {source.rank} are given")
    for place, axis in enumerate(names):
        begin, end, stride = (values[place] for values in read)
        extent = getattr(given, axis)
        begin = 0 if _has(operator, "beginMask", place) else begin + (extent if begin < 0 else 0)
        end = extent if _has(operator, "endMask", place) else end + (extent if end < 0 else 0)
        if stride <= 0:
            sign = ("slice-reverse", "a negative stride") if stride else ("slice-extent", "a stride of zero")
            return Violation(*sign)
        found = int((end - begin + stride - 1) / stride)
        if found != getattr(made, axis):
            return Violation(_RULES[axis], f"{found} of axis {axis} for {shown(operator.outputs[0])}")
    if names == "hwc" and given.b != made.b:
        return Violation("slice-batch", f"it cuts the first axis of {shown(source)}")
    return None


def _has(operator: OperatorView, mask: str, place: int) -> bool:
    return bool(int(operator.options.get(mask, 0)) >> place & 1)
