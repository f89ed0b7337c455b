"""`prune`: output channels of the smallest weights are taken out, and with them whatever only they fed.

A convolution's or FULLY_CONNECTED's output channels can go where all that follows works channel by channel
(activations, constants added or multiplied, depthwise convolutions, pooling, a split into equal parts as in GEGLU)
until other convolutions or FULLY_CONNECTED sum over them. Magnitude is the L2 norm of a channel's weights (Li et al.,
2017, arXiv 1608.08710). What is left is a multiple of four channels, which is a texel. Channels that a normalisation
groups, or that a residual adds to others, stay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devbench.models.graph.edit import Graph

_LANES = 4
_BINARY = {"ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM"}
_CHANNEL_BY_CHANNEL = {
    "RELU", "RELU6", "RELU_N1_TO_1", "LOGISTIC", "TANH", "GELU", "HARD_SWISH", "LEAKY_RELU", "ELU", "ABS", "SQUARE",
    "NEG", "AVERAGE_POOL_2D", "MAX_POOL_2D", "RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR", "RESHAPE",
    "DEPTHWISE_CONV_2D", *_BINARY,
}  # fmt: skip
_SUMS = {"CONV_2D", "FULLY_CONNECTED"}


@dataclass(slots=True)
class _Region:
    """What depends on the output channels of `maker`, channel by channel.

    Attributes:
        tensors: each with how many equal parts of `units` its channels are.
        constants: inputs (operator, place) along whose last axis the channels lie, with the parts.
        sums: the operators that sum over the channels.
    """

    maker: Any
    tensors: dict[int, int] = field(default_factory=dict)
    constants: list[tuple[Any, int, int]] = field(default_factory=list)
    sums: list[Any] = field(default_factory=list)
    has_split: bool = False
    reshapes: list[Any] = field(default_factory=list)


def prune(graph: Graph, share: float) -> list[str]:
    """Remove `share` of the channels wherever that is possible; returns a line for each place."""
    changes = []
    for operator in graph.operators(*_SUMS):
        region, outputs = _region(graph, operator), graph.shape(operator.outputs[0])[-1]
        parts = region.tensors[operator.outputs[0]] if region is not None else 1
        units = outputs // parts
        kept = max(_LANES, round(units * (1 - share) / _LANES) * _LANES)
        if region is not None and kept < units:
            _cut(graph, region, units, _largest(graph, operator, parts, kept))
            changes.append(f"{graph.kind(operator)} {outputs} → {kept * parts} channels")
    return changes


def _region(graph: Graph, maker: Any) -> _Region | None:
    out, shape = maker.outputs[0], _own_weights(graph, maker)
    if shape is None or not graph.is_fixed(out) or shape[0] != graph.shape(out)[-1]:
        return None
    region = _Region(maker, {out: 1})
    waiting, operators = [out], list[Any]()
    while waiting:
        tensor = waiting.pop()
        if tensor in graph.outputs or not graph.consumers(tensor):
            return None
        for user in graph.consumers(tensor):
            if user in operators or user in region.sums:
                continue
            if not _follow(graph, region, user, tensor):
                return None
            if user not in region.sums:
                operators.append(user)
                waiting += [made for made in user.outputs if made not in waiting]
    return region if region.sums and _is_closed(graph, region, operators) else None


def _own_weights(graph: Graph, operator: Any) -> tuple[int, ...] | None:
    """The shape of float weights that no other operator reads."""
    weights = graph.constant(operator.inputs[1], "float32")
    return None if weights is None or len(graph.consumers(operator.inputs[1])) > 1 else weights.shape


def _is_closed(graph: Graph, region: _Region, operators: list[Any]) -> bool:
    """Whether no operator combines the channels with other tensors', and the parts are the same everywhere."""
    for operator in operators:
        for tensor in operator.inputs:
            outside = tensor >= 0 and tensor not in region.tensors and not graph.is_constant(tensor)
            if outside and graph.shape(tensor)[-1:] not in ((), (1,)):
                return False
        inside = region.tensors.keys() & {*operator.inputs, *operator.outputs}
        if graph.kind(operator) in _BINARY and len({region.tensors[tensor] for tensor in inside}) > 1:
            return False
    return True


def _follow(graph: Graph, region: _Region, user: Any, tensor: int) -> bool:
    """Add `user`, which reads `tensor`, to the region; False if it does not work channel by channel."""
    kind, parts = graph.kind(user), region.tensors[tensor]
    if kind in _SUMS or kind == "SPLIT":
        return (_sum if kind in _SUMS else _split)(graph, region, user, tensor)
    out, channels, constants = user.outputs[0], graph.shape(tensor)[-1:], list[int]()
    if kind not in _CHANNEL_BY_CHANNEL or graph.shape(out)[-1:] != channels:
        return False
    if kind == "RESHAPE" and graph.is_fixed(out):
        region.reshapes.append(user)
    elif kind in _BINARY:
        constants = [
            place for place, other in enumerate(user.inputs)
            if graph.is_constant(other) and graph.shape(other)[-1:] == channels
        ]  # fmt: skip
    elif kind == "RESHAPE" or user.inputs[0] != tensor:
        return False
    elif kind == "DEPTHWISE_CONV_2D":
        if user.builtinOptions.depthMultiplier > 1 or graph.dtype(user.inputs[1]) != "float32":
            return False
        constants = [place for place, other in enumerate(user.inputs) if place and other >= 0]
    if any(graph.constant(user.inputs[place]) is None for place in constants):
        return False
    region.constants += [(user, place, parts) for place in constants]
    return region.tensors.setdefault(out, parts) == parts


def _split(graph: Graph, region: _Region, user: Any, tensor: int) -> bool:
    axis, count, rank = graph.scalar(user.inputs[0]), len(user.outputs), len(graph.shape(tensor))
    if axis is None or int(axis) % rank != rank - 1 or region.tensors[tensor] != 1 or region.has_split:
        return False
    # Everything before the split has as many parts as it makes.
    region.tensors = dict.fromkeys(region.tensors, count) | dict.fromkeys(user.outputs, 1)
    region.constants = [(operator, place, count) for operator, place, _ in region.constants]
    region.has_split = True
    return True


def _sum(graph: Graph, region: _Region, user: Any, tensor: int) -> bool:
    shape = _own_weights(graph, user)
    if shape is None or user.inputs[0] != tensor or (region.tensors[tensor], shape[-1]) != (1, graph.shape(tensor)[-1]):
        return False
    region.sums.append(user)
    return True


def _largest(graph: Graph, maker: Any, parts: int, kept: int) -> NDArray[np.intp]:
    """Which units have the largest weights, in their order."""
    weights = _values(graph, maker.inputs[1])
    norms = np.square(weights.reshape(parts, weights.shape[0] // parts, -1)).sum((0, 2))
    return np.sort(np.argsort(-norms, kind="stable")[:kept])


def _values(graph: Graph, tensor: int) -> NDArray[Any]:
    """The values of a tensor that is known to be a constant."""
    values = graph.constant(tensor)
    assert values is not None
    return values


def _cut(graph: Graph, region: _Region, units: int, kept: NDArray[np.intp]) -> None:
    def channels(parts: int) -> NDArray[np.intp]:
        return np.concatenate([part * units + kept for part in range(parts)])

    def replace(operator: Any, place: int, values: NDArray[Any]) -> None:
        inputs = list(operator.inputs)
        inputs[place] = graph.add_constant(graph.name(inputs[place]), values)
        graph.set_inputs(operator, inputs)

    maker, parts = region.maker, region.tensors[region.maker.outputs[0]]
    for place, tensor in enumerate(maker.inputs[1:3], 1):
        if graph.constant(tensor) is not None:
            replace(maker, place, _values(graph, tensor)[channels(parts)])
    for operator, place, of_parts in region.constants:
        replace(operator, place, _values(graph, operator.inputs[place])[..., channels(of_parts)])
    for operator in region.sums:
        replace(operator, 1, _values(graph, operator.inputs[1])[..., kept])
    for tensor, of_parts in region.tensors.items():
        graph.tensor(tensor).shape = [*graph.shape(tensor)[:-1], kept.size * of_parts]
    for operator in region.reshapes:
        shape = list(graph.shape(operator.outputs[0]))
        replace(operator, 1, np.array(shape, np.int32))
        if operator.builtinOptions is not None:
            operator.builtinOptions.newShape = shape
