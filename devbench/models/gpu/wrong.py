"""Operators that the delegate takes and computes wrongly on the bench phone, without a word.

Each was seen by comparing the delegate's outputs with those of LiteRT's CPU kernels; phones have not been tried.
`devbench accuracy` shows it for a model on a device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from devbench.models.gpu import arithmetic
from devbench.models.gpu.context import Context, Finding
from devbench.models.gpu.layout import Layout, axis_name, layout, words
from devbench.models.graph.view import OperatorView, TensorView

_ROWS = 16
_LANES = 4


def wrong_numbers(operator: OperatorView, context: Context) -> Iterator[Finding]:
    """Why an operator that is taken was seen to give wrong numbers."""
    look = _LOOK.get(operator.type)
    if look is not None and operator.outputs:
        yield from look(operator, context)


def _gather(operator: OperatorView, context: Context) -> Iterator[Finding]:
    result = operator.outputs[0]
    if result.rank and result.shape[-1] > _LANES:
        yield Finding("wrong-gather", f"rows of {result.shape[-1]} channels, right in the first {_LANES} only")


def _matmul(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if operator.options.get("adjX") or operator.options.get("adjY"):
        yield Finding("wrong-matmul-flag", "an operand is transposed by a flag, which is left out of account")
        return
    result, read = operator.outputs[0], context.runtime(operator)
    if len(read) == 2 and (read[0].rank == 2 or read[1].shape[:-2] != result.shape[:-2]):
        yield Finding("wrong-matmul-batch", f"{words(read[0].shape)} and {words(read[1].shape)}")
        return
    if len(read) == 2 and result.rank >= 2:
        rows, columns = result.shape[-2:]
        if rows % _ROWS and columns > _LANES:
            yield Finding("wrong-matmul-rows", f"{rows} rows, right for multiples of {_ROWS} only")


def _cumsum(operator: OperatorView, context: Context) -> Iterator[Finding]:
    source, axis = operator.input(0), operator.input(1)
    if source is None or axis is None or not axis.values:
        return
    place = axis.values[0] + 4 - source.rank
    if 0 <= place < 4 and "bhwc"[place] != axis_name(source, axis.values[0]):
        yield Finding("wrong-cumsum", f"axis {axis.values[0]} of {source.rank} is taken for another one")


def _softmax(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if operator.outputs[0].rank == 1 and operator.outputs[0].elements > 1:
        yield Finding("wrong-softmax", "a vector is taken for a batch")


def _arithmetic(operator: OperatorView, context: Context) -> Iterator[Finding]:
    """Tensors that are read at the place of the result, although they are smaller or lie otherwise."""
    out = layout(operator.outputs[0])
    runtime, constants = context.runtime(operator), context.constants(operator)
    if out is None or not runtime or operator.outputs[0].dtype not in ("float32", "float16", "bool"):
        return
    if len(runtime) == 2:
        pair = arithmetic.ordered(operator, runtime)
        right = pair is None or _are_read_rightly(operator, pair, out)
        shown = runtime
    else:
        given = layout(runtime[0])
        right = given is None or (given == out and all(_fits(_constant_layout(one), out) for one in constants))
        shown = [*runtime, *constants]
    if not right:
        yield Finding("wrong-widening", " and ".join(words(tensor.shape) for tensor in shown))


def _are_read_rightly(operator: OperatorView, pair: tuple[Layout, Layout], out: Layout) -> bool:
    first, second = pair
    if operator.type in ("ADD", "ADD_N"):
        return first._replace(b=out.b) == out and _fits(first, out) and _fits(second, out) and second.c in (1, first.c)
    return _fits(first, out) and _fits(second, out)


def _fits(given: Layout | None, out: Layout) -> bool:
    """Whether each extent is that of the result, or one that is repeated."""
    return given is None or all(extent in (1, wanted) for extent, wanted in zip(given, out, strict=True))


def _constant_layout(tensor: TensorView) -> Layout | None:
    """A constant as it is read: channels, or width and channels, or height, width and channels."""
    if arithmetic.is_linear(tensor):
        return Layout(1, 1, 1, tensor.shape[-1] if tensor.rank else 1)
    padded = (1,) * (4 - tensor.rank) + tensor.shape
    return Layout(*padded) if len(padded) == 4 else None


def _select(operator: OperatorView, context: Context) -> Iterator[Finding]:
    """A condition is read in its first column only, or in its first row where both choices are single values."""
    condition, first, second = (operator.input(number) for number in range(3))
    out = layout(operator.outputs[0])
    if condition is None or first is None or second is None or out is None or condition.elements == 1:
        return
    given = layout(condition)
    if given is None:
        return
    by_rows = first.elements == second.elements == 1 or -(-out.c // _LANES) != -(-given.c // _LANES)
    if by_rows:
        right = given.h == 1 and given.c == 1 and given.w == out.w
    else:
        right = given.w == 1 and (given.h, given.c) == (out.h, out.c)
    if not right:
        yield Finding("wrong-select", f"a condition of {words(condition.shape)} is read in one column or row only")


def _dense(operator: OperatorView, context: Context) -> Iterator[Finding]:
    yield from _weights(operator, context)
    source, out = operator.input(0), operator.outputs[0]
    given, made = layout(source) if source is not None else None, layout(out)
    if source is not None and given and made and context.is_constant(operator.input(1)) and given[:3] != made[:3]:
        yield Finding("wrong-rows", f"{words(source.shape)} becomes {words(out.shape)}")


def _weights(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if any(tensor.blockwise and tensor.dtype == "int8" for tensor in context.constants(operator)):
        yield Finding("wrong-blocks", "scales in blocks are not read")


_LOOK: dict[str, Callable[[OperatorView, Context], Iterator[Finding]]] = {
    **dict.fromkeys(arithmetic.TWO_INPUTS, _arithmetic),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), _weights),
    "FULLY_CONNECTED": _dense,
    "CUMSUM": _cumsum,
    "SOFTMAX": _softmax,
    "GATHER": _gather,
    "BATCH_MATMUL": _matmul,
    "SELECT": _select,
    "SELECT_V2": _select,
}
