"""`downgrade-versions`: the lowest version that describes an operator, for delegates that know no later ones.

Converters raise the version of an operator for a rank or type; after a rewrite the reason may be gone.
Source: `lite/tools/versioning/op_version.cc` of TensorFlow.
"""

from __future__ import annotations

from typing import Any

from devbench.models.graph.edit import Graph

# Version 1 is float32 in at most four dimensions; of these kinds nothing else counts.
_PLAIN = {
    "ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "MEAN", "SUM", "REDUCE_MAX", "TRANSPOSE",
    "SOFTMAX", "LOGISTIC", "TANH", "PAD", "CONCATENATION", "RESHAPE", "ABS", "NEG", "SQUARE", "SQRT", "RSQRT", "EXP",
    "POW", "AVERAGE_POOL_2D", "MAX_POOL_2D",
}  # fmt: skip
_MAX_RANK = 4


def downgrade_versions(graph: Graph) -> list[str]:
    """Set every version that is higher than it need be; a line for each kind."""
    lowered: dict[str, int] = {}
    for operator in graph.operators(*_PLAIN):
        if graph.version(operator) > 1 and _is_plain(graph, operator):
            what = f"{graph.kind(operator)} version {graph.version(operator)} → 1"
            graph.set_version(operator, 1)
            lowered[what] = lowered.get(what, 0) + 1
    return [f"{what}, {count} operators" if count > 1 else what for what, count in lowered.items()]


def _is_plain(graph: Graph, operator: Any) -> bool:
    tensors = [*(tensor for tensor in operator.inputs if tensor >= 0), *operator.outputs]
    floats = all(
        graph.dtype(tensor) == "float32"
        for tensor in tensors
        if not (graph.is_constant(tensor) and _is_shape(graph, tensor))
    )
    return floats and all(len(graph.shape(tensor)) <= _MAX_RANK for tensor in tensors)


def _is_shape(graph: Graph, tensor: int) -> bool:
    return graph.dtype(tensor) == "int32"
