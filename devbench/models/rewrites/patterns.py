"""Finds what a part of a graph computes, in any form that a framework writes: arithmetic, and normalisations.

Arithmetic is run on a few numbers. A normalisation is y = (x − mean)·rsqrt(variance + ε)·γ + β. Its reductions are
found by their structure: MEAN, then the mean of squares around it or E[x²] − E[x]², then RSQRT. The rest is recognised
by its result on a few numbers, because frameworks and converters order that arithmetic in many ways.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devbench.models.graph.edit import Graph

ARITHMETIC: Mapping[str, Callable[..., Any]] = {
    "NEG": lambda a: -a,
    "SQUARE": lambda a: a * a,
    "ADD": lambda a, b: a + b,
    "SUB": lambda a, b: a - b,
    "MUL": lambda a, b: a * b,
    "DIV": lambda a, b: a / b,
    "POW": lambda a, b: a**b,
}
_MAX_DEPTH = 200
AFFINE = frozenset({"NEG", "ADD", "SUB", "MUL", "DIV"})
_PROBES = ((0.7, -0.4, 1.3), (-1.9, 0.8, 0.6), (2.3, 1.1, 2.2))
_CLOSE = 1e-5


def is_plain(operator: Any) -> bool:
    """Whether it has no fused activation."""
    return not getattr(operator.builtinOptions, "fusedActivationFunction", 0)


def grow(graph: Graph, seeds: set[int]) -> list[int]:
    """Every tensor that plain arithmetic makes of `seeds` and constants, in an order in which it can be computed."""
    known, order = set(seeds), []
    waiting = [operator for tensor in seeds for operator in graph.consumers(tensor)]
    while waiting:
        operator = waiting.pop()
        if graph.kind(operator) not in AFFINE or not is_plain(operator) or operator.outputs[0] in known:
            continue
        if all(tensor in known or graph.is_constant(tensor) for tensor in operator.inputs):
            known.add(operator.outputs[0])
            order.append(operator.outputs[0])
            waiting += graph.consumers(operator.outputs[0])
    return order


def evaluate(graph: Graph, tensor: int, known: Mapping[int, NDArray[Any]]) -> NDArray[np.float64]:
    """The value of `tensor` if the seeds have the values `known`, in double precision."""
    values: dict[int, Any] = dict(known)

    def value(at: int, depth: int) -> Any:
        if at not in values:
            constant, operator = graph.constant(at), graph.producer(at, *ARITHMETIC)
            if constant is not None:
                values[at] = constant.astype(np.float64)
            elif operator is not None and depth < _MAX_DEPTH:
                taken = [value(source, depth + 1) for source in operator.inputs]
                values[at] = ARITHMETIC[graph.kind(operator)](*taken)
            else:
                raise ValueError(f"tensor {at} does not follow from the seeds")
        return values[at]

    return np.asarray(value(tensor, 0), np.float64)


@dataclass(frozen=True, slots=True)
class Normalisation:
    """A normalisation that was found.

    Attributes:
        source: the tensor x, in the shape in which it is normalised.
        axes: over which mean and variance are taken.
        result: the tensor y.
        scale, offset: γ and β, of the rank of x or a scalar's, 1 along axes that they do not depend on.
    """

    source: int
    axes: tuple[int, ...]
    epsilon: float
    result: int
    scale: NDArray[np.float32]
    offset: NDArray[np.float32]


def find_normalisation(graph: Graph, rsqrt: Any) -> Normalisation | None:
    """The normalisation that the RSQRT operator `rsqrt` is part of; `None` if there is none."""
    added = graph.producer(rsqrt.inputs[0], "ADD")
    for variance, constant in (added.inputs, added.inputs[::-1]) if added is not None else ():
        epsilon = graph.scalar(constant)
        found = _reductions(graph, variance) if epsilon is not None else None
        if found is not None and epsilon is not None:
            return _affine(graph, *found, rsqrt.outputs[0], epsilon)
    return None


def _reductions(graph: Graph, variance: int) -> tuple[int, int, tuple[int, ...]] | None:
    """What `variance` is the variance of, its mean, and over which axes."""
    averaging, difference = graph.producer(variance, "MEAN"), graph.producer(variance, "SUB")
    pair = (-1, -1)
    if averaging is not None:
        pair = _difference(graph, averaging.inputs[0])
    elif difference is not None:
        # E[x²] − E[x]²
        averaging = graph.producer(difference.inputs[0], "MEAN")
        squares = averaging.inputs[0] if averaging is not None else -1
        pair = (_squared(graph, squares), _squared(graph, difference.inputs[1]))
    axes = _axes(graph, averaging)
    for source, mean in (pair, pair[::-1]):
        taken = graph.producer(mean, "MEAN")
        if axes is not None and taken is not None and taken.inputs[0] == source and _axes(graph, taken) == axes:
            return source, mean, axes
    return None


def _difference(graph: Graph, tensor: int) -> tuple[int, int]:
    """The two tensors whose difference was squared to give `tensor`; -1 and -1 if there are none."""
    maker = graph.producer(tensor, "SQUARED_DIFFERENCE") or graph.producer(_squared(graph, tensor), "SUB")
    return (-1, -1) if maker is None else (maker.inputs[0], maker.inputs[1])


def _squared(graph: Graph, tensor: int) -> int:
    """The tensor whose square is `tensor`; -1 if there is none."""
    maker = graph.producer(tensor, "SQUARE", "MUL", "POW")
    kind, given = ("", [-1]) if maker is None else (graph.kind(maker), maker.inputs)
    is_product = kind == "MUL" and given[0] == given[1]
    is_power = kind == "POW" and graph.scalar(given[1]) == 2
    return int(given[0]) if kind == "SQUARE" or is_product or is_power else -1


def _axes(graph: Graph, mean: Any) -> tuple[int, ...] | None:
    """The axes of a MEAN that keeps them."""
    axes = graph.constant(mean.inputs[1]) if mean is not None and mean.builtinOptions.keepDims else None
    if axes is None:
        return None
    rank = len(graph.shape(mean.inputs[0]))
    return tuple(sorted({int(axis) % rank for axis in axes.reshape(-1)}))


def _affine(
    graph: Graph, source: int, mean: int, axes: tuple[int, ...], inverse: int, epsilon: float
) -> Normalisation | None:
    """The last tensor that is (x − mean)·inverse·γ + β, with its γ and β."""
    shape = graph.shape(source)
    one = np.ones((1,) * len(shape))

    def value(tensor: int, x: float, m: float, r: float) -> NDArray[np.float64]:
        return evaluate(graph, tensor, {source: x * one, mean: m * one, inverse: r * one})

    for tensor in reversed(grow(graph, {source, mean, inverse})):
        if graph.shape(tensor) != shape:
            continue
        with np.errstate(all="ignore"):
            offset = value(tensor, 0, 0, 1)
            scale = value(tensor, 1, 0, 1) - offset
            spread = float(np.abs(scale).max() + np.abs(offset).max())
            right = all(
                np.abs(value(tensor, x, m, r) - ((x - m) * r * scale + offset)).max() <= _CLOSE * spread
                for x, m, r in _PROBES
            )
        if right and float(np.abs(scale).max()) > 0:
            return Normalisation(source, axes, epsilon, tensor, scale.astype(np.float32), offset.astype(np.float32))
    return None
