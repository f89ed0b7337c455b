"""`resize-upsample`: repeats along height and width, which are a TILE in six dimensions, as RESIZE_NEAREST_NEIGHBOR."""

from __future__ import annotations

from typing import Any

from devbench.models.graph.emit import Emitter
from devbench.models.graph.graph import Graph, Shape


def resize_upsample(graph: Graph) -> list[str]:
    """Rewrite every RESHAPE, TILE or BROADCAST_TO, RESHAPE that repeats rows and columns; a line for each."""
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    changes = []
    for operator in graph.operators("TILE", "BROADCAST_TO"):
        before, after = graph.producer(operator.inputs[0]), graph.only_consumer(operator.outputs[0])
        if before is None or after is None or graph.kind(before) != "RESHAPE" or graph.kind(after) != "RESHAPE":
            continue
        x, out = before.inputs[0], after.outputs[0]
        source, result = graph.shape(x), graph.shape(out)
        if not graph.is_fixed(x) or not graph.is_fixed(out) or len(source) != 4 or graph.dtype(x) != "float32":
            continue
        if not _repeats(graph, operator, source, result):
            continue
        emit = Emitter(graph, after, f"{graph.name(out)}/resize_upsample")
        size = emit.constant(np.array(result[1:3], np.int32))
        emit.make("RESIZE_NEAREST_NEIGHBOR", [x, size], result, options=schema.ResizeNearestNeighborOptionsT(), out=out)
        graph.remove(after)
        changes.append(f"{'×'.join(map(str, source))} → {'×'.join(map(str, result))}")
    return changes


def _repeats(graph: Graph, operator: Any, source: Shape, result: Shape) -> bool:
    """Whether every element comes out as a block, and in its place: N×H×1×W×1×C tiled along the ones."""
    batch, height, width, channels = source
    repeated = graph.shape(operator.outputs[0])
    if len(result) != 4 or (result[0], result[3]) != (batch, channels) or result[1] % height or result[2] % width:
        return False
    rows, columns = result[1] // height, result[2] // width
    grouped = _without_ones(graph.shape(operator.inputs[0]))
    return (
        grouped == _without_ones(source)
        and _without_ones(repeated) == _without_ones((batch, height, rows, width, columns, channels))
        and _is_between(graph.shape(operator.inputs[0]), repeated, (batch, height, rows, width, columns, channels))
    )


def _is_between(before: Shape, after: Shape, blocks: Shape) -> bool:
    """Whether `after` differs from `before` only where a 1 became a repeat, with the repeats behind rows and columns.

    Axes of size 1 that stay so say nothing; what is left must be blocks' axes in their order.
    """
    seen = [(old, new) for old, new in zip(before, after, strict=True) if (old, new) != (1, 1)]
    batch, height, rows, width, columns, channels = blocks
    wanted = [(batch, batch), (height, height), (1, rows), (width, width), (1, columns), (channels, channels)]
    return seen == [pair for pair in wanted if pair != (1, 1)]


def _without_ones(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)
