"""Shapes as the delegate sees them: every tensor has batch, height, width and channels, whatever its rank.

One dimension is the batch, two are batch and channels, three are batch, width and channels.
"""

from __future__ import annotations

from typing import NamedTuple

from devbench.models.graph.view import TensorView, shape_text

AXES = "bhwc"
_AXES: dict[int, str] = {1: "b", 2: "bc", 3: "bwc", 4: AXES}


class GpuLayout(NamedTuple):
    """The extents of a tensor on the delegate."""

    b: int
    h: int
    w: int
    c: int


def layout(tensor: TensorView | None) -> GpuLayout | None:
    """A tensor's layout, `None` without a tensor, for a scalar and for more than four dimensions."""
    names = _AXES.get(tensor.rank) if tensor is not None else None
    if tensor is None or names is None:
        return None
    return GpuLayout(1, 1, 1, 1)._replace(**dict(zip(names, tensor.shape, strict=True)))


def axis_name(tensor: TensorView, axis: int) -> str | None:
    """The delegate's name of an axis, `None` if there is no such axis."""
    names = _AXES.get(tensor.rank, "")
    place = axis + len(names) if axis < 0 else axis
    return names[place] if 0 <= place < len(names) else None


def is_row(tensor: TensorView) -> bool:
    """Whether a tensor has extents along its last axis only."""
    return all(extent == 1 for extent in tensor.shape[:-1])


def shown(tensor: TensorView) -> str:
    """`1×32×32×4`, or `scalar`."""
    return shape_text(tensor.shape) or "scalar"
