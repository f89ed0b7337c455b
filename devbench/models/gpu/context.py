"""What a rule may look at: an operator, who makes and reads its tensors, which are constants, and shapes as the
delegate sees them; and how checks are put together.

To the delegate every tensor has batch, height, width and channels, whatever its rank. One dimension is the batch, two
are batch and channels, three are batch, width and channels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import NamedTuple

from devbench.models.graph.view import GraphView, OperatorView, TensorView, shape_text

AXES = "bhwc"
_AXES: dict[int, str] = {1: "b", 2: "bc", 3: "bwc", 4: AXES}
_READABLE = frozenset({"float32", "float16", "int8", "uint8", "int32"})
_SPARSE = frozenset({"float32", "float16"})


@dataclass(frozen=True, slots=True)
class Violation:
    """The rule that an operator breaks, and the value that breaks it."""

    rule: str
    detail: str


@dataclass(frozen=True, slots=True)
class Context:
    """The graph around an operator.

    Attributes:
        makers: the operator that makes a tensor, by the tensor's number.
        readers: the operators that read a tensor, once for each input that is this tensor.
        known: tensors whose values the runtime knows when it prepares the model; constants are among them.
        handed_over: inputs of a loop's body or of a branch, whose type the delegate does not check.
    """

    graph: GraphView
    makers: Mapping[int, OperatorView]
    readers: Mapping[int, Sequence[OperatorView]]
    known: frozenset[int]
    handed_over: frozenset[int] = frozenset()

    @classmethod
    def of(cls, graph: GraphView, known: frozenset[int] = frozenset(), *, is_handed_over: bool = False) -> Context:
        makers = {tensor.index: operator for operator in graph.operators for tensor in operator.outputs}
        readers: dict[int, list[OperatorView]] = defaultdict(list)
        for operator in graph.operators:
            for tensor in operator.given:
                readers[tensor.index].append(operator)
        return cls(graph, makers, dict(readers), known, frozenset(graph.inputs if is_handed_over else ()))

    def maker(self, tensor: TensorView | None) -> OperatorView | None:
        """The operator that makes a tensor, `None` for an input or a constant of the model."""
        return None if tensor is None else self.makers.get(tensor.index)

    def reading(self, tensor: TensorView) -> Sequence[OperatorView]:
        """The operators that read a tensor."""
        return self.readers.get(tensor.index, ())

    def is_free(self, operator: OperatorView | None) -> bool:
        """Whether it only widens a constant of fp16: the delegate then reads the constant and drops the operator."""
        if operator is None or operator.type != "DEQUANTIZE" or len(operator.inputs) != 1:
            return False
        source = operator.inputs[0]
        return source is not None and source.constant and source.dtype == "float16"

    def is_constant(self, tensor: TensorView | None) -> bool:
        """Whether the delegate sees a constant: one of the model's, or one that is only widened from fp16."""
        return tensor is not None and (tensor.constant or self.is_free(self.maker(tensor)))

    def runtime(self, operator: OperatorView) -> list[TensorView]:
        """The inputs that are not constants for the delegate."""
        return [tensor for tensor in operator.given if not self.is_constant(tensor)]

    def constants(self, operator: OperatorView) -> list[TensorView]:
        return [tensor for tensor in operator.given if self.is_constant(tensor)]


class GpuLayout(NamedTuple):
    """The extents of a tensor on the delegate."""

    b: int
    h: int
    w: int
    c: int


def layout(tensor: TensorView) -> GpuLayout:
    """A tensor's layout; 1×1×1×1 for a scalar or more than four dimensions, which other rules refuse."""
    return GpuLayout(1, 1, 1, 1)._replace(**dict(zip(_AXES.get(tensor.rank, ""), tensor.shape, strict=False)))


def axis_name(tensor: TensorView, axis: int) -> str | None:
    """The delegate's name of an axis, `None` if there is no such axis."""
    names = _AXES.get(tensor.rank, "")
    place = axis + len(names) if axis < 0 else axis
    return names[place] if 0 <= place < len(names) else None


def is_row(tensor: TensorView) -> bool:
    """Whether all extents but the last are 1."""
    return all(extent == 1 for extent in tensor.shape[:-1])


def shown(tensor: TensorView) -> str:
    """`1×32×32×4`, or `scalar`."""
    return shape_text(tensor.shape) or "scalar"


OperatorCheck = Callable[[OperatorView, Context], Iterable[Violation]]
Checks = Mapping[str, Sequence[OperatorCheck]]


def run_checks(checks: Checks, operator: OperatorView, context: Context) -> Iterator[Violation]:
    """What the checks of an operator's type find, in their order."""
    for check in checks.get(operator.type, ()):
        yield from check(operator, context)


def broken(*rows: tuple[object, str, str]) -> list[Violation]:
    """The violations of a table of rows: whether a rule is broken, its name, and the detail."""
    return [Violation(rule, detail) for is_broken, rule, detail in rows if is_broken]


def with_inputs(count: int) -> Callable[[Callable[..., Iterable[Violation]]], OperatorCheck]:
    """A check that also gets the operator's first `count` inputs; it finds nothing if one of them is missing."""

    def decorate(check: Callable[..., Iterable[Violation]]) -> OperatorCheck:
        @wraps(check)
        def checked(operator: OperatorView, context: Context) -> Iterable[Violation]:
            inputs = [operator.input(number) for number in range(count)]
            return () if any(tensor is None for tensor in inputs) else check(operator, context, *inputs)

        return checked

    return decorate


def always(rule: str, detail: str) -> OperatorCheck:
    """A check that every operator fails."""
    return lambda operator, context: [Violation(rule, detail)]


def on_option(
    name: str, is_broken: Callable[[float], bool], rule: str, detail: str, default: float = 0
) -> OperatorCheck:
    """A check of one option; `detail` has `{}` for its value."""

    def check(operator: OperatorView, context: Context) -> list[Violation]:
        value = operator.options.get(name, default)
        return broken((is_broken(value), rule, detail.format(value)))

    return check


def on_input(place: int, is_broken: Callable[[TensorView, Context], bool], rule: str, detail: str) -> OperatorCheck:
    """A check of the input at `place`, if there is one; `detail` has `{0.dtype}` for a field, `{1}` for its shape."""

    def check(operator: OperatorView, context: Context) -> list[Violation]:
        one = operator.input(place)
        return [] if one is None else broken((is_broken(one, context), rule, detail.format(one, shown(one))))

    return check


def readable(place: int, *ranks: int) -> OperatorCheck:
    """A check that the input at `place`, if it is a constant, is one that `unreadable` accepts."""
    return lambda operator, context: unreadable(operator.input(place), context, *ranks)


def unreadable(tensor: TensorView | None, context: Context, *ranks: int) -> Iterator[Violation]:
    """Why a constant cannot be read as float32 of one of these ranks; with three and four the batch must be 1.

    Nothing for a tensor that is not constant.
    """
    if tensor is None or not context.is_constant(tensor):
        return
    # If the model only widens a constant from float16, the delegate reads float16.
    dtype = "float16" if context.is_free(context.maker(tensor)) else tensor.dtype
    if dtype not in (_SPARSE if tensor.sparse else _READABLE):
        yield Violation("constant-type", f"a constant of {dtype}{', sparse' if tensor.sparse else ''}")
    elif dtype in ("int8", "uint8") and not tensor.quantised:
        yield Violation("constant-type", f"a constant of {dtype} without a scale")
    if tensor.rank not in ranks:
        wanted = " or ".join(map(str, ranks))
        yield Violation("constant-4d", f"a constant of {shown(tensor)}, where {wanted} dimensions are read")
    elif ranks == (3, 4) and tensor.rank == 4 and tensor.shape[0] != 1:
        yield Violation("constant-batch", f"a constant of {shown(tensor)}")
