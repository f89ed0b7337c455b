"""What a rule may know besides its operator: who makes a tensor and who reads it, and which tensors are constants."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from devbench.models.graph.view import GraphView, OperatorView, TensorView


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule's name, and what of the operator it is against."""

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
    readers: Mapping[int, tuple[OperatorView, ...]]
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
        handed_over = frozenset(graph.inputs) if is_handed_over else frozenset()
        return cls(graph, makers, {index: tuple(several) for index, several in readers.items()}, known, handed_over)

    def is_free(self, operator: OperatorView) -> bool:
        """Whether it only widens a constant of fp16: the delegate takes the constant itself and drops the operator."""
        if operator.type != "DEQUANTIZE" or len(operator.inputs) != 1:
            return False
        source = operator.inputs[0]
        return source is not None and source.constant and source.dtype == "float16"

    def is_constant(self, tensor: TensorView | None) -> bool:
        """Whether the delegate sees a constant: one of the model's, or one that is only widened from fp16."""
        if tensor is None:
            return False
        maker = self.makers.get(tensor.index)
        return tensor.constant or (maker is not None and self.is_free(maker))

    def runtime(self, operator: OperatorView) -> list[TensorView]:
        """The inputs that are there and are no constants to the delegate."""
        return [tensor for tensor in operator.inputs if tensor is not None and not self.is_constant(tensor)]

    def constants(self, operator: OperatorView) -> list[TensorView]:
        return [tensor for tensor in operator.inputs if self.is_constant(tensor) and tensor is not None]

    def stored_type(self, tensor: TensorView) -> str:
        """The type of a constant as the delegate reads it: float16 where the model only widens it."""
        maker = self.makers.get(tensor.index)
        return "float16" if maker is not None and self.is_free(maker) else tensor.dtype
