"""`stable-gelu`: GELU that cannot overflow in half precision.

The tanh form cubes its argument, and x³ is beyond fp16's 65,504 from |x| = 40 on; what tanh makes of an infinity, and
of an infinity less another, is each GPU's own. Its argument is clipped first: tanh is 1 there to the last bit anyway.

    y = x·(½ + ½·tanh(c·(a₁ + a₃c² + …))),  c = min(max(x, −B), B)

For the tanh form (Hendrycks and Gimpel, 2016) a₁ = √(2/π), a₃ = 0.044715·a₁ and B = 10. For the exact form, with erf,
the coefficients are those of `_ERF`, fitted here: |y − GELU(x)| stays below `ERF_BOUND` for every x.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from devbench.models.graph.edit import Graph
from devbench.models.graph.emit import Emitter
from devbench.models.rewrites.patterns import ARITHMETIC, evaluate, is_plain

_TANH = (math.sqrt(2 / math.pi), 0.044715 * math.sqrt(2 / math.pi))
_TANH_CLIP = 10.0
_ERF = (0.7975078754917913, 0.03700565381976204, -0.0003515180503197173)
_ERF_CLIP = 5.5
ERF_BOUND = 2.6e-5
_DEPTH = 8
_PROBES = (-3.1, -0.7, 0.4, 2.2, 5.0)
_CLOSE = 1e-4


def stable_gelu(emit: Emitter, operator: Any) -> str | None:
    """Rewrite a GELU, or the argument of a TANH in a tanh form that is not clipped yet."""
    graph, x = emit.graph, operator.inputs[0]
    if graph.kind(operator) == "TANH":
        return _tanh(emit, operator)
    if graph.dtype(x) != "float32":
        return None
    tanh = bool(operator.builtinOptions is not None and operator.builtinOptions.approximate)
    argument = _polynomial(emit, x, *((_TANH, _TANH_CLIP) if tanh else (_ERF, _ERF_CLIP)))
    half = emit.binary("MUL", emit.unary("TANH", argument), emit.number(0.5))
    emit.binary("MUL", emit.binary("ADD", half, emit.number(0.5)), x, out=operator.outputs[0])
    return f"{graph.size_text(x)}, {'tanh' if tanh else 'erf'} form"


def _tanh(emit: Emitter, operator: Any) -> str | None:
    graph, old = emit.graph, operator.inputs[0]
    found = _unclipped_source(graph, old)
    if found is None or graph.dtype(found) != "float32":
        return None
    graph.set_inputs(operator, [_polynomial(emit, found, _TANH, _TANH_CLIP)])
    graph.sweep(old)
    return f"{graph.size_text(found)}, tanh form in single operators"


def _polynomial(emit: Emitter, x: int, coefficients: Sequence[float], clip: float) -> int:
    """c·(a₁ + a₃c² + …) of the clipped x, by Horner's rule."""
    clipped = emit.binary("MAXIMUM", emit.binary("MINIMUM", x, emit.number(clip)), emit.number(-clip))
    square = emit.unary("SQUARE", clipped)
    *lower, top = coefficients
    value = emit.number(top)
    for coefficient in reversed(lower):
        value = emit.binary("ADD", emit.binary("MUL", square, value), emit.number(coefficient))
    return emit.binary("MUL", clipped, value)


def _unclipped_source(graph: Graph, argument: int) -> int | None:
    """The x of which `argument` is √(2/π)·(x + 0.044715·x³)."""
    candidates: list[int] = []
    level = [argument]
    for _ in range(_DEPTH):
        makers = [graph.producer(tensor) for tensor in level]
        level = [
            source
            for maker in makers
            if maker is not None and graph.kind(maker) in ARITHMETIC and is_plain(maker)
            for source in maker.inputs
            if not graph.is_constant(source) and source not in candidates
        ]
        candidates += dict.fromkeys(level)
    wanted = [_TANH[0] * x + _TANH[1] * x**3 for x in _PROBES]
    for candidate in candidates:
        try:
            values = [evaluate(graph, argument, {candidate: np.array(x)}) for x in _PROBES]
        except ValueError:
            continue
        if all(value.size == 1 for value in values) and np.allclose(np.ravel(values), wanted, rtol=_CLOSE):
            return int(candidate)
    return None
