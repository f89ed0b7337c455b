"""Shapes as the delegate sees them: every tensor has batch, height, width and channels, whatever its rank.

One dimension is the batch, two are batch and channels, three are batch, width and channels.
"""

from __future__ import annotations

from typing import NamedTuple

from devbench.models.graph.view import TensorView

_AXES: dict[int, str] = {1: "b", 2: "bc", 3: "bwc", 4: "bhwc"}


class Layout(NamedTuple):
    """The extents of a tensor on the delegate."""

    b: int
    h: int
    w: int
    c: int


def layout(tensor: TensorView) -> Layout | None:
    """A tensor's layout, `None` for a scalar and for more than four dimensions."""
    names = _AXES.get(tensor.rank)
    if names is None:
        return None
    return Layout(**({"b": 1, "h": 1, "w": 1, "c": 1} | dict(zip(names, tensor.shape, strict=True))))


def axis_name(tensor: TensorView, axis: int) -> str | None:
    """The delegate's name of an axis, `None` where there is no such axis."""
    names = _AXES.get(tensor.rank, "")
    place = axis + len(names) if axis < 0 else axis
    return names[place] if 0 <= place < len(names) else None


def words(shape: tuple[int, ...]) -> str:
    """`1×32×32×4`, or `scalar`."""
    return "×".join(map(str, shape)) or "scalar"
