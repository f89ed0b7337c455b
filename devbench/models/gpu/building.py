"""What ends the delegate when it builds the part that it took: the operator was accepted, and cannot be built.

Each check follows what the delegate reads of an operator: data must be no constant and must have dimensions, and a
constant must have the rank and type in which it is read. Slices are in `slices`, arithmetic in `arithmetic`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from devbench.models.gpu import arithmetic, slices
from devbench.models.gpu.context import Context, Finding
from devbench.models.gpu.layout import axis_name, layout, words
from devbench.models.gpu.reading import as_shape_list, constant_findings
from devbench.models.graph.view import OperatorView, TensorView

_SIGN_BIT = 5
_ACTIVATED = frozenset({"ADD", "CONCATENATION", "FULLY_CONNECTED"})
_NO_KERNEL = frozenset({"FLOOR", "FLOOR_DIV", "FLOOR_MOD"})
_MAY_REPEAT = frozenset({*arithmetic.TWO_INPUTS, "CONCATENATION", "PACK"})
_Check = Callable[[OperatorView, Context], Iterator[Finding]]
# Which inputs are data; of all others the first one is.
_DATA: dict[str, tuple[int, ...]] = {"SPLIT": (1,), "TRANSPOSE_CONV": (2,), "DENSIFY": (), "DEQUANTIZE": ()}


def stopping(operator: OperatorView, context: Context) -> Iterator[Finding]:
    """Everything that ends the delegate while it builds this operator."""
    if operator.type in _NO_KERNEL:
        yield Finding("no-kernel", "it is accepted, and then has no OpenCL kernel")
    yield from _data(operator, context)
    yield from _tensors(operator, context)
    build = _BUILD.get(operator.type)
    if build is not None:
        yield from build(operator, context)
    if operator.options.get("fusedActivationFunction") == _SIGN_BIT and operator.type in _ACTIVATED:
        yield Finding("add-activation", "a fused SIGN_BIT")


def _data(operator: OperatorView, context: Context) -> Iterator[Finding]:
    """Data that is a constant, where the delegate can only read data of the run."""
    if operator.type in arithmetic.TWO_INPUTS or operator.type in ("CONCATENATION", "PACK"):
        return
    for number in _DATA.get(operator.type, (0,)):
        tensor = operator.input(number)
        if tensor is not None and context.is_constant(tensor):
            rule = "matmul-constant" if operator.type == "BATCH_MATMUL" else "constant-data"
            yield Finding(rule, f"its data is a constant of {words(tensor.shape)}")


def _tensors(operator: OperatorView, context: Context) -> Iterator[Finding]:
    """Tensors of the run that have no place on the delegate."""
    read = [tensor.index for tensor in _read_at_run(operator, context)]
    if operator.type not in _MAY_REPEAT and len(set(read)) < len(read):
        yield Finding("same-inputs", "two inputs are the same tensor")
    tensors = [*_read_at_run(operator, context), *operator.outputs]
    for tensor in tensors:
        if tensor.rank == 0:
            yield Finding("scalar", "a tensor without dimensions")
        elif 0 in tensor.shape:
            yield Finding("empty", "a tensor without elements")
        elif tensor.dtype in ("int8", "uint8") and not tensor.quantised:
            yield Finding("not-quantised", "an 8-bit tensor without a scale")
        elif tensor.dtype in ("int8", "uint8") and tensor.scales > 1:
            yield Finding("not-quantised", "an 8-bit tensor of the run with a scale for each channel")


def _read_at_run(operator: OperatorView, context: Context) -> list[TensorView]:
    """The inputs that the delegate copies to the GPU; sizes and axes, which it may ignore, are none."""
    if operator.type in ("RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "TILE"):
        return context.runtime(operator)[:1]
    if operator.type in ("SPLIT", "SPLIT_V", "TRANSPOSE_CONV"):
        return [tensor for tensor in context.runtime(operator) if tensor.dtype != "int32"]
    return context.runtime(operator)


def _convolution(operator: OperatorView, context: Context) -> Iterator[Finding]:
    source, weights, bias = operator.input(0), operator.input(1), operator.input(2)
    if bias is not None and not context.is_constant(bias):
        yield Finding("runtime-bias", "its bias comes at run time")
    if source is None or weights is None:
        return
    if context.is_constant(weights):
        yield from constant_findings(weights, context, (4,))
        out = operator.outputs[0]
        one = all(extent == 1 for tensor in (source, out) for extent in tensor.shape[:3])
        strides = (operator.options.get("strideH"), operator.options.get("strideW"))
        if one and weights.shape[1:3] == (1, 1) and strides == (1, 1):
            yield Finding("program", "a 1×1 convolution of a single pixel")
    elif source.shape[-1:] != weights.shape[-1:]:
        yield Finding("grouped-weights", f"weights of {words(weights.shape)} come at run time")


def _depthwise(operator: OperatorView, context: Context) -> Iterator[Finding]:
    weights, bias = operator.input(1), operator.input(2)
    if bias is not None and not context.is_constant(bias):
        yield Finding("runtime-bias", "its bias comes at run time")
    if weights is None:
        return
    if context.is_constant(weights):
        yield from constant_findings(weights, context, (4,))
    elif operator.options.get("depthMultiplier", 1) != 1:
        yield Finding("depthwise-run", f"weights of {words(weights.shape)} come at run time")
    elif bias is None and not _is_densified(weights, context):
        yield Finding("depthwise-bias", "weights at run time without a bias")


def _is_densified(tensor: TensorView, context: Context) -> bool:
    maker = context.makers.get(tensor.index)
    if maker is not None and maker.type == "DEQUANTIZE" and maker.inputs[0] is not None:
        maker = context.makers.get(maker.inputs[0].index)
    return maker is not None and maker.type == "DENSIFY"


def _transposed(operator: OperatorView, context: Context) -> Iterator[Finding]:
    weights = operator.input(1)
    if weights is None:
        return
    if context.is_constant(weights):
        yield from constant_findings(weights, context, (4,))
    strides = (operator.options.get("strideH"), operator.options.get("strideW"))
    if strides != (2, 2) or weights.shape[1:3] not in ((3, 3), (4, 4)):
        yield Finding("program", "a transposed convolution other than 3×3 and 4×4 with a stride of 2")
    bias = operator.input(3)
    if bias is not None and not context.is_constant(bias):
        yield Finding("runtime-bias", "its bias comes at run time")


def _fully_connected(operator: OperatorView, context: Context) -> Iterator[Finding]:
    source, weights, bias, out = operator.input(0), operator.input(1), operator.input(2), operator.outputs[0]
    if source is None or weights is None:
        return
    if bias is not None and not context.is_constant(bias):
        yield Finding("runtime-bias", "its bias comes at run time")
    if not context.is_constant(weights):
        return
    yield from constant_findings(weights, context, (2,))
    given, made = layout(source), layout(out)
    if given is None or made is None or weights.rank != 2:
        return
    if given.c != weights.shape[1]:
        yield Finding("fc-channels", f"an input of {words(source.shape)} on weights of {words(weights.shape)}")
    elif (given.b == 1) != (made.b == 1):
        yield Finding("fc-rows", f"{words(source.shape)} becomes {words(out.shape)}: the first axis changes")
    elif all(extent == 1 for extent in source.shape[:-1]):
        yield Finding("program", "a single row")


def _matmul(operator: OperatorView, context: Context) -> Iterator[Finding]:
    first, second = operator.input(0), operator.input(1)
    if first is None or second is None or not context.is_constant(second):
        return
    if second.rank != 2:
        yield Finding("matmul-constant", f"a constant second input of {words(second.shape)}")
        return
    yield from constant_findings(second, context, (2,))
    if all(extent == 1 for extent in first.shape[:-1]):
        yield Finding("program", "a single row")


def _transpose(operator: OperatorView, context: Context) -> Iterator[Finding]:
    order = operator.input(1)
    if order is not None and not 2 <= order.elements <= 4:
        yield Finding("transpose-rank", f"{order.elements} axes")
    if order is not None and not context.is_constant(order):
        yield Finding("runtime-sizes", "its order of axes is no constant of the model")


def _concatenation(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if len(operator.inputs) == 1 and operator.type == "CONCATENATION":
        yield Finding("single-concat", "it has one input")
    if len(operator.inputs) == 1 and operator.type == "PACK" and context.constants(operator):
        yield Finding("constant-data", "its only input is a constant")
    if operator.type == "PACK" and operator.outputs:
        yield from _packed_twice(operator, context)
    for tensor in context.constants(operator):
        yield from constant_findings(tensor, context, (4,))


def _packed_twice(operator: OperatorView, context: Context) -> Iterator[Finding]:
    """A tensor that is packed with itself, and that the delegate need not reshape first."""
    out = operator.outputs[0]
    made, axis = layout(out), axis_name(out, int(operator.options.get("axis", 0)))
    read = context.runtime(operator)
    if made is None or axis is None or len({tensor.index for tensor in read}) == len(read):
        return
    if any(layout(tensor) == made._replace(**{axis: 1}) for tensor in read):
        yield Finding("same-inputs", "two inputs are the same tensor")


def _select(operator: OperatorView, context: Context) -> Iterator[Finding]:
    condition = operator.input(0)
    given, made = layout(condition) if condition is not None else None, layout(operator.outputs[0])
    if condition is not None and condition.elements != 1 and given and made and given.b != 1 == made.b:
        yield Finding(
            "broadcast-batch",
            f"a condition of {words(condition.shape)} for {words(operator.outputs[0].shape)}: its first axis is taken "
            "for a batch",
        )
    for number, ranks in ((1, (4,)), (2, (3, 4))):
        tensor = operator.input(number)
        if tensor is None:
            continue
        if tensor.elements == 1:
            if not context.is_constant(tensor):
                yield Finding("runtime-scalar", f"input {number} is one value that comes at run time")
        elif context.is_constant(tensor):
            yield from constant_findings(tensor, context, ranks)


def _densify(operator: OperatorView, context: Context) -> Iterator[Finding]:
    source, out = operator.input(0), operator.outputs[0]
    if source is None:
        return
    if not source.sparse:
        yield Finding("densify", "its input is not sparse")
    else:
        yield from constant_findings(source, context, (4,))
    readers = list(context.readers.get(out.index, ()))
    if len(readers) == 1 and readers[0].type == "DEQUANTIZE":
        out = readers[0].outputs[0]
        readers = list(context.readers.get(out.index, ()))
    for reader in readers or [operator]:
        weights = reader.input(1)
        is_weight = weights is not None and weights.index == out.index
        if reader.type not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") or not is_weight:
            yield Finding("densify", "only weights of a convolution may be made dense")
            return


def _dequantise(operator: OperatorView, context: Context) -> Iterator[Finding]:
    source = operator.input(0)
    if source is None:
        return
    if context.is_constant(source):
        yield from constant_findings(source, context, (4,))
    elif source.dtype == "float16" and not _is_densified(operator.outputs[0], context):
        yield Finding("fp16-input", "it widens a float16 tensor of the run")


def _quantise(operator: OperatorView, context: Context) -> Iterator[Finding]:
    if operator.outputs[0].dtype not in ("int8", "uint8") or not operator.outputs[0].quantised:
        yield Finding("not-quantised", "its output has no scale")


def _prelu(operator: OperatorView, context: Context) -> Iterator[Finding]:
    source, alpha = operator.input(0), operator.input(1)
    given = layout(source) if source is not None else None
    if given is None or alpha is None:
        return
    if not context.is_constant(alpha):
        yield Finding("prelu-alpha", "its slopes come at run time")
    elif all(extent == 1 for extent in alpha.shape[:-1]) and alpha.rank:
        if alpha.shape[-1] != given.c:
            yield Finding("prelu-alpha", f"{alpha.shape[-1]} slopes for {given.c} channels")
    else:
        yield from constant_findings(alpha, context, (3, 4))
        if as_shape_list(alpha.shape, 3) != [given.h, given.w, given.c]:
            yield Finding("prelu-alpha", f"slopes of {words(alpha.shape)} for {words(source.shape if source else ())}")
        elif given.b != 1:
            yield Finding("prelu-alpha", f"slopes of {words(alpha.shape)} for a batch of {given.b}")


def _gather(operator: OperatorView, context: Context) -> Iterator[Finding]:
    source = operator.input(0)
    if source is not None and axis_name(source, int(operator.options.get("axis", 0))) is None:
        yield Finding("axis", f"axis {operator.options.get('axis', 0)} of {words(source.shape)}")
    tensors = [layout(tensor) for tensor in (*context.runtime(operator), operator.outputs[0])]
    is_batch = source is not None and axis_name(source, int(operator.options.get("axis", 0))) == "b"
    if is_batch and all(one is not None and one.b == 1 for one in tensors):
        yield Finding("gather-batch", "it takes one row of the first axis, which has one")


def _pad(operator: OperatorView, context: Context) -> Iterator[Finding]:
    widths = operator.input(1)
    if widths is not None and widths.dtype == "int64":
        yield Finding("index-type-part", "its widths are int64")
    made = layout(operator.outputs[0])
    if operator.type == "MIRROR_PAD" and made is not None and made.b != 1:
        yield Finding("mirror-batch", f"a batch of {made.b}")


def _cumsum(operator: OperatorView, context: Context) -> Iterator[Finding]:
    source, axis = operator.input(0), operator.input(1)
    if source is None or axis is None or not axis.values:
        return
    place = axis.values[0] + 4 - source.rank
    if place < 0 or (place == 0 and source.shape[0] == 1):
        yield Finding("cumsum-sign", f"axis {axis.values[0]} of {source.rank}")


def _lstm(operator: OperatorView, context: Context) -> Iterator[Finding]:
    yield Finding("program", "an LSTM cell")


_BUILD: dict[str, _Check] = {
    **dict.fromkeys(arithmetic.TWO_INPUTS, arithmetic.build), "CONV_2D": _convolution, "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed, "FULLY_CONNECTED": _fully_connected, "BATCH_MATMUL": _matmul,
    "TRANSPOSE": _transpose, "CONCATENATION": _concatenation, "PACK": _concatenation, "SELECT": _select,
    "SELECT_V2": _select, "DENSIFY": _densify, "DEQUANTIZE": _dequantise, "QUANTIZE": _quantise, "PRELU": _prelu,
    "GATHER": _gather, "PAD": _pad, "PADV2": _pad, "MIRROR_PAD": _pad, "CUMSUM": _cumsum, "LSTM": _lstm,
    "CAST": arithmetic.after_broadcast, "SLICE": slices.build_slice, "STRIDED_SLICE": slices.build_strided,
}  # fmt: skip
