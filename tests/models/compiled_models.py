"""Compiled models for tests: custom operators with machine code behind the flatbuffer, and a stamp in the metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from tests.models.probe import Op, Tensor, build


def compiled(
    path: Path, *, maker: str = "", soc: str = "", code: bytes = b"machine code", operator: str = "DISPATCH_OP",
    stamp: bytes | None = None, on_cpu: bool = False,
) -> Path:  # fmt: skip
    """Write a model with one compiled operator, and one ABS behind it if `on_cpu`; gives its path."""
    x, y = Tensor((1, 4)), Tensor((1, 4))
    data = build([Op(operator, [x], [y]), *([Op("ABS", [y], [Tensor((1, 4))])] if on_cpu else [])])
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    if stamp is None and maker:
        stamp = maker.encode().ljust(125, b"\0") + soc.encode().ljust(125, b"\0")
    if stamp is not None:
        buffer, entry = schema.BufferT(), schema.MetadataT()
        buffer.data = np.frombuffer(stamp, np.uint8)
        model.buffers.append(buffer)
        entry.name, entry.buffer = "LiteRtStamp", len(model.buffers) - 1
        model.metadata = [entry]
    whole = _packed(model, 0, len(code))
    whole = _packed(model, len(whole), len(code))
    path.write_bytes(whole + code)
    return path


def _packed(model: Any, offset: int, size: int) -> bytes:
    options = flexbuffers.Builder()
    with options.Map():
        options.Key("bytecode_size")
        options.UInt(size, 8)
        options.Key("bytecode_offset")
        options.UInt(offset, 8)
        options.Key("name")
        options.String("Partition_0")
    model.subgraphs[0].operators[0].customOptions = np.frombuffer(bytes(options.Finish()), np.uint8)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
