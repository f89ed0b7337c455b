"""Operators that the delegate takes and computes wrongly on the bench phone, without a word.

Each was seen by comparing the delegate's outputs with those of LiteRT's CPU kernels, one operator at a time; phones
have not been tried. `devbench accuracy` shows it for a model on a device.
"""

from __future__ import annotations

from collections.abc import Iterator

from devbench.models.gpu.context import Context, Finding
from devbench.models.gpu.shapes import words
from devbench.models.graph_view import OperatorView

_ROWS = 16
_LANES = 4
_WIDENING = frozenset({"ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "POW"})


def wrong_numbers(operator: OperatorView, context: Context) -> Iterator[Finding]:
    """Why an operator that is taken was seen to give wrong numbers."""
    if operator.type == "BATCH_MATMUL":
        yield from _matmul(operator, context)
    elif operator.type == "GATHER":
        result = operator.outputs[0]
        if result.rank and result.shape[-1] > _LANES:
            yield Finding("wrong-gather", f"rows of {result.shape[-1]} channels, right in the first {_LANES} only")
    elif operator.type in _WIDENING:
        runtime, constants = context.runtime(operator), context.constants(operator)
        if len(runtime) == 1 and len(constants) == 1:
            given, fixed = runtime[0], constants[0]
            if given.shape[-1:] == (1,) and fixed.rank and fixed.shape[-1] > 1:
                yield Finding("wrong-widening", f"{words(given.shape)} widened by a constant of {words(fixed.shape)}")


def _matmul(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if operator.options.get("adjX") or operator.options.get("adjY"):
        yield Finding("wrong-matmul-flag", "an operand is transposed by a flag, which is left out of account")
        return
    result = operator.outputs[0]
    if len(context.runtime(operator)) == 2 and result.rank >= 2:
        rows, columns = result.shape[-2:]
        if rows % _ROWS and columns > _LANES:
            yield Finding("wrong-matmul-rows", f"{rows} rows, right for multiples of {_ROWS} only")
