"""Operators that rewrites put into a graph, each as one call; shapes of results are worked out here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from devbench.models.graph.edit import Graph


class Emitter:
    """Puts operators before the operator `before` of a graph, or last; every call gives the tensor that it makes.

    Args:
        name: the name of the new tensors, which a number follows.
    """

    def __init__(self, graph: Graph, before: Any, name: str) -> None:
        self.graph = graph
        self._before = before
        self._name = name
        self._count = 0

    def constant(self, values: NDArray[Any]) -> int:
        return self.graph.add_constant(self._next_name(), values)

    def number(self, value: float) -> int:
        """A constant of one float32."""
        return self.constant(np.array(value, np.float32))

    def ints(self, values: Any) -> int:
        """A constant of int32: sizes, axes, bounds."""
        return self.constant(np.array(values, np.int32))

    def make(
        self,
        kind: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        *,
        options: Any = None,
        like: int | None = None,
        out: int | None = None,
        version: int = 1,
    ) -> int:
        """An operator with one output: a new tensor like `like`, by default like the first input, or `out`."""
        if out is None:
            source = inputs[0] if like is None else like
            out = self.graph.add_tensor(self._next_name(), shape, like=source)
        self.graph.add_operator(self._before, kind, inputs, [out], options, version)
        return out

    def reshape(self, x: int, shape: Sequence[int], out: int | None = None) -> int:
        options = schema.ReshapeOptionsT(newShape=[int(size) for size in shape])
        return self.make("RESHAPE", [x, self.ints(shape)], shape, options=options, out=out)

    def transpose(self, x: int, order: Sequence[int]) -> int:
        shape = [self.graph.shape(x)[axis] for axis in order]
        return self.make("TRANSPOSE", [x, self.ints(order)], shape, options=schema.TransposeOptionsT())

    def unary(self, kind: str, x: int, out: int | None = None) -> int:
        """ABS, NEG, RSQRT, SQUARE or TANH."""
        options = getattr(schema, f"{kind.capitalize()}OptionsT", None)
        return self.make(kind, [x], self.graph.shape(x), options=options and options(), out=out)

    def binary(self, kind: str, a: int, b: int, out: int | None = None, activation: int = 0) -> int:
        """ADD, SUB, MUL, MAXIMUM or MINIMUM, with broadcasting."""
        name = "MaximumMinimum" if kind in {"MAXIMUM", "MINIMUM"} else kind.capitalize()
        options = getattr(schema, f"{name}OptionsT")()
        if activation:
            options.fusedActivationFunction = activation
        shape = np.broadcast_shapes(self.graph.shape(a), self.graph.shape(b))
        return self.make(kind, [a, b], shape, options=options, out=out)

    def reduce(self, kind: str, x: int, axes: Sequence[int]) -> int:
        """MEAN, SUM or REDUCE_MAX over `axes`, which are kept with size 1."""
        shape = [1 if axis in axes else size for axis, size in enumerate(self.graph.shape(x))]
        options = schema.ReducerOptionsT(keepDims=True)
        return self.make(kind, [x, self.ints(axes)], shape, options=options)

    def conv(
        self, x: int, weights: int, bias: int, shape: Sequence[int], out: int | None = None, options: Any = None
    ) -> int:
        """CONV_2D; by default SAME, stride 1 and nothing fused. `options` are the schema's Conv2DOptionsT."""
        options = options or schema.Conv2DOptionsT(strideW=1, strideH=1)
        return self.make("CONV_2D", [x, weights, bias], shape, options=options, out=out)

    def spread(self, x: int, channels: int) -> int:
        """N×H×W×1 → N×H×W×channels, each channel a copy.

        As a convolution by ones: the stock GPU delegate takes the product with a constant of more channels than x has,
        and gives wrong numbers.
        """
        weights = self.constant(np.ones((channels, 1, 1, 1), np.float32))
        return self.conv(
            x, weights, self.constant(np.zeros(channels, np.float32)), (*self.graph.shape(x)[:3], channels)
        )

    def split(self, x: int, axis: int, count: int) -> list[int]:
        """`count` equal parts along `axis`."""
        shape = list(self.graph.shape(x))
        shape[axis] //= count
        outs = [self.graph.add_tensor(self._next_name(), shape, like=x) for _ in range(count)]
        options = schema.SplitOptionsT(numSplits=count)
        self.graph.add_operator(self._before, "SPLIT", [self.ints(axis), x], outs, options)
        return outs

    def pad(self, x: int, widths: Sequence[tuple[int, int]]) -> int:
        """Pads with zeros; `widths` are the numbers before and after, of each axis."""
        shape = [before + size + behind for size, (before, behind) in zip(self.graph.shape(x), widths, strict=True)]
        return self.make("PAD", [x, self.ints(widths)], shape, options=schema.PadOptionsT())

    def slice(self, x: int, begin: Sequence[int], size: Sequence[int], out: int | None = None) -> int:
        bounds = [self.ints(numbers) for numbers in (begin, size)]
        return self.make("SLICE", [x, *bounds], size, options=schema.SliceOptionsT(), out=out)

    def concat(self, parts: Sequence[int], axis: int, out: int | None = None) -> int:
        shape = list(self.graph.shape(parts[0]))
        shape[axis] = sum(self.graph.shape(part)[axis] for part in parts)
        options = schema.ConcatenationOptionsT(axis=axis)
        return self.make("CONCATENATION", parts, shape, options=options, out=out)

    def _next_name(self) -> str:
        self._count += 1
        return f"{self._name}/{self._count}"
