"""SLICE and STRIDED_SLICE: the extents that the delegate works out must be those of the output."""

from __future__ import annotations

from collections.abc import Iterator

from devbench.models.gpu.context import Context, Finding
from devbench.models.gpu.layout import Layout, layout, words
from devbench.models.graph.view import OperatorView, TensorView

_RULES = {"b": "slice-batch", "h": "slice-extent", "w": "slice-extent", "c": "slice-extent"}
_AXES = "bhwc"


def _numbers(operator: OperatorView, places: tuple[int, ...], context: Context) -> list[tuple[int, ...]] | Finding:
    """The values of the inputs at these places, or why the delegate cannot read them."""
    found = []
    for place in places:
        tensor = operator.input(place)
        if tensor is None:
            return Finding("runtime-sizes", f"input {place} is missing")
        if tensor.dtype == "int64":
            return Finding("index-type-part", f"input {place} is int64")
        if not context.is_constant(tensor) or tensor.values is None:
            return Finding("runtime-sizes", f"input {place} is no constant of the model")
        found.append(tensor.values)
    return found


def _sides(operator: OperatorView) -> tuple[TensorView, Layout, Layout] | None:
    source = operator.input(0)
    given = layout(source) if source is not None else None
    made = layout(operator.outputs[0]) if operator.outputs else None
    return None if source is None or given is None or made is None else (source, given, made)


def build_slice(operator: OperatorView, context: Context) -> Iterator[Finding]:
    """Why the delegate cannot build a SLICE."""
    sides, numbers = _sides(operator), _numbers(operator, (1, 2), context)
    if sides is None:
        return
    if isinstance(numbers, Finding):
        yield numbers
        return
    source, given, made = sides
    names = "bwc" if source.rank == 3 else _AXES if len(numbers[0]) == 4 else "hwc"
    if len(numbers[0]) != len(names) or len(numbers[1]) != len(names):
        yield Finding("slice-rank", f"{len(numbers[0])} axes of {source.rank}")
        return
    begins = dict.fromkeys(_AXES, 0) | dict(zip(names, numbers[0], strict=True))
    sizes = given._asdict() | dict(zip(names, numbers[1], strict=True))
    for axis in _AXES:
        extent = getattr(given, axis)
        size = extent - begins[axis] if sizes[axis] == -1 else sizes[axis]
        end = begins[axis] + size
        end += extent if end < 0 else 0
        if end - begins[axis] != getattr(made, axis):
            yield Finding(_RULES[axis], f"{end - begins[axis]} of axis {axis} for {words(operator.outputs[0].shape)}")
            return


def build_strided(operator: OperatorView, context: Context) -> Iterator[Finding]:
    """Why the delegate cannot build a STRIDED_SLICE.

    Bounds of three values are those of height, width and channels, also where the tensor has batch, width and channels.
    """
    sides, numbers = _sides(operator), _numbers(operator, (1, 2, 3), context)
    if sides is None:
        return
    if isinstance(numbers, Finding):
        yield numbers
        return
    source, given, made = sides
    names = {3: "hwc", 4: _AXES}.get(len(numbers[0]), "")
    if not names or any(len(values) < len(names) for values in numbers):
        yield Finding("slice-extent", f"{len(numbers[0])} axes of {source.rank} are given")
        return
    for place, axis in enumerate(names):
        begin, end, stride = (values[place] for values in numbers)
        extent = getattr(given, axis)
        begin = 0 if _has(operator, "beginMask", place) else begin + (extent if begin < 0 else 0)
        end = extent if _has(operator, "endMask", place) else end + (extent if end < 0 else 0)
        if stride == 0:
            yield Finding("slice-extent", "a stride of zero")
            return
        if stride < 0:
            yield Finding("slice-reverse", "a negative stride")
            return
        found = int((end - begin + stride - 1) / stride)
        if found != getattr(made, axis):
            yield Finding(_RULES[axis], f"{found} of axis {axis} for {words(operator.outputs[0].shape)}")
            return
    if names == "hwc" and given.b != made.b:
        yield Finding("slice-batch", f"it cuts the first axis of {words(source.shape)}")


def _has(operator: OperatorView, mask: str, place: int) -> bool:
    return bool(int(operator.options.get(mask, 0)) >> place & 1)
