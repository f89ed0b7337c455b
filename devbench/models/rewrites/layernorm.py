"""`layernorm-4d`: layer normalisation in an order that delegates compute rightly, and right in half precision.

TensorFlow folds γ into the inverse deviation first: a product of a tensor of one channel with a constant of many. The
stock GPU delegate takes that and gives wrong numbers. Here γ and β come last, where they have the shape of the
channels. As for groups, differences are divided by their largest magnitude before they are squared.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from devbench.models.graph.edit import Graph
from devbench.models.graph.emit import Emitter
from devbench.models.rewrites.groupnorm import hand_over, inverse_deviation, inverse_magnitude
from devbench.models.rewrites.normalisation import Normalisation, find_normalisation


def layernorm_4d(graph: Graph) -> list[str]:
    """Rewrite every normalisation over the last axis; gives a line for each."""
    changes = []
    for rsqrt in graph.operators("RSQRT"):
        found = find_normalisation(graph, rsqrt)
        if found is not None and found.axes == (len(graph.shape(found.source)) - 1,):
            line = _rewrite(graph, found)
            if line:
                changes.append(line)
    return changes


def _rewrite(graph: Graph, found: Normalisation) -> str | None:
    shape = graph.shape(found.source)
    if not 2 <= len(shape) <= 4 or not graph.is_fixed(found.source):
        return None
    parts = [_last(found.scale, shape[-1]), _last(found.offset, shape[-1])]
    if parts[0] is None or parts[1] is None:
        return None
    emit = Emitter(graph, graph.producer(found.result), f"{graph.name(found.result)}/layernorm_4d")
    result = _emit(emit, found.source, found.epsilon, parts[0], parts[1])
    hand_over(graph, emit, found.result, result)
    return f"{'×'.join(map(str, shape))}"


def _last(values: NDArray[np.float32], channels: int) -> NDArray[np.float32] | None:
    """γ or β as one number a channel; `None` where it differs along another axis."""
    if math.prod(values.shape[:-1]) != 1:
        return None
    return np.ascontiguousarray(np.broadcast_to(values.reshape(-1), (channels,)))


def _emit(emit: Emitter, x: int, epsilon: float, scale: NDArray[np.float32], offset: NDArray[np.float32]) -> int:
    shape = emit.graph.shape(x)
    if len(shape) < 4:
        x = emit.reshape(x, (shape[0], *(1,) * (4 - len(shape)), *shape[1:]))
    difference = emit.binary("SUB", x, emit.reduce("MEAN", x, (3,)))
    inverse = inverse_magnitude(emit, emit.reduce("REDUCE_MAX", emit.unary("ABS", difference), (3,)))
    scaled = emit.binary("MUL", difference, inverse)
    variance = emit.reduce("MEAN", emit.unary("SQUARE", scaled), (3,))
    result = emit.binary("MUL", scaled, inverse_deviation(emit, variance, inverse, epsilon))
    if (scale != 1).any():
        result = emit.binary("MUL", result, emit.constant(scale))
    if offset.any():
        result = emit.binary("ADD", result, emit.constant(offset))
    return result
