"""The protobuf files of newer tools: operator profiles, the runtime's graph with its delegates, the result file.

`BenchmarkProfilingData` and `ModelRuntimeDetails` are messages of `tflite.profiling`, whose classes come with
`ai_edge_litert`. The result file's message has no class in any wheel; its fields are described here (TensorFlow's
`tensorflow/lite/tools/benchmark/proto/benchmark_result.proto`).
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable
from typing import Any

from devbench.numbers import whole
from devbench.tool.measurement import DelegateUse, Measurement, Memory, OpRow, OpTypeRow, Profile, RunStats
from devbench.tool.parse.numbers import finite

_LATENCY = ("avg", "min", "max", "stddev", "median", "p5", "p95", "init", "first_inference", "average_warm_up")


def parse_proto(data: bytes) -> Measurement | None:
    """The measurement in one of the three messages, or `None` for other bytes."""
    for read in (_result, _profiling, _runtime):
        measurement = read(data)
        if measurement is not None:
            return measurement
    return None


# -- BenchmarkProfilingData -----------------------------------------------------------------------------------------


def _profiling(data: bytes) -> Measurement | None:
    message = _parsed(_message_class("profiling_info_pb2", "BenchmarkProfilingData"), data)
    if message is None:
        return None
    init = _profile(message.init_profile) if message.HasField("init_profile") else None
    runs = _profile(message.runtime_profile) if message.HasField("runtime_profile") else None
    if init is None and runs is None:
        return None
    return Measurement("ok", graph=message.model_name or None, profile_init=init, profile_runs=runs)


def _profile(message: Any) -> Profile | None:
    ops = [row for graph in message.subgraph_profiles for row in _rows(graph.per_op_profiles)]
    inside = [row for delegate in message.delegate_profiles for row in _rows(delegate.per_op_profiles)]
    if not ops and not inside:
        return None
    return Profile(tuple(ops), _by_type(ops), len(ops), tuple(inside))


def _rows(profiles: Iterable[Any]) -> list[OpRow]:
    profiles = sorted(profiles, key=lambda op: op.run_order)
    total = sum(_total_us(op) for op in profiles)
    rows, reached = [], 0.0
    for op in profiles:
        share = 100 * _total_us(op) / total if total else None
        reached += share or 0.0
        times = op.inference_microseconds
        has_memory = op.HasField("mem_kb")
        name, _, node = op.name.rpartition(":")
        number = whole(node, maximum=10**9) if name else None
        rows.append(
            OpRow(
                type=op.node_type,
                name=op.name if number is None else name,
                node=number,
                first_ms=finite(times.first / 1000),
                avg_ms=finite(times.avg / 1000),
                pct=share,
                cdf_pct=reached if share is not None else None,
                mem_kb=finite(float(op.mem_kb.avg)) if has_memory else None,
                times_called=op.times_called,
            )
        )
    return rows


def _total_us(op: Any) -> float:
    """The time of all calls in a run: the average is that of one call."""
    return finite(float(op.inference_microseconds.avg) * max(1, op.times_called)) or 0.0


def _by_type(rows: list[OpRow]) -> tuple[OpTypeRow, ...]:
    """The summary by type, as in text, most expensive first."""
    totals: dict[str, list[float]] = {}
    for row in rows:
        calls = max(1.0, row.times_called or 1)
        sums = totals.setdefault(row.type, [0, 0.0, 0.0, 0.0])
        sums[0] += 1
        sums[1] += (row.avg_ms or 0.0) * calls
        sums[2] += row.mem_kb or 0.0
        sums[3] += row.times_called or 0
    whole = sum(sums[1] for sums in totals.values())
    summary, reached = [], 0.0
    for kind, (count, ms, memory, called) in sorted(totals.items(), key=lambda item: -item[1][1]):
        share = 100 * ms / whole if whole else None
        reached += share or 0.0
        summary.append(OpTypeRow(kind, int(count), ms, share, reached if whole else None, memory, called))
    return tuple(summary)


# -- ModelRuntimeDetails --------------------------------------------------------------------------------------------


def _runtime(data: bytes) -> Measurement | None:
    """The graph after delegation: the delegates' nodes and the nodes that they replaced."""
    message = _parsed(_message_class("model_runtime_info_pb2", "ModelRuntimeDetails"), data)
    if message is None or not message.subgraphs:
        return None
    taken: dict[str, list[int]] = {}
    nodes = 0
    for graph in message.subgraphs:
        for node in graph.nodes:
            if node.HasField("delegate_node_details"):
                details = node.delegate_node_details
                counts = taken.setdefault(details.delegate_name or node.type, [0, 0])
                counts[0] += 1
                counts[1] += len(details.tflite_node_ids_replaced)
            else:
                nodes += 1
    uses = tuple(
        DelegateUse(name, "full" if replaced == nodes else "partial" if replaced else "none", kernels, replaced, nodes)
        for name, (kernels, replaced) in taken.items()
    )
    return Measurement("ok", graph=message.model_name or None, delegates=uses)


# -- BenchmarkResult ------------------------------------------------------------------------------------------------


def _result(data: bytes) -> Measurement | None:
    message = _parsed(_result_class(), data)
    if message is None or not (message.HasField("latency") or message.HasField("memory")):
        return None

    def us(name: str, above: float | None = None) -> float | None:
        latency = message.latency
        value = finite(getattr(latency, name), above=above) if latency.HasField(name) else None
        return None if value is None else round(value * 1000, 3)

    memory, misc = message.memory, message.misc

    def mb(name: str, per_mb: float) -> float | None:
        return finite(getattr(memory, name) / per_mb) if memory.HasField(name) else None

    runs = RunStats(
        count=max(0, misc.num_runs) if misc.HasField("num_runs") else None,
        min_us=us("min"),
        max_us=us("max"),
        avg_us=us("avg", above=0),
        std_us=us("stddev"),
        p5_us=us("p5"),
        median_us=us("median"),
        p95_us=us("p95"),
    )
    warmup_count = max(0, misc.num_warmup_runs) if misc.HasField("num_warmup_runs") else None
    return Measurement(
        "ok" if runs.avg_us is not None else "incomplete",
        graph=message.name or None,
        init_us=us("init", above=0),
        first_inference_us=us("first_inference", above=0),
        warmup_avg_us=us("average_warm_up", above=0),
        inference_avg_us=runs.avg_us,
        warmup=RunStats(count=warmup_count) if warmup_count is not None else None,
        runs=runs if runs != RunStats() else None,
        memory=Memory(mb("init_footprint_kb", 1024), mb("overall_footprint_kb", 1024), mb("peak_mem_mb", 1)),
    )


@functools.lru_cache(maxsize=1)
def _result_class() -> Any:
    """A class for the result file's message, from its fields' numbers and types."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="devbench_result.proto", package="devbench", syntax="proto2")

    def add(name: str, fields: list[tuple[str, int, str | None]]) -> None:
        message = file.message_type.add(name=name)
        for number, (field, kind, of) in enumerate(fields, 1):
            message.field.add(name=field, number=number, type=kind, label=kinds.LABEL_OPTIONAL, type_name=of)

    real, integer, text, nested = kinds.TYPE_FLOAT, kinds.TYPE_INT64, kinds.TYPE_STRING, kinds.TYPE_MESSAGE
    add("Latency", [(name, real, None) for name in _LATENCY])
    add(
        "Memory",
        [("init_footprint_kb", integer, None), ("overall_footprint_kb", integer, None), ("peak_mem_mb", real, None)],
    )
    add(
        "Misc",
        [
            ("model_size_mb", real, None),
            ("num_runs", kinds.TYPE_INT32, None),
            ("num_warmup_runs", kinds.TYPE_INT32, None),
            ("throughput", real, None),
        ],
    )
    parts = [("latency", ".devbench.Latency"), ("memory", ".devbench.Memory"), ("misc", ".devbench.Misc")]
    add("Result", [("name", text, None), *((name, nested, of) for name, of in parts)])
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("devbench.Result"))


@functools.lru_cache(maxsize=8)
def _message_class(module: str, name: str) -> Any | None:
    """A class of `tflite.profiling`; `None` if it is not installed.

    TensorFlow registers the same messages for other files: if it was imported first, the wheel's modules cannot be
    loaded, and TensorFlow's classes are used.
    """
    try:
        return getattr(importlib.import_module(f"ai_edge_litert.{module}"), name)
    except (ImportError, TypeError, AttributeError):
        from google.protobuf import descriptor_pool, message_factory

        try:
            found = descriptor_pool.Default().FindMessageTypeByName(f"tflite.profiling.{name}")
        except KeyError:
            return None
        return message_factory.GetMessageClass(found)


def _parsed(kind: Any, data: bytes) -> Any | None:
    """The message in `data`, or `None` for other bytes, such as fields that the message does not have."""
    from google.protobuf.message import DecodeError

    if kind is None:
        return None
    message = kind()
    try:
        message.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError):
        return None
    return None if _has_unknown(message) else message


def _has_unknown(message: Any, depth: int = 0) -> bool:
    from google.protobuf.unknown_fields import UnknownFieldSet

    if len(UnknownFieldSet(message)):
        return True
    if depth >= 3:
        return False
    for field, value in message.ListFields():
        if field.message_type is not None:
            items = list(value)[:3] if field.is_repeated else [value]
            if any(_has_unknown(item, depth + 1) for item in items):
                return True
    return False
