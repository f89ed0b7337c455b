"""Arithmetic of a graph on a few numbers, to find what a part of it computes, in any form that it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devbench.models.graph.edit import Graph

_UNARY: Mapping[str, Callable[[Any], Any]] = {"NEG": lambda a: -a, "SQUARE": lambda a: a * a}
_BINARY: Mapping[str, Callable[[Any, Any], Any]] = {
    "ADD": lambda a, b: a + b,
    "SUB": lambda a, b: a - b,
    "MUL": lambda a, b: a * b,
    "DIV": lambda a, b: a / b,
    "POW": lambda a, b: a**b,
}
ARITHMETIC = frozenset({*_UNARY, *_BINARY})
_MAX_PATH = 1000
AFFINE = frozenset({"NEG", "ADD", "SUB", "MUL", "DIV"})


def is_plain(operator: Any) -> bool:
    """Whether nothing is fused behind it."""
    return not getattr(operator.builtinOptions, "fusedActivationFunction", 0)


def grow(graph: Graph, seeds: set[int]) -> list[int]:
    """Every tensor that follows from `seeds` and constants by plain arithmetic, in an order in which it can be had."""
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
    """The value of `tensor`, which `grow` found, where the seeds have the values `known`; in double precision."""
    values: dict[int, Any] = dict(known)
    path = [tensor]
    while path:
        at = path[-1]
        if at in values:
            path.pop()
            continue
        constant = graph.constant(at)
        if constant is not None:
            values[at] = constant.astype(np.float64)
            continue
        operator = graph.producer(at)
        if operator is None or graph.kind(operator) not in ARITHMETIC or len(path) > _MAX_PATH:
            raise ValueError(f"tensor {at} does not follow from the seeds")
        missing = [source for source in operator.inputs if source not in values]
        path += missing
        if not missing:
            kind, taken = graph.kind(operator), [values[source] for source in operator.inputs]
            values[at] = _UNARY[kind](*taken) if kind in _UNARY else _BINARY[kind](*taken)
    return np.asarray(values[tensor], np.float64)
