"""`drop-broadcast-to`: BROADCAST_TO and TILE before arithmetic that broadcasts by itself are left out."""

from __future__ import annotations

from typing import Any

from devbench.models.graph.edit import Graph

_BROADCASTS = {"ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"}


def drop_broadcast_to(graph: Graph, operator: Any) -> str | None:
    """Leave out a BROADCAST_TO or TILE whose users all give the same without it."""
    small, large = operator.inputs[0], operator.outputs[0]
    users = graph.consumers(large)
    if large in graph.outputs or not users or not graph.is_fixed(small) or not graph.is_fixed(large):
        return None
    if not _only_stretched(graph, small, large) or not all(_is_full(graph, user, large) for user in users):
        return None
    graph.redirect(large, small)
    return f"{graph.size_text(small)} for {graph.size_text(large)}"


def _only_stretched(graph: Graph, small: int, large: int) -> bool:
    """Whether sizes grew from 1 alone; a TILE may repeat others too."""
    before, after = graph.shape(small), graph.shape(large)
    before = (1,) * (len(after) - len(before)) + before
    return all(old in (1, new) for old, new in zip(before, after, strict=True))


def _is_full(graph: Graph, user: Any, large: int) -> bool:
    """Whether the other operand alone gives the result its shape."""
    if graph.kind(user) not in _BROADCASTS or user.inputs[0] == user.inputs[1]:
        return False
    other = user.inputs[1] if user.inputs[0] == large else user.inputs[0]
    return graph.shape(other) == graph.shape(user.outputs[0])
