"""`attention-4d`: BATCH_MATMUL of operands as they are, in four dimensions.

An attention's product of queries and keys comes as a BATCH_MATMUL with a flag that transposes an operand. The stock
GPU delegate takes such an operator and leaves the flag out of account: square operands give wrong numbers. Here the
operand is transposed by a TRANSPOSE, and operands of three dimensions get a fourth, as delegates batch over one only.
The same delegate is wrong too where the rows of the first operand are no multiple of 16 (seen on an OpenCL device,
with more than four columns): rows of zeros fill them up, and are cut off again.
"""

from __future__ import annotations

from typing import Any

from ai_edge_litert import schema_py_generated as schema

from devbench.models.graph.edit import Graph
from devbench.models.graph.emit import Emitter

ROWS = 16
"""What the rows of a product's first operand are made a multiple of."""


def attention_4d(graph: Graph, operator: Any) -> str | None:
    """Rewrite a float BATCH_MATMUL with a flag or of three dimensions, or whose rows are no whole blocks."""
    a, b = operator.inputs
    out, options = operator.outputs[0], operator.builtinOptions
    flags = (options.adjX, options.adjY) if options is not None else (False, False)
    ranks = {len(graph.shape(tensor)) for tensor in (a, b, out)}
    if ranks not in ({3}, {4}) or graph.dtype(a) != "float32" or graph.dtype(b) != "float32":
        return None
    if not all(graph.is_fixed(tensor) for tensor in (a, b, out)):
        return None
    shape = graph.shape(out)
    surplus = -shape[-2] % ROWS
    if not any(flags) and ranks == {4} and not surplus:
        return None
    emit = Emitter(graph, operator, f"{graph.name(out)}/attention_4d")
    operands = []
    for tensor, turned in zip((a, b), flags, strict=True):
        given = graph.shape(tensor)
        four = tensor if len(given) == 4 else emit.reshape(tensor, (1, *given))
        operands.append(emit.transpose(four, (0, 1, 3, 2)) if turned else four)
    if surplus:
        operands[0] = emit.pad(operands[0], ((0, 0), (0, 0), (0, surplus), (0, 0)))
    whole = (1, *shape)[-4:]
    padded = (*whole[:2], whole[2] + surplus, whole[3])
    ends_flat = shape != whole
    result = emit.make(
        "BATCH_MATMUL",
        operands,
        padded,
        options=schema.BatchMatMulOptionsT(),
        like=out,
        out=None if surplus or ends_flat else out,
    )
    if surplus:
        result = emit.slice(result, (0, 0, 0, 0), whole, out=None if ends_flat else out)
    if ends_flat:
        emit.reshape(result, shape, out=out)
    graph.remove(operator)
    return " · ".join(map(graph.size_text, (a, b)))
