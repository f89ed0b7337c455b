"""`prune`: output channels of the smallest weights are taken out, and with them whatever only they fed.

A convolution's or FULLY_CONNECTED's output channels can go where all that follows works channel by channel
(activations, constants added or multiplied, depthwise convolutions, pooling, a split into equal parts as in GEGLU)
until other convolutions or FULLY_CONNECTED sum over them. Magnitude is the L2 norm of a channel's weights (Li et al.,
2017, arXiv 1608.08710). What is left is a multiple of four channels, which is a texel. Channels that a normalisation
groups, or that a residual adds to others, stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devbench.models.graph.edit import Graph

_LANES = 4
_UNARY = {
    "RELU", "RELU6", "RELU_N1_TO_1", "LOGISTIC", "TANH", "GELU", "HARD_SWISH", "LEAKY_RELU", "ELU", "ABS", "SQUARE",
    "NEG", "AVERAGE_POOL_2D", "MAX_POOL_2D", "RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR",
}  # fmt: skip
_BINARY = {"ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM"}
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
    splits: list[Any] = field(default_factory=list)
    reshapes: list[Any] = field(default_factory=list)


def prune(graph: Graph, share: float) -> list[str]:
    """Take out `share` of the channels wherever they can go; gives a line for each place."""
    changes = []
    for operator in graph.operators(*_SUMS):
        region = _region(graph, operator)
        if region is None:
            continue
        outputs = graph.shape(operator.outputs[0])[-1]
        parts = region.tensors[operator.outputs[0]]
        units = outputs // parts
        kept = max(_LANES, round(units * (1 - share) / _LANES) * _LANES)
        if kept >= units:
            continue
        _cut(graph, region, units, _largest(graph, operator, parts, kept))
        changes.append(f"{graph.kind(operator)} {outputs} → {kept * parts} channels")
    return changes


def _region(graph: Graph, maker: Any) -> _Region | None:
    weights = graph.constant(maker.inputs[1])
    out = maker.outputs[0]
    if (
        weights is None
        or str(weights.dtype) != "float32"
        or not graph.is_fixed(out)
        or _is_shared(graph, maker.inputs[1])
    ):
        return None
    if weights.shape[0] != graph.shape(out)[-1]:
        return None
    region = _Region(maker, {out: 1})
    waiting = [out]
    operators: list[Any] = []
    while waiting:
        tensor = waiting.pop()
        if tensor in graph.outputs or not graph.consumers(tensor):
            return None
        for user in graph.consumers(tensor):
            if user in operators or user in region.sums:
                continue
            follow = _FOLLOW.get(graph.kind(user)) or (_unary if graph.kind(user) in _UNARY else None)
            if graph.kind(user) in _BINARY:
                follow = _binary
            if follow is None or not follow(graph, region, user, tensor):
                return None
            if user not in region.sums:
                operators.append(user)
                waiting += [made for made in user.outputs if made not in waiting]
    return region if region.sums and _is_closed(graph, region, operators) else None


def _is_shared(graph: Graph, constant: int) -> bool:
    return len(graph.consumers(constant)) > 1


def _is_closed(graph: Graph, region: _Region, operators: list[Any]) -> bool:
    """Whether no operator mixes the channels with those of tensors from elsewhere, and parts agree."""
    for operator in operators:
        for tensor in operator.inputs:
            outside = tensor >= 0 and tensor not in region.tensors and not graph.is_constant(tensor)
            if outside and graph.shape(tensor)[-1:] not in ((), (1,)):
                return False
        if graph.kind(operator) in _BINARY:
            parts = {
                region.tensors[tensor] for tensor in (*operator.inputs, *operator.outputs) if tensor in region.tensors
            }
            if len(parts) > 1:
                return False
    return True


def _enter(region: _Region, tensor: int, parts: int) -> bool:
    return region.tensors.setdefault(tensor, parts) == parts


def _unary(graph: Graph, region: _Region, user: Any, tensor: int) -> bool:
    same = graph.shape(user.outputs[0])[-1:] == graph.shape(tensor)[-1:]
    return same and user.inputs[0] == tensor and _enter(region, user.outputs[0], region.tensors[tensor])


def _binary(graph: Graph, region: _Region, user: Any, tensor: int) -> bool:
    channels, parts = graph.shape(tensor)[-1], region.tensors[tensor]
    if graph.shape(user.outputs[0])[-1] != channels:
        return False
    for place, other in enumerate(user.inputs):
        if graph.is_constant(other) and graph.shape(other)[-1:] == (channels,):
            if graph.constant(other) is None:
                return False
            region.constants.append((user, place, parts))
    return _enter(region, user.outputs[0], parts)


def _reshape(graph: Graph, region: _Region, user: Any, tensor: int) -> bool:
    if graph.shape(user.outputs[0])[-1:] != graph.shape(tensor)[-1:] or not graph.is_fixed(user.outputs[0]):
        return False
    region.reshapes.append(user)
    return _enter(region, user.outputs[0], region.tensors[tensor])


def _split(graph: Graph, region: _Region, user: Any, tensor: int) -> bool:
    axis, count = graph.scalar(user.inputs[0]), len(user.outputs)
    rank = len(graph.shape(tensor))
    if axis is None or int(axis) % rank != rank - 1 or region.tensors[tensor] != 1 or region.splits:
        return False
    # What came before has the parts that it is split into here.
    region.tensors = dict.fromkeys(region.tensors, count) | dict.fromkeys(user.outputs, 1)
    region.constants = [(operator, place, count) for operator, place, _ in region.constants]
    region.splits.append(user)
    return True


def _depthwise(graph: Graph, region: _Region, user: Any, tensor: int) -> bool:
    options = user.builtinOptions
    if user.inputs[0] != tensor or options.depthMultiplier > 1 or graph.dtype(user.inputs[1]) != "float32":
        return False
    for place, other in enumerate(user.inputs[1:], 1):
        if other >= 0:
            if graph.constant(other) is None:
                return False
            region.constants.append((user, place, region.tensors[tensor]))
    return _enter(region, user.outputs[0], region.tensors[tensor])


def _sum(graph: Graph, region: _Region, user: Any, tensor: int) -> bool:
    weights = graph.constant(user.inputs[1])
    if weights is None or str(weights.dtype) != "float32" or user.inputs[0] != tensor or region.tensors[tensor] != 1:
        return False
    if weights.shape[-1] != graph.shape(tensor)[-1] or _is_shared(graph, user.inputs[1]):
        return False
    region.sums.append(user)
    return True


_FOLLOW: dict[str, Callable[[Graph, _Region, Any, int], bool]] = {
    "RESHAPE": _reshape,
    "SPLIT": _split,
    "DEPTHWISE_CONV_2D": _depthwise,
    **dict.fromkeys(_SUMS, _sum),
}


def _largest(graph: Graph, maker: Any, parts: int, kept: int) -> NDArray[np.intp]:
    """Which units have the largest weights, in their order."""
    weights = graph.constant(maker.inputs[1])
    assert weights is not None
    norms = np.square(weights.reshape(parts, weights.shape[0] // parts, -1)).sum((0, 2))
    return np.sort(np.argsort(-norms, kind="stable")[:kept])


def _cut(graph: Graph, region: _Region, units: int, kept: NDArray[np.intp]) -> None:
    def channels(parts: int) -> NDArray[np.intp]:
        return np.concatenate([part * units + kept for part in range(parts)])

    def replace(operator: Any, place: int, values: NDArray[Any]) -> None:
        inputs = list(operator.inputs)
        inputs[place] = graph.add_constant(graph.name(inputs[place]), values)
        graph.set_inputs(operator, inputs)

    maker, parts = region.maker, region.tensors[region.maker.outputs[0]]
    for place in (1, 2):
        values = graph.constant(maker.inputs[place]) if place < len(maker.inputs) else None
        if values is not None:
            replace(maker, place, values[channels(parts)])
    for operator, place, of_parts in region.constants:
        values = graph.constant(operator.inputs[place])
        assert values is not None
        replace(operator, place, values[..., channels(of_parts)])
    for operator in region.sums:
        values = graph.constant(operator.inputs[1])
        assert values is not None
        replace(operator, 1, values[..., kept])
    for tensor, of_parts in region.tensors.items():
        graph.tensor(tensor).shape = [*graph.shape(tensor)[:-1], kept.size * of_parts]
    for operator in region.reshapes:
        shape = list(graph.shape(operator.outputs[0]))
        replace(operator, 1, np.array(shape, np.int32))
        if operator.builtinOptions is not None:
            operator.builtinOptions.newShape = shape
