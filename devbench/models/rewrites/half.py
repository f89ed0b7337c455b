"""`fp16`: large float32 constants as float16 behind a DEQUANTIZE, which delegates fold back into the weights.

XNNPACK and the GPU delegate take float16 weights as such; LiteRT's own kernels turn them into float32 at the start.
A constant that fp16 cannot hold (beyond 65,504, not finite, or whole numbers that it would round) stays as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from devbench.models.graph.edit import Graph
from devbench.models.graph.emit import Emitter
from devbench.models.graph.view import shape_text

MIN_VALUES = 256
_MAX_HALF = 65504.0
# float16 represents every whole number up to this one.
_EXACT = 2048.0
# Where DEQUANTIZE in between keeps a runtime from taking the operator.
_EXCLUDED = {"GATHER", "EMBEDDING_LOOKUP", "RESHAPE"}


def half_weights(graph: Graph, min_values: int = MIN_VALUES) -> list[str]:
    """Store every constant of at least `min_values` values in float16; gives a line for each."""
    made: dict[int, int] = {}
    changes = []
    for operator in graph.operators():
        if graph.kind(operator) in _EXCLUDED:
            continue
        inputs = list(operator.inputs)
        for place, tensor in enumerate(inputs):
            values = graph.constant(tensor, "float32")
            if values is None or values.size < min_values:
                continue
            if tensor not in made:
                if not _fits(values):
                    continue
                emit = Emitter(graph, operator, f"{graph.name(tensor)}/fp16")
                halves = graph.add_constant(graph.name(tensor), values.astype(np.float16))
                made[tensor] = emit.make(
                    "DEQUANTIZE", [halves], values.shape, options=schema.DequantizeOptionsT(), like=tensor, version=3
                )
                changes.append(shape_text(values.shape))
            inputs[place] = made[tensor]
        if inputs != list(operator.inputs):
            graph.set_inputs(operator, inputs)
    return changes


def _fits(values: NDArray[Any]) -> bool:
    largest = max(float(values.max()), -float(values.min()))
    if not largest <= _MAX_HALF:
        return False
    if largest <= _EXACT or not (values == np.rint(values)).all():
        return True
    return bool((values.astype(np.float16).astype(np.float32) == values).all())
