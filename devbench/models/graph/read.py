"""Reads a .tflite into a `ModelView`; knows nothing of what the view is used for.

Only the tables of the file and its small constants are read; `graph.tables` bounds the walk.
"""

from __future__ import annotations

import inspect
import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from devbench.models.graph.tables import DamagedModel, FlatTable, open_tables
from devbench.models.graph.view import (
    GraphView,
    ModelView,
    OperatorCode,
    OperatorView,
    SignatureView,
    StoredBuffer,
    TensorView,
    numbered_names,
    operator_names,
    type_name,
)

_MAX_RANK = 32
_MAX_TEXT_BYTES = 300
# Axes, paddings, permutations and sizes have fewer values; larger integer constants are data.
_MAX_VALUES = 64
_WHOLE_NUMBERS = {"int32": "i", "int64": "q"}


def read_model(path: Path) -> ModelView:
    """The model in the file at `path`.

    Raises:
        InputError: the file is missing or empty, or its flatbuffer cannot be followed.
    """
    with open_tables(path) as model:
        size = len(model.data)
        codes = tuple(map(_code, model.each("codes")))
        buffers = tuple(_buffer(one, size) for one in model.each("buffers"))
        graphs = tuple(_graph(graph, codes, buffers) for graph in model.each("graphs"))
        if not graphs:
            raise DamagedModel("it has no graph")
        return ModelView(
            graphs=graphs,
            size_bytes=size,
            schema_version=model.number("version"),
            description=_text(model, "description"),
            codes=codes,
            signatures=tuple(map(_signature, model.each("signatures"))),
            metadata=tuple(
                (_text(one, "name"), _stored(buffers, one.number("buffer")).size) for one in model.each("metadata")
            ),
            buffers=buffers,
        )


def _text(table: FlatTable, field: str) -> str:
    return table.text(field, _MAX_TEXT_BYTES)


def _code(code: FlatTable) -> OperatorCode:
    # Numbers over 126 are in the second field; old files have only the first.
    number = max(code.number("code"), code.number("old_code"))
    name, version = operator_names().get(number, f"OPERATOR_{number}"), code.number("version", 1)
    if name != "CUSTOM":
        return OperatorCode(name, version, custom=False)
    return OperatorCode(_text(code, "custom_code") or "CUSTOM", version, custom=True)


def _buffer(buffer: FlatTable, file_bytes: int) -> StoredBuffer:
    start, size = buffer.number("offset"), buffer.number("size")
    outside = start > 1  # 0 and 1 mean: inside the flatbuffer
    if not outside:
        start, size = buffer.span("data")
    if start + size > file_bytes:
        raise DamagedModel("a buffer lies beyond its end")
    return StoredBuffer(start, size, outside)


def _stored(buffers: Sequence[StoredBuffer], number: int) -> StoredBuffer:
    if number >= len(buffers):
        raise DamagedModel("a tensor names a buffer that is not there")
    return buffers[number]


def _graph(graph: FlatTable, codes: Sequence[OperatorCode], buffers: Sequence[StoredBuffer]) -> GraphView:
    tensors = tuple(_tensor(one, index, buffers) for index, one in enumerate(graph.each("tensors")))
    operators = tuple(_operator(one, index, codes, tensors) for index, one in enumerate(graph.each("operators")))
    inputs, outputs = graph.numbers("inputs"), graph.numbers("outputs")
    if any(not 0 <= number < len(tensors) for number in (*inputs, *outputs)):
        raise DamagedModel("its inputs or outputs are tensors that are not there")
    return GraphView(operators, tensors, inputs, outputs, _text(graph, "name"))


def _tensor(tensor: FlatTable, index: int, buffers: Sequence[StoredBuffer]) -> TensorView:
    if max(tensor.count("shape"), tensor.count("shape_signature")) > _MAX_RANK:
        raise DamagedModel(f"a tensor has more than {_MAX_RANK} dimensions")
    shape, dtype = tensor.numbers("shape"), type_name(tensor.number("type"))
    number, quantization = tensor.number("buffer"), tensor.table("quantization")
    stored = _stored(buffers, number)
    constant = number > 0 and stored.start > 0
    return TensorView(
        index=index,
        shape=shape,
        dtype=dtype,
        name=_text(tensor, "name"),
        constant=constant,
        dynamic=any(extent < 0 for extent in (*shape, *tensor.numbers("shape_signature"))),
        variable=bool(tensor.number("is_variable")),
        scales=quantization.span("scale")[1] if quantization else 0,
        sparse=tensor.table("sparsity") is not None,
        blockwise=quantization is not None and quantization.number("details_type") != 0,
        values=_values(tensor.data, dtype, stored) if constant else None,
        buffer=number,
        stored_bytes=stored.size,
    )


def _values(data: Any, dtype: str, stored: StoredBuffer) -> tuple[int, ...] | None:
    """The values of a small integer constant."""
    form = _WHOLE_NUMBERS.get(dtype)
    count, rest = divmod(stored.size, struct.calcsize(f"<{form}")) if form else (0, 1)
    return None if rest or count > _MAX_VALUES else struct.unpack_from(f"<{count}{form}", data, stored.start)


def _operator(one: FlatTable, index: int, codes: Sequence[OperatorCode], tensors: Sequence[TensorView]) -> OperatorView:
    inputs, outputs, number = one.numbers("inputs"), one.numbers("outputs"), one.number("code")
    if any(not -1 <= tensor < len(tensors) for tensor in inputs) or any(
        not 0 <= tensor < len(tensors) for tensor in outputs
    ):
        raise DamagedModel("an operator names a tensor that is not there")
    if number >= len(codes):
        raise DamagedModel("an operator names a type that is not there")
    return OperatorView(
        index=index,
        type=codes[number].type,
        inputs=tuple(None if tensor < 0 else tensors[tensor] for tensor in inputs),
        outputs=tuple(tensors[tensor] for tensor in outputs),
        version=codes[number].version,
        options=_options(one),
        custom=codes[number].custom,
    )


def _options(one: FlatTable) -> dict[str, int | float | bool]:
    from ai_edge_litert import schema_py_generated as schema

    kind = numbered_names(schema.BuiltinOptions).get(one.number("options_type"), "NONE")
    table = one.table("options") if kind != "NONE" else None
    if table is None:
        return {}
    options = getattr(schema, kind)()
    options.Init(table.data, table.at)
    return {name: getattr(options, accessor)() for name, accessor in _single_values(getattr(schema, f"{kind}T"))}


@cache
def _single_values(kind: type) -> tuple[tuple[str, str], ...]:
    """Names and accessors of the options that are one value each; lists begin as `None` in the generated classes."""
    fields = inspect.signature(kind).parameters.values()
    return tuple((one.name, one.name[0].upper() + one.name[1:]) for one in fields if one.default is not None)


def _signature(one: FlatTable) -> SignatureView:
    inputs, outputs = (
        tuple((_text(entry, "name"), entry.number("tensor")) for entry in one.each(side))
        for side in ("inputs", "outputs")
    )
    return SignatureView(_text(one, "key"), one.number("graph"), inputs, outputs)
