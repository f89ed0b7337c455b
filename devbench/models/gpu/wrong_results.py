"""Operators that the delegate takes and computes wrongly on the bench phone, without a message.

Each was seen by comparing the delegate's outputs with those of LiteRT's CPU kernels; phones have not been tried.
`devbench accuracy` shows it for a model on a device.
"""

from __future__ import annotations

from collections.abc import Iterable

from devbench.models.gpu.context import (
    AXES,
    Checks,
    Context,
    GpuLayout,
    Violation,
    axis_name,
    broken,
    is_row,
    layout,
    shown,
    with_inputs,
)
from devbench.models.gpu.extents import TWO_INPUTS, ordered
from devbench.models.graph.view import OperatorView, TensorView

_ROWS = 16
_LANES = 4


def _gather(operator: OperatorView, context: Context) -> Iterable[Violation]:
    channels = operator.outputs[0].shape[-1] if operator.outputs[0].rank else 0
    detail = f"rows of {channels} channels, right in the first {_LANES} only"
    return broken((channels > _LANES, "wrong-gather", detail))


def _matmul(operator: OperatorView, context: Context) -> Iterable[Violation]:
    result, read = operator.outputs[0], context.runtime(operator)
    if operator.flag("adjX") or operator.flag("adjY"):
        yield Violation("wrong-matmul-flag", "an operand is transposed by a flag, which is ignored")
    elif len(read) == 2 and (read[0].rank == 2 or read[1].shape[:-2] != result.shape[:-2]):
        yield Violation("wrong-matmul-batch", f"{shown(read[0])} and {shown(read[1])}")
    elif len(read) == 2 and result.rank >= 2 and result.shape[-2] % _ROWS and result.shape[-1] > _LANES:
        yield Violation("wrong-matmul-rows", f"{result.shape[-2]} rows, right for multiples of {_ROWS} only")


@with_inputs(2)
def _cumsum(operator: OperatorView, context: Context, source: TensorView, axis: TensorView) -> Iterable[Violation]:
    if not axis.values:
        return ()
    place = axis.values[0] + 4 - source.rank
    other = 0 <= place < 4 and AXES[place] != axis_name(source, axis.values[0])
    return broken((other, "wrong-cumsum", f"axis {axis.values[0]} of {source.rank} is read as another axis"))


def _softmax(operator: OperatorView, context: Context) -> Iterable[Violation]:
    out = operator.outputs[0]
    return broken((out.rank == 1 and out.elements > 1, "wrong-softmax", "a vector is read as a batch"))


def _arithmetic(operator: OperatorView, context: Context) -> Iterable[Violation]:
    """Tensors that are read at the position of the result although they are smaller or have other axes."""
    runtime, constants, out = context.runtime(operator), context.constants(operator), layout(operator.outputs[0])
    if len(runtime) == 2:
        first, second = ordered(operator, runtime)
        right = _fits(first, out) and _fits(second, out)
        if operator.type in ("ADD", "ADD_N"):
            right = right and first._replace(b=out.b) == out and second.c in (1, first.c)
    else:
        right = not runtime or (
            layout(runtime[0]) == out and all(_fits(_constant_layout(one), out) for one in constants)
        )
    is_read = operator.outputs[0].dtype in ("float32", "float16", "bool")
    tensors = runtime if len(runtime) == 2 else [*runtime, *constants]
    return broken((is_read and not right, "wrong-widening", " and ".join(map(shown, tensors))))


def _fits(given: GpuLayout | None, out: GpuLayout) -> bool:
    """Whether each extent is that of the result, or 1 and repeated."""
    return given is None or all(extent in (1, wanted) for extent, wanted in zip(given, out, strict=True))


def _constant_layout(tensor: TensorView) -> GpuLayout | None:
    """A constant as it is read: channels, or width and channels, or height, width and channels."""
    if is_row(tensor):
        return GpuLayout(1, 1, 1, tensor.shape[-1] if tensor.rank else 1)
    padded = (1,) * (4 - tensor.rank) + tensor.shape
    return GpuLayout(*padded) if len(padded) == 4 else None


@with_inputs(3)
def _select(
    operator: OperatorView, context: Context, condition: TensorView, first: TensorView, second: TensorView
) -> Iterable[Violation]:
    """A condition is read in its first column only, or in its first row if both choices are single values."""
    given, out = layout(condition), layout(operator.outputs[0])
    if first.elements == second.elements == 1 or -(-out.c // _LANES) != -(-given.c // _LANES):
        right = given.h == 1 and given.c == 1 and given.w == out.w
    else:
        right = given.w == 1 and (given.h, given.c) == (out.h, out.c)
    detail = f"a condition of {shown(condition)} is read in one column or row only"
    return broken((condition.elements != 1 and not right, "wrong-select", detail))


@with_inputs(2)
def _dense(operator: OperatorView, context: Context, source: TensorView, weights: TensorView) -> Iterable[Violation]:
    given, made = layout(source), layout(operator.outputs[0])
    changed = context.is_constant(weights) and given[:3] != made[:3]
    return broken((changed, "wrong-rows", f"{shown(source)} becomes {shown(operator.outputs[0])}"))


def _weights(operator: OperatorView, context: Context) -> Iterable[Violation]:
    blocks = any(tensor.blockwise and tensor.dtype == "int8" for tensor in context.constants(operator))
    return broken((blocks, "wrong-blocks", "scales in blocks are not read"))


CHECKS: Checks = {
    **dict.fromkeys(TWO_INPUTS, (_arithmetic,)),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), (_weights,)),
    **dict.fromkeys(("SELECT", "SELECT_V2"), (_select,)),
    "FULLY_CONNECTED": (_weights, _dense),
    "CUMSUM": (_cumsum,),
    "SOFTMAX": (_softmax,),
    "GATHER": (_gather,),
    "BATCH_MATMUL": (_matmul,),
}
"""Of each type of operator, the checks that find wrong numbers."""
