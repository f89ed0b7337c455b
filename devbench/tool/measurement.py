"""The output of one process of the stock tool as data; knows no device, no case and no store.

Names have units: `_us` and `_ms` for times, `_mb` and `_kb` for memory, as the tool prints them. `None` means that the
text does not contain the value; zero means that the tool printed zero. `devbench parse --json` prints these objects
without the `None`s.
"""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from typing import Literal

from devbench.frozen import dataclass

ToolName = Literal["tflite", "litert"]
Status = Literal["ok", "failed", "incomplete"]
Applied = Literal["full", "partial", "none"]


class FailureKind(str, Enum):
    """Why a repetition has no latency. The values are stable: they are stored and printed as JSON."""

    NO_MODEL = "no_model"
    INVALID_MODEL = "invalid_model"
    UNSUPPORTED_OPERATION = "unsupported_operation"
    FAILED_TO_PREPARE = "failed_to_prepare"  # an operator could not be prepared
    FAILED_TO_INVOKE = "failed_to_invoke"  # an operator failed while the model ran
    DELEGATE_NOT_APPLIED = "delegate_not_applied"
    DELEGATE_PARTLY_APPLIED = "delegate_partly_applied"
    UNKNOWN_FLAG = "unknown_flag"
    BINARY_NOT_FOR_DEVICE = "binary_not_for_device"
    REFUSED = "refused"  # devbench knew before that it cannot run there, and did not try
    CRASH = "crash"
    KILLED = "killed"
    TIMEOUT = "timeout"
    DEVICE_LOST = "device_lost"
    OUTPUT_INCOMPLETE = "output_incomplete"
    OUTPUT_TOO_LONG = "output_too_long"  # more than --max-output; the process was ended
    OUTPUT_MISMATCH = "output_mismatch"  # the outputs differ from those of this machine's CPU
    TOOL_ERROR = "tool_error"  # the tool reported another failure


@dataclass(frozen=True, slots=True)
class Failure:
    """A kind of failure with the tool's line as evidence."""

    kind: FailureKind
    message: str


@dataclass(frozen=True, slots=True)
class RunStats:
    """One `count=…` line: times of single inferences, in microseconds as printed."""

    count: int | None = None
    first_us: float | None = None
    curr_us: float | None = None
    min_us: float | None = None
    max_us: float | None = None
    avg_us: float | None = None
    std_us: float | None = None
    p5_us: float | None = None
    median_us: float | None = None
    p95_us: float | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory in MB as printed. `init` and `overall` are increases of the high-water mark, `peak` is absolute."""

    init_mb: float | None = None
    overall_mb: float | None = None
    peak_mb: float | None = None


@dataclass(frozen=True, slots=True)
class DelegateUse:
    """How much of the graph a delegate runs, as far as the text shows it."""

    name: str
    applied: Applied | None
    kernels: int | None = None
    nodes_delegated: int | None = None
    nodes_total: int | None = None


@dataclass(frozen=True, slots=True)
class UnsupportedOp:
    """An operator that a delegate refused, with its reason."""

    op: str
    reason: str


@dataclass(frozen=True, slots=True)
class OpRow:
    """One row of a profile table (run order). `node` is the number after the name, if there is one."""

    type: str
    name: str = ""
    node: int | None = None
    start_ms: float | None = None
    first_ms: float | None = None
    avg_ms: float | None = None
    pct: float | None = None
    cdf_pct: float | None = None
    mem_kb: float | None = None
    times_called: float | None = None


@dataclass(frozen=True, slots=True)
class OpTypeRow:
    """One row of "Summary by node type"."""

    type: str
    count: int | None = None
    avg_ms: float | None = None
    pct: float | None = None
    cdf_pct: float | None = None
    mem_kb: float | None = None
    times_called: float | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """The profile of one phase. `delegate_ops` are the rows within a delegate's partitions; `ops` has their time."""

    ops: tuple[OpRow, ...] = ()
    by_type: tuple[OpTypeRow, ...] = ()
    nodes_executed: int | None = None
    delegate_ops: tuple[OpRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Measurement:
    """One parsed output of the tool. `recognised` is false if it contains no line of the tool."""

    status: Status
    failure: Failure | None = None
    tool: ToolName = "tflite"
    graph: str | None = None
    init_us: float | None = None
    first_inference_us: float | None = None
    warmup_avg_us: float | None = None
    inference_avg_us: float | None = None
    warmup: RunStats | None = None
    runs: RunStats | None = None
    memory: Memory = field(default_factory=Memory)
    delegates: tuple[DelegateUse, ...] = ()
    unsupported_ops: tuple[UnsupportedOp, ...] = ()
    unknown_flags: tuple[str, ...] = ()
    profile_init: Profile | None = None
    profile_runs: Profile | None = None
    warnings: tuple[str, ...] = ()
    recognised: bool = True
