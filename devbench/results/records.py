"""The stored data as plain frozen records; knows no parser, no device layer and no command line.

Times are UTC (`datetime` with `timezone.utc`); units are in the names. A record is written once and never changed; only
the end of a run or job is added later.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import field, fields
from datetime import datetime, timezone
from typing import Any, Literal

from devbench.analysis.operators import delegated_node_share
from devbench.frozen import dataclass
from devbench.results.cases import case_text, subject_text

RunStatus = Literal["running", "done", "interrupted", "failed"]
Purpose = Literal["latency", "profile", "outputs", "cold"]
CacheState = Literal["cold", "warm"]
RepetitionStatus = Literal["ok", "failed"]
MemoryKind = Literal["pss", "rss"]


_TIMED: tuple[Purpose, ...] = ("latency",)
_STARTED: tuple[Purpose, ...] = ("latency", "cold")
_WEIGHED: tuple[Purpose, ...] = ("latency", "profile")


@dataclass(frozen=True, slots=True)
class Stored:
    """How a value of a repetition is stored, in a column with the name of the field.

    Attributes:
        minimum, maximum: the bounds of a number; `None` for no bound.
        positive: the number must be above zero, for example a duration.
        big: a whole number has 64 bits.
        measured: the attribute of `tool.measurement.Measurement` that has the value, with dots; empty if the value
            comes from elsewhere.
        purposes: the purposes of repetitions whose measurement has it.
    """

    minimum: float | None = 0
    maximum: float | None = None
    positive: bool = False
    big: bool = False
    measured: str = ""
    purposes: tuple[Purpose, ...] = ()

    def read(self, measurement: object) -> Any:
        """Return the value of a measurement; `None` if it has none."""
        found = measurement
        for name in self.measured.split("."):
            found = None if found is None else getattr(found, name)
        return found


_PLAIN: Mapping[str, Stored] = {"stored": Stored()}


def _stored(**values: Any) -> Any:
    return field(default=None, metadata={"stored": Stored(**values)})


def _measured(attribute: str, purposes: tuple[Purpose, ...], *, positive: bool = False) -> Any:
    return _stored(measured=attribute, purposes=purposes, positive=positive)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One invocation of devbench. `run_id` sorts by time and is short enough to type."""

    run_id: str
    started_utc: datetime
    command: str
    devbench_version: str
    host: str
    options: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device as it was in a run. `key` is its hardware serial, the same over all transports."""

    key: str
    serial: str
    title: str
    virtual: bool
    profile: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model, identified by its bytes. `name` is its key, which is used everywhere and is unique in its run.

    `operators` is the number of operators of its main graph, `None` if it is not known.
    """

    sha256: str
    name: str
    size_bytes: int
    operators: int | None = None


@dataclass(frozen=True, slots=True)
class BinaryRecord:
    sha256: str
    name: str
    version: str
    abi: str
    flavour: str
    tool: str


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file that was used in a job in addition to its model and its binary.

    `role` is "delegate" for a file of the delegate, "input" for values of one of the model's inputs. `version` is what
    the file states of itself, with the product ("QNN 2.44.0"); empty if it does not.
    """

    name: str
    role: str
    sha256: str
    size_bytes: int
    version: str = ""


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A case on a device within a run. `number` counts from 1 within the run."""

    run_id: str
    number: int
    device: DeviceRecord
    model: ModelRecord
    binary: BinaryRecord
    delegate: str
    delegate_title: str
    threads: int | None
    require: str
    options: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[FileRecord, ...] = ()

    @property
    def case(self) -> str:
        """Return the case that it measures, as a text that is the same in each run: `unet · gpu · 4 threads`."""
        return case_text(self.model.name, self.delegate, self.threads, self.options)

    @property
    def subject(self) -> str:
        """Return the model with its shape and signature: `unet · shape 1x64x64x4`."""
        return subject_text(self.model.name, self.options)


@dataclass(frozen=True, slots=True)
class OperatorRecord:
    """One row of an operator profile. `phase` is "init" or "runs"; `inside_delegate` rows lie within a partition.

    `is_partition`: the row is a whole partition of a delegate; its type is the name under which the delegate reports
    its nodes.
    """

    phase: Literal["init", "runs"]
    position: int
    type: str
    name: str
    node: int | None
    avg_ms: float | None
    first_ms: float | None
    pct: float | None
    mem_kb: float | None
    times_called: float | None
    inside_delegate: bool = False
    is_partition: bool = False


@dataclass(frozen=True, slots=True)
class RepetitionRecord:
    """One process of the tool. Its values are `None` if nothing reliable was measured.

    Each value is declared only here: the store's columns, the tables of a run, JSON and CSV are made from these fields.

    `measurement` is the whole parsed measurement as a JSON-ready mapping; `raw_path` is relative to the artifact
    root. A failed repetition has no latency. `verdict` is "valid" or "unreliable" (with reasons: the device was
    throttled or busy, or its state is unknown). `outputs` are comparisons of the model's outputs, each a JSON-ready
    mapping. `conditions_during` is the time series of the conditions while the tool ran, each a JSON-ready mapping
    whose `t_s` is in seconds from the start. `file_cache`: the model's and the tool's files were in the device's
    memory before ("warm"); `kernel_cache`: the delegate found compiled kernels or packed weights; `None` if it is
    not known, or the delegate keeps none. `delegate_time_share` is the share of the profiled time spent on the
    delegate, 0 to 1.
    """

    run_id: str
    job_number: int
    index: int
    purpose: Purpose
    started_utc: datetime
    finished_utc: datetime
    duration_s: float
    argv: tuple[str, ...]
    status: RepetitionStatus
    failure_kind: str | None
    failure_message: str | None
    exit_code: int | None
    raw_path: str
    measurement: Mapping[str, Any]
    latency_avg_us: float | None = _measured("inference_avg_us", _TIMED, positive=True)
    latency_min_us: float | None = _measured("runs.min_us", _TIMED)
    latency_max_us: float | None = _measured("runs.max_us", _TIMED)
    latency_std_us: float | None = _measured("runs.std_us", _TIMED)
    latency_p5_us: float | None = _measured("runs.p5_us", _TIMED)
    latency_median_us: float | None = _measured("runs.median_us", _TIMED)
    latency_p95_us: float | None = _measured("runs.p95_us", _TIMED)
    inferences: int | None = _measured("runs.count", _TIMED)
    init_us: float | None = _measured("init_us", _STARTED)
    first_inference_us: float | None = _measured("first_inference_us", _STARTED)
    warmup_avg_us: float | None = _measured("warmup_avg_us", _TIMED)
    init_memory_mb: float | None = _measured("memory.init_mb", _WEIGHED)
    overall_memory_mb: float | None = _measured("memory.overall_mb", _WEIGHED)
    peak_memory_mb: float | None = _measured("memory.peak_mb", _WEIGHED)
    vm_hwm_kb: int | None = _stored(big=True)
    pss_peak_kb: int | None = _stored(big=True)
    delegate_applied: str | None = _stored()
    nodes_delegated: int | None = _stored()
    nodes_total: int | None = _stored()
    partitions: int | None = _stored()
    delegate_time_share: float | None = _stored(maximum=1)
    file_cache: CacheState | None = field(default=None, metadata=_PLAIN)
    kernel_cache: CacheState | None = field(default=None, metadata=_PLAIN)
    on_device_ms: float | None = _stored()
    host_overhead_ms: float | None = _stored(minimum=None)
    conditions_before: Mapping[str, Any] | None = None
    conditions_after: Mapping[str, Any] | None = None
    conditions_during: tuple[Mapping[str, Any], ...] = ()
    verdict: str = ""
    verdict_reasons: tuple[str, ...] = ()
    outputs: tuple[Mapping[str, Any], ...] = ()
    operators: tuple[OperatorRecord, ...] = ()

    @property
    def delegated_node_share(self) -> float | None:
        """Return the share of the graph's nodes that the delegate took, 0 to 1; `None` if it is not known."""
        return delegated_node_share(self.delegate_applied, self.nodes_delegated, self.nodes_total)


# The values of a repetition that have a separate column, by name.
VALUES: Mapping[str, Stored] = {
    one.name: one.metadata["stored"] for one in fields(RepetitionRecord) if "stored" in one.metadata
}


@dataclass(frozen=True, slots=True)
class PipelineStageRecord:
    """A stage of a session. Times `_s` count from the start of the session's clock and are negative before it.

    `position` is its position in the pipeline. `repeated`: it runs once or twice per step. `held_by` says what kept it
    in memory after its work: "output" (it waits to write its output), "stop" (it was stopped) or nothing.
    `loaded_before`: its load was no part of the latency, but for `wait_ms`. `steady_ms` is the average inference
    without the first and without those during the next stage's load, whose average is `overlapped_ms`. `first_ms` is
    `None` for a stage that was stopped before it, because the tool's figure would include the wait.
    """

    position: int
    name: str
    job_number: int
    repeated: bool
    runs: int
    overlapped_runs: int
    argv: tuple[str, ...]
    held_by: str
    loaded_before: bool
    init_ms: float | None = None
    load_ms: float | None = None
    wait_ms: float = 0.0
    wall_ms: float | None = None
    first_ms: float | None = None
    steady_ms: float | None = None
    overlapped_ms: float | None = None
    release_ms: float = 0.0
    start_s: float | None = None
    ready_s: float | None = None
    go_s: float | None = None
    warm_s: float | None = None
    done_s: float | None = None
    gone_s: float | None = None
    hwm_kb: int | None = None


@dataclass(frozen=True, slots=True)
class PipelineSampleRecord:
    """The memory of a running stage at one time; samples with the same `number` were taken together."""

    number: int
    position: int
    t_s: float
    pss_kb: int | None
    rss_kb: int | None


@dataclass(frozen=True, slots=True)
class PipelineSessionRecord:
    """A session of a pipeline, or one of its stages alone (residency "alone"); a failed one has no latency.

    `delegate` and `threads` are those of the run; a stage may override them in its job.
    `memory_kind` says whether `peak_kb`, the largest sum over the live stages, is of PSS or of RSS.
    """

    run_id: str
    device_key: str
    pipeline: str
    delegate: str
    threads: int | None
    residency: str
    index: int
    steps: int
    guidance: bool
    keep: int | None
    overlap_runs: int
    started_utc: datetime
    finished_utc: datetime
    status: RepetitionStatus
    failure_kind: str | None
    failure_message: str | None
    raw_path: str
    latency_ms: float | None = None
    memory_kind: MemoryKind | None = None
    peak_kb: int | None = None
    conditions_before: Mapping[str, Any] | None = None
    conditions_after: Mapping[str, Any] | None = None
    conditions_during: tuple[Mapping[str, Any], ...] = ()
    verdict: str = ""
    verdict_reasons: tuple[str, ...] = ()
    stages: tuple[PipelineStageRecord, ...] = ()
    samples: tuple[PipelineSampleRecord, ...] = ()


def new_run_id(now: datetime) -> str:
    """Return an id that sorts by time and that two machines do not share: `20261123-211503-4f2a`."""
    return f"{now.astimezone(timezone.utc):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
