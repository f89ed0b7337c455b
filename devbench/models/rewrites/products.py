"""Products with matrices and rows of tables as delegates compute them: `attention-4d`, `fc-to-conv`, `fc-one-row`,
`gather-1d` and `gather-to-conv`.

`attention-4d`: an attention's product of queries and keys comes as a BATCH_MATMUL with a flag that transposes an
operand. The stock GPU delegate takes such an operator and ignores the flag: square operands give wrong numbers. Here
the operand is transposed by a TRANSPOSE, and operands of three dimensions get a fourth, as delegates batch over one
only. The same delegate is wrong too if the rows of the first operand are no multiple of 16 (seen on an OpenCL device,
with more than four columns): rows of zeros fill them up, and are cut off again.

`fc-to-conv`: a FULLY_CONNECTED of many rows as RESHAPE, 1×1 CONV_2D, RESHAPE: delegates refuse large activations, or
fail on them. The sum is the same, and the weights stay in place, as out×in is out×1×1×in.

`fc-one-row`: a FULLY_CONNECTED of one row computes that row twice, and one result is dropped; the same for a CONV_2D of
one pixel. The stock GPU delegate has a separate kernel for one row and for one pixel, which does not compile on every
OpenCL device ("use of undeclared identifier 'smp_zero'").

`gather-1d`: a GATHER whose indices have several dimensions (tokens of 1×77) gets them in one dimension. That is enough
for LiteRT 2's GPU accelerator. The stock delegate of `benchmark_model` 2.14 takes such a GATHER too, but cannot read a
constant
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

ROWS = 16
"""What the rows of a product's first operand are made a multiple of."""

# The types of a dense layer's input and weights that are rewritten, with the version of CONV_2D for them: int8
# activations came with 3, float ones on int8 weights by channel with 5.
_DENSE_TYPES = {
    ("float32", "float32"): 1, ("float32", "float16"): 1, ("float32", "int8"): 5,
    ("int8", "float32"): 3, ("int8", "float16"): 3, ("int8", "int8"): 3,
}  # fmt: skip
EXACT = "/exact"
"""In the names of tensors with row numbers, which must not be quantised."""

EXACT_ROWS = 1 << 24
"""float32 represents every whole number up to this one."""


def attention_4d(emit: Emitter, operator: Any) -> str | None:
    """Rewrite a float BATCH_MATMUL with a flag or of three dimensions, or with an incomplete block of rows."""
    graph, (a, b) = emit.graph, operator.inputs
    out, options = operator.outputs[0], operator.builtinOptions
    flags = (options.adjX, options.adjY) if options is not None else (False, False)
    ranks, shape = {len(graph.shape(tensor)) for tensor in (a, b, out)}, graph.shape(out)
    if ranks not in ({3}, {4}) or {graph.dtype(a), graph.dtype(b)} != {"float32"} or not graph.is_fixed(a, b, out):
        return None
    surplus = -shape[-2] % ROWS
    if not any(flags) and ranks == {4} and not surplus:
        return None
    operands = []
    for tensor, turned in zip((a, b), flags, strict=True):
        given = graph.shape(tensor)
        four = tensor if len(given) == 4 else emit.reshape(tensor, (1, *given))
        operands.append(emit.transpose(four, (0, 1, 3, 2)) if turned else four)
    if surplus:
        operands[0] = emit.pad(operands[0], ((0, 0), (0, 0), (0, surplus), (0, 0)))
    whole = (1, *shape)[-4:]
    padded = (*whole[:2], whole[2] + surplus, whole[3])
    ends_flat = shape != whole
    result = emit.make(
        "BATCH_MATMUL",
        operands,
        padded,
        options=schema.BatchMatMulOptionsT(),
        like=out,
        out=None if surplus or ends_flat else out,
    )
    if surplus:
        result = emit.slice(result, (0, 0, 0, 0), whole, out=None if ends_flat else out)
    if ends_flat:
        emit.reshape(result, shape, out=out)
    return " · ".join(map(graph.size_text, (a, b)))


def fc_to_conv(emit: Emitter, operator: Any) -> str | None:
    """Rewrite a FULLY_CONNECTED of constant weights with more than one row."""
    return _as_conv(emit, operator, one_row=False)


def fc_one_row(emit: Emitter, operator: Any) -> str | None:
    """Rewrite a FULLY_CONNECTED of one row, or a 1×1 CONV_2D of one pixel."""
    if emit.graph.kind(operator) == "FULLY_CONNECTED":
        return _as_conv(emit, operator, one_row=True)
    return _twice(emit, operator)


def _twice(emit: Emitter, operator: Any) -> str | None:
    """A 1×1 convolution of one pixel on that pixel twice."""
    graph, (x, weights), out = emit.graph, operator.inputs[:2], operator.outputs[0]
    given, made = graph.shape(x), graph.shape(out)
    single = given[:3] == made[:3] == (1, 1, 1) and graph.shape(weights)[1:3] == (1, 1)
    if not single or not graph.is_constant(weights) or not graph.is_fixed(x) or graph.dtype(x) != "float32":
        return None
    twice = emit.make(
        "CONV_2D",
        [emit.concat([x, x], 2), *operator.inputs[1:]],
        (1, 1, 2, made[3]),
        options=operator.builtinOptions,
        like=out,
        version=graph.version(operator),
    )
    emit.slice(twice, (0, 0, 0, 0), made, out=out)
    return f"one pixel, {given[3]} → {made[3]}"


def _as_conv(emit: Emitter, operator: Any, one_row: bool) -> str | None:
    graph, (x, weights, bias) = emit.graph, (*operator.inputs, -1)[:3]
    out, options = operator.outputs[0], operator.builtinOptions
    types, shape = (graph.dtype(x), graph.dtype(weights)), graph.shape(weights)
    if not graph.is_constant(weights) or graph.tensor(weights).sparsity is not None or options.weightsFormat:
        return None
    if types not in _DENSE_TYPES or len(shape) != 2 or len(operator.outputs) > 1 or not graph.is_fixed(x, out):
        return None
    outputs, inputs = shape
    rows = math.prod(graph.shape(x)) // inputs
    if (rows == 1) != one_row or math.prod(graph.shape(out)) != rows * outputs:
        return None
    row: int = x if graph.shape(x) == (1, 1, rows, inputs) else emit.reshape(x, (1, 1, rows, inputs))
    if one_row:
        row = emit.concat([row, row], 2)
    kernel = graph.add_tensor(graph.name(weights), (outputs, 1, 1, inputs), like=weights)
    graph.tensor(kernel).buffer = graph.tensor(weights).buffer
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
        version=_DENSE_TYPES[types],
    )
    if one_row:
        result = emit.slice(result, (0, 0, 0, 0), (1, 1, 1, outputs))
    emit.reshape(result, graph.shape(out), out=out)
    return f"{rows}×{inputs} → {outputs}"


def _no_bias(emit: Emitter, x: int, weights: int, outputs: int) -> int:
    """A bias of zeros, with the type and scale that LiteRT expects."""
    graph = emit.graph
    if graph.dtype(x) == "float32":
        return emit.constant(np.zeros(outputs, np.float32))
    bias = graph.add_constant(f"{graph.name(weights)}/no_bias", np.zeros(outputs, np.int32), shared=False)
    scales = [tensor.quantization.scale for tensor in (graph.tensor(x), graph.tensor(weights))]
    scale = [float(scales[0][0]) * float(one) for one in scales[1]]
    graph.tensor(bias).quantization = schema.QuantizationParametersT(scale=scale, zeroPoint=[0] * len(scale))
    return bias


def gather_1d(emit: Emitter, operator: Any) -> str | None:
    """Rewrite a GATHER along the first axis by indices of several dimensions."""
    graph, (table, indices), out = emit.graph, operator.inputs, operator.outputs[0]
    shape = graph.shape(indices)
    if not _takes_rows(graph, operator) or len(shape) < 2:
        return None
    flat = emit.reshape(indices, (math.prod(shape),))
    entries = (math.prod(shape), *graph.shape(table)[1:])
    version = graph.version(operator)
    found = emit.make("GATHER", [table, flat], entries, options=schema.GatherOptionsT(), like=out, version=version)
    emit.reshape(found, graph.shape(out), out=out)
    return f"{shape_text(shape)} indices → {math.prod(shape)}"


def gather_to_conv(emit: Emitter, operator: Any) -> str | None:
    """Rewrite a GATHER of rows of a constant float table by int32 indices that are computed at run time."""
    graph, (number, indices) = emit.graph, operator.inputs
    table = graph.constant(number, "float32") if _takes_rows(graph, operator) else None
    if table is None or table.ndim != 2 or len(table) > EXACT_ROWS:
        return None
    if graph.dtype(indices) != "int32" or graph.is_constant(indices):
        return None
    out, (rows, width) = operator.outputs[0], table.shape
    shape, count = graph.shape(indices), math.prod(graph.shape(indices))
    exact = Emitter(graph, operator, f"{graph.name(out)}/gather_to_conv{EXACT}")
    cast = schema.CastOptionsT(inDataType=schema.TensorType.INT32, outDataType=schema.TensorType.FLOAT32)
    floats = exact.reshape(exact.make("CAST", [indices], shape, options=cast, like=out), (1, 1, count, 1))
    ones = exact.constant(np.ones((rows, 1, 1, 1), np.float32))
    negative = exact.constant(-np.arange(rows, dtype=np.float32))
    distance = exact.unary("ABS", exact.conv(floats, ones, negative, (1, 1, count, rows)))
    relu = schema.ActivationFunctionType.RELU
    chosen = exact.binary("SUB", exact.number(1.0), distance, activation=relu)
    kernel = emit.constant(np.ascontiguousarray(table.T).reshape(width, 1, 1, rows))
    bias = emit.constant(np.zeros(width, np.float32))
    emit.reshape(emit.conv(chosen, kernel, bias, (1, 1, count, width)), graph.shape(out), out=out)
    return f"{count} of {rows} rows of {width}"


def _takes_rows(graph: Graph, operator: Any) -> bool:
    """Whether a GATHER is along the first axis, without batches, of fixed shapes."""
    options = operator.builtinOptions
    along_rows = options is None or not (options.axis or options.batchDims)
    return along_rows and graph.is_fixed(operator.inputs[1], operator.outputs[0])
