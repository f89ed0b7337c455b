"""Arithmetic, comparisons and slices: what the delegate can build, by the extents of the tensors.

Arithmetic: a constant is read as one value, as channels, or as height, width and channels. If both inputs are computed
at run time, the second one is read at the positions of the result. If only the second one has a batch, the program does
not build ("use of undeclared identifier 'B'"). SLICE and STRIDED_SLICE: the extents that the delegate works out must be
those of the output.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from devbench.models.gpu.context import (
    AXES,
    Context,
    GpuLayout,
    Violation,
    broken,
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
# Element-wise operators, which the delegate merges with the operators before them.
_FUSED = TWO_INPUTS | {
    "ABS", "COS", "ELU", "EXP", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOG", "LOGISTIC", "NEG", "RELU", "RELU6", "RSQRT",
    "SIGN", "SIN", "SQRT", "SQUARE", "TANH",
}  # fmt: skip
_MAX_FUSED = 50
_SUMS = frozenset({"ADD", "ADD_N"})
# Operators that may read one tensor twice, and whose inputs the delegate may swap.
_SWAPPED = _SUMS | {"MUL"}
_Values = Sequence[tuple[int, ...]]


def build_arithmetic(operator: OperatorView, context: Context) -> Iterable[Violation]:
    """Why the delegate cannot build it."""
    runtime, out = context.runtime(operator), operator.outputs[0]
    is_same = len(runtime) == 2 and runtime[0].index == runtime[1].index
    if is_same:
        yield from broken((operator.type not in _SWAPPED, "same-inputs", "both inputs are the same tensor"))
    elif len(runtime) == 2:
        yield from _batches(operator, runtime)
    elif runtime:
        shapes = f"{shown(runtime[0])} becomes {shown(out)}: its first axis is read as a batch"
        yield from broken((layout(runtime[0]).b != 1 == layout(out).b, "broadcast-batch", shapes))
    else:
        yield Violation("constant-data", "both inputs are constants")
    if not is_same:
        yield from after_broadcast(operator, context)
        for tensor in context.constants(operator):
            if tensor.dtype not in ("int32", "bool"):
                ranks = (tensor.rank,) if is_row(tensor) else (2,) if tensor.rank == 2 else (2, 3, 4)
                yield from unreadable(tensor, context, *ranks)
                batch = tensor.rank == 4 and tensor.shape[0] != 1
                yield from broken((batch, "constant-batch", f"a constant of {shown(tensor)}"))


def after_broadcast(operator: OperatorView, context: Context) -> Iterable[Violation]:
    """A comparison or a cast right after arithmetic that broadcasts: they become one program with different types."""
    out, read = operator.outputs[0], context.runtime(operator)
    to_float = [reader.type for reader in context.reading(out)[:1]] == ["CAST"]
    if out.dtype not in ("bool", "int32") or to_float or not read or _broadcasts(operator, read):
        return
    tensor = read[0]
    for _ in range(_MAX_FUSED):
        maker = context.maker(tensor)
        read = [] if maker is None else context.runtime(maker)
        if maker is None or len(context.readers[tensor.index]) > 1 or tensor.index in context.graph.outputs:
            return
        if not read or maker.type not in _FUSED:
            return
        if _broadcasts(maker, read):
            detail = f"operator {maker.index} ({maker.type}), before it, broadcasts"
            yield from broken((maker.type not in _SUMS, "comparison-fused", detail))
            return
        tensor = _first_read(maker, read, context)


def _broadcasts(operator: OperatorView, read: list[TensorView]) -> bool:
    """Whether the result of two tensors of the run has other extents than the first."""
    return len(read) == 2 and ordered(operator, read)[0] != layout(operator.outputs[0])


def _first_read(operator: OperatorView, read: list[TensorView], context: Context) -> TensorView:
    """The tensor that continues the same program: for a sum or product of equal shapes, the one that is made last."""
    if len(read) < 2 or operator.type not in _SWAPPED or read[0].shape != read[1].shape:
        return read[0]
    return max(read, key=lambda tensor: -1 if (maker := context.maker(tensor)) is None else maker.index)


def ordered(operator: OperatorView, runtime: list[TensorView]) -> tuple[GpuLayout, GpuLayout]:
    """The two tensors of the run in the order in which the delegate reads them."""
    first, second = layout(runtime[0]), layout(runtime[1])
    larger = first.h <= second.h and first.w <= second.w and first.c == second.c
    return (second, first) if larger and operator.type in _SWAPPED else (first, second)


def _batches(operator: OperatorView, runtime: list[TensorView]) -> Iterable[Violation]:
    (first, second), out = ordered(operator, runtime), layout(operator.outputs[0])
    is_sum = operator.type in _SUMS
    # Sums of different channels have a separate program.
    apart = is_sum and first.c != second.c and second.c != 1
    taken = (second.b != 1 and (is_sum or first == out)) or (apart and first.b != 1)
    detail = f"{shown(runtime[0])} and {shown(runtime[1])}: a first axis is read as a batch"
    return broken((out.b == 1 and taken, "broadcast-batch", detail))


@with_inputs(1)
def build_slice(operator: OperatorView, context: Context, source: TensorView) -> Iterable[Violation]:
    """Why the delegate cannot build a SLICE or a STRIDED_SLICE."""
    check, count = (_strided, 3) if operator.type == "STRIDED_SLICE" else (_slice, 2)
    read = []
    for place in range(1, count + 1):
        tensor = operator.input(place)
        if tensor is not None and tensor.dtype == "int64":
            return [Violation("index-type-part", f"input {place} is int64")]
        if tensor is None or not context.is_constant(tensor) or tensor.values is None:
            return [Violation("runtime-sizes", f"input {place} is no constant of the model")]
        read.append(tensor.values)
    return check(operator, source, read)


def _slice(operator: OperatorView, source: TensorView, read: _Values) -> Iterable[Violation]:
    names = "bwc" if source.rank == 3 else AXES if len(read[0]) == 4 else "hwc"
    if any(len(values) != len(names) for values in read):
        return [Violation("slice-rank", f"{len(read[0])} axes of {source.rank}")]
    given = layout(source)._asdict()
    begins = dict.fromkeys(AXES, 0) | dict(zip(names, read[0], strict=True))
    sizes = given | dict(zip(names, read[1], strict=True))
    ends = {axis: given[axis] if size == -1 else begins[axis] + size for axis, size in sizes.items()}
    return _other_extents(operator, {axis: end + given[axis] * (end < 0) - begins[axis] for axis, end in ends.items()})


def _strided(operator: OperatorView, source: TensorView, read: _Values) -> Iterable[Violation]:
    """Bounds of three values are those of height, width and channels, also of batch, width and channels."""
    names = {3: "hwc", 4: AXES}.get(len(read[0]), "")
    if not names or any(len(values) < len(names) for values in read):
        yield Violation("slice-extent", f"{len(read[0])} axes of {source.rank} are given")
        return
    given, begins, ends = layout(source), *(int(operator.options.get(mask, 0)) for mask in ("beginMask", "endMask"))
    for place, axis in enumerate(names):
        begin, end, stride = (values[place] for values in read)
        extent = getattr(given, axis)
        begin = 0 if begins >> place & 1 else begin + extent * (begin < 0)
        end = extent if ends >> place & 1 else end + extent * (end < 0)
        if stride > 0:
            yield from _other_extents(operator, {axis: int((end - begin + stride - 1) / stride)})
        else:
            sign = ("slice-reverse", "a negative stride") if stride else ("slice-extent", "a stride of zero")
            yield Violation(*sign)
    cut = names == "hwc" and given.b != layout(operator.outputs[0]).b
    yield from broken((cut, "slice-batch", f"it cuts the first axis of {shown(source)}"))


def _other_extents(operator: OperatorView, found: Mapping[str, int]) -> list[Violation]:
    """The extents that differ from those of the output."""
    out = operator.outputs[0]
    wanted = layout(out)._asdict()
    return [
        Violation("slice-batch" if axis == "b" else "slice-extent", f"{extent} of axis {axis} for {shown(out)}")
        for axis, extent in found.items()
        if extent != wanted[axis]
    ]
