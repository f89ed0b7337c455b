"""Rewrites of GATHER from a table by row numbers, such as the token embedding of a text encoder.

`gather-1d`: indices of one dimension in place of more, such as tokens of 1×77. That is enough for LiteRT 2's
GPU accelerator. The stock delegate of `benchmark_model` 2.14 takes such a GATHER too, but cannot read a constant
table, and from a table that is no constant it gives wrong rows (seen on an OpenCL device: right in the first four
channels only).

`gather-to-conv`: the row of number i as the product of the table with the vector that is 1 at i and 0 elsewhere: two
1×1 CONV_2D, which every delegate takes. The vector is max(0, 1 − |i − v|) over all rows v. In fp32 that is exact up
to 2²⁴ rows; a delegate that computes in fp16 rounds numbers above 2,048, so such a model needs its precision kept
(`--gpu_precision_loss_allowed=false`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from devbench.models.graph.edit import Graph
from devbench.models.graph.emit import Emitter
from devbench.models.graph.view import shape_text

EXACT = "/exact"
"""In the names of tensors that hold row numbers, which quantisation must leave alone."""

EXACT_ROWS = 1 << 24
"""float32 represents every whole number up to this one."""


def gather_1d(graph: Graph, operator: Any) -> str | None:
    """Rewrite a GATHER along the first axis by indices of several dimensions."""
    table, indices = operator.inputs
    out, shape = operator.outputs[0], graph.shape(indices)
    if not _takes_rows(graph, operator) or len(shape) < 2:
        return None
    emit = Emitter(graph, operator, f"{graph.name(out)}/gather_1d")
    flat = emit.reshape(indices, (math.prod(shape),))
    entries = (math.prod(shape), *graph.shape(table)[1:])
    version = graph.version(operator)
    found = emit.make("GATHER", [table, flat], entries, options=schema.GatherOptionsT(), like=out, version=version)
    emit.reshape(found, graph.shape(out), out=out)
    graph.remove(operator)
    return f"{shape_text(shape)} indices → {math.prod(shape)}"


def gather_to_conv(graph: Graph, operator: Any) -> str | None:
    """Rewrite a GATHER of rows of a constant float table by int32 indices of the run."""
    number, indices = operator.inputs
    table = graph.constant(number, "float32") if _takes_rows(graph, operator) else None
    if table is None or table.ndim != 2 or graph.dtype(indices) != "int32":
        return None
    out, (rows, width) = operator.outputs[0], table.shape
    shape, count = graph.shape(indices), math.prod(graph.shape(indices))
    if rows > EXACT_ROWS or graph.is_constant(indices):
        return None
    exact = Emitter(graph, operator, f"{graph.name(out)}/gather_to_conv{EXACT}")
    cast = schema.CastOptionsT(inDataType=schema.TensorType.INT32, outDataType=schema.TensorType.FLOAT32)
    floats = exact.reshape(exact.make("CAST", [indices], shape, options=cast, like=out), (1, 1, count, 1))
    ones = exact.constant(np.ones((rows, 1, 1, 1), np.float32))
    negative = exact.constant(-np.arange(rows, dtype=np.float32))
    distance = exact.unary("ABS", exact.conv(floats, ones, negative, (1, 1, count, rows)))
    relu = schema.ActivationFunctionType.RELU
    chosen = exact.binary("SUB", exact.number(1.0), distance, activation=relu)
    emit = Emitter(graph, operator, f"{graph.name(out)}/gather_to_conv")
    kernel = emit.constant(np.ascontiguousarray(table.T).reshape(width, 1, 1, rows))
    bias = emit.constant(np.zeros(width, np.float32))
    emit.reshape(emit.conv(chosen, kernel, bias, (1, 1, count, width)), graph.shape(out), out=out)
    graph.remove(operator)
    return f"{count} of {rows} rows of {width}"


def _takes_rows(graph: Graph, operator: Any) -> bool:
    """Whether a GATHER is along the first axis, without batches, of fixed shapes."""
    options = operator.builtinOptions
    along_rows = options is None or not (options.axis or options.batchDims)
    return along_rows and graph.is_fixed(operator.inputs[1]) and graph.is_fixed(operator.outputs[0])
