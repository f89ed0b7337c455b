"""What a report shows, computed once from a stored run; every form (terminal, HTML, Markdown) shows this and no more.

Knows no terminal, no template and no chart. Times are milliseconds, memory is MB (10^6 bytes) unless named otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from devbench.analysis.operators import counted
from devbench.analysis.stats import Estimate, estimate
from devbench.results.records import DeviceRecord, JobRecord, OperatorRecord, RepetitionRecord
from devbench.results.store import JobView, RunView

VIRTUAL_NOTE = "virtual: measured on a computer, says nothing about a phone"
MEMORY_NOTE = (
    "Memory is the process's own: what GPU and NPU drivers allocate (dmabuf, KGSL) is in none of these figures."
)
_KB = 1024
_KERNEL_NUMBER = re.compile(r" \d+\b")


@dataclass(frozen=True, slots=True)
class OperatorType:
    """Operators of one type in the runs' profile. `share` is of the profiled time, 0 to 1.

    `where` is "delegate" for a partition and rows within one, "xnnpack" for those of XNNPACK beside another delegate,
    else "cpu".
    """

    type: str
    count: int
    total_ms: float
    share: float
    where: str


@dataclass(frozen=True, slots=True)
class OperatorRow:
    """One operator; `total_ms` is its average times the calls of one inference."""

    type: str
    name: str
    node: int | None
    total_ms: float
    share: float
    where: str


@dataclass(frozen=True, slots=True)
class JobReport:
    """A job as a report shows it; `None` and empty text where nothing was measured.

    Attributes:
        latency, init, first_inference: medians over processes, in ms.
        suspect: in words, which repetitions were measured in no fit state and whether they count.
        latencies_ms: the latency of each process, in the order in which they ran.
        peak_memory_mb: the tool's absolute peak, as it prints it.
        vm_hwm_mb, pss_mb: from the device's /proc, MiB.
        delegation: in words: "full", "9 of 180 nodes, 1 partition", "not applied".
        outputs: comparisons of the model's outputs with this machine's and with the device's own CPU's.
        operators: dearest first; `by_type` sums over all of them.
        failures: each kind with the tool's own line, and how often.
        conditions: how the device was, in words.
    """

    job: JobRecord
    title: str
    status: str
    latency: Estimate | None
    init: Estimate | None
    first_inference: Estimate | None
    latencies_ms: tuple[float, ...]
    inferences: int
    suspect: str
    peak_memory_mb: float | None
    init_memory_mb: float | None
    overall_memory_mb: float | None
    vm_hwm_mb: float | None
    pss_mb: float | None
    delegation: str
    unsupported: tuple[tuple[str, str], ...]
    outputs: tuple[Mapping[str, Any], ...]
    by_type: tuple[OperatorType, ...]
    operators: tuple[OperatorRow, ...]
    failures: tuple[tuple[str, str, int], ...]
    conditions: str
    repetitions: tuple[RepetitionRecord, ...]

    @property
    def virtual(self) -> bool:
        return self.job.device.virtual

    @property
    def output_verdict(self) -> str:
        """In words: "ok, SNR 96.1 dB", "wrong", or nothing where outputs were not checked."""
        rows = [row for row in self.outputs if row.get("against") == "host"]
        if not rows:
            return ""
        if any(row.get("wrong") for row in rows):
            return "wrong"
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
    started_utc: datetime
    finished_utc: datetime | None
    command: str
    labels: Mapping[str, str]
    devbench_version: str
    devices: tuple[DeviceRecord, ...]
    jobs: tuple[JobReport, ...]

    @property
    def virtual(self) -> bool:
        """Whether any of the devices is virtual."""
        return any(device.virtual for device in self.devices)

    @property
    def all_virtual(self) -> bool:
        return self.virtual and all(device.virtual for device in self.devices)

    @property
    def virtual_note(self) -> str:
        """What a reader must know of virtual devices in this run; empty where there are none."""
        if not self.virtual:
            return ""
        return VIRTUAL_NOTE if self.all_virtual else f"some of these devices are {VIRTUAL_NOTE}"

    @property
    def groups(self) -> list[tuple[str, DeviceRecord, list[JobReport]]]:
        """Jobs of one model on one device together: what is compared with each other."""
        found: dict[tuple[str, str], list[JobReport]] = {}
        for job in self.jobs:
            found.setdefault((job.job.model.name, job.job.device.key), []).append(job)
        return [(jobs[0].job.model.name, jobs[0].job.device, jobs) for jobs in found.values()]


def build_report(view: RunView) -> ReportData:
    """Everything that is shown of a run."""
    devices = {item.job.device.key: item.job.device for item in view.jobs}
    return ReportData(
        run_id=view.run.run_id,
        status=view.status,
        started_utc=view.run.started_utc,
        finished_utc=view.finished_utc,
        command=view.run.command,
        labels=view.run.labels,
        devbench_version=view.run.devbench_version,
        devices=tuple(devices.values()),
        jobs=tuple(_job(item) for item in view.jobs),
    )


def _job(item: JobView) -> JobReport:
    job, repetitions = item.job, item.repetitions
    measured = [r for r in repetitions if r.purpose == "latency" and r.status == "ok"]
    fit = [r for r in measured if r.verdict != "suspect"]
    # Where no repetition was fit there is only what there is, and the report says so.
    timed = fit or measured
    profiles = [r for r in repetitions if r.purpose == "profile" and r.status == "ok"]
    latencies = tuple(r.latency_avg_us / 1000 for r in timed if r.latency_avg_us is not None)
    operators = _operators(profiles[-1].operators, job) if profiles else ()
    last = profiles[-1] if profiles else timed[-1] if timed else None
    return JobReport(
        job=job,
        title=job.delegate_title + (f" · {job.threads} threads" if job.threads else ""),
        status=_status(repetitions),
        latency=estimate(latencies),
        init=_ms([r.init_us for r in timed]),
        first_inference=_ms([r.first_inference_us for r in timed]),
        latencies_ms=latencies,
        inferences=sum(r.inferences or 0 for r in timed),
        suspect=_suspect(measured, fit),
        peak_memory_mb=_highest([r.peak_memory_mb for r in repetitions]),
        init_memory_mb=_highest([r.init_memory_mb for r in profiles or timed]),
        overall_memory_mb=_highest([r.overall_memory_mb for r in profiles or timed]),
        vm_hwm_mb=_scaled(_highest([r.vm_hwm_kb for r in repetitions]), 1 / _KB),
        pss_mb=_scaled(_highest([r.pss_peak_kb for r in repetitions]), 1 / _KB),
        delegation=_delegation(last or (repetitions[-1] if repetitions else None)),
        unsupported=_unsupported(last or (repetitions[-1] if repetitions else None)),
        outputs=tuple(row for r in repetitions for row in r.outputs),
        by_type=_by_type(operators),
        operators=operators,
        failures=_failures(repetitions),
        conditions=_conditions(repetitions),
        repetitions=repetitions,
    )


def _suspect(measured: Sequence[RepetitionRecord], fit: Sequence[RepetitionRecord]) -> str:
    """What is wrong with the repetitions that were measured in no fit state; empty where all were fit."""
    bad = [r for r in measured if r not in fit]
    if not bad:
        return ""
    reasons = ", ".join(dict.fromkeys(reason for r in bad for reason in r.verdict_reasons))
    use = "left out" if fit else "all of them, and shown for want of better ones"
    return f"{len(bad)} of {len(measured)} repetitions suspect, {use}: {reasons}"


def _status(repetitions: Sequence[RepetitionRecord]) -> str:
    """ "ok", "failed", "partly failed", or "not run"."""
    if not repetitions:
        return "not run"
    bad = sum(r.status == "failed" for r in repetitions)
    return "ok" if not bad else "failed" if bad == len(repetitions) else "partly failed"


def _ms(values_us: Sequence[float | None]) -> Estimate | None:
    return estimate([value / 1000 for value in values_us if value is not None])


def _highest(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _delegation(repetition: RepetitionRecord | None) -> str:
    if repetition is None or repetition.delegate_applied is None:
        return ""
    if repetition.delegate_applied == "none":
        return "not applied"
    parts = []
    if repetition.nodes_delegated is not None:
        parts.append(f"{repetition.nodes_delegated} of {repetition.nodes_total} nodes")
    if repetition.partitions is not None:
        parts.append(f"{repetition.partitions} partition{'' if repetition.partitions == 1 else 's'}")
    return repetition.delegate_applied + (f" ({', '.join(parts)})" if parts else "")


def _unsupported(repetition: RepetitionRecord | None) -> tuple[tuple[str, str], ...]:
    listed = repetition.measurement.get("unsupported_ops", ()) if repetition is not None else ()
    return tuple((str(op.get("op", "")), str(op.get("reason", ""))) for op in listed)


def _failures(repetitions: Sequence[RepetitionRecord]) -> tuple[tuple[str, str, int], ...]:
    counts: dict[tuple[str, str], int] = {}
    for repetition in repetitions:
        if repetition.failure_kind is not None:
            key = (repetition.failure_kind, repetition.failure_message or "")
            counts[key] = counts.get(key, 0) + 1
    return tuple((kind, message, count) for (kind, message), count in counts.items())


# -- operators ------------------------------------------------------------------------------------------------------


def _operators(records: Sequence[OperatorRecord], job: JobRecord) -> tuple[OperatorRow, ...]:
    """The runs' operators by time, each counted once."""
    runs = [op for op in records if op.phase == "runs"]
    rows = counted(runs, xnnpack=_is_xnnpack(job), calls_of_all_runs=job.binary.tool == "litert")
    whole = sum(total for _, total, _ in rows)
    found = [
        OperatorRow(
            type=op.type.removeprefix("Delegate/"),
            name=op.name,
            node=op.node,
            total_ms=total,
            share=total / whole if whole else 0.0,
            where=place,
        )
        for op, total, place in rows
    ]
    return tuple(sorted(found, key=lambda row: -row.total_ms))


def _is_xnnpack(job: JobRecord) -> bool:
    names = job.options.get("reported_as")
    return job.delegate.startswith("xnnpack") if names is None else "XNNPACK" in names


def _by_type(rows: Sequence[OperatorRow]) -> tuple[OperatorType, ...]:
    """Sums by type; the GPU delegate numbers its kernels (`softmax 3`), and those numbers are no type."""
    found: dict[tuple[str, str], list[OperatorRow]] = {}
    for row in rows:
        kind = _KERNEL_NUMBER.sub("", row.type) if row.where != "cpu" else row.type
        found.setdefault((kind, row.where), []).append(row)
    types = [
        OperatorType(kind, len(of), sum(row.total_ms for row in of), sum(row.share for row in of), where)
        for (kind, where), of in found.items()
    ]
    return tuple(sorted(types, key=lambda item: -item.total_ms))


# -- conditions -----------------------------------------------------------------------------------------------------


def _conditions(repetitions: Sequence[RepetitionRecord]) -> str:
    """How the device was over a job, in words: temperature and load from first to last, throttling, battery."""
    samples = [c for r in repetitions for c in (r.conditions_before, r.conditions_after) if c is not None]
    if not samples:
        return "unknown"
    words = []
    hottest = [value for value in map(_hottest, samples) if value is not None]
    if hottest:
        words.append(
            f"{min(hottest):.1f}–{max(hottest):.1f} °C" if min(hottest) != max(hottest) else f"{hottest[0]:.1f} °C"
        )
    throttled = [sample.get("thermal_status") for sample in samples]
    if any(throttled):
        words.append("throttled")
    elif any(status is not None for status in throttled):
        words.append("not throttled")
    battery = [sample["battery_level"] for sample in samples if sample.get("battery_level") is not None]
    if battery:
        words.append(f"battery {battery[-1]} %" + (" charging" if samples[-1].get("battery_charging") else ""))
    loads = [sample["load_1min"] for sample in samples if sample.get("load_1min") is not None]
    if loads:
        words.append(f"load {loads[0]:.1f}–{max(loads):.1f}")
    return ", ".join(words) or "unknown"


def _hottest(sample: Mapping[str, Any]) -> float | None:
    known = [*(sample.get("temperatures_c") or {}).values()]
    if sample.get("battery_temperature_c") is not None:
        known.append(sample["battery_temperature_c"])
    return max(known, default=None)
