"""Shapes: `fixed-shapes`, and operators that only move or repeat elements: `drop-broadcast-to`, `resize-upsample` and
`merge-reshapes`.

`fixed-shapes`: sizes that may change from run to run set to 1, and what was computed from them made constants.
Converters leave the batch open, and delegates refuse a graph whose shapes are not known at the start. LiteRT tells the
shapes: it runs the model once, in a process of its own, with every open size 1.

`drop-broadcast-to`: BROADCAST_TO and TILE before arithmetic that broadcasts by itself are left out.

`resize-upsample`: repeats along height and width, which are a TILE in five or six dimensions, as a resize. Converters
write an upsampling as one TILE or BROADCAST_TO between two RESHAPEs, or as one for the rows and one for the columns
with RESHAPEs around. What such a chain does is found by running it on the numbers of its elements.

`merge-reshapes`: a RESHAPE of a RESHAPE as one, and none if the shape stays; other rewrites leave them behind.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from devbench.models.graph.edit import Graph
from devbench.models.graph.emit import Emitter
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
_BROADCASTS = {"ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"}
_MOVES = ("RESHAPE", "TILE", "BROADCAST_TO", "EXPAND_DIMS", "SQUEEZE")
_REPEATS = ("TILE", "BROADCAST_TO")
# More elements than any activation that fits on a phone.
_MAX_ELEMENTS = 1 << 26
_MAX_LENGTH = 16


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


def drop_broadcast_to(emit: Emitter, operator: Any) -> str | None:
    """Remove a BROADCAST_TO or TILE if all its users have the same result without it."""
    graph, small, large = emit.graph, operator.inputs[0], operator.outputs[0]
    users = graph.consumers(large)
    if large in graph.outputs or not users or not graph.is_fixed(small, large):
        return None
    if not _only_stretched(graph, small, large) or not all(_is_full(graph, user, large) for user in users):
        return None
    graph.redirect(large, small)
    return f"{graph.size_text(small)} for {graph.size_text(large)}"


def _only_stretched(graph: Graph, small: int, large: int) -> bool:
    """Whether only sizes of 1 grew; a TILE may repeat others, too."""
    before, after = graph.shape(small), graph.shape(large)
    before = (1,) * (len(after) - len(before)) + before
    return all(old in (1, new) for old, new in zip(before, after, strict=True))


def _is_full(graph: Graph, user: Any, large: int) -> bool:
    """Whether the other operand has the shape of the result."""
    if graph.kind(user) not in _BROADCASTS or user.inputs[0] == user.inputs[1]:
        return False
    other = user.inputs[1] if user.inputs[0] == large else user.inputs[0]
    return graph.shape(other) == graph.shape(user.outputs[0])


def resize_upsample(graph: Graph) -> list[str]:
    """Rewrite every chain of RESHAPE, TILE and BROADCAST_TO that repeats rows and columns; a line for each."""
    changes: list[str] = []
    for last in reversed(tuple(graph.operators(*_MOVES))):
        # An operator that was removed with a chain is no longer a producer.
        chain = _chain(graph, last) if graph.producer(last.outputs[0]) is last else []
        if not chain:
            continue
        x, out = chain[0].inputs[0], last.outputs[0]
        source, result = graph.shape(x), graph.shape(out)
        emit = Emitter(graph, last, f"{graph.name(out)}/resize_upsample")
        size = emit.ints(result[1:3])
        emit.make("RESIZE_NEAREST_NEIGHBOR", [x, size], result, options=schema.ResizeNearestNeighborOptionsT(), out=out)
        graph.remove(last)
        changes.append(f"{shape_text(source)} → {shape_text(result)}")
    return changes[::-1]


def _chain(graph: Graph, last: Any) -> list[Any]:
    """The longest chain up to `last` that is an upsampling of a tensor of four dimensions, first to last."""
    if len(graph.shape(last.outputs[0])) != 4 or not graph.is_fixed(last.outputs[0]):
        return []
    chain: list[Any] = []
    best: list[Any] = []
    operator: Any = last
    while operator is not None and graph.kind(operator) in _MOVES and len(chain) < _MAX_LENGTH:
        chain.insert(0, operator)
        x = operator.inputs[0]
        has_repeat = any(graph.kind(one) in _REPEATS for one in chain)
        if has_repeat and len(chain) > 1 and len(graph.shape(x)) == 4 and _is_upsampling(graph, chain):
            best = list(chain)
        operator = graph.producer(x)
        if len(graph.consumers(x)) != 1 or x in graph.outputs:
            break
    return best


def _is_upsampling(graph: Graph, chain: list[Any]) -> bool:
    """Whether the chain repeats each row and each column in place."""
    x, out = chain[0].inputs[0], chain[-1].outputs[0]
    (batch, rows, columns, channels), (images, height, width, depth) = graph.shape(x), graph.shape(out)
    if not graph.is_fixed(x) or graph.dtype(x) != "float32" or (images, depth) != (batch, channels):
        return False
    if height % rows or width % columns or math.prod(graph.shape(out)) > _MAX_ELEMENTS:
        return False
    numbers = np.arange(math.prod(graph.shape(x)), dtype=np.int32).reshape(graph.shape(x))
    moved: NDArray[np.int32] | None = numbers
    for operator in chain:
        moved = None if moved is None else _moved(graph, operator, moved)
    wanted = numbers.repeat(height // rows, 1).repeat(width // columns, 2)
    return moved is not None and np.array_equal(moved, wanted)


def _moved(graph: Graph, operator: Any, values: NDArray[np.int32]) -> NDArray[np.int32] | None:
    """What an operator of a chain makes of its input."""
    shape = graph.shape(operator.outputs[0])
    if graph.kind(operator) not in _REPEATS:
        return values.reshape(shape) if values.size == math.prod(shape) else None
    if graph.kind(operator) == "BROADCAST_TO":
        return np.broadcast_to(values, shape)
    times = graph.constant(operator.inputs[1])
    made = np.tile(values, times.tolist()) if times is not None and times.size == values.ndim else None
    return made if made is not None and made.shape == shape else None


def merge_reshapes(graph: Graph) -> list[str]:
    """Rewrite every pair; gives a line for each."""
    changes = []
    for operator in graph.operators("RESHAPE"):
        out, middle = operator.outputs[0], operator.inputs[0]
        first = graph.producer(middle, "RESHAPE")
        if first is not None and graph.is_fixed(out):
            graph.set_inputs(operator, [first.inputs[0], *operator.inputs[1:]])
            changes.append(graph.size_text(middle))
            graph.sweep(middle)
        same = graph.is_fixed(out) and graph.shape(operator.inputs[0]) == graph.shape(out)
        if same and out not in graph.outputs:
            graph.redirect(out, operator.inputs[0])
            changes.append(f"{graph.size_text(out)} unchanged")
    return changes
