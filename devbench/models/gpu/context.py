"""What a rule may look at: an operator, who makes and reads its tensors, which of them are constants."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps

from devbench.models.graph.view import GraphView, OperatorView, TensorView


@dataclass(frozen=True, slots=True)
class Violation:
    """The name of a rule that an operator breaks, and what of the operator breaks it."""

    rule: str
    detail: str


@dataclass(frozen=True, slots=True)
class Context:
    """The graph around an operator.

    Attributes:
        readers: the operators that read a tensor, once for each input that is this tensor.
        known: tensors whose values the runtime knows when it prepares the model; constants are among them.
        handed_over: inputs of a loop's body or of a branch, whose type the delegate does not look at.
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
            for tensor in operator.inputs:
                if tensor is not None:
                    readers[tensor.index].append(operator)
        return cls(graph, makers, dict(readers), known, frozenset(graph.inputs if is_handed_over else ()))

    def reading(self, tensor: TensorView) -> Sequence[OperatorView]:
        """The operators that read a tensor."""
        return self.readers.get(tensor.index, ())

    def is_free(self, operator: OperatorView) -> bool:
        """Whether it only widens a constant of fp16: the delegate takes the constant itself and drops the operator."""
        if operator.type != "DEQUANTIZE" or len(operator.inputs) != 1:
            return False
        source = operator.inputs[0]
        return source is not None and source.constant and source.dtype == "float16"

    def is_constant(self, tensor: TensorView | None) -> bool:
        """Whether the delegate sees a constant: one of the model's, or one that is only widened from fp16."""
        return tensor is not None and (tensor.constant or self._is_widened(tensor))

    def runtime(self, operator: OperatorView) -> list[TensorView]:
        """The inputs that are there and are no constants to the delegate."""
        return [tensor for tensor in operator.inputs if tensor is not None and not self.is_constant(tensor)]

    def constants(self, operator: OperatorView) -> list[TensorView]:
        return [tensor for tensor in operator.inputs if tensor is not None and self.is_constant(tensor)]

    def stored_type(self, tensor: TensorView) -> str:
        """The type of a constant as the delegate reads it: float16 if the model only widens it."""
        return "float16" if self._is_widened(tensor) else tensor.dtype

    def _is_widened(self, tensor: TensorView) -> bool:
        maker = self.makers.get(tensor.index)
        return maker is not None and self.is_free(maker)


Check = Callable[[OperatorView, Context], Iterable[Violation]]


def broken(*rows: tuple[object, str, str]) -> list[Violation]:
    """The violations of a table: of each row whether the rule is broken, its name, and the detail."""
    return [Violation(rule, detail) for is_broken, rule, detail in rows if is_broken]


def with_inputs(count: int) -> Callable[[Callable[..., Iterable[Violation]]], Check]:
    """A check that also gets the operator's first `count` inputs; it finds nothing if one of them is missing."""

    def decorate(check: Callable[..., Iterable[Violation]]) -> Check:
        @wraps(check)
        def checked(operator: OperatorView, context: Context) -> Iterable[Violation]:
            inputs = [operator.input(number) for number in range(count)]
            return () if any(tensor is None for tensor in inputs) else check(operator, context, *inputs)

        return checked

    return decorate
