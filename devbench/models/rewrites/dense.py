"""FULLY_CONNECTED as a 1×1 CONV_2D: the same sum, and the weights stay where they are, as out×in is out×1×1×in.

`fc-to-conv`: of many rows, as RESHAPE, CONV_2D, RESHAPE: delegates refuse large activations, or fail on them.
`fc-one-row`: of one row, on that row twice; and so a CONV_2D of one pixel. The stock GPU delegate has a kernel of its
own for one row (a convolution of one pixel gets it too), which does not compile on every OpenCL device ("use of
undeclared identifier 'smp_zero'").
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from devbench.models.graph.edit import Graph
from devbench.models.graph.emit import Emitter


def fc_to_conv(graph: Graph, operator: Any) -> str | None:
    """Rewrite a FULLY_CONNECTED of constant weights with more than one row."""
    return _rewrite(graph, operator, one_row=False)


def fc_one_row(graph: Graph, operator: Any) -> str | None:
    """Rewrite a FULLY_CONNECTED of one row, or a 1×1 CONV_2D of one pixel."""
    if graph.kind(operator) == "FULLY_CONNECTED":
        return _rewrite(graph, operator, one_row=True)
    return _widen(graph, operator)


def _widen(graph: Graph, operator: Any) -> str | None:
    """A 1×1 convolution of one pixel on that pixel twice."""
    x, weights = operator.inputs[:2]
    out = operator.outputs[0]
    if not graph.is_constant(weights) or not graph.is_fixed(x) or graph.dtype(x) != "float32":
        return None
    given, made = graph.shape(x), graph.shape(out)
    if given[:3] != (1, 1, 1) or made[:3] != (1, 1, 1) or graph.shape(weights)[1:3] != (1, 1):
        return None
    emit = Emitter(graph, operator, f"{graph.name(out)}/fc_one_row")
    twice = emit.make(
        "CONV_2D",
        [emit.concat([x, x], 2), *operator.inputs[1:]],
        (1, 1, 2, made[3]),
        options=operator.builtinOptions,
        like=out,
        version=graph.version(operator),
    )
    emit.slice(twice, (0, 0, 0, 0), made, out=out)
    graph.remove(operator)
    return f"one pixel, {given[3]} → {made[3]}"


def _rewrite(graph: Graph, operator: Any, one_row: bool) -> str | None:
    x, weights = operator.inputs[:2]
    bias = operator.inputs[2] if len(operator.inputs) > 2 else -1
    out, options = operator.outputs[0], operator.builtinOptions
    if not graph.is_constant(weights) or graph.tensor(weights).sparsity is not None or options.weightsFormat:
        return None
    shape = graph.shape(weights)
    if len(shape) != 2 or len(operator.outputs) > 1 or not (graph.is_fixed(x) and graph.is_fixed(out)):
        return None
    if graph.dtype(weights) not in ("float32", "float16", "int8") or graph.dtype(x) not in ("float32", "int8"):
        return None
    outputs, inputs = shape
    rows = math.prod(graph.shape(x)) // inputs
    if (rows == 1) != one_row or math.prod(graph.shape(out)) != rows * outputs:
        return None
    emit = Emitter(graph, operator, f"{graph.name(out)}/{'fc_one_row' if one_row else 'fc_to_conv'}")
    given = graph.shape(x)
    row: int = x if given == (1, 1, rows, inputs) else emit.reshape(x, (1, 1, rows, inputs))
    if one_row:
        row = emit.concat([row, row], 2)
    kernel = graph.add_view(weights, (outputs, 1, 1, inputs))
    if bias < 0:
        # Some delegates do not take a convolution without a bias.
        bias = _no_bias(emit, x, weights, outputs)
    made = schema.Conv2DOptionsT(strideW=1, strideH=1, fusedActivationFunction=options.fusedActivationFunction)
    result = emit.make(
        "CONV_2D",
        [row, kernel, bias],
        (1, 1, rows + one_row, outputs),
        options=made,
        like=out,
        version=_conv_version(graph, x, weights),
    )
    if one_row:
        result = emit.slice(result, (0, 0, 0, 0), (1, 1, 1, outputs))
    emit.reshape(result, graph.shape(out), out=out)
    graph.remove(operator)
    return f"{rows}×{inputs} → {outputs}"


def _no_bias(emit: Emitter, x: int, weights: int, outputs: int) -> int:
    """A bias of zeros, in the type and scale in which LiteRT wants it."""
    graph = emit.graph
    if graph.dtype(x) == "float32":
        return emit.constant(np.zeros(outputs, np.float32))
    bias = graph.add_constant(f"{graph.name(weights)}/no_bias", np.zeros(outputs, np.int32), shared=False)
    scales = [tensor.quantization.scale for tensor in (graph.tensor(x), graph.tensor(weights))]
    scale = [float(scales[0][0]) * float(one) for one in scales[1]]
    graph.tensor(bias).quantization = schema.QuantizationParametersT(scale=scale, zeroPoint=[0] * len(scale))
    return bias


def _conv_version(graph: Graph, x: int, weights: int) -> int:
    """Float is 1; int8 activations came with 3, float ones on int8 weights by channel with 5."""
    if graph.dtype(x) == "int8":
        return 3
    return 5 if graph.dtype(weights) == "int8" else 1
