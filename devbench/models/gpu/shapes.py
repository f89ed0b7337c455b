"""The rules that hold for many operators: shapes that only the run decides, scalars, broadcasting, constants."""

from __future__ import annotations

from collections.abc import Iterator

from devbench.models.gpu.context import Context, Finding
from devbench.models.graph_view import OperatorView, TensorView

# Operators whose output's shape stands in an input: which one. Where that is no constant, the runtime makes the
# output dynamic, and the delegate refuses the whole model.
_SHAPE_INPUT = {
    "RESHAPE": (1,), "TRANSPOSE": (1,), "MEAN": (1,), "SUM": (1,), "REDUCE_MAX": (1,), "REDUCE_MIN": (1,),
    "REDUCE_PROD": (1,), "REDUCE_ANY": (1,), "PAD": (1,), "PADV2": (1,), "MIRROR_PAD": (1,), "TILE": (1,),
    "BROADCAST_TO": (1,), "FILL": (0,), "RESIZE_BILINEAR": (1,), "RESIZE_NEAREST_NEIGHBOR": (1,), "SPLIT": (0,),
    "TRANSPOSE_CONV": (0,), "STRIDED_SLICE": (1, 2, 3), "RANGE": (0, 1, 2),
}  # fmt: skip
# Those whose output's shape stands in the data itself.
_ALWAYS_DYNAMIC = frozenset({"WHERE"})
_INDEX_INPUT = {"TRANSPOSE": (1,), "PAD": (1,), "PADV2": (1,), "SLICE": (1, 2)}
_TWO_INPUTS = frozenset({
    "ADD", "SUB", "MUL", "DIV", "POW", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "ADD_N",
})  # fmt: skip


def dynamic(operator: OperatorView, context: Context) -> Iterator[Finding]:
    """Outputs whose shape is known at run time only.

    The values of a SHAPE are known when the model is prepared, so that a size made by one is no dynamic size; sizes
    computed from them by further operators are.
    """
    if operator.type in _ALWAYS_DYNAMIC:
        yield Finding("dynamic", "its output is as long as the data says")
    for number in _SHAPE_INPUT.get(operator.type, ()):
        tensor = operator.input(number)
        if tensor is not None and not _known_at_start(tensor, context):
            yield Finding("dynamic", f"input {number} sets the output's shape at run time")
            break
    source = operator.input(0)
    if operator.type == "DEQUANTIZE" and source is not None and source.dtype == "float16" and not source.constant:
        yield Finding("fp16-input", "it widens a float16 tensor of the run")
    for number in _INDEX_INPUT.get(operator.type, ()):
        tensor = operator.input(number)
        if tensor is not None and tensor.dtype == "int64":
            yield Finding("index-type", f"input {number} is int64")
            break


def _known_at_start(tensor: TensorView, context: Context) -> bool:
    """Whether the runtime knows its values when it prepares the model: constants, a SHAPE, and a slice of one."""
    # A RESHAPE whose shape is empty makes a scalar; it is no shape of the run.
    if tensor.constant or tensor.shape == (0,):
        return True
    maker = context.makers.get(tensor.index)
    if maker is not None and maker.type == "STRIDED_SLICE" and maker.inputs[0] is not None:
        maker = context.makers.get(maker.inputs[0].index)
    return maker is not None and maker.type == "SHAPE"


def common(operator: OperatorView, context: Context) -> Iterator[Finding]:
    """What shows only when the delegate builds its part, and then ends it."""
    runtime = context.runtime(operator)
    tensors = [*runtime, *operator.outputs]
    if any(tensor.rank == 0 for tensor in tensors):
        yield Finding("scalar", "a tensor without dimensions")
    if any(0 in tensor.shape for tensor in tensors):
        yield Finding("empty", "a tensor without elements")
    if any(tensor.dtype in ("int8", "uint8") and not tensor.quantised for tensor in tensors):
        yield Finding("not-quantised", "an 8-bit tensor without a scale")
    if operator.type in _TWO_INPUTS:
        yield from _broadcasting(operator, context)


def batch(tensor: TensorView) -> int:
    """Its extent along the delegate's batch axis, which is the first whatever the rank."""
    return tensor.shape[0] if tensor.shape else 1


def words(shape: tuple[int, ...]) -> str:
    """`1×32×32×4`, or `scalar`."""
    return "×".join(map(str, shape)) or "scalar"


def _broadcasting(operator: OperatorView, context: Context) -> Iterator[Finding]:
    out = operator.outputs[0] if operator.outputs else None
    if out is None:
        return
    for tensor in context.runtime(operator):
        if batch(tensor) not in (1, batch(out)):
            yield Finding(
                "broadcast-batch",
                f"{words(tensor.shape)} against {words(out.shape)}: its first axis is taken for a batch",
            )
    for tensor in context.constants(operator):
        if tensor.rank == 4 and batch(tensor) != 1:
            yield Finding("constant-batch", f"a constant of {words(tensor.shape)}")
