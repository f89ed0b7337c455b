"""`prune` and `prune-largest`: channels are removed from a graph until a share of its parameters is gone.

Which channels go together is known from `channels`. `prune` takes the same share of channels from every layer, those
with the smallest weights by their L2 norm (Li et al., 2017, arXiv 1608.08710). `prune-largest` looks at no weight: the
layer that is the largest at the time loses its last channels, as in Mobile Stable Diffusion (Choi et al., 2023), which
pruned the largest layers of its U-Net. What a layer loses is a multiple of four channels, which is a texel. Statistics
of a normalisation are then those of the remaining channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devbench.models.graph.edit import Graph
from devbench.models.rewrites.channels import FIXED, Channels, Cut, Numbers, find_channels

PRUNE_SHARE = 0.11
"""The share of the U-Net's parameters that Mobile Stable Diffusion removes."""

_LANES = 4
_SHAPED = ("RESHAPE", "SLICE", "BROADCAST_TO")
"""Operators whose second or last input is the shape of their output."""


@dataclass(slots=True)
class _Layer:
    """Layers that make the same channels: one, or all of those whose outputs are added.

    Attributes:
        channels: their numbers, in the order in which they are removed.
        batch: how many are removed at a time.
        makers, cuts: their places in the lists of the graph's `Channels`.
        removed: the number of removed channels.
    """

    channels: Numbers
    batch: int
    makers: list[int]
    cuts: list[int]
    removed: int = 0


def prune(graph: Graph, share: float, *, largest: bool) -> list[str]:
    """Remove `share` of the parameters, or as many as possible; returns a line for each convolution and dense layer."""
    channels = find_channels(graph)
    is_removed = removed_channels(graph, channels, share, largest=largest)
    return _apply(graph, channels, is_removed) if is_removed.any() else []


def removed_channels(graph: Graph, channels: Channels, share: float, *, largest: bool) -> NDArray[np.bool_]:
    """For each number of a channel whether it is removed."""
    count = 1 + max((int(numbers.max(initial=0)) for numbers in channels.tensors.values()), default=0)
    is_removed = np.zeros(count, np.bool_)
    layers = _layers(graph, channels, count, largest)
    sizes = [_size(graph, cut, is_removed) for cut in channels.cuts]
    missing = share * _parameters(graph)
    while missing > 0:
        open_layers = [one for one in layers if one.removed + 2 * one.batch <= one.channels.size]
        if not open_layers:
            break
        if largest:
            layer = max(open_layers, key=lambda one: max(sizes[maker] for maker in one.makers))
        else:
            layer = min(open_layers, key=lambda one: (one.removed + one.batch) / one.channels.size)
        is_removed[layer.channels[layer.removed : layer.removed + layer.batch]] = True
        layer.removed += layer.batch
        for place in layer.cuts:
            size = _size(graph, channels.cuts[place], is_removed)
            missing -= sizes[place] - size
            sizes[place] = size
    return is_removed


def _layers(graph: Graph, channels: Channels, count: int, largest: bool) -> list[_Layer]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    norms, links = np.zeros(count), [np.zeros((2, 1), np.intp)]
    for place in channels.makers:
        cut = channels.cuts[place]
        weights, made = _values(graph, cut), cut.axes[0]
        np.add.at(norms, made, np.square(weights).reshape(len(weights), -1).sum(1, dtype=np.float64))
        links.append(np.stack([made[made != FIXED], np.roll(made[made != FIXED], 1)]))
    a, b = np.concatenate(links, axis=1)
    parts, part = connected_components(coo_array((np.ones(a.size), (a, b)), (count, count)), directed=False)
    makers, cuts, batch = [set[int]() for _ in range(parts)], [set[int]() for _ in range(parts)], np.ones(parts, int)
    for place, cut in enumerate(channels.cuts):
        for axis, numbers in cut.axes.items():
            free, times = np.unique(numbers[numbers != FIXED], return_counts=True)
            for found in set(part[free]):
                cuts[found].add(place)
                if place in channels.makers and not axis:
                    makers[found].add(place)
            # A convolution that copies one channel is part of a normalisation.
            if place in channels.makers and _values(graph, cut).shape[-1] > 1:
                np.maximum.at(batch, part[free], _LANES // np.gcd(_LANES, times))
    layers = []
    for number in np.flatnonzero(np.array([len(one) for one in makers])):
        own = np.flatnonzero(part == number)
        order = own[::-1] if largest else own[np.argsort(norms[own], kind="stable")]
        layers.append(_Layer(order, int(batch[number]), sorted(makers[number]), sorted(cuts[number])))
    return layers


def _values(graph: Graph, cut: Cut) -> NDArray[Any]:
    """A constant that has channels."""
    values = graph.constant(cut.operator.inputs[cut.place])
    assert values is not None
    return values


def _size(graph: Graph, cut: Cut, is_removed: NDArray[np.bool_]) -> int:
    """The values of a constant that remain."""
    shape = list(graph.shape(cut.operator.inputs[cut.place]))
    for axis, numbers in cut.axes.items():
        shape[axis] = int((~is_removed[numbers]).sum())
    return math.prod(shape)


def _parameters(graph: Graph) -> int:
    """Float constants of the graph, each once."""
    tensors = {tensor for operator in graph.operators() for tensor in operator.inputs if graph.is_constant(tensor)}
    floats = {graph.tensor(tensor).buffer: tensor for tensor in tensors if graph.dtype(tensor).startswith("float")}
    return sum(math.prod(graph.shape(tensor)) for tensor in floats.values())


def _apply(graph: Graph, channels: Channels, is_removed: NDArray[np.bool_]) -> list[str]:
    changes = []
    for number, cut in enumerate(channels.cuts):
        kept = values = _values(graph, cut)
        for axis, numbers in cut.axes.items():
            if is_removed[numbers].any():
                kept = np.compress(~is_removed[numbers], kept, axis)
        if kept.size < values.size:
            _replace(graph, cut.operator, cut.place, kept)
        if number in channels.makers and len(kept) < len(values) and values.shape[-1] > 1:
            changes.append(f"{graph.kind(cut.operator)} {len(values)} → {len(kept)} channels")
    for tensor, numbers in channels.tensors.items():
        if is_removed[numbers].any():
            graph.tensor(tensor).shape = [*graph.shape(tensor)[:-1], int((~is_removed[numbers]).sum())]
            graph.tensor(tensor).shapeSignature = None
    for operator in graph.operators(*_SHAPED):
        numbers, shape = channels.tensors[operator.outputs[0]], graph.shape(operator.outputs[0])
        if is_removed[numbers].any():
            place = len(operator.inputs) - 1
            if place:
                _replace(graph, operator, place, np.array(shape, np.int32))
            if getattr(operator.builtinOptions, "newShape", None) is not None:
                operator.builtinOptions.newShape = list(shape)
    return changes


def _replace(graph: Graph, operator: Any, place: int, values: NDArray[Any]) -> None:
    inputs = list(operator.inputs)
    # The quantiser needs unique names: a constant that several operators share is replaced by one for each.
    name = f"{graph.name(operator.outputs[0])}/pruned_{place}"
    inputs[place] = graph.add_constant(name, values)
    graph.set_inputs(operator, inputs)
