"""Smaller weights: `fp16`, `w8` and `dynamic-int8`.

`fp16`: large float32 constants as float16 behind a DEQUANTIZE, which delegates fold back into the weights. XNNPACK and
the GPU delegate take float16 weights as such; LiteRT's own kernels turn them into float32 at the start. A constant that
fp16 cannot represent (beyond 65,504, not finite, or whole numbers that it would round) stays as it is.

`w8` and `dynamic-int8`: weights as int8, symmetric, with a scale for each output channel. `w8` puts a DEQUANTIZE behind
the weights: activations stay as they are (W8A32 on CPUs, W8A16 where a GPU delegate computes in fp16). LiteRT's CPU
kernels dequantise at the start, so that the memory is that of float32 and more: the file is small, the process is not.
`dynamic-int8` leaves the DEQUANTIZE out; CPU kernels then quantise activations too, at each run. The quantiser is
litert-quantizer; convolutions beyond its 32 MiB are quantised here in the same form.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from devbench.errors import DevbenchError, EnvironmentProblem, install_hint
from devbench.models.build import silent
from devbench.models.graph.edit import Graph, compact
from devbench.models.graph.emit import Emitter
from devbench.models.graph.file import load_model, save_model
from devbench.models.graph.view import shape_text
from devbench.models.rewrites.products import EXACT

MIN_VALUES = 256
_MAX_HALF = 65504.0
# float16 represents every whole number up to this one.
_EXACT = 2048.0
# Runtimes do not support a DEQUANTIZE before these operators.
_EXCLUDED = {"GATHER", "EMBEDDING_LOOKUP", "RESHAPE"}
# Beyond it litert-quantizer 0.11 ends with "more dimensions than allowed by the axis remapping".
_MAX_CONV_BYTES = 32 << 20


def half_weights(graph: Graph, min_values: int = MIN_VALUES) -> list[str]:
    """Store every constant of at least `min_values` values in float16; gives a line for each."""
    made: dict[int, int] = {}
    changes = []
    for operator in graph.operators():
        inputs = [] if graph.kind(operator) in _EXCLUDED else list(operator.inputs)
        for place, tensor in enumerate(inputs):
            values = graph.constant(tensor, "float32")
            if values is None or values.size < min_values or (tensor not in made and not _fits(values)):
                continue
            if tensor not in made:
                emit = Emitter(graph, operator, f"{graph.name(tensor)}/fp16")
                halves = graph.add_constant(graph.name(tensor), values.astype(np.float16))
                made[tensor] = emit.make(
                    "DEQUANTIZE", [halves], values.shape, options=schema.DequantizeOptionsT(), like=tensor, version=3
                )
                changes.append(shape_text(values.shape))
            inputs[place] = made[tensor]
        if inputs and inputs != list(operator.inputs):
            graph.set_inputs(operator, inputs)
    return changes


def _fits(values: NDArray[Any]) -> bool:
    largest = max(float(values.max()), -float(values.min()))
    if not _EXACT < largest <= _MAX_HALF or not (values == np.rint(values)).all():
        return largest <= _MAX_HALF
    return bool((values.astype(np.float16).astype(np.float32) == values).all())


class QuantiserFailed(DevbenchError):
    """The quantiser does not support the model."""


def int8_weights(source: Path, out: Path, *, dynamic: bool) -> list[str]:
    """Write `source` with int8 weights to `out`; gives a line for each tensor that became int8.

    Args:
        dynamic: operators take the weights as they are, not behind a DEQUANTIZE.
    """
    large = _large_convolutions(source)
    try:
        from litert_quantizer import quantizer, recipe
    except ImportError:
        raise EnvironmentProblem("int8 weights need litert-quantizer", hint=install_hint("models")) from None
    rules = recipe.dynamic_wi8_afp32() if dynamic else recipe.weight_only_wi8_afp32()
    left_out = [re.escape(name) for name in large] + [f".*{re.escape(EXACT)}.*"]
    rules.append({"regex": "|".join(left_out), "operation": "*", "algorithm_key": "no_quantize", "op_config": {}})
    try:
        with silent():
            tool = quantizer.Quantizer(str(source), rules)
            tool.quantize().export_model(str(out), overwrite=True)
    except Exception as error:
        raise QuantiserFailed(f"{source.name}: litert-quantizer does not take it: {error}") from None
    before = _int8_tensors(source)
    if large:
        model = load_model(out)
        graph = Graph(model)
        for operator in graph.operators("CONV_2D"):
            values = graph.constant(operator.inputs[1], "float32")
            if values is not None and graph.name(operator.outputs[0]) in large:
                _quantise_convolution(graph, operator, values, dynamic)
        compact(model)
        save_model(model, out)
    return [f"{name} {shape}" for name, shape in _int8_tensors(out).items() if name not in before]


def _large_convolutions(path: Path) -> set[str]:
    """The names of the outputs of convolutions whose weights are too large for the quantiser."""
    graph = Graph(load_model(path))
    weights = {one.outputs[0]: graph.constant(one.inputs[1], "float32") for one in graph.operators("CONV_2D")}
    return {graph.name(out) for out, one in weights.items() if one is not None and one.nbytes > _MAX_CONV_BYTES}


def _quantise_convolution(graph: Graph, operator: Any, values: NDArray[Any], dynamic: bool) -> None:
    quantised, scales = symmetric_int8(values)
    x, given, *rest = operator.inputs
    weights = graph.add_constant(f"{graph.name(given)}/int8", quantised, shared=False)
    graph.tensor(weights).quantization = schema.QuantizationParametersT(
        scale=scales.tolist(), zeroPoint=[0] * scales.size, quantizedDimension=0
    )
    if not dynamic:
        emit = Emitter(graph, operator, f"{graph.name(given)}/w8")
        weights = emit.make("DEQUANTIZE", [weights], values.shape, options=schema.DequantizeOptionsT(), like=given)
    graph.set_inputs(operator, [x, weights, *rest])


def symmetric_int8(weights: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """int8 values and a scale for each place of the first axis: weights ≈ values · scale, values from −127 to 127."""
    flat = weights.reshape(weights.shape[0], -1)
    scales = (np.maximum(flat.max(1), -flat.min(1)) / 127).astype(np.float32)
    scales[scales == 0] = 1
    values = np.rint(flat / scales[:, None]).astype(np.int8)
    return values.reshape(weights.shape), scales


def _int8_tensors(path: Path) -> dict[str, str]:
    """Constant int8 tensors of the main graph by name, with their shapes."""
    model = load_model(path)
    graph, numbers = Graph(model), range(len(model.subgraphs[0].tensors))
    found = [number for number in numbers if graph.dtype(number) == "int8" and graph.is_constant(number)]
    return {graph.name(number): graph.size_text(number) for number in found}
