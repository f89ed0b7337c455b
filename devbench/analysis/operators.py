"""Decides which rows of an operator profile count, and where they ran. Pure functions; knows no store and no tool's
output.

A profile lists a delegate's partition as one row, the operators inside it as separate rows, or both; nothing may be
counted twice. If the runtime applies XNNPACK by default, XNNPACK takes the operators that another delegate does not
run. The profile does not mark its kernels. They are recognised by their names, which end in a layout, such as
`Convolution (NHWC, F32) IGEMM` (`xnn_operator_type_to_string` in XNNPACK).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, Protocol, TypeVar

from devbench.frozen import dataclass

Place = Literal["delegate", "xnnpack", "cpu"]

_XNNPACK_KERNEL = re.compile(r"\(N[A-Z]{1,4}[,)]")
_XNNPACK_PARTITION = "tflitexnnpackdelegate"
# TensorFlow's own kernels, which run on the CPU.
_FLEX_PARTITION = "tfliteflexdelegate"
_KERNEL_NUMBER = re.compile(r" \d+\b")
_LONGEST_TYPE = 200


class ProfiledRow(Protocol):
    """A row of a profile:

    an operator or a partition, with average milliseconds per call and the tool's number of calls.
    """

    @property
    def type(self) -> str: ...
    @property
    def avg_ms(self) -> float | None: ...
    @property
    def times_called(self) -> float | None: ...
    @property
    def inside_delegate(self) -> bool: ...
    @property
    def is_partition(self) -> bool: ...


Row = TypeVar("Row", bound=ProfiledRow)


def counted(rows: Sequence[Row], *, xnnpack: bool, calls_of_all_runs: bool) -> list[tuple[Row, float, Place]]:
    """Return the rows that count, each with its milliseconds per inference and the place where it ran.

    The place "delegate" is the requested delegate. The place "xnnpack" is XNNPACK when another delegate was requested:
    it then runs, on the CPU, operators that the other delegate did not take.

    If a partition has a row of its own, the rows inside it are left out; if it has none, they count.

    Args:
        rows: the rows of one phase of a profile.
        xnnpack: whether the requested delegate is XNNPACK.
        calls_of_all_runs: whether the tool prints the calls of all inferences together (LiteRT's tool) or those of one
            inference (TensorFlow Lite's tool).
    """
    own = [row.type for row in rows if not row.inside_delegate and _is_partition(row.type, bool(row.is_partition))]
    has_xnnpack = any(kind.casefold().startswith(_XNNPACK_PARTITION) for kind in own)
    found = []
    for row in rows:
        if row.inside_delegate and (has_xnnpack if _XNNPACK_KERNEL.search(row.type) else own):
            continue
        calls = 1.0 if calls_of_all_runs else max(1.0, row.times_called or 1.0)
        place = _place(row.type, bool(row.inside_delegate), bool(row.is_partition), xnnpack)
        found.append((row, (row.avg_ms or 0.0) * calls, place))
    return found


@dataclass(frozen=True, slots=True)
class TypeTotal:
    """The operators of one type in one place of a profile.

    Attributes:
        place: "delegate" for a partition and rows within one, "xnnpack" for those of XNNPACK next to another delegate,
            else "cpu".
        total_ms: their time per inference.
        share: their share of the profiled time, 0 to 1.
    """

    type: str
    place: Place
    count: int
    total_ms: float
    share: float


def type_times(rows: Sequence[ProfiledRow], *, xnnpack: bool, tool: str) -> tuple[TypeTotal, ...]:
    """Sum the operators of a profile's phase "runs" by type and place, most expensive first.

    Args:
        rows: the rows of the phase "runs".
        xnnpack: whether the requested delegate is XNNPACK.
        tool: "tflite" or "litert"; the latter prints the calls of all inferences together.
    """
    sums: dict[tuple[str, Place], list[float]] = {}
    for row, ms, place in counted(rows, xnnpack=xnnpack, calls_of_all_runs=tool == "litert"):
        sums.setdefault((operator_type(row.type, place), place), []).append(ms)
    whole = sum(map(sum, sums.values()))
    found = [
        TypeTotal(kind, place, len(times), sum(times), sum(times) / whole if whole else 0.0)
        for (kind, place), times in sums.items()
    ]
    return tuple(sorted(found, key=lambda one: -one.total_ms))


@lru_cache(maxsize=4096)
def operator_type(text: str, place: str) -> str:
    """Return the type without the number that the GPU delegate adds to its kernels (`softmax 3`)."""
    kind = text.removeprefix("Delegate/")
    return (kind if place == "cpu" else _KERNEL_NUMBER.sub("", kind))[:_LONGEST_TYPE]


def delegate_time_share(rows: Sequence[ProfiledRow], *, xnnpack: bool, calls_of_all_runs: bool) -> float | None:
    """Return the share of the profiled time that was spent on the delegate, 0 to 1; `None` if the time is zero."""
    times = [(ms, place) for _, ms, place in counted(rows, xnnpack=xnnpack, calls_of_all_runs=calls_of_all_runs)]
    whole = sum(ms for ms, _ in times)
    return sum(ms for ms, place in times if place == "delegate") / whole if whole else None


def delegated_node_share(applied: str | None, delegated: int | None, total: int | None) -> float | None:
    """Return the share of the graph's nodes that the delegate took, 0 to 1; `None` for the CPU or if it is unknown."""
    if applied is None or applied == "none":
        return None if applied is None else 0.0
    if delegated is not None and total:
        return delegated / total
    return 1.0 if applied == "full" else None


# The cache helps because a profile has many rows of few types, and every night has the same types.
@lru_cache(maxsize=4096)
def _place(kind: str, inside_delegate: bool, is_partition: bool, xnnpack: bool) -> Place:
    name = kind.casefold()
    if name.startswith(_FLEX_PARTITION) or not (inside_delegate or _is_partition(kind, is_partition)):
        return "cpu"
    is_xnnpack = _XNNPACK_KERNEL.search(kind) or name.startswith(_XNNPACK_PARTITION)
    return "xnnpack" if is_xnnpack and not xnnpack else "delegate"


def _is_partition(kind: str, named: bool) -> bool:
    """Whether a row is a delegate's partition, whose time contains that of the rows inside it.

    Its type is the name under which the delegate reports its nodes (`named`), or contains "delegate".
    """
    return named or "delegate" in kind.casefold()
