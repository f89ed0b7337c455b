"""`groupnorm-4d`, `layernorm-4d`, `stable-gelu` and `stable-attention`: the same computations in forms that are
accurate in half precision and use only operators that delegates take.

Frameworks group the channels in a fifth dimension, which delegates refuse. Here every large tensor keeps the shape
N×H×W×C: means are taken over height and width first, and only what is left, N×1×1×C, is grouped. In a layer
normalisation TensorFlow folds γ into the inverse deviation first: a product of a tensor of one channel with a constant
of many. The stock GPU delegate takes that and gives wrong numbers. Here γ and β come last, where they have the shape of
the channels. In fp16 the largest number is 65,504: differences are divided by their largest magnitude before they are
squared:

    d = x − mean,  a = max(|d|, 1/128) of the group,  y = (d/a)·rsqrt(mean((d/a)²) + ε/a²)·γ + β

The tanh form of GELU cubes its argument, and x³ is beyond 65,504 from |x| = 40 on; the tanh of an infinity, or of the
difference of two infinities, differs between GPUs. Its argument is clipped first: tanh is 1 there to the last bit.

    y = x·(½ + ½·tanh(c·(a₁ + a₃c² + …))),  c = min(max(x, −B), B)

For the tanh form (Hendrycks and Gimpel, 2016) a₁ = √(2/π), a₃ = 0.044715·a₁ and B = 10. For the exact form, with erf,
the coefficients are those of `_ERF`, fitted here: |y − GELU(x)| stays below `ERF_BOUND` for every x.

Scores of attention can be beyond 65,504: Stable Diffusion 2.1 asks for float32 there (`upcast_attention`). Here they
are computed as a sixteenth, by a factor before the product. They get their size back after their maximum is subtracted:

    softmax(16·max(s − max(s), −30/16)),  s = (q/16)·kᵀ + mask/16

Nothing overflows for scores up to a million. e⁻³⁰ is 0 in fp16, and 1e-13 in fp32.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devbench.models.graph.edit import Graph, Shape
from devbench.models.graph.emit import Emitter
from devbench.models.graph.view import shape_text
from devbench.models.rewrites.patterns import ARITHMETIC, evaluate, find_normalisation, is_plain

# Smaller differences can be squared without scaling; the limit keeps 1/a² in range for constant inputs.
_MIN_MAGNITUDE = 1 / 128
_TANH = (math.sqrt(2 / math.pi), 0.044715 * math.sqrt(2 / math.pi))
_TANH_CLIP = 10.0
_ERF = (0.7975078754917913, 0.03700565381976204, -0.0003515180503197173)
_ERF_CLIP = 5.5
ERF_BOUND = 2.6e-5
_DEPTH = 8
_SCORE_SCALE = 16.0
_LEAST_SCORE = -30.0
_PROBES = (-3.1, -0.7, 0.4, 2.2, 5.0)
_CLOSE = 1e-4


def groupnorm_4d(emit: Emitter, rsqrt: Any) -> str | None:
    """Rewrite the group normalisation of this RSQRT, in four dimensions or more."""
    graph, found = emit.graph, find_normalisation(emit.graph, rsqrt)
    grouping = graph.producer(found.source, "RESHAPE") if found is not None else None
    if found is None or grouping is None or not graph.is_fixed(found.source):
        return None
    # N×…×groups×channels of a group, normalised over all but N and the groups.
    source, shape = grouping.inputs[0], graph.shape(found.source)
    rank, natural, groups = len(shape), graph.shape(source), shape[-2]
    if rank < 4 or found.axes != (*range(1, rank - 2), rank - 1) or len(natural) not in (3, 4):
        return None
    scale, offset = (_inner(values, shape[-2:], rank) for values in (found.scale, found.offset))
    if (natural[0], natural[-1]) != (shape[0], groups * shape[-1]) or scale is None or offset is None:
        return None
    emit = Emitter(graph, graph.producer(found.result), f"{graph.name(found.result)}/groupnorm_4d")
    _hand_over(emit, found.result, _groups(emit, source, groups, found.epsilon, scale, offset))
    return f"{shape_text(shape)} → {shape_text(natural)}, {groups} groups"


def _inner(values: NDArray[np.float32], shape: Shape, rank: int) -> NDArray[np.float32] | None:
    """γ or β in the last axes of a tensor of this rank, as `shape`; `None` if it differs along another axis."""
    values = values.reshape((1,) * (rank - values.ndim) + values.shape)
    outer, inner = values.shape[: -len(shape)], values.shape[-len(shape) :]
    return np.ascontiguousarray(np.broadcast_to(values.reshape(inner), shape)) if math.prod(outer) == 1 else None


def _groups(
    emit: Emitter, x: int, groups: int, epsilon: float, scale: NDArray[np.float32], offset: NDArray[np.float32]
) -> int:
    """The operators; gives y in the shape N×H×W×C, H being 1 where x has three dimensions."""
    batch, *inner, channels = emit.graph.shape(x)
    if len(inner) == 1:
        x = emit.reshape(x, (batch, 1, *inner, channels))
    grouped: Shape = (batch, 1, groups, channels // groups)

    def of_group(kind: str, value: int) -> int:
        """N×H×W×C → N×1×groups×1."""
        return emit.reduce(kind, emit.reshape(emit.reduce(kind, value, (1, 2)), grouped), (3,))

    def to_channels(value: int, scale: NDArray[np.float32] | None = None) -> int:
        """N×1×groups×1 → N×1×1×C, times `scale` of 1×1×groups×size."""
        return emit.reshape(_affine(emit, emit.spread(value, channels // groups), scale), (batch, 1, 1, channels))

    result = _normalised(emit, x, of_group, to_channels, epsilon, scale.reshape(1, 1, groups, -1))
    return _affine(emit, result, offset=offset.reshape(1, 1, 1, channels))


def _affine(
    emit: Emitter, x: int, scale: NDArray[np.float32] | None = None, offset: NDArray[np.float32] | None = None
) -> int:
    """x·`scale` + `offset`; a factor of 1 and an offset of 0 are left out."""
    if scale is not None and (scale != 1).any():
        x = emit.binary("MUL", x, emit.constant(scale))
    return emit.binary("ADD", x, emit.constant(offset)) if offset is not None and offset.any() else x


def _normalised(
    emit: Emitter,
    x: int,
    of_group: Callable[[str, int], int],
    to_channels: Callable[..., int],
    epsilon: float,
    scale: NDArray[np.float32] | None = None,
) -> int:
    """(x − mean)·rsqrt(variance + ε)·`scale`, as the formula of this module has it.

    Args:
        of_group: reduces a tensor by MEAN or REDUCE_MAX to one value per group.
        to_channels: brings such values to the shape of x, times a scale if it is given one.
    """
    difference = emit.binary("SUB", x, to_channels(of_group("MEAN", x)))
    # 1/max(|d|, 1/128) without a division of a constant, which some delegates do not have: (1/√a)².
    bounded = emit.binary("MAXIMUM", of_group("REDUCE_MAX", emit.unary("ABS", difference)), emit.number(_MIN_MAGNITUDE))
    inverse = emit.unary("SQUARE", emit.unary("RSQRT", bounded))
    scaled = emit.binary("MUL", difference, to_channels(inverse))
    variance = of_group("MEAN", emit.unary("SQUARE", scaled))
    # (√ε/a)², since ε itself is close to 0 in half precision.
    floor = emit.unary("SQUARE", emit.binary("MUL", inverse, emit.number(math.sqrt(epsilon))))
    factor = emit.unary("RSQRT", emit.binary("ADD", variance, floor))
    return emit.binary("MUL", scaled, to_channels(factor, scale))


def _hand_over(emit: Emitter, old: int, new: int) -> None:
    """Replace `old` by `new` in its consumers, without the grouped shape if it was only reshaped."""
    graph, maker = emit.graph, emit.graph.producer(old)
    for user in graph.consumers(old):
        if graph.kind(user) != "RESHAPE":
            continue
        out = user.outputs[0]
        graph.set_inputs(user, [new, *user.inputs[1:]])
        if graph.shape(out) == graph.shape(new) and out not in graph.outputs:
            graph.redirect(out, new)
    if graph.consumers(old) or old in graph.outputs:
        emit.reshape(new, graph.shape(old), out=old)
    graph.remove(maker)


def layernorm_4d(emit: Emitter, rsqrt: Any) -> str | None:
    """Rewrite the normalisation over the last axis of this RSQRT."""
    graph, found = emit.graph, find_normalisation(emit.graph, rsqrt)
    shape = graph.shape(found.source) if found is not None else ()
    if found is None or not graph.is_fixed(found.source) or found.axes != (len(shape) - 1,) or not 2 <= len(shape) <= 4:
        return None
    scale, offset = (_inner(values, shape[-1:], len(shape)) for values in (found.scale, found.offset))
    if scale is None or offset is None:
        return None
    emit = Emitter(graph, graph.producer(found.result), f"{graph.name(found.result)}/layernorm_4d")
    x = found.source
    if len(shape) < 4:
        x = emit.reshape(x, (shape[0], *(1,) * (4 - len(shape)), *shape[1:]))
    result = _normalised(
        emit, x, lambda kind, value: emit.reduce(kind, value, (3,)), lambda value, scale=None: value, found.epsilon
    )
    _hand_over(emit, found.result, _affine(emit, result, scale, offset))
    return shape_text(shape)


def stable_attention(emit: Emitter, softmax: Any) -> str | None:
    """Rewrite a SOFTMAX of the product of two matrices, to which a mask may be added."""
    graph, scores = emit.graph, softmax.inputs[0]
    mask = graph.producer(scores, "ADD")
    made = [scores] if mask is None else [tensor for tensor in mask.inputs if graph.producer(tensor, "BATCH_MATMUL")]
    product = graph.producer(made[0], "BATCH_MATMUL") if len(made) == 1 else None
    alone = all(len(graph.consumers(tensor)) == 1 and tensor not in graph.outputs for tensor in {scores, *made})
    if product is None or not alone or not graph.is_fixed(scores) or softmax.builtinOptions.beta != 1:
        return None
    if graph.dtype(scores) != "float32" or (mask is not None and not is_plain(mask)):
        return None

    def smaller(before: Any, tensor: int) -> int:
        values = graph.constant(tensor)
        if values is not None:
            return emit.constant((values / _SCORE_SCALE).astype(np.float32))
        scaled = Emitter(graph, before, f"{graph.name(tensor)}/stable_attention")
        return scaled.binary("MUL", tensor, scaled.number(1 / _SCORE_SCALE))

    query, key = product.inputs
    graph.set_inputs(product, [smaller(product, query), key])
    if mask is not None:
        graph.set_inputs(mask, [tensor if tensor in made else smaller(mask, tensor) for tensor in mask.inputs])
    below = emit.binary("SUB", scores, emit.reduce("REDUCE_MAX", scores, (len(graph.shape(scores)) - 1,)))
    bounded = emit.binary("MAXIMUM", below, emit.number(_LEAST_SCORE / _SCORE_SCALE))
    graph.set_inputs(softmax, [emit.binary("MUL", bounded, emit.number(_SCORE_SCALE))])
    return f"{graph.size_text(scores)}{', with a mask' if mask is not None else ''}"


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
        with contextlib.suppress(ValueError):
            values = [evaluate(graph, argument, {candidate: np.array(x)}) for x in _PROBES]
            if all(value.size == 1 for value in values) and np.allclose(np.ravel(values), wanted, rtol=_CLOSE):
                return int(candidate)
    return None
