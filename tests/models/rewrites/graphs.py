"""Small models made operator by operator, run by LiteRT, and run again by NumPy in half precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from devbench.models.graph.edit import Graph, compact
from devbench.models.graph.emit import Emitter
from devbench.models.graph.file import load_model, save_model

Array = NDArray[Any]
Body = Callable[..., int]
FUZZ = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = np.random.default_rng(7)


def floats(*shape: int) -> np.ndarray[Any, Any]:
    return WORDS.standard_normal(shape).astype(np.float32)


def make(inputs: Mapping[str, Sequence[int]], body: Body, dtypes: Mapping[str, str] | None = None) -> Any:
    """A model with these inputs (name → shape) whose output is the tensor that `body(emit, *inputs)` gives."""
    model = schema.ModelT(
        version=3,
        subgraphs=[schema.SubGraphT(tensors=[], operators=[], inputs=[], outputs=[])],
        buffers=[schema.BufferT()],
        operatorCodes=[],
        signatureDefs=[],
        metadata=[],
    )
    graph = Graph(model)
    numbers = [graph.add_tensor(name, shape, (dtypes or {}).get(name, "float32")) for name, shape in inputs.items()]
    emit = Emitter(graph, None, "made")
    out = body(emit, *numbers)
    model.subgraphs[0].inputs, model.subgraphs[0].outputs = numbers, [out]
    compact(model)
    return model


def saved(model: Any, path: Path) -> Path:
    save_model(model, path)
    return path


def random_inputs(path: Path, seed: int, most: int = 10) -> list[Array]:
    words = np.random.default_rng(seed)
    arrays = []
    for details in Interpreter(str(path)).get_input_details():
        if details["dtype"] == np.float32:
            arrays.append(words.standard_normal(details["shape"]).astype(np.float32))
        else:
            arrays.append(words.integers(0, most, details["shape"]).astype(details["dtype"]))
    return arrays


def run(path: Path, sets: Sequence[Sequence[Array]]) -> list[list[Array]]:
    """The outputs for each set of inputs, by LiteRT's built-in kernels."""
    interpreter = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    interpreter.allocate_tensors()
    found = []
    for arrays in sets:
        for details, array in zip(interpreter.get_input_details(), arrays, strict=True):
            interpreter.set_tensor(details["index"], array)
        interpreter.invoke()
        found.append([interpreter.get_tensor(details["index"]).copy() for details in interpreter.get_output_details()])
    return found


def relative_error(before: Path, after: Path, inputs: int = 20, most: int = 10) -> float:
    """The largest difference of any output on so many random inputs, relative to its largest value."""
    sets = [random_inputs(before, seed, most) for seed in range(inputs)]
    worst = 0.0
    for a, b in zip(run(before, sets), run(after, sets), strict=True):
        for x, y in zip(a, b, strict=True):
            assert x.shape == y.shape and x.dtype == y.dtype
            assert np.isfinite(x.astype(np.float64)).all()
            scale = float(np.abs(x.astype(np.float64)).max())
            difference = float(np.abs(x.astype(np.float64) - y.astype(np.float64)).max())
            worst = max(worst, difference / scale if scale else difference)
    return worst


def operators(path: Path) -> list[str]:
    graph = Graph(load_model(path))
    return [graph.kind(operator) for operator in graph.operators()]


def largest_rank(path: Path) -> int:
    graph = Graph(load_model(path))
    tensors = [t for operator in graph.operators() for t in (*operator.inputs, *operator.outputs) if t >= 0]
    return max(len(graph.shape(tensor)) for tensor in tensors)


_ACTIVATION = {0: lambda v: v, 1: lambda v: np.maximum(v, 0)}
_UNARY: Mapping[str, Callable[[Array], Array]] = {
    "ABS": np.abs,
    "SQUARE": lambda v: v * v,
    "NEG": lambda v: -v,
    "RSQRT": lambda v: np.float16(1) / np.sqrt(v),
    "TANH": np.tanh,
}
_BINARY: Mapping[str, Callable[[Array, Array], Array]] = {
    "ADD": lambda a, b: a + b,
    "SUB": lambda a, b: a - b,
    "MUL": lambda a, b: a * b,
    "MAXIMUM": np.maximum,
    "MINIMUM": np.minimum,
}
_REDUCE: Mapping[str, Callable[..., Array]] = {"MEAN": np.mean, "REDUCE_MAX": np.max}


def run_in_half(model: Any, arrays: Sequence[Array]) -> Array:
    """The first output, every value of every tensor rounded to float16; sums are kept in float32, as GPUs may."""
    graph = Graph(model)
    values: dict[int, Array] = {
        number: array.astype(np.float16) for number, array in zip(graph.inputs, arrays, strict=True)
    }

    def value(number: int) -> Array:
        constant = graph.constant(number)
        if constant is None:
            return values[number]
        return constant.astype(np.float16) if constant.dtype == np.float32 else constant

    with np.errstate(all="ignore"):
        for operator in graph.operators():
            kind, taken = graph.kind(operator), [value(number) for number in operator.inputs]
            if kind in _UNARY:
                made = _UNARY[kind](taken[0])
            elif kind in _BINARY:
                made = _BINARY[kind](*taken)
                made = _ACTIVATION[getattr(operator.builtinOptions, "fusedActivationFunction", 0)](made)
            elif kind in _REDUCE:
                axes = tuple(int(axis) for axis in taken[1])
                made = _REDUCE[kind](taken[0].astype(np.float32), axis=axes, keepdims=True)
            elif kind == "RESHAPE":
                made = taken[0].reshape(graph.shape(operator.outputs[0]))
            elif kind == "BATCH_MATMUL":
                a, b = (one.astype(np.float32) for one in taken)
                made = a @ (b.swapaxes(-1, -2) if operator.builtinOptions.adjY else b)
            elif kind == "SOFTMAX":
                powers = np.exp(taken[0] - taken[0].max(-1, keepdims=True)).astype(np.float32)
                made = powers / powers.sum(-1, keepdims=True)
            elif kind == "CONV_2D":
                assert taken[1].shape[1:3] == (1, 1)
                product = taken[0].astype(np.float32) @ taken[1][:, 0, 0].T.astype(np.float32)
                made = product + taken[2].astype(np.float32)
            else:
                raise NotImplementedError(kind)
            values[operator.outputs[0]] = made.astype(np.float16)
    return values[graph.outputs[0]]
