"""A .tflite file as objects that can be edited, and back; files beyond 2 GB too; knows no operator.

A buffer's bytes lie in the flatbuffer itself, or anywhere in the file where the buffer's `offset` and `size` point to;
the latter is how files grow beyond the 2 GB of a flatbuffer. What is read stays in the file, mapped: only what is
changed is in memory.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from devbench.errors import InputError
from devbench.host.whole_files import aside, other_than_file
from devbench.models.graph.tables import DamagedModel, as_input_error, root_table

# Offsets in a flatbuffer are signed 32-bit numbers; the rest of the file needs some room, too.
MAX_INLINE_BYTES = 1_900_000_000
_ALIGNMENT = 64


def load_model(path: Path) -> Any:
    """The model as the schema's `ModelT`; the data of its buffers are uint8 arrays over the mapped file.

    Raises:
        InputError: there is no such file, or it cannot be followed.
    """
    with as_input_error(path):
        if other := other_than_file(path):
            raise InputError(f"model {path} is {other}", hint="give the .tflite file itself")
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        root_table(data)
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
        whole = np.frombuffer(data, np.uint8)
        for buffer in model.buffers:
            if buffer.offset + buffer.size > whole.size:
                raise DamagedModel("a buffer lies beyond its end")
            if buffer.offset > 1:
                buffer.data = whole[buffer.offset : buffer.offset + buffer.size]
            buffer.offset = buffer.size = 0
        for graph in model.subgraphs:
            _to_lists(graph)
            _check_numbers(model, graph)
    return model


def save_model(model: Any, path: Path) -> int:
    """Write the model; gives its size in bytes. Nothing is left at `path` if writing fails.

    Raises:
        EnvironmentProblem: it cannot be written.
    """
    with aside(path) as part, part.open("wb") as file:
        file.writelines(_pieces(model))
    return path.stat().st_size


def _to_lists(graph: Any) -> None:
    """Turns arrays of the generated reader into lists, which can be edited."""
    graph.inputs, graph.outputs = int_list(graph.inputs), int_list(graph.outputs)
    graph.operators = graph.operators or []
    graph.tensors = graph.tensors or []
    for operator in graph.operators:
        operator.inputs, operator.outputs = int_list(operator.inputs), int_list(operator.outputs)
        if operator.largeCustomOptionsOffset:
            raise InputError("custom options outside the flatbuffer are not supported", hint="rewrite another model")


def _check_numbers(model: Any, graph: Any) -> None:
    """Raises DamagedModel if a number is out of range, since the rest of devbench relies on them."""
    numbers = {
        "operator code": (len(model.operatorCodes), [one.opcodeIndex for one in graph.operators]),
        "tensor": (
            len(graph.tensors),
            [*graph.inputs, *graph.outputs]
            + [number for one in graph.operators for number in (*one.inputs, *one.outputs) if number != -1],
        ),
        "buffer": (len(model.buffers), [tensor.buffer for tensor in graph.tensors]),
    }
    for what, (count, named) in numbers.items():
        if wrong := [number for number in named if not 0 <= number < count]:
            raise DamagedModel(f"it names {what} {wrong[0]} of {count}")
    if any(size < 0 for tensor in graph.tensors for size in int_list(tensor.shape)):
        raise DamagedModel("it has a tensor of negative size")


def int_list(numbers: Iterable[int] | None) -> list[int]:
    """The numbers of a list or an array of the schema's objects."""
    return [] if numbers is None else [int(number) for number in numbers]


def _pieces(model: Any) -> list[Any]:
    """The parts of the file in order: the flatbuffer, then the buffers that are outside it."""
    inline = sum(buffer.data.size for buffer in model.buffers if buffer.data is not None)
    if inline <= MAX_INLINE_BYTES:
        return [_packed(model, inline, {})]
    # Zero fields are not written: offsets and sizes must not be zero for the flatbuffer to have its final length.
    outside = {number: (1, 1) for number, buffer in enumerate(model.buffers) if buffer.data is not None}
    length = len(_packed(model, 0, outside))
    pieces: list[Any] = []
    at = length
    for number in outside:
        data, gap = model.buffers[number].data, -at % _ALIGNMENT
        pieces += [b"\0" * gap, data]
        outside[number] = (at + gap, data.size)
        at += gap + data.size
    return [_packed(model, 0, outside), *pieces]


def _packed(model: Any, inline_bytes: int, outside: dict[int, tuple[int, int]]) -> memoryview:
    buffers = model.buffers
    try:
        model.buffers = [
            _AlignedBuffer(None, *outside[number]) if number in outside else _AlignedBuffer(buffer.data, 0, 0)
            for number, buffer in enumerate(buffers)
        ]
        builder = flatbuffers.Builder(inline_bytes + 64 * len(buffers) + (1 << 20))
        builder.Finish(schema.ModelT.Pack(model, builder), file_identifier=b"TFL3")
    finally:
        model.buffers = buffers
    return memoryview(builder.Bytes)[builder.Head() :]


class _AlignedBuffer(schema.BufferT):  # type: ignore[misc]
    """Packs a buffer as the schema asks for, aligned to 16 bytes, which the generated code does not do."""

    def Pack(self, builder: Any) -> int:
        place = None
        if self.data is not None:
            count = int(self.data.size)
            builder.StartVector(1, count, 16)
            builder.head = builder.Head() - count
            builder.Bytes[builder.Head() : builder.Head() + count] = self.data.data
            builder.vectorNumElems = count
            place = builder.EndVector()
        schema.BufferStart(builder)
        if place is not None:
            schema.BufferAddData(builder, place)
        schema.BufferAddOffset(builder, self.offset)
        schema.BufferAddSize(builder, self.size)
        return int(schema.BufferEnd(builder))
