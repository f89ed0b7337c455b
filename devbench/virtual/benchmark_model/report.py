"""What the virtual tool prints about its runs, in the stock tool's words: statistics and profiles, text and CSV.

Operators come from the events that LiteRT's profiler records. Knows no flags.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_TOP = 10
# Kinds of profiler events that are operators (tflite::Profiler::EventType).
_CPU_OPERATOR, _DELEGATE_OPERATOR = 2, 8


def stat_line(times_us: Sequence[int]) -> str:
    """`count=… first=… …` of single inferences in whole microseconds."""
    if not times_us:
        return "count=0"
    if len(times_us) == 1:
        return f"count=1 curr={times_us[0]}"
    mean = sum(times_us) / len(times_us)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in times_us) / len(times_us))
    ordered = sorted(times_us)

    def at(share: float) -> int:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return (
        f"count={len(times_us)} first={times_us[0]} curr={times_us[-1]} min={ordered[0]} max={ordered[-1]} "
        f"avg={mean:g} std={int(deviation)} p5={at(0.05)} median={at(0.5)} p95={at(0.95)}"
    )


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
    """The operators among the records; a partition ends where the CPU or another partition begins."""
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


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of the profile, per inference."""

    type: str
    name: str
    first_ms: float
    avg_ms: float


def aggregate(recorded: Sequence[Sequence[Event]], names: Sequence[str]) -> list[Operator]:
    """The operators of several profiled inferences, in the order of execution.

    Args:
        recorded: the events of each inference; the sequence is the same in all.
        names: the names of the graph's operators, by node.
    """
    operators = []
    for same in zip(*recorded, strict=False):
        event = same[0]
        if event.partition is not None:
            name = f"Delegate/{event.tag}:{event.index}"
        else:
            name = f"[{names[event.index] if 0 <= event.index < len(names) else ''}]:{event.index}"
        average = sum(one.elapsed_us for one in same) / len(same) / 1000
        operators.append(Operator(event.tag, name, event.elapsed_us / 1000, average))
    return operators


# Heads and rows of the tables of operators and of the table by type, as text and as CSV.
_TEXT = (
    "\t                             [node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]",
    "\t{:>40}\t{:9.3f}\t{:9.3f}\t{:7.3f}%\t{:7.3f}%\t     0.000\t        1\t{}",
    "\t                             [Node type]\t  [count]\t  [avg ms]\t    [avg %]\t    [cdf %]\t  [mem KB]\t[times called]",
    "\t{:>40}\t{:9d}\t{:10.3f}\t{:10.3f}%\t{:10.3f}%\t     0.000\t{:9d}",
)
_CSV = (
    "node type, first, avg_ms, %, cdf%, mem KB, times called, name",
    "{}, {:g}, {:g}, {:g}%, {:g}%, 0, 1, {}",
    "node type, count, avg_ms, avg %, cdf %, mem KB, times called",
    "{}, {}, {:g}, {:g}%, {:g}%, 0, {}",
)


def profile(title: str, operators: Sequence[Operator], total_us: int, *, csv: bool = False) -> str:
    """The three tables of a phase as the stock tool prints them, or as it writes them into a CSV file."""
    head, row, type_head, type_row = _CSV if csv else _TEXT
    whole = sum(op.avg_ms for op in operators) or 1.0

    def rows(ops: Sequence[Operator]) -> list[str]:
        lines, reached = [head], 0.0
        for op in ops:
            reached += 100 * op.avg_ms / whole
            lines.append(row.format(op.type, op.first_ms, op.avg_ms, 100 * op.avg_ms / whole, reached, op.name))
        return [*lines, ""]

    lines = [f"{title}:", _heading("Run Order"), *rows(operators), _heading("Top by Computation Time")]
    lines += rows(sorted(operators, key=lambda op: -op.avg_ms)[:_TOP])
    lines += [f"Number of nodes executed: {len(operators)}", _heading("Summary by node type"), type_head]
    sums: dict[str, tuple[int, float]] = {}
    for op in operators:
        count, ms = sums.get(op.type, (0, 0.0))
        sums[op.type] = (count + 1, ms + op.avg_ms)
    reached = 0.0
    for kind, (count, ms) in sorted(sums.items(), key=lambda item: -item[1][1]):
        reached += 100 * ms / whole
        lines.append(type_row.format(kind, count, ms, 100 * ms / whole, reached, count))
    lines += ["", f"Timings (microseconds): count=1 curr={total_us}", "Memory (bytes): count=0"]
    return "\n".join([*lines, f"{len(operators)} nodes observed", "", "", ""])


def _heading(words: str) -> str:
    return f"{'=' * 30} {words} {'=' * 30}"
