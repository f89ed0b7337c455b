"""One subgraph of a .tflite that can be edited: operators by kind, tensors by number, their producers and consumers.

Operators are the schema's `OperatorT`; a tensor is its number in the subgraph. New operators are put before an existing
operator, so that the order of execution stays right. `compact` drops what is no longer used when all edits are done.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from devbench.models.graph.file import int_list
from devbench.models.graph.view import TYPES, operator_names, shape_text, type_name

Shape = tuple[int, ...]
# Operators with an effect other than their outputs: they stay even if the outputs are not used.
_LASTING = {
    "CUSTOM", "CALL", "CALL_ONCE", "IF", "WHILE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "HASHTABLE",
    "HASHTABLE_IMPORT", "STABLEHLO_COMPOSITE", "STABLEHLO_CUSTOM_CALL", "DELEGATE",
}  # fmt: skip
# The old field for an operator's number ends here; a larger number is in the new field.
_PLACEHOLDER = 127


class Graph:
    """A subgraph of `model` that is being edited."""

    def __init__(self, model: Any, index: int = 0) -> None:
        self.model = model
        self._graph = model.subgraphs[index]
        # Whether it is the graph that a run of the model executes.
        self.is_main = index == 0
        self.inputs: tuple[int, ...] = tuple(self._graph.inputs)
        self.outputs: tuple[int, ...] = tuple(self._graph.outputs)
        # By their ids; a removed operator is kept, so that no new one gets its id.
        self._removed: dict[int, Any] = {}
        self._constants: dict[tuple[str, Shape, bytes], int] = {}
        self._producers: dict[int, Any] = {}
        self._consumers: dict[int, list[Any]] = {}
        for operator in self._graph.operators:
            self._enter(operator)

    def _enter(self, operator: Any) -> None:
        self._producers.update(dict.fromkeys(operator.outputs, operator))
        for tensor in set(operator.inputs):
            self._consumers.setdefault(tensor, []).append(operator)

    def operators(self, *wanted: str) -> Iterator[Any]:
        """The operators of the kinds `wanted`, or all, in the order of execution; the graph may be edited meanwhile."""
        for operator in tuple(self._graph.operators):
            if id(operator) not in self._removed and (not wanted or self.kind(operator) in wanted):
                yield operator

    def kind(self, operator: Any) -> str:
        return kind_of(self.model.operatorCodes[operator.opcodeIndex])

    def version(self, operator: Any) -> int:
        return int(self.model.operatorCodes[operator.opcodeIndex].version)

    def tensor(self, number: int) -> Any:
        """The schema's `TensorT`."""
        return self._graph.tensors[number]

    def shape(self, number: int) -> Shape:
        return tuple(int_list(self.tensor(number).shape))

    def dtype(self, number: int) -> str:
        return type_name(self.tensor(number).type)

    def size_text(self, number: int) -> str:
        """The shape to show: `1×32×32×4`."""
        return shape_text(self.shape(number))

    def is_fixed(self, *numbers: int) -> bool:
        """Whether the shapes are the same in every run."""
        signatures = [self.tensor(number).shapeSignature for number in numbers]
        is_open = any(size < 0 for signature in signatures if signature is not None for size in signature)
        return not is_open and all(math.prod(self.shape(number)) > 0 for number in numbers)

    def name(self, number: int) -> str:
        name = self.tensor(number).name
        return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name or "")

    def producer(self, tensor: int, *kinds: str) -> Any | None:
        """The operator that makes it; `None` if it is not of one of `kinds`."""
        operator = self._producers.get(tensor)
        return operator if operator is not None and (not kinds or self.kind(operator) in kinds) else None

    def consumers(self, tensor: int) -> tuple[Any, ...]:
        return tuple(self._consumers.get(tensor, ()))

    def is_constant(self, tensor: int) -> bool:
        return tensor >= 0 and self.model.buffers[self.tensor(tensor).buffer].data is not None

    def constant(self, tensor: int, dtype: str = "") -> NDArray[Any] | None:
        """The values of a dense constant of a NumPy type (only `dtype` if given), mapped from the file; else `None`."""
        if not self.is_constant(tensor) or self.tensor(tensor).sparsity is not None:
            return None
        if dtype not in ("", self.dtype(tensor)):
            return None
        try:
            kind = np.dtype(self.dtype(tensor))
            data = np.ascontiguousarray(self.model.buffers[self.tensor(tensor).buffer].data)
            return data.view(kind).reshape(self.shape(tensor))
        except (TypeError, ValueError):
            return None

    def scalar(self, tensor: int) -> float | None:
        """The value of a constant of one element; `None` for others."""
        values = self.constant(tensor)
        return float(values.reshape(())) if values is not None and values.size == 1 else None

    def add_tensor(self, name: str, shape: Sequence[int], dtype: str = "float32", like: int | None = None) -> int:
        """A new tensor without data; `like` gives type and quantisation."""
        tensor = schema.TensorT(shape=[int(size) for size in shape], name=name.encode(), hasRank=True)
        tensor.type = TYPES.index(dtype)
        if like is not None:
            tensor.type, tensor.quantization = self.tensor(like).type, self.tensor(like).quantization
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def add_constant(self, name: str, values: NDArray[Any], *, shared: bool = True) -> int:
        """A new constant tensor; if `shared`, an equal small one that was made before."""
        values = np.ascontiguousarray(values)
        data = np.frombuffer(values.tobytes(), np.uint8)
        key = (str(values.dtype), values.shape, data.tobytes()) if shared and data.size <= 4096 else None
        if key in self._constants:
            return self._constants[key]
        number = self.add_tensor(name, values.shape, str(values.dtype))
        self.model.buffers.append(schema.BufferT(data=data))
        self.tensor(number).buffer = len(self.model.buffers) - 1
        if key:
            self._constants[key] = number
        return number

    def add_operator(
        self,
        before: Any,
        kind: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: Any = None,
        version: int = 1,
    ) -> Any:
        """A new operator, executed just before the operator `before`, or last without one."""
        operator = schema.OperatorT(
            opcodeIndex=self._opcode(kind, version), inputs=list(inputs), outputs=list(outputs), builtinOptions=options
        )
        if options is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        there = self._graph.operators
        there.insert(len(there) if before is None else there.index(before), operator)
        self._enter(operator)
        return operator

    def set_version(self, operator: Any, version: int) -> None:
        operator.opcodeIndex = self._opcode(self.kind(operator), version)

    def set_inputs(self, operator: Any, inputs: Sequence[int]) -> None:
        """Replaces the inputs of `operator`."""
        for tensor in set(operator.inputs):
            self._consumers[tensor].remove(operator)
        operator.inputs = list(inputs)
        for tensor in set(inputs):
            self._consumers.setdefault(tensor, []).append(operator)

    def remove(self, operator: Any) -> None:
        """Removes `operator`, and the operators whose outputs only it used."""
        self._removed[id(operator)] = operator
        self._graph.operators.remove(operator)
        for tensor in operator.outputs:
            if self._producers.get(tensor) is operator:
                del self._producers[tensor]
        for tensor in set(operator.inputs):
            self._consumers[tensor].remove(operator)
            self.sweep(tensor)

    def sweep(self, tensor: int) -> None:
        """Removes the operator that makes `tensor` if its outputs are no longer used."""
        maker = self._producers.get(tensor)
        if maker is None or self.kind(maker) in _LASTING:
            return
        if not any(self._consumers.get(made) or made in self.outputs for made in maker.outputs):
            self.remove(maker)

    def redirect(self, old: int, new: int) -> None:
        """Replaces `old` by `new` in every operator that uses it; outputs of the graph stay."""
        for operator in self.consumers(old):
            self.set_inputs(operator, [new if tensor == old else tensor for tensor in operator.inputs])
        self.sweep(old)

    def _opcode(self, kind: str, version: int) -> int:
        number = next(number for number, name in operator_names().items() if name == kind)
        for index, code in enumerate(self.model.operatorCodes):
            if kind_of(code) == kind and code.version == version:
                return index
        self.model.operatorCodes.append(
            schema.OperatorCodeT(deprecatedBuiltinCode=min(number, _PLACEHOLDER), builtinCode=number, version=version)
        )
        return len(self.model.operatorCodes) - 1


def kind_of(code: Any) -> str:
    """The schema's name of the operator that an `OperatorCodeT` declares."""
    return operator_names().get(max(code.builtinCode, code.deprecatedBuiltinCode), "UNKNOWN")


def unused_codes(model: Any) -> list[int]:
    """The places of the operator codes that no operator of any graph has."""
    used = {operator.opcodeIndex for graph in model.subgraphs for operator in graph.operators}
    return [index for index in range(len(model.operatorCodes)) if index not in used]


def drop_codes(model: Any) -> None:
    """Drop operator codes that no operator has: a runtime that does not know one of them does not load the model."""
    kept = sorted({*range(len(model.operatorCodes))} - {*unused_codes(model)})
    for graph in model.subgraphs:
        for operator in graph.operators:
            operator.opcodeIndex = kept.index(operator.opcodeIndex)
    model.operatorCodes = [model.operatorCodes[index] for index in kept]


def compact(model: Any) -> None:
    """Drop operator codes, tensors and buffers that nothing refers to any more, and renumber what is left."""
    drop_codes(model)
    kept: dict[int, int] = {0: 0}
    for index, graph in enumerate(model.subgraphs):
        used = set(graph.inputs) | set(graph.outputs)
        for operator in graph.operators:
            used.update(operator.inputs, operator.outputs, int_list(operator.intermediates))
        signatures = [one for one in model.signatureDefs or () if one.subgraphIndex == index]
        entries = [entry for one in signatures for entry in (*(one.inputs or ()), *(one.outputs or ()))]
        used.update(entry.tensorIndex for entry in entries)
        order = sorted(used - {-1})
        places = {old: new for new, old in enumerate(order)} | {-1: -1}
        graph.tensors = [graph.tensors[number] for number in order]
        for one in (graph, *graph.operators):
            one.inputs, one.outputs = ([places[number] for number in side] for side in (one.inputs, one.outputs))
        for operator in graph.operators:
            if operator.intermediates is not None:
                operator.intermediates = [places[number] for number in int_list(operator.intermediates)]
        for entry in entries:
            entry.tensorIndex = places[entry.tensorIndex]
        for tensor in graph.tensors:
            tensor.buffer = kept.setdefault(tensor.buffer, len(kept))
    # This metadata refers to operators by their numbers, which have changed.
    model.metadata = [one for one in model.metadata or () if one.name != b"model_control_dependencies"]
    for one in model.metadata:
        one.buffer = kept.setdefault(one.buffer, len(kept))
    if model.metadataBuffer is not None:
        model.metadataBuffer = [kept.setdefault(int(number), len(kept)) for number in model.metadataBuffer]
    model.buffers = [model.buffers[number] for number in kept]
