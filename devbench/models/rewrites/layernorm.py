"""`layernorm-4d`: layer normalisation in an order that delegates compute rightly, and right in half precision.

TensorFlow folds γ into the inverse deviation first: a product of a tensor of one channel with a constant of many. The
stock GPU delegate takes that and gives wrong numbers. Here γ and β come last, where they have the shape of the
channels. As for groups, differences are divided by their largest magnitude before they are squared.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devbench.models.graph.edit import Graph
from devbench.models.graph.emit import Emitter
from devbench.models.graph.view import shape_text
from devbench.models.rewrites.groupnorm import hand_over, normalised
from devbench.models.rewrites.normalisation import find_normalisation


def layernorm_4d(graph: Graph, rsqrt: Any) -> str | None:
    """Rewrite the normalisation over the last axis of this RSQRT."""
    found = find_normalisation(graph, rsqrt)
    if found is None or not graph.is_fixed(found.source):
        return None
    shape = graph.shape(found.source)
    if found.axes != (len(shape) - 1,) or not 2 <= len(shape) <= 4:
        return None
    scale, offset = _last(found.scale, shape[-1]), _last(found.offset, shape[-1])
    if scale is None or offset is None:
        return None
    emit = Emitter(graph, graph.producer(found.result), f"{graph.name(found.result)}/layernorm_4d")
    hand_over(graph, emit, found.result, _emit(emit, found.source, found.epsilon, scale, offset))
    return shape_text(shape)


def _last(values: NDArray[np.float32], channels: int) -> NDArray[np.float32] | None:
    """γ or β as one number per channel; `None` if it differs along another axis."""
    if math.prod(values.shape[:-1]) != 1:
        return None
    return np.ascontiguousarray(np.broadcast_to(values.reshape(-1), (channels,)))


def _emit(emit: Emitter, x: int, epsilon: float, scale: NDArray[np.float32], offset: NDArray[np.float32]) -> int:
    shape = emit.graph.shape(x)
    if len(shape) < 4:
        x = emit.reshape(x, (shape[0], *(1,) * (4 - len(shape)), *shape[1:]))
    result = normalised(emit, x, lambda kind, value: emit.reduce(kind, value, (3,)), lambda value: value, epsilon)
    if (scale != 1).any():
        result = emit.binary("MUL", result, emit.constant(scale))
    if offset.any():
        result = emit.binary("ADD", result, emit.constant(offset))
    return result
