"""Which rewrite of devbench cures a refusal where the rule alone does not say: tensors of too many dimensions.

A straightforward conversion makes them in a few places, and the operators around tell which: a GroupNormalization
reduces them, an upsampling repeats them with TILE, an attention multiplies or permutes them.
"""

from __future__ import annotations

from devbench.models.gpu.context import Context
from devbench.models.gpu.refusal import Rule
from devbench.models.graph_view import OperatorView

# What stands in such an island, and the rewrite that removes it; the first that is found decides.
_ISLANDS = (
    ({"BATCH_MATMUL", "SOFTMAX"}, "attention-4d"),
    ({"MEAN", "SUM"}, "groupnorm-4d"),
    ({"TILE"}, "resize-upsample"),
    ({"BROADCAST_TO"}, "drop-broadcast-to"),
    ({"TRANSPOSE"}, "attention-4d"),
)
# An island of a real model has some twenty operators; looking further would only make a hostile one expensive.
_MOST_LOOKED_AT = 200


def cure_for(operator: OperatorView, rule: Rule, context: Context) -> str:
    """The name of the rewrite, empty where none is known."""
    if rule.name in ("rank", "version") and _has_many_dimensions(operator):
        island = _island(operator, context)
        return next((rewrite for types, rewrite in _ISLANDS if types & island), "")
    return rule.cure


def _has_many_dimensions(operator: OperatorView) -> bool:
    return any(tensor is not None and tensor.rank > 4 for tensor in (*operator.inputs, *operator.outputs))


def _island(start: OperatorView, context: Context) -> set[str]:
    """The types of the operators that share tensors of more than four dimensions with `start`."""
    seen, waiting = {start.index}, [start]
    types = {start.type}
    while waiting and len(seen) < _MOST_LOOKED_AT:
        operator = waiting.pop()
        for tensor in (*operator.inputs, *operator.outputs):
            if tensor is None or tensor.constant or tensor.rank <= 4:
                continue
            maker = context.makers.get(tensor.index)
            for other in (*context.readers.get(tensor.index, ()), *([maker] if maker else [])):
                if other.index not in seen:
                    seen.add(other.index)
                    types.add(other.type)
                    waiting.append(other)
    return types
