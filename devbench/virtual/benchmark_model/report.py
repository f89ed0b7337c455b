"""What the virtual tool prints about its runs, in the stock tool's words: statistics and profiles, text and CSV."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from devbench.virtual.benchmark_model.events import Event

_TOP = 10


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


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of the profile, per inference; `partition` numbers delegate partitions from 0, `None` on the CPU."""

    type: str
    name: str
    first_ms: float
    avg_ms: float
    calls: int
    partition: int | None


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
        operators.append(Operator(event.tag, name, event.elapsed_us / 1000, average, 1, event.partition))
    return operators


def profile_text(title: str, operators: Sequence[Operator], total_us: int) -> str:
    """The three tables of a phase as the stock tool prints them."""
    return _tables(title, operators, total_us, _text_head, _text_row, _text_type_head, _text_type_row)


def profile_csv(title: str, operators: Sequence[Operator], total_us: int) -> str:
    """The three tables of a phase as the stock tool writes them into a CSV file."""
    return _tables(title, operators, total_us, _csv_head, _csv_row, _csv_type_head, _csv_type_row)


def _tables(
    title: str,
    operators: Sequence[Operator],
    total_us: int,
    head: str,
    row: Callable[[Operator, float, float], str],
    type_head: str,
    type_row: Callable[[str, int, float, float, float, int], str],
) -> str:
    whole = sum(op.avg_ms * op.calls for op in operators) or 1.0

    def rows(ops: Sequence[Operator]) -> list[str]:
        lines, reached = [head], 0.0
        for op in ops:
            share = 100 * op.avg_ms * op.calls / whole
            reached += share
            lines.append(row(op, share, reached))
        return [*lines, ""]

    dearest = sorted(operators, key=lambda op: -op.avg_ms)[:_TOP]
    lines = [f"{title}:", f"{'=' * 30} Run Order {'=' * 30}", *rows(operators)]
    lines += [f"{'=' * 30} Top by Computation Time {'=' * 30}", *rows(dearest)]
    lines += [f"Number of nodes executed: {len(operators)}", f"{'=' * 30} Summary by node type {'=' * 30}", type_head]
    sums: dict[str, tuple[int, float, int]] = {}
    for op in operators:
        count, ms, calls = sums.get(op.type, (0, 0.0, 0))
        sums[op.type] = (count + 1, ms + op.avg_ms * op.calls, calls + op.calls)
    reached = 0.0
    for kind, (count, ms, calls) in sorted(sums.items(), key=lambda item: -item[1][1]):
        share = 100 * ms / whole
        reached += share
        lines.append(type_row(kind, count, ms, share, reached, calls))
    lines += ["", f"Timings (microseconds): count=1 curr={total_us}", "Memory (bytes): count=0"]
    return "\n".join([*lines, f"{len(operators)} nodes observed", "", "", ""])


_text_head = "\t                             [node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]"
_text_type_head = "\t                             [Node type]\t  [count]\t  [avg ms]\t    [avg %]\t    [cdf %]\t  [mem KB]\t[times called]"
_csv_head = "node type, first, avg_ms, %, cdf%, mem KB, times called, name"
_csv_type_head = "node type, count, avg_ms, avg %, cdf %, mem KB, times called"


def _text_row(op: Operator, share: float, reached: float) -> str:
    return (
        f"\t{op.type:>40}\t{op.first_ms:9.3f}\t{op.avg_ms:9.3f}\t{share:7.3f}%\t{reached:7.3f}%\t{0.0:10.3f}\t"
        f"{op.calls:9d}\t{op.name}"
    )


def _text_type_row(kind: str, count: int, ms: float, share: float, reached: float, calls: int) -> str:
    return f"\t{kind:>40}\t{count:9d}\t{ms:10.3f}\t{share:10.3f}%\t{reached:10.3f}%\t{0.0:10.3f}\t{calls:9d}"


def _csv_row(op: Operator, share: float, reached: float) -> str:
    return f"{op.type}, {op.first_ms:g}, {op.avg_ms:g}, {share:g}%, {reached:g}%, 0, {op.calls}, {op.name}"


def _csv_type_row(kind: str, count: int, ms: float, share: float, reached: float, calls: int) -> str:
    return f"{kind}, {count}, {ms:g}, {share:g}%, {reached:g}%, 0, {calls}"
