"""`merge-reshapes`: a RESHAPE of a RESHAPE as one, and none if the shape stays; other rewrites leave them behind."""

from __future__ import annotations

from devbench.models.graph.edit import Graph


def merge_reshapes(graph: Graph) -> list[str]:
    """Rewrite every pair; gives a line for each."""
    changes = []
    for operator in graph.operators("RESHAPE"):
        out, first = operator.outputs[0], graph.producer(operator.inputs[0], "RESHAPE")
        if not graph.is_fixed(out):
            continue
        if first is not None:
            middle = operator.inputs[0]
            graph.set_inputs(operator, [first.inputs[0], *operator.inputs[1:]])
            changes.append(graph.size_text(middle))
            graph.sweep(middle)
        if graph.shape(operator.inputs[0]) == graph.shape(out) and out not in graph.outputs:
            graph.redirect(out, operator.inputs[0])
            changes.append(f"{graph.size_text(out)} unchanged")
    return changes
