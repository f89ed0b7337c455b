"""A model of one CONV_2D of given sizes, made without a converter, to ask a delegate whether it takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from devbench.models.graph.edit import Graph, compact
from devbench.models.graph.emit import Emitter
from devbench.models.graph.file import save_model
from devbench.models.rewrites.serialize import Conv


def write_conv_model(conv: Conv, path: Path) -> None:
    """Write a .tflite whose only operator is `conv`, of stride 1, with weights of small numbers."""
    model = schema.ModelT(
        version=3, subgraphs=[schema.SubGraphT(tensors=[], operators=[], inputs=[], outputs=[])],
        buffers=[schema.BufferT()], operatorCodes=[], signatureDefs=[], metadata=[],
    )  # fmt: skip
    graph = Graph(model)
    x = graph.add_tensor("input", (conv.batch, conv.height, conv.width, conv.inputs))
    out = graph.add_tensor("output", (conv.batch, conv.out_height, conv.out_width, conv.outputs))
    emit = Emitter(graph, graph.end(), "conv")
    shape = (conv.outputs, conv.rows, conv.columns, conv.inputs)
    weights = emit.constant(np.full(shape, 1e-3, np.float32))
    bias = emit.constant(np.zeros(conv.outputs, np.float32))
    # The strides that lead from one size to the other under SAME padding.
    options = schema.Conv2DOptionsT(
        strideH=-(-conv.height // conv.out_height), strideW=-(-conv.width // conv.out_width)
    )
    emit.conv(x, weights, bias, graph.shape(out), out=out, options=options)
    model.subgraphs[0].inputs, model.subgraphs[0].outputs = [x], [out]
    graph.finish()
    compact(model)
    save_model(model, path)
