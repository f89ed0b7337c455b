"""Operator codes, which say what a runtime must know to load a model: `unused-codes` and `downgrade-versions`.

The runtime looks at every operator code of a model when it loads it. One that it does not know keeps the model from
loading, whether or not an operator uses it: `unused-codes` leaves those out that no operator uses. Converters raise the
version of an operator for a rank or type; after a rewrite the reason may be gone: `downgrade-versions` sets the lowest
version that describes an operator. Source: `lite/tools/versioning/op_version.cc` of TensorFlow.
"""

from __future__ import annotations

from typing import Any

from devbench.models.graph.edit import Graph, drop_codes, kind_of, unused_codes

# For these kinds, version 1 is enough for float32 in at most four dimensions.
_PLAIN = {
    "ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "MEAN", "SUM", "REDUCE_MAX", "TRANSPOSE",
    "SOFTMAX", "LOGISTIC", "TANH", "PAD", "CONCATENATION", "RESHAPE", "ABS", "NEG", "SQUARE", "SQRT", "RSQRT", "EXP",
    "POW", "AVERAGE_POOL_2D", "MAX_POOL_2D",
}  # fmt: skip
_MAX_RANK = 4


def drop_unused_codes(graph: Graph) -> list[str]:
    """Leave out every operator code that no graph of the model uses; a line for each."""
    if not graph.is_main:
        return []
    codes = [graph.model.operatorCodes[index] for index in unused_codes(graph.model)]
    drop_codes(graph.model)
    return [f"{kind_of(code)} version {code.version}" for code in codes]


def unused_code_match(graph: Graph) -> list[int]:
    """[-1] if there is such a code."""
    return [-1] if graph.is_main and unused_codes(graph.model) else []


def downgrade_versions(graph: Graph) -> list[str]:
    """Lower every version that is higher than necessary; a line for each kind."""
    lowered: dict[str, int] = {}
    for operator in graph.operators(*_PLAIN):
        if graph.version(operator) > 1 and _is_plain(graph, operator):
            what = f"{graph.kind(operator)} version {graph.version(operator)} → 1"
            graph.set_version(operator, 1)
            lowered[what] = lowered.get(what, 0) + 1
    return [f"{what}, {count} operators" if count > 1 else what for what, count in lowered.items()]


def _is_plain(graph: Graph, operator: Any) -> bool:
    """Whether version 1 describes it: float32, but for axes and shapes, and no more than four dimensions."""
    tensors = [*(tensor for tensor in operator.inputs if tensor >= 0), *operator.outputs]
    types = {graph.dtype(one) for one in tensors if not (graph.is_constant(one) and graph.dtype(one) == "int32")}
    return types <= {"float32"} and all(len(graph.shape(tensor)) <= _MAX_RANK for tensor in tensors)
