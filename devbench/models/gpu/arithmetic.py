"""Arithmetic and comparisons of two tensors: which pairs the delegate can build.

A constant is read as one value, as channels, or as height, width and channels. Of two tensors of the run the second is
read at the place of the result; a batch that only it has does not build ("use of undeclared identifier 'B'").
"""

from __future__ import annotations

from collections.abc import Iterable

from devbench.models.gpu.constants import unreadable
from devbench.models.gpu.context import Context, Violation
from devbench.models.gpu.layout import GpuLayout, is_row, layout, shown
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


def build(operator: OperatorView, context: Context) -> Iterable[Violation]:
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
