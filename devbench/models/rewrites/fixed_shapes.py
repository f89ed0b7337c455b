"""`fixed-shapes`: sizes that may change from run to run set to 1, and what was computed from them made constants.

Converters leave the batch open, and delegates refuse a graph whose shapes are not known at the start. What the shapes
are is LiteRT's answer: it runs the model once, in a process of its own, with every open size 1.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from devbench.models.graph.edit import Graph
from devbench.models.graph.file import save_model
from devbench.models.graph.view import shape_text
from devbench.models.reference import HostRun, run_on_host

# With one of these, shapes depend on data or on another graph, and cannot be fixed.
_OPEN = {
    "WHERE", "UNIQUE", "NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5", "WHILE", "IF", "CALL", "CUSTOM", "RANGE",
    "STABLEHLO_COMPOSITE", "DYNAMIC_UPDATE_SLICE",
}  # fmt: skip
_WHOLE = ("int32", "int64")
_MAX_FOLDED = 64


def fixed_shapes(graph: Graph) -> list[str]:
    """Fix every shape of the model's main graph; gives a line for each input that had an open size.

    Raises:
        ReferenceFailed: LiteRT does not run the model.
    """
    if _is_left_alone(graph):
        return []
    opened = [tensor for tensor in graph.inputs if not graph.is_fixed(tensor)]
    derived = _derived(graph)
    if not opened and not sized_operators(graph):
        return []
    lines = [
        f"{graph.name(tensor)} {shape_text(graph.tensor(tensor).shapeSignature).replace('-1', '?')} → ? is 1"
        for tensor in opened
    ] or ["sizes that are computed from known shapes made constants"]
    run = _run(graph, derived)
    # The interpreter has temporary tensors in addition to the graph's own.
    for number, tensor in enumerate(graph.model.subgraphs[0].tensors):
        if number in run.tensors and not graph.is_constant(number):
            tensor.shape = run.tensors[number]
        tensor.shapeSignature = None
    for number, value in run.values.items():
        _fold(graph, number, value)
    return lines


def sized_operators(graph: Graph) -> list[int]:
    """The numbers of the operators that take a size which is computed from shapes."""
    if _is_left_alone(graph):
        return []
    derived = set(_derived(graph))
    return [
        number
        for number, operator in enumerate(graph.operators())
        if derived & set(operator.inputs) and not derived >= set(operator.outputs)
    ]


def _is_left_alone(graph: Graph) -> bool:
    return not graph.is_main or any(graph.kind(operator) in _OPEN for operator in graph.operators())


def _derived(graph: Graph) -> list[int]:
    """Tensors of whole numbers that follow from shapes and constants alone."""
    known: list[int] = []
    for operator in graph.operators():
        made = operator.outputs
        whole = all(graph.dtype(tensor) in _WHOLE for tensor in made)
        if whole and (
            graph.kind(operator) == "SHAPE"
            or all(tensor in known or tensor < 0 or graph.is_constant(tensor) for tensor in operator.inputs)
        ):
            known += made
    return known


def _fold(graph: Graph, number: int, value: Sequence[Any]) -> None:
    """Make a tensor a constant of these values."""
    if len(value) > _MAX_FOLDED or number in graph.outputs:
        return
    array = np.array(value, np.dtype(graph.dtype(number))).reshape(graph.shape(number))
    constant = graph.add_constant(f"{graph.name(number)}/fixed", array)
    for user in graph.consumers(number):
        graph.set_inputs(user, [constant if tensor == number else tensor for tensor in user.inputs])
        if graph.kind(user) == "RESHAPE" and user.builtinOptions is not None:
            user.builtinOptions.newShape = list(graph.shape(user.outputs[0]))
    graph.sweep(number)


def _run(graph: Graph, wanted: Sequence[int]) -> HostRun:
    """Runs the model once on zeros, with every open size 1."""
    zeros = []
    for number in graph.inputs:
        signature = graph.tensor(number).shapeSignature
        sizes = graph.shape(number) if signature is None else [1 if size < 0 else int(size) for size in signature]
        zeros.append(np.zeros(sizes, graph.dtype(number)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "fixed-shapes")
        save_model(graph.model, path)
        return run_on_host(path, [zeros], wanted=wanted, hint="leave it out with --skip fixed-shapes")
