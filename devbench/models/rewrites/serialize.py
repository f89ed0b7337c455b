"""`serialize-conv`: a CONV_2D that is too large for a delegate as several that are not, one after the other.

Split along the input channels, the parts' results are added; along the output channels, they are concatenated. What is
too large is a device's limit (`ConvLimits`), and the factor is the smallest that fits. Choi et al. (arXiv 2307.01193)
do so for 3×3 on 1×32×32×1920 → 640.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from devbench.models.graph.edit import Graph, compact
from devbench.models.graph.emit import Emitter
from devbench.models.graph.file import save_model

Along = Literal["auto", "input", "output"]
_LANES = 4
_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Conv:
    """The sizes of a CONV_2D: input 1×height×width×inputs, kernel outputs×rows×columns×inputs."""

    batch: int
    height: int
    width: int
    inputs: int
    outputs: int
    rows: int
    columns: int
    out_height: int
    out_width: int

    def __str__(self) -> str:
        given = f"{self.batch}×{self.height}×{self.width}×{self.inputs}"
        return f"{self.rows}×{self.columns} on {given} → {self.outputs}"


@dataclass(frozen=True, slots=True)
class ConvLimits:
    """What a delegate supports on a device; `None` is no limit.

    GPU delegates keep four channels in a texel. An activation is a texture of width × height·⌈channels/4⌉; weights
    are one of ⌈outputs/4⌉ × inputs·rows·columns, as LiteRT's GPU accelerator reports where it fails.

    Attributes:
        texture_side: the largest width and height of a 2-D texture, in texels (OpenCL's CL_DEVICE_IMAGE2D_MAX_WIDTH
            and _HEIGHT, WebGPU's maxTextureDimension2D).
        weight_bytes: the most bytes of one operator's weights in float32.
    """

    texture_side: float | None = None
    weight_bytes: int | None = None

    def allow(self, conv: Conv) -> bool:
        """Whether `conv` is within the limits."""
        if self.texture_side is not None:
            slices = [math.ceil(channels / _LANES) for channels in (conv.inputs, conv.outputs)]
            sides = (
                conv.width * conv.batch,
                conv.height * slices[0],
                conv.out_width * conv.batch,
                conv.out_height * slices[1],
                slices[1],
                slices[0] * _LANES * conv.rows * conv.columns,
            )
            if max(sides) > self.texture_side:
                return False
        weights = conv.inputs * conv.outputs * conv.rows * conv.columns * _FLOAT_BYTES
        return self.weight_bytes is None or weights <= self.weight_bytes


Allow = Callable[[Conv], bool]


def serialize_conv(emit: Emitter, operator: Any, allow: Allow, along: Along = "auto") -> str | None:
    """Split a CONV_2D that `allow` refuses; a line also if no split fits."""
    conv = conv_of(emit.graph, operator)
    if conv is None or allow(conv):
        return None
    choices = {
        side: factor
        for side in ("input", "output")
        if along in ("auto", side) and (factor := smallest_factor(conv, side, allow)) is not None
    }
    if not choices:
        return f"{conv}: no split fits, left as it is"
    extra = {side: extra_bytes(conv, side, factor) for side, factor in choices.items()}
    side = min(choices, key=lambda side: extra[side])
    split = _split_inputs if side == "input" else _split_outputs
    kernel = emit.graph.constant(operator.inputs[1])
    assert kernel is not None
    split(emit, operator, conv, choices[side], kernel)
    costs = ", ".join(f"{name} {factor} moves {extra[name] / 1e6:.1f} MB more" for name, factor in choices.items())
    return f"{conv}: {side} split in {choices[side]} ({costs})"


def conv_of(graph: Graph, operator: Any) -> Conv | None:
    """The sizes of a float CONV_2D with constant weights and a fixed shape; `None` for others."""
    (x, weights), out = operator.inputs[:2], operator.outputs[0]
    if graph.constant(weights, "float32") is None or graph.dtype(x) != "float32" or not graph.is_fixed(x, out):
        return None
    given, kernel, made = graph.shape(x), graph.shape(weights), graph.shape(out)
    return Conv(*given, *kernel[:3], *made[1:3]) if len(given) == 4 and kernel[3] == given[3] else None


def smallest_factor(conv: Conv, side: str, allow: Allow) -> int | None:
    """The smallest number of equal parts of whole texels of the channels of `side` for which each part is allowed."""
    channels = conv.inputs if side == "input" else conv.outputs
    factors = (factor for factor in range(2, channels // _LANES + 1) if channels % (factor * _LANES) == 0)
    return next((factor for factor in factors if allow(replace(conv, **{f"{side}s": channels // factor}))), None)


def extra_bytes(conv: Conv, side: str, factor: int) -> int:
    """What a split moves through memory beyond the convolution itself, in float32: an estimate of its cost.

    Input: the input is copied into parts, each partial sum is written, read and added. Output: the input is read again
    for each part, the results are copied together.
    """
    given = conv.batch * conv.height * conv.width * conv.inputs * _FLOAT_BYTES
    made = conv.batch * conv.out_height * conv.out_width * conv.outputs * _FLOAT_BYTES
    return 2 * given + 3 * (factor - 1) * made if side == "input" else (factor - 1) * given + 2 * made


def _split_inputs(emit: Emitter, operator: Any, conv: Conv, factor: int, kernel: NDArray[Any]) -> None:
    out, options = operator.outputs[0], operator.builtinOptions
    zeros = emit.constant(np.zeros(conv.outputs, np.float32))
    parts = emit.split(operator.inputs[0], 3, factor)
    activation, options.fusedActivationFunction = options.fusedActivationFunction, 0
    total = -1
    for number, (part, values) in enumerate(zip(parts, np.split(kernel, factor, axis=3), strict=True)):
        bias = operator.inputs[2] if number == 0 and len(operator.inputs) > 2 else zeros
        made = emit.conv(part, emit.constant(values), bias, emit.graph.shape(out), options=copy(options))
        end = {"out": out, "activation": activation} if number == factor - 1 else {}
        total = emit.binary("ADD", total, made, **end) if number else made


def _split_outputs(emit: Emitter, operator: Any, conv: Conv, factor: int, kernel: NDArray[Any]) -> None:
    out = operator.outputs[0]
    bias = emit.graph.constant(operator.inputs[2]) if len(operator.inputs) > 2 else None
    offsets = np.zeros(conv.outputs, np.float32) if bias is None else bias
    shape = (*emit.graph.shape(out)[:3], conv.outputs // factor)
    parts = [
        emit.conv(
            operator.inputs[0], emit.constant(values), emit.constant(some), shape,
            options=copy(operator.builtinOptions),
        )
        for values, some in zip(np.split(kernel, factor), np.split(offsets, factor), strict=True)
    ]  # fmt: skip
    emit.concat(parts, 3, out=out)


def write_conv_model(conv: Conv, path: Path) -> None:
    """Write a .tflite whose only operator is `conv`, of stride 1, with weights of small numbers."""
    model = schema.ModelT(
        version=3, subgraphs=[schema.SubGraphT(tensors=[], operators=[], inputs=[], outputs=[])],
        buffers=[schema.BufferT()], operatorCodes=[], signatureDefs=[], metadata=[],
    )  # fmt: skip
    graph = Graph(model)
    x = graph.add_tensor("input", (conv.batch, conv.height, conv.width, conv.inputs))
    out = graph.add_tensor("output", (conv.batch, conv.out_height, conv.out_width, conv.outputs))
    emit = Emitter(graph, None, "conv")
    shape = (conv.outputs, conv.rows, conv.columns, conv.inputs)
    weights = emit.constant(np.full(shape, 1e-3, np.float32))
    bias = emit.constant(np.zeros(conv.outputs, np.float32))
    # The strides that lead from one size to the other under SAME padding.
    options = schema.Conv2DOptionsT(
        strideH=-(-conv.height // conv.out_height), strideW=-(-conv.width // conv.out_width)
    )
    emit.conv(x, weights, bias, graph.shape(out), out=out, options=options)
    model.subgraphs[0].inputs, model.subgraphs[0].outputs = [x], [out]
    compact(model)
    save_model(model, path)
