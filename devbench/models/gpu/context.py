"""What a rule may know besides its operator: who makes a tensor and who reads it, and which constants are fp16."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from devbench.models.graph_view import GraphView, OperatorView, TensorView


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule's name, and what of the operator it is against."""

    rule: str
    detail: str


@dataclass(frozen=True, slots=True)
class Context:
    """The graph around an operator."""

    graph: GraphView
    makers: Mapping[int, OperatorView]
    readers: Mapping[int, tuple[OperatorView, ...]]

    @classmethod
    def of(cls, graph: GraphView) -> Context:
        makers = {tensor.index: operator for operator in graph.operators for tensor in operator.outputs}
        readers: dict[int, list[OperatorView]] = defaultdict(list)
        for operator in graph.operators:
            for index in {tensor.index for tensor in operator.inputs if tensor is not None}:
                readers[index].append(operator)
        return cls(graph, makers, {index: tuple(several) for index, several in readers.items()})

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
