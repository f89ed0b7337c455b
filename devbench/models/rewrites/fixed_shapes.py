"""`fixed-shapes`: sizes that may change from run to run set to 1, and what was computed from them made constants.

Converters leave the batch open, and delegates refuse a graph whose shapes are not known at the start. What the shapes
are is LiteRT's answer: it runs the model once, in a process of its own, with every open size 1.
`python -m devbench.models.rewrites.fixed_shapes MODEL OUT NUMBER...` is that process: it writes every tensor's shape,
and the values of the tensors of these numbers.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from devbench.models.graph.edit import Graph
from devbench.models.graph.file import save_model
from devbench.models.reference import litert_process

# Where shapes follow from data, or hide in another graph, they cannot be fixed.
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
    lines = [f"{graph.name(tensor)} {_words(graph.tensor(tensor).shapeSignature)}" for tensor in opened]
    lines = lines or ["sizes that are computed from known shapes made constants"]
    shapes, values = _ask(graph.model, derived)
    # Behind the graph's own tensors the interpreter has temporary ones.
    for number, shape in enumerate(shapes[: len(graph.model.subgraphs[0].tensors)]):
        tensor = graph.tensor(number)
        if shape is not None and not graph.is_constant(number):
            tensor.shape = shape
        tensor.shapeSignature = None
    _fold(graph, values)
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


def _words(signature: Sequence[int]) -> str:
    return "×".join("?" if size < 0 else str(size) for size in signature) + " → ? is 1"


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


def _fold(graph: Graph, values: dict[int, list[Any]]) -> None:
    for number, value in values.items():
        array = np.array(value, np.dtype(graph.dtype(number))).reshape(graph.shape(number))
        if array.size > _MAX_FOLDED or number in graph.outputs:
            continue
        constant = graph.add_constant(f"{graph.name(number)}/fixed", array)
        for user in graph.consumers(number):
            graph.set_inputs(user, [constant if tensor == number else tensor for tensor in user.inputs])
            if graph.kind(user) == "RESHAPE" and user.builtinOptions is not None:
                user.builtinOptions.newShape = list(graph.shape(user.outputs[0]))
        graph.sweep(number)


def _ask(model: Any, numbers: Sequence[int]) -> tuple[list[list[int] | None], dict[int, list[Any]]]:
    """The shape of every tensor when LiteRT runs the model, and the values of the tensors of these numbers."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, "model.tflite"), Path(folder, "shapes.json")
        save_model(model, path)
        arguments = [str(path), str(out), *map(str, numbers)]
        hint = "leave it out with --skip fixed-shapes"
        answer = litert_process(__name__, arguments, out, "fixed-shapes", hint=hint)
    return answer["shapes"], {int(number): value for number, value in answer["values"].items()}


def main(argv: Sequence[str]) -> int:
    """The process: gives its exit code."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    path, out, *numbers = argv[1:]
    interpreter = Interpreter(
        path,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    for details in interpreter.get_input_details():
        wanted = [1 if size < 0 else int(size) for size in details["shape_signature"]]
        interpreter.resize_tensor_input(details["index"], wanted)
    interpreter.allocate_tensors()
    for details in interpreter.get_input_details():
        interpreter.set_tensor(details["index"], np.zeros(details["shape"], details["dtype"]))
    interpreter.invoke()
    known = {details["index"]: details for details in interpreter.get_tensor_details()}
    last = max(known, default=-1)
    shapes = [[int(size) for size in known[n]["shape"]] if n in known else None for n in range(last + 1)]
    values = {number: interpreter.get_tensor(int(number)).reshape(-1).tolist() for number in numbers}
    Path(out).write_text(json.dumps({"shapes": shapes, "values": values}), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
