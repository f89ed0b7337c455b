"""Reads a .tflite into a `ModelView`; knows the flatbuffer and nothing of what the view is used for.

The file is mapped and never read whole: of a model of gigabytes only its tables and its small constants are touched.
A damaged or hostile file can name lengths and places that are not there, so that every vector is held against the
file's size, every text is cut, and tables are counted: the work is bounded by `_MOST_TABLES` and the file's size.
"""

from __future__ import annotations

import inspect
import mmap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from devbench.errors import InputError
from devbench.models.graph_view import (
    GraphView,
    ModelView,
    OperatorCode,
    OperatorView,
    SignatureView,
    TensorView,
)

# The largest models in the field have some ten thousand operators; beyond this a file is not a model.
_MOST_TABLES = 300_000
_MOST_RANK = 32
_MOST_TEXT = 300
# Larger whole-number constants are data; axes, paddings, permutations and sizes are smaller.
_MOST_VALUES = 64
_WHOLE_NUMBERS = {"int32": 4, "int64": 8}
# Where a text stands in its table, by the schema (a field's number times two plus four).
_SLOT = {"Tensor": 10, "OperatorCode": 6, "SubGraph": 12, "Model": 10, "SignatureDef": 8, "TensorMap": 4, "Metadata": 4}


class _NotAModelError(Exception):
    """What a damaged file says cannot be."""


def read_model(path: Path) -> ModelView:
    """The model in the file at `path`.

    Raises:
        InputError: the file is missing or empty, or its flatbuffer cannot be followed.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data).model()
    except FileNotFoundError:
        raise InputError(f"model {path} does not exist", hint="check the path") from None
    except OSError as error:
        raise InputError(f"model {path} cannot be read: {error.strerror or error}", hint="check the path") from None
    except Exception as error:
        # The generated accessors follow whatever a damaged file says, and fail in as many ways as there are bytes.
        said = str(error) if isinstance(error, _NotAModelError) else "its flatbuffer cannot be followed"
        raise InputError(f"model {path} is damaged: {said}", hint="is the file whole? copy it again") from None


class _Reader:
    """One pass over one mapped file; counts the tables that it has read."""

    def __init__(self, data: mmap.mmap) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._data = data
        self._size = len(data)
        self._schema = schema
        self._tables = 0
        self._types = _names(schema.TensorType)
        self._builtins = _names(schema.BuiltinOperator)
        self._option_kinds = _names(schema.BuiltinOptions)

    def model(self) -> ModelView:
        if self._size < 8 or self._data[4:8] != b"TFL3":
            raise _NotAModelError("it has no TFL3 identifier")
        model = self._schema.Model.GetRootAs(self._data)
        codes = self._each(model.OperatorCodes, model.OperatorCodesLength(), self._code)
        buffers = self._each(model.Buffers, model.BuffersLength(), self._buffer)
        graphs = self._each(model.Subgraphs, model.SubgraphsLength(), lambda graph: self._graph(graph, codes, buffers))
        if not graphs:
            raise _NotAModelError("it has no graph")
        signatures = self._each(model.SignatureDefs, model.SignatureDefsLength(), self._signature)
        metadata = self._each(
            model.Metadata,
            model.MetadataLength(),
            lambda one: (_text(one, "Metadata"), _size_of(buffers, one.Buffer())),
        )
        outside = [size for _, size, is_outside in buffers if is_outside]
        return ModelView(
            graphs=tuple(graphs),
            size_bytes=self._size,
            schema_version=int(model.Version()),
            description=_text(model, "Model"),
            codes=tuple(codes),
            signatures=tuple(signatures),
            metadata=tuple(metadata),
            buffers=len(buffers),
            buffers_outside=len(outside),
            bytes_outside=sum(outside),
        )

    def _each(self, entry: Callable[[int], Any], count: int, read: Callable[[Any], Any]) -> list[Any]:
        """`read` of every table of a vector, within the bound of all tables."""
        self._tables += count
        if count < 0 or 4 * count > self._size or self._tables > _MOST_TABLES:
            raise _NotAModelError("it claims more tables than there can be")
        return [read(entry(number)) for number in range(count)]

    def _numbers(self, vector: Callable[[], Any], length: int) -> tuple[int, ...]:
        """The whole numbers of a vector."""
        self._tables += length // 64
        if 4 * length > self._size or self._tables > _MOST_TABLES:
            raise _NotAModelError("it claims longer lists than there can be")
        return tuple(vector().tolist()) if length else ()

    def _code(self, code: Any) -> OperatorCode:
        # Numbers over 126 stand in the second field; files before there was one have only the first.
        number = max(int(code.BuiltinCode()), int(code.DeprecatedBuiltinCode()))
        name = self._builtins.get(number, f"OPERATOR_{number}")
        if name != "CUSTOM":
            return OperatorCode(name, int(code.Version()), custom=False)
        return OperatorCode(_text(code, "OperatorCode") or "CUSTOM", int(code.Version()), custom=True)

    def _buffer(self, buffer: Any) -> tuple[int, int, bool]:
        """Where a buffer's bytes begin in the file, how many they are, and whether they lie behind the flatbuffer.

        It begins at 0 where there are none; a constant without elements has a place and no bytes.
        """
        offset, size = int(buffer.Offset()), int(buffer.Size())
        if offset > 1:  # 0 and 1 stand for none
            if offset + size > self._size:
                raise _NotAModelError("a buffer lies beyond its end")
            return offset, size, True
        slot = buffer._tab.Offset(4)
        length = int(buffer.DataLength())
        start = int(buffer._tab.Vector(slot)) if slot else 0
        if start + length > self._size:
            raise _NotAModelError("a buffer lies beyond its end")
        return start, length, False

    def _graph(self, graph: Any, codes: list[Any], buffers: list[Any]) -> GraphView:
        numbers = iter(range(_MOST_TABLES))
        tensors = self._each(
            graph.Tensors, graph.TensorsLength(), lambda tensor: self._tensor(tensor, next(numbers), buffers)
        )
        places = iter(range(_MOST_TABLES))
        operators = self._each(
            graph.Operators, graph.OperatorsLength(), lambda one: self._operator(one, next(places), codes, tensors)
        )
        edges = [
            self._numbers(graph.InputsAsNumpy, graph.InputsLength()),
            self._numbers(graph.OutputsAsNumpy, graph.OutputsLength()),
        ]
        if any(not 0 <= number < len(tensors) for side in edges for number in side):
            raise _NotAModelError("its inputs or outputs are tensors that are not there")
        return GraphView(tuple(operators), tuple(tensors), edges[0], edges[1], _text(graph, "SubGraph"))

    def _tensor(self, tensor: Any, index: int, buffers: list[Any]) -> TensorView:
        if tensor.ShapeLength() > _MOST_RANK or tensor.ShapeSignatureLength() > _MOST_RANK:
            raise _NotAModelError(f"a tensor has more than {_MOST_RANK} dimensions")
        shape = self._numbers(tensor.ShapeAsNumpy, tensor.ShapeLength())
        signature = self._numbers(tensor.ShapeSignatureAsNumpy, tensor.ShapeSignatureLength())
        dtype = self._types.get(int(tensor.Type()), "unknown").lower()
        buffer = int(tensor.Buffer())
        stored = _size_of(buffers, buffer)
        quantisation = tensor.Quantization()
        return TensorView(
            index=index,
            shape=shape,
            dtype=dtype,
            name=_text(tensor, "Tensor"),
            constant=buffer > 0 and buffers[buffer][0] > 0,
            dynamic=any(extent < 0 for extent in (*shape, *signature)),
            variable=bool(tensor.IsVariable()),
            scales=0 if quantisation is None else int(quantisation.ScaleLength()),
            sparse=tensor.Sparsity() is not None,
            blockwise=quantisation is not None and int(quantisation.DetailsType()) != 0,
            values=self._values(dtype, buffers[buffer]) if buffer and buffers[buffer][0] else None,
            buffer=buffer,
            stored_bytes=stored,
        )

    def _values(self, dtype: str, buffer: tuple[int, int, bool]) -> tuple[int, ...] | None:
        """The values of a small whole-number constant."""
        import numpy as np

        start, size, _ = buffer
        width = _WHOLE_NUMBERS.get(dtype)
        if width is None or size > width * _MOST_VALUES or size % width:
            return None
        return tuple(np.frombuffer(self._data[start : start + size], f"<i{width}").tolist())

    def _operator(self, one: Any, index: int, codes: list[Any], tensors: list[Any]) -> OperatorView:
        inputs = self._numbers(one.InputsAsNumpy, one.InputsLength())
        outputs = self._numbers(one.OutputsAsNumpy, one.OutputsLength())
        code = int(one.OpcodeIndex())
        if any(not -1 <= number < len(tensors) for number in inputs) or any(
            not 0 <= number < len(tensors) for number in outputs
        ):
            raise _NotAModelError("an operator names a tensor that is not there")
        if not 0 <= code < len(codes):
            raise _NotAModelError("an operator names a type that is not there")
        return OperatorView(
            index=index,
            type=codes[code].type,
            inputs=tuple(None if number < 0 else tensors[number] for number in inputs),
            outputs=tuple(tensors[number] for number in outputs),
            version=codes[code].version,
            options=self._options(one),
            custom=codes[code].custom,
        )

    def _options(self, one: Any) -> dict[str, int | float | bool]:
        kind = self._option_kinds.get(int(one.BuiltinOptionsType()), "NONE")
        table = one.BuiltinOptions() if kind != "NONE" else None
        if table is None:
            return {}
        options = getattr(self._schema, kind)()
        options.Init(table.Bytes, table.Pos)
        return {
            name: getattr(options, accessor)() for name, accessor in _single_values(getattr(self._schema, f"{kind}T"))
        }

    def _signature(self, one: Any) -> SignatureView:
        def names(entry: Any) -> tuple[str, int]:
            return _text(entry, "TensorMap"), int(entry.TensorIndex())

        return SignatureView(
            key=_text(one, "SignatureDef"),
            graph=int(one.SubgraphIndex()),
            inputs=tuple(self._each(one.Inputs, one.InputsLength(), names)),
            outputs=tuple(self._each(one.Outputs, one.OutputsLength(), names)),
        )


def _size_of(buffers: list[Any], number: int) -> int:
    if number >= len(buffers):
        raise _NotAModelError("a tensor names a buffer that is not there")
    return int(buffers[number][1])


def _text(table: Any, kind: str) -> str:
    """The name in a table, cut: it may be as long as the file."""
    tab = table._tab
    slot = tab.Offset(_SLOT[kind])
    if not slot:
        return ""
    start, length = tab.Vector(slot), tab.VectorLen(slot)
    return bytes(tab.Bytes[start : start + min(length, _MOST_TEXT)]).decode("utf-8", "replace")


def _names(enum: type) -> dict[int, str]:
    return {number: name for name, number in vars(enum).items() if isinstance(number, int)}


@cache
def _single_values(kind: type) -> tuple[tuple[str, str], ...]:
    """Names and accessors of the options that are one value each; lists begin as `None` in the generated classes."""
    fields = inspect.signature(kind).parameters.values()
    return tuple((one.name, one.name[0].upper() + one.name[1:]) for one in fields if one.default is not None)
