"""The results of a run and its jobs. Types only; all forms of output are made from these.

Times are milliseconds, memory is MB (10^6 bytes) unless named otherwise. `findings/run_build.py` computes them from a
stored run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from devbench.analysis.operators import TypeTotal
from devbench.analysis.stats import Estimate, ProcessSpread
from devbench.findings.timeline import Timeline
from devbench.frozen import dataclass
from devbench.grouped import grouped
from devbench.notices import VIRTUAL_NOTE, Effect, Notice
from devbench.results.counting import job_failed
from devbench.results.records import CacheState, DeviceRecord, JobRecord, RepetitionRecord

MEMORY_NOTE = (
    "Memory is the process's own: what GPU and NPU drivers allocate (dmabuf, KGSL) is in none of these figures."
)


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """One operator; `total_ms` is its average times the calls of one inference, the rest as in `TypeTotal`."""

    type: str
    name: str
    node: int | None
    total_ms: float
    share: float
    place: str


@dataclass(frozen=True, slots=True)
class FallenBack:
    """An operator type that a delegate left to the CPU.

    Attributes:
        place: the kernels that executed it on the CPU, as in `TypeTotal`; empty if the profile has no such operator.
        count, total_ms, share: in one inference as profiled; `None` if the profile has no such operator.
        reasons: why the delegate refused it, as the delegate reports it; empty if it does not report it.
    """

    type: str
    place: str
    count: int | None
    total_ms: float | None
    share: float | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Process:
    """A process that was timed.

    Attributes:
        latency_ms: its average time per inference.
        unreliable: it was measured while the device was throttled or busy.
        counts: it is one of the processes whose median is the job's latency.
        outlier: far from the other processes that count; it is included in the median.
    """

    repetition: RepetitionRecord
    latency_ms: float
    unreliable: bool
    counts: bool
    outlier: bool


@dataclass(frozen=True, slots=True)
class StartUp:
    """The start-up of all processes that found the caches in the same state.

    Attributes:
        file_cache, kernel_cache: the state that they found; `None` if it is not known or there is no such cache.
        cold: they were started with an emptied cache, or found one empty.
        processes: the number of processes.
        init, first_inference, warmup: ms; `warmup` is the average of a process's warm-up, the first inference included.
    """

    file_cache: CacheState | None
    kernel_cache: CacheState | None
    cold: bool
    processes: int
    init: Estimate | None
    first_inference: Estimate | None
    warmup: Estimate | None

    @property
    def caches(self) -> str:
        """Return the caches as text: "file cache and kernel cache cold", "file cache cold, kernel cache warm"."""
        if self.file_cache and self.file_cache == self.kernel_cache:
            return f"file cache and kernel cache {self.file_cache}"
        known = [("file cache", self.file_cache), ("kernel cache", self.kernel_cache)]
        return ", ".join(f"{name} {state}" for name, state in known if state) or "caches as found"


@dataclass(frozen=True, slots=True)
class JobReport:
    """A job as a report shows it; `None` and empty text where nothing was measured.

    Attributes:
        latency: median over the processes that count, in ms.
        p50, p95: ms, medians over processes of what the tool printed of the inferences of each.
        startups: one for each state of the caches, the warmest first.
        processes: all that were timed, in the order in which they ran.
        all_unreliable: the latency is that of unreliable processes, because there are no others.
        figures: the value of each measured metric of the table of jobs, in its unit, by the metric's name.
        vm_hwm_mb, pss_mb: from the device's /proc, MiB.
        delegation: in words: "full", "9 of 180 nodes, 1 partition", "not applied".
        nodes: the same, short: "9/180, 1 part".
        fallback: what ran on the CPU if the delegate took a part of the graph, and what it refused; most expensive
            first.
        outputs: comparisons of the model's outputs with this machine's and with the device's own CPU's.
        operators: most expensive first; `by_type` sums over all of them.
        failures: each kind with the tool's own line, and how often.
        conditions: the state of the device, as text.
        notices: the run's notices about this job.
    """

    job: JobRecord
    title: str
    status: str
    latency: Estimate | None
    spread: ProcessSpread
    p50: float | None
    p95: float | None
    startups: tuple[StartUp, ...]
    processes: tuple[Process, ...]
    inferences: int
    all_unreliable: bool
    figures: Mapping[str, float]
    init_memory_mb: float | None
    overall_memory_mb: float | None
    vm_hwm_mb: float | None
    pss_mb: float | None
    delegation: str
    nodes: str
    fallback: tuple[FallenBack, ...]
    outputs: tuple[Mapping[str, Any], ...]
    by_type: tuple[TypeTotal, ...]
    operators: tuple[OperatorRow, ...]
    failures: tuple[tuple[str, str, int], ...]
    conditions: str
    repetitions: tuple[RepetitionRecord, ...]
    notices: tuple[Notice, ...] = ()

    @property
    def limits(self) -> tuple[Notice, ...]:
        """Return the notices that exclude it from being the fastest."""
        return tuple(notice for notice in self.notices if notice.effect is not Effect.INFORMATION)

    @property
    def excluded(self) -> bool:
        """Whether a notice excludes it from being the fastest."""
        return bool(self.limits)

    @property
    def subject(self) -> str:
        """Return the model with its shape and signature: `unet · shape 1x64x64x4`."""
        return self.job.subject

    @property
    def case(self) -> str:
        """Return the job as a case, as a comparison names it: `unet · gpu · 4 threads`."""
        return self.job.case

    @property
    def virtual(self) -> bool:
        return self.job.device.virtual

    @property
    def failed(self) -> bool:
        """Whether a repetition failed, or none was measured (`job_failed`)."""
        return job_failed(self.repetitions)

    @property
    def warm(self) -> StartUp | None:
        """Return the first start-up that did not find an empty cache."""
        return next((start for start in self.startups if not start.cold), None)

    @property
    def cold(self) -> StartUp | None:
        """Return the coldest start-up that was measured."""
        found = [start for start in self.startups if start.cold]
        return found[-1] if found else None

    @property
    def peak_memory_mb(self) -> float | None:
        """Return the tool's absolute peak, as it prints it."""
        return self.figures.get("peak_memory")

    @property
    def on_delegate(self) -> float | None:
        """Return the share of the profiled time that was spent on the delegate, 0 to 1."""
        return self.figures.get("delegate_time_share")

    @property
    def outliers(self) -> int:
        return sum(process.outlier for process in self.processes)

    @property
    def partitions_ms(self) -> float:
        """Return the profiled time on the delegate, ms per inference."""
        return sum(row.total_ms for row in self.operators if row.place == "delegate")

    @property
    def output_verdict(self) -> str:
        """Return "ok, SNR 96.1 dB", "wrong" or "not deterministic"; empty if outputs were not checked."""
        rows = [row for row in self.outputs if row.get("against") == "host"]
        if not rows:
            return ""
        if any(row.get("wrong") for row in rows):
            return "wrong"
        if any(row.get("deterministic") is False for row in rows):
            return "not deterministic"
        known = [row["snr_db"] for row in rows if row.get("snr_db") is not None]
        return f"ok, SNR {min(known):.0f} dB" if known else "ok, equal"

    @property
    def threads(self) -> str:
        return "" if self.job.threads is None else str(self.job.threads)


@dataclass(frozen=True, slots=True)
class ReportData:
    """A run as a report shows it."""

    run_id: str
    status: str
    end_reason: str
    started_utc: datetime
    finished_utc: datetime | None
    command: str
    labels: Mapping[str, str]
    devbench_version: str
    devices: tuple[DeviceRecord, ...]
    jobs: tuple[JobReport, ...]
    timelines: tuple[Timeline, ...]
    notices: tuple[Notice, ...] = ()

    @property
    def device_titles(self) -> Mapping[str, str]:
        """Return the titles of the devices by their keys."""
        return {device.key: device.title for device in self.devices}

    @property
    def virtual(self) -> bool:
        """Whether any of the devices is virtual."""
        return any(device.virtual for device in self.devices)

    @property
    def all_virtual(self) -> bool:
        return self.virtual and all(device.virtual for device in self.devices)

    @property
    def virtual_note(self) -> str:
        """Return the note about virtual devices in this run; empty if there are none."""
        if not self.virtual:
            return ""
        return VIRTUAL_NOTE if self.all_virtual else f"some of these devices are {VIRTUAL_NOTE}"

    def only(self, devices: Collection[str], models: Collection[str], delegates: Collection[str]) -> ReportData:
        """Return the report with only the jobs of these devices, models and delegates; empty means all."""
        jobs = tuple(
            job
            for job in self.jobs
            if (not devices or job.job.device.key in devices)
            and (not models or job.job.model.name in models)
            and (not delegates or job.job.delegate in delegates)
        )
        keys = {job.job.device.key for job in jobs}
        return replace(self, jobs=jobs, timelines=tuple(one for one in self.timelines if one.device.key in keys))

    @property
    def groups(self) -> list[tuple[str, DeviceRecord, list[JobReport]]]:
        """Group the jobs of one model with the same shape and signature on one device."""
        found = grouped(((job.subject, job.job.device.key), job) for job in self.jobs)
        return [(jobs[0].subject, jobs[0].job.device, jobs) for jobs in found.values()]
