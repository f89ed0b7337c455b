"""SLICE and STRIDED_SLICE: the extents that the delegate works out must be those of the output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from devbench.models.gpu.context import Context, Violation, with_inputs
from devbench.models.gpu.layout import AXES, GpuLayout, layout, shown
from devbench.models.graph.view import OperatorView, TensorView

_RULES = {"b": "slice-batch", "h": "slice-extent", "w": "slice-extent", "c": "slice-extent"}
_Values = Sequence[tuple[int, ...]]


@with_inputs(1)
def build_slice(operator: OperatorView, context: Context, source: TensorView) -> Iterable[Violation]:
    """Why the delegate cannot build a SLICE or a STRIDED_SLICE."""
    given, made = layout(source), layout(operator.outputs[0])
    if given is None or made is None:
        return ()
    is_strided = operator.type == "STRIDED_SLICE"
    read = _read(operator, context, 3 if is_strided else 2)
    if isinstance(read, Violation):
        found: Violation | None = read
    elif is_strided:
        found = _strided(operator, source, given, made, read)
    else:
        found = _slice(operator, source, given, made, read)
    return [] if found is None else [found]


def _read(operator: OperatorView, context: Context, count: int) -> list[tuple[int, ...]] | Violation:
    """The values of the inputs after the first, or why the delegate cannot read them."""
    found = []
    for place in range(1, count + 1):
        tensor = operator.input(place)
        if tensor is None:
            return Violation("runtime-sizes", f"input {place} is missing")
        if tensor.dtype == "int64":
            return Violation("index-type-part", f"input {place} is int64")
        if not context.is_constant(tensor) or tensor.values is None:
            return Violation("runtime-sizes", f"input {place} is no constant of the model")
        found.append(tensor.values)
    return found


def _slice(
    operator: OperatorView, source: TensorView, given: GpuLayout, made: GpuLayout, read: _Values
) -> Violation | None:
    names = "bwc" if source.rank == 3 else AXES if len(read[0]) == 4 else "hwc"
    if any(len(values) != len(names) for values in read):
        return Violation("slice-rank", f"{len(read[0])} axes of {source.rank}")
    begins = dict.fromkeys(AXES, 0) | dict(zip(names, read[0], strict=True))
    sizes = given._asdict() | dict(zip(names, read[1], strict=True))
    for axis, extent, wanted in zip(AXES, given, made, strict=True):
        end = extent if sizes[axis] == -1 else begins[axis] + sizes[axis]
        found = end + (extent if end < 0 else 0) - begins[axis]
        if found != wanted:
            return Violation(_RULES[axis], f"{found} of axis {axis} for {shown(operator.outputs[0])}")
    return None


def _strided(
    operator: OperatorView, source: TensorView, given: GpuLayout, made: GpuLayout, read: _Values
) -> Violation | None:
    """Bounds of three values are those of height, width and channels, also of batch, width and channels."""
    names = {3: "hwc", 4: AXES}.get(len(read[0]), "")
    if not names or any(len(values) < len(names) for values in read):
        return Violation("slice-extent", f"{len(read[0])} axes of {source.rank} are given")
    for place, axis in enumerate(names):
        begin, end, stride = (values[place] for values in read)
        extent = getattr(given, axis)
        begin = 0 if _has(operator, "beginMask", place) else begin + (extent if begin < 0 else 0)
        end = extent if _has(operator, "endMask", place) else end + (extent if end < 0 else 0)
        if stride <= 0:
            sign = ("slice-reverse", "a negative stride") if stride else ("slice-extent", "a stride of zero")
            return Violation(*sign)
        found = int((end - begin + stride - 1) / stride)
        if found != getattr(made, axis):
            return Violation(_RULES[axis], f"{found} of axis {axis} for {shown(operator.outputs[0])}")
    if names == "hwc" and given.b != made.b:
        return Violation("slice-batch", f"it cuts the first axis of {shown(source)}")
    return None


def _has(operator: OperatorView, mask: str, place: int) -> bool:
    return bool(int(operator.options.get(mask, 0)) >> place & 1)
