"""The operators of one inference as LiteRT's profiler records them; knows no model and no flags."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# Kinds of profiler events that are operators (tflite::Profiler::EventType).
_CPU_OPERATOR, _DELEGATE_OPERATOR = 2, 8


class ProfilerEvent(ctypes.Structure):
    """LiteRtProfilerEvent (litert/c/internal/litert_profiler.h)."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("type", ctypes.c_int32),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("memory_begin", ctypes.c_uint64 * 3),
        ("memory_end", ctypes.c_uint64 * 3),
        ("index", ctypes.c_int64),
        ("graph", ctypes.c_int64),
        ("source", ctypes.c_int32),
    )


@dataclass(frozen=True, slots=True)
class Event:
    """An operator of one inference: `index` is the node on the CPU, else its place in the delegate's `partition`."""

    tag: str
    elapsed_us: int
    index: int
    partition: int | None


def events_of(records: Iterable[ProfilerEvent]) -> list[Event]:
    """The operators among the records; a partition ends where the CPU or another partition goes on."""
    events: list[Event] = []
    partition, last = -1, -1
    for record in records:
        tag = (record.tag or b"").decode("utf-8", "replace")
        if record.type == _CPU_OPERATOR:
            events.append(Event(tag, record.elapsed_us, record.index, None))
            last = -1
        elif record.type == _DELEGATE_OPERATOR:
            if last < 0 or record.index <= last:
                partition += 1
            last = record.index
            events.append(Event(tag, record.elapsed_us, record.index, partition))
    return events


def operator_names(path: str, signature: str = "") -> list[str]:
    """For each operator of a signature's graph (of the main one without) its outputs, as the stock tool shows them."""
    from ai_edge_litert import schema_py_generated as schema

    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        model = schema.Model.GetRootAs(data)
        defined = [model.SignatureDefs(number) for number in range(model.SignatureDefsLength())]
        called = [one.SubgraphIndex() for one in defined if signature and one.SignatureKey() == signature.encode()]
        graph = model.Subgraphs(called[0] if called else 0)
        names = []
        for number in range(graph.OperatorsLength()):
            operator = graph.Operators(number)
            outputs = [graph.Tensors(operator.Outputs(k)).Name() or b"" for k in range(operator.OutputsLength())]
            names.append(", ".join(name.decode("utf-8", "replace") for name in outputs))
        del graph, model, defined
        return names
