"""`resize-upsample`: repeats along height and width, which are a TILE in five or six dimensions, as a resize.

Converters write an upsampling as one TILE or BROADCAST_TO between two RESHAPEs, or as one for the rows and one for the
columns with RESHAPEs around. What such a chain does is found by running it on the numbers of its elements.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from devbench.models.graph.edit import Graph
from devbench.models.graph.emit import Emitter
from devbench.models.graph.view import shape_text

_MOVES = ("RESHAPE", "TILE", "BROADCAST_TO", "EXPAND_DIMS", "SQUEEZE")
_REPEATS = ("TILE", "BROADCAST_TO")
# More elements than any activation that fits on a phone.
_MAX_ELEMENTS = 1 << 26
_MAX_LENGTH = 16


def resize_upsample(graph: Graph) -> list[str]:
    """Rewrite every chain of RESHAPE, TILE and BROADCAST_TO that repeats rows and columns; a line for each."""
    changes = []
    for last in reversed(tuple(graph.operators(*_MOVES))):
        # One that is gone with a chain makes nothing any more.
        chain = _chain(graph, last) if graph.producer(last.outputs[0]) is last else []
        if not chain:
            continue
        x, out = chain[0].inputs[0], last.outputs[0]
        source, result = graph.shape(x), graph.shape(out)
        emit = Emitter(graph, last, f"{graph.name(out)}/resize_upsample")
        size = emit.constant(np.array(result[1:3], np.int32))
        emit.make("RESIZE_NEAREST_NEIGHBOR", [x, size], result, options=schema.ResizeNearestNeighborOptionsT(), out=out)
        graph.remove(last)
        changes.append(f"{shape_text(source)} → {shape_text(result)}")
    return changes[::-1]


def _chain(graph: Graph, last: Any) -> list[Any]:
    """The longest chain up to `last` that is an upsampling of a tensor of four dimensions, first to last."""
    if len(graph.shape(last.outputs[0])) != 4 or not graph.is_fixed(last.outputs[0]):
        return []
    chain: list[Any] = []
    best: list[Any] = []
    operator: Any = last
    while operator is not None and graph.kind(operator) in _MOVES and len(chain) < _MAX_LENGTH:
        chain.insert(0, operator)
        x = operator.inputs[0]
        has_repeat = any(graph.kind(one) in _REPEATS for one in chain)
        if has_repeat and len(chain) > 1 and len(graph.shape(x)) == 4 and _is_upsampling(graph, chain):
            best = list(chain)
        operator = graph.producer(x)
        if operator is not None and graph.only_consumer(x) is None:
            break
    return best


def _is_upsampling(graph: Graph, chain: list[Any]) -> bool:
    """Whether every element comes out as a block of whole rows and columns, in its place."""
    x, out = chain[0].inputs[0], chain[-1].outputs[0]
    if not graph.is_fixed(x) or graph.dtype(x) != "float32":
        return False
    source, result = graph.shape(x), graph.shape(out)
    if (result[0], result[3]) != (source[0], source[3]) or result[1] % source[1] or result[2] % source[2]:
        return False
    if math.prod(result) > _MAX_ELEMENTS:
        return False
    numbers = np.arange(math.prod(source), dtype=np.int32).reshape(source)
    moved: NDArray[np.int32] | None = numbers
    for operator in chain:
        moved = None if moved is None else _moved(graph, operator, moved)
    wanted = numbers.repeat(result[1] // source[1], 1).repeat(result[2] // source[2], 2)
    return moved is not None and np.array_equal(moved, wanted)


def _moved(graph: Graph, operator: Any, values: NDArray[np.int32]) -> NDArray[np.int32] | None:
    """What an operator of a chain makes of its input."""
    shape = graph.shape(operator.outputs[0])
    if graph.kind(operator) not in _REPEATS:
        return values.reshape(shape) if values.size == math.prod(shape) else None
    if graph.kind(operator) == "BROADCAST_TO":
        return np.broadcast_to(values, shape)
    times = graph.constant(operator.inputs[1])
    made = np.tile(values, times.tolist()) if times is not None and times.size == values.ndim else None
    return made if made is not None and made.shape == shape else None
