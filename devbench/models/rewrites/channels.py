"""Which channels of a graph can only be removed together; knows nothing of which ones to remove.

Every place of a tensor's last axis has the number of its channel. A convolution or FULLY_CONNECTED makes new channels
and sums over those of its input. Operators that work channel by channel pass them on: a residual makes the channels of
both operands one, a concatenation puts them next to each other. A reshape into groups, as in a group normalisation or
a split into heads, makes one channel of all places with the same position in their group, so that every group loses
equally many. Channels that reach an operator whose effect is unknown, or an input or output of the graph, are fixed.
The method is that of dependency graphs (Fang et al., 2023, arXiv 2301.12900).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devbench.models.graph.edit import Graph
from devbench.models.rewrites.products import EXACT

Numbers = NDArray[np.intp]

# The number of the channels that stay.
FIXED = 0
_SUMS = ("CONV_2D", "FULLY_CONNECTED")
_BINARY = ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE")
_UNARY = (
    "RELU", "RELU6", "RELU_N1_TO_1", "LOGISTIC", "TANH", "GELU", "HARD_SWISH", "LEAKY_RELU", "ELU", "ABS", "SQUARE",
    "NEG", "RSQRT", "SQRT", "EXP", "AVERAGE_POOL_2D", "MAX_POOL_2D", "RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR",
    "PAD", "TILE", "BROADCAST_TO", "SLICE", "TRANSPOSE",
)  # fmt: skip
_REDUCTIONS = ("MEAN", "SUM", "REDUCE_MAX")


@dataclass(frozen=True, slots=True)
class Cut:
    """A constant that has channels: an operator's input at `place`, with the channels along some of its axes."""

    operator: Any
    place: int
    axes: Mapping[int, Numbers]


@dataclass(frozen=True, slots=True)
class Channels:
    """The channels of a graph.

    Attributes:
        tensors: for each tensor, the channels along its last axis; equal numbers can only be removed together.
        cuts: the constants along whose axes channels lie.
        makers: the places of those of `cuts` that are weights: channels of the output along the first axis, of the
            input along the last.
    """

    tensors: Mapping[int, Numbers]
    cuts: Sequence[Cut]
    makers: Sequence[int]


def find_channels(graph: Graph) -> Channels:
    """Follow the channels through the graph, in the order of execution."""
    return _Walk(graph).result()


class _Walk:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.tensors: dict[int, Numbers] = {}
        self.cuts: list[Cut] = []
        self.makers: list[int] = []
        self._same: list[NDArray[np.intp]] = []
        self._count = 1
        rules: dict[str, Callable[[Any], bool]] = {
            "RESHAPE": self._reshape, "CONCATENATION": self._concatenation, "SPLIT": self._split,
            "DEPTHWISE_CONV_2D": self._depthwise, **dict.fromkeys(_SUMS, self._sum),
            **dict.fromkeys(_BINARY, self._binary), **dict.fromkeys(_UNARY, self._unary),
            **dict.fromkeys(_REDUCTIONS, self._reduction),
        }  # fmt: skip
        for operator in graph.operators():
            known = graph.is_fixed(*(tensor for tensor in (*operator.inputs, *operator.outputs) if tensor >= 0))
            rule = rules.get(graph.kind(operator)) if known else None
            if rule is None or not rule(operator):
                for tensor in operator.inputs:
                    self._fix(tensor)
                self.tensors |= {tensor: self._fixed(tensor) for tensor in operator.outputs}
        for tensor in graph.outputs:
            self._fix(tensor)

    def result(self) -> Channels:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        a, b = np.concatenate([np.zeros((2, 1), np.intp), *self._same], axis=1)
        links = coo_array((np.ones(a.size, np.int8), (a, b)), (self._count, self._count))
        _, group = connected_components(links, directed=False)
        # A group gets the smallest number of its members; the group of fixed channels has 0.
        _, first = np.unique(group, return_index=True)
        final = first[group]

        cuts = [
            Cut(one.operator, one.place, {axis: final[numbers] for axis, numbers in one.axes.items()})
            for one in self.cuts
        ]
        return Channels({tensor: final[numbers] for tensor, numbers in self.tensors.items()}, cuts, self.makers)

    def _width(self, tensor: int) -> int:
        return (self.graph.shape(tensor) or (1,))[-1]

    def _fixed(self, tensor: int) -> Numbers:
        return np.zeros(self._width(tensor), np.intp)

    def _of(self, tensor: int) -> Numbers:
        """The channels of a tensor; those of an input of the graph are fixed."""
        return self.tensors.get(tensor, self._fixed(tensor)) if tensor >= 0 else np.zeros(1, np.intp)

    def _fix(self, tensor: int) -> None:
        if tensor in self.tensors:
            self._join(self.tensors[tensor], self._fixed(tensor))

    def _join(self, a: Numbers, b: Numbers) -> None:
        if a is not b:
            self._same.append(np.stack([a, b]))

    def _new(self, count: int) -> Numbers:
        self._count += count
        return np.arange(self._count - count, self._count)

    def _pass_on(self, operator: Any, numbers: Numbers) -> bool:
        self.tensors |= dict.fromkeys(operator.outputs, numbers)
        return True

    def _is_runtime(self, tensor: int) -> bool:
        return tensor >= 0 and not self.graph.is_constant(tensor)

    def _sum(self, operator: Any) -> bool:
        graph, (x, weights, bias) = self.graph, (*operator.inputs, -1)[:3]
        values, out = graph.constant(weights, "float32"), operator.outputs[0]
        has_channels = values is not None and (len(values), values.shape[-1]) == (self._width(out), self._width(x))
        if not has_channels or EXACT in graph.name(out) or self._is_runtime(bias):
            return False
        made = self._new(self._width(out))
        self.makers.append(len(self.cuts))
        self.cuts.append(Cut(operator, 1, {0: made, len(graph.shape(weights)) - 1: self._of(x)}))
        if bias >= 0:
            self.cuts.append(Cut(operator, 2, {0: made}))
        return self._pass_on(operator, made)

    def _depthwise(self, operator: Any) -> bool:
        x, *constants = (tensor for tensor in operator.inputs if tensor >= 0)
        float32 = all(self.graph.constant(tensor, "float32") is not None for tensor in constants)
        if not float32 or self._width(operator.outputs[0]) != self._width(x):
            return False
        for place, tensor in enumerate(constants, 1):
            self.cuts.append(Cut(operator, place, {len(self.graph.shape(tensor)) - 1: self._of(x)}))
        return self._pass_on(operator, self._of(x))

    def _binary(self, operator: Any) -> bool:
        width = self._width(operator.outputs[0])
        numbers, constants = self._new(width), []
        for place, tensor in enumerate(operator.inputs):
            if self._width(tensor) != width:
                self._fix(tensor)
            elif self._is_runtime(tensor):
                self._join(numbers, self._of(tensor))
            else:
                constants.append((place, len(self.graph.shape(tensor)) - 1))
        if any(axis >= 0 and self.graph.constant(operator.inputs[place]) is None for place, axis in constants):
            return False
        self.cuts += [Cut(operator, place, {axis: numbers}) for place, axis in constants if axis >= 0]
        return self._pass_on(operator, numbers)

    def _unary(self, operator: Any) -> bool:
        """An operator that keeps the channels of its first input in their places."""
        graph, kind, x = self.graph, self.graph.kind(operator), operator.inputs[0]
        if self._width(x) != self._width(operator.outputs[0]) or not self._is_runtime(x):
            return False
        if kind == "TRANSPOSE":
            order = graph.constant(operator.inputs[1])
            if order is None or order[-1] != order.size - 1:
                return False
        return self._pass_on(operator, self._of(x))

    def _reduction(self, operator: Any) -> bool:
        x, axes = operator.inputs[0], self.graph.constant(operator.inputs[1])
        rank = len(self.graph.shape(x))
        if axes is None or not rank:
            return False
        is_kept = rank - 1 not in {int(axis) % rank for axis in axes.reshape(-1)}
        return self._pass_on(operator, self._of(x) if is_kept else self._fixed(operator.outputs[0]))

    def _reshape(self, operator: Any) -> bool:
        x, out = operator.inputs[0], operator.outputs[0]
        numbers, width = self._of(x), self._width(out)
        if min(width, numbers.size) == 1 < max(width, numbers.size):
            return False
        if width % numbers.size == 0:
            return self._pass_on(operator, np.tile(numbers, width // numbers.size))
        if numbers.size % width:
            return False
        positions = numbers.reshape(-1, width)
        for group in positions[1:]:
            self._join(positions[0], group)
        return self._pass_on(operator, positions[0])

    def _concatenation(self, operator: Any) -> bool:
        parts, rank = [self._of(tensor) for tensor in operator.inputs], len(self.graph.shape(operator.outputs[0]))
        if operator.builtinOptions.axis % rank == rank - 1:
            return self._pass_on(operator, np.concatenate(parts))
        for part in parts[1:]:
            self._join(parts[0], part)
        return self._pass_on(operator, parts[0])

    def _split(self, operator: Any) -> bool:
        axis, x = self.graph.scalar(operator.inputs[0]), operator.inputs[1]
        if axis is None:
            return False
        rank = len(self.graph.shape(x))
        if int(axis) % rank != rank - 1:
            return self._pass_on(operator, self._of(x))
        # The parts stay equally long.
        first, *others = np.split(self._of(x), len(operator.outputs))
        for part in others:
            self._join(first, part)
        return self._pass_on(operator, first)
