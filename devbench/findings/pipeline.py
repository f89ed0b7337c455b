"""The results of a run of pipelines, as data for all forms of output.

The estimate is composed of the stages measured alone. It is compared with the measured sessions; the parts of the
difference add up to it exactly. If a residency has several sessions, the one with the median latency is shown in
detail.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from devbench.analysis.pipeline import (
    Alone,
    Fewer,
    Part,
    Share,
    Timed,
    compose,
    explain,
    fewer_steps,
    memory_over_time,
    processes_of,
    residency_of,
    shares,
    total_ms,
)
from devbench.analysis.reliability import reasons_text
from devbench.analysis.stats import Estimate, estimate, middle
from devbench.findings.copies import COPIES, Copied, copied
from devbench.frozen import dataclass
from devbench.grouped import grouped
from devbench.notices import VIRTUAL_NOTE, Notice
from devbench.results.counting import RunView, failure_counts, unreliable
from devbench.results.records import DeviceRecord, JobRecord, PipelineSessionRecord, PipelineStageRecord
from devbench.results.run_files import run_end

DRIVER_NOTE = (
    "Memory is that of the stages' processes, summed at each moment; what GPU and NPU drivers allocate (dmabuf, KGSL) "
    "is in none of these figures."
)
# Numbers of steps for which the estimate is calculated, in addition to the run's own.
_OTHER_STEPS = (50, 20, 10, 8, 4)


@dataclass(frozen=True, slots=True)
class MeasuredStage:
    """A stage as it was measured alone: medians over its processes. `job` has its model, delegate and threads."""

    alone: Alone
    job: JobRecord
    repeated: bool
    processes: int
    peak_kb: int | None


@dataclass(frozen=True, slots=True)
class SessionImage:
    """One of several images of a session: from the end of the one before to its own, and its peak memory.

    `estimate_ms` is composed of the stages alone; `None` if they were not measured.
    """

    number: int
    latency_ms: float
    peak_kb: int | None
    estimate_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Whole:
    """The sessions of one residency (which stages are in memory when), and the one with the median latency in detail.

    Attributes:
        sessions: those that ended well.
        failures: kind, message and number of the others.
        latency: end to end, in ms, over the sessions that count.
        all_unreliable: no session is reliable, so all of them count.
        shown: the session whose latency is the median.
        peak_kb: the median of the sessions' peaks.
        images: the images of the shown session, if it made several.
        composed: the parts of the estimate.
        difference: the parts of the difference between the shown session and the estimate.
    """

    residency: str
    sessions: tuple[PipelineSessionRecord, ...]
    failures: tuple[tuple[str, str, int], ...]
    latency: Estimate | None = None
    all_unreliable: bool = False
    shown: PipelineSessionRecord | None = None
    peak_kb: int | None = None
    images: tuple[SessionImage, ...] = ()
    composed: tuple[Part, ...] = ()
    difference: tuple[Part, ...] = ()
    shares: tuple[Share, ...] = ()
    fewer: tuple[Fewer, ...] = ()

    @property
    def estimate_ms(self) -> float:
        return total_ms(self.composed)

    @property
    def off(self) -> float | None:
        """Return the difference between estimate and measured latency, as a share of the measured latency."""
        return None if self.latency is None else self.estimate_ms / self.latency.median - 1

    @property
    def contention_ms(self) -> float | None:
        """Return the time by which the next stage's load slowed the running stage down."""
        found = [timed(stage).contention_ms for stage in self.shown.stages] if self.shown else []
        known = [one for one in found if one is not None]
        return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class Variant:
    """A pipeline under a delegate on a device."""

    device: DeviceRecord
    pipeline: str
    delegate: str
    threads: int | None
    steps: int
    guidance: bool
    keep: int | None
    stages: tuple[MeasuredStage, ...]
    wholes: tuple[Whole, ...]
    copies: tuple[Copied, ...] = ()

    @property
    def title(self) -> str:
        return self.delegate + (f" · {self.threads} threads" if self.threads else "")

    @property
    def parameters(self) -> str:
        passes = "with guidance, two passes a step" if self.guidance else "without guidance"
        return f"{self.steps} steps {passes}"

    def of(self, residency: str) -> Whole | None:
        return next((whole for whole in self.wholes if whole.residency == residency), None)

    def saved(self, whole: Whole) -> float | None:
        """Return by which share its peak memory is below that of the residency `resident`."""
        resident = self.of("resident")
        if resident is None or whole is resident or not resident.peak_kb or whole.peak_kb is None:
            return None
        return 1 - whole.peak_kb / resident.peak_kb


@dataclass(frozen=True, slots=True)
class PipelineReport:
    """All that a run measured of pipelines."""

    view: RunView
    sessions: tuple[PipelineSessionRecord, ...]
    variants: tuple[Variant, ...]

    @property
    def virtual(self) -> bool:
        return any(variant.device.virtual for variant in self.variants)

    @property
    def virtual_note(self) -> str:
        """Return the note about virtual devices; empty if there are none."""
        return VIRTUAL_NOTE if self.virtual else ""

    def only(self, devices: Collection[str], delegates: Collection[str]) -> PipelineReport:
        """Return the report with only these devices and delegates; empty means all."""
        kept = [
            variant
            for variant in self.variants
            if (not devices or variant.device.key in devices) and (not delegates or variant.delegate in delegates)
        ]
        return replace(self, variants=tuple(kept))

    @property
    def run_data(self) -> dict[str, Any]:
        """Return the run, JSON-ready, with how and why it ended."""
        return run_end(self.view)

    @property
    def device_titles(self) -> Mapping[str, str]:
        """Return the titles of the devices by their keys."""
        return {variant.device.key: variant.device.title for variant in self.variants}

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Return the notices of the run, and those about unreliable sessions."""
        return (*self.view.all_notices, *(one for variant in self.variants for one in _unreliable(variant)))


def build_pipeline_report(view: RunView, sessions: Sequence[PipelineSessionRecord]) -> PipelineReport:
    """Return the aggregate of a run's sessions; sessions whose stages are missing in a damaged store are left out."""
    jobs = {item.job.number: item.job for item in view.jobs}
    known = [s for s in sessions if s.stages and all(stage.job_number in jobs for stage in s.stages)]
    groups = grouped(((one.device_key, one.pipeline, one.delegate, one.threads), one) for one in known)
    copies = view.run.options.get(COPIES)
    known_copies = copies if isinstance(copies, Mapping) else {}
    variants = [_variant(group, jobs, known_copies) for group in groups.values()]
    return PipelineReport(view, tuple(known), tuple(variants))


def _unreliable(variant: Variant) -> Iterator[Notice]:
    from devbench.results.sessions import pipeline_case

    for whole in variant.wholes:
        bad = [one for one in whole.sessions if one.verdict == "unreliable"]
        if bad:
            why = reasons_text([reason for one in bad for reason in one.verdict_reasons], counted=False)
            case = pipeline_case(
                variant.pipeline, whole.residency, variant.steps, guidance=variant.guidance,
                delegate=variant.delegate, threads=variant.threads,
            )  # fmt: skip
            yield unreliable(case, len(bad), len(whole.sessions), "session", why, variant.device.key)


def _variant(
    group: Sequence[PipelineSessionRecord], jobs: Mapping[int, JobRecord], copies: Mapping[str, Any]
) -> Variant:
    first = group[0]
    stages = _stages(group, jobs)
    residencies = dict.fromkeys(one.residency for one in group if one.residency != "alone")
    device = jobs[first.stages[0].job_number].device
    full = _full_cores(stages, first.keep)
    wholes = tuple(
        _whole_result(name, [one for one in group if one.residency == name], stages, full) for name in residencies
    )
    return Variant(
        device=device,
        pipeline=first.pipeline,
        delegate=first.delegate,
        threads=first.threads,
        steps=first.steps,
        guidance=first.guidance,
        keep=first.keep,
        stages=stages,
        wholes=wholes,
        copies=tuple(found for stage in stages if stage.repeated and (found := _copies(stage, copies))),
    )


def _full_cores(stages: Sequence[MeasuredStage], keep: int | None) -> int:
    """Return the number of cores if the kept stage's threads use all of them, else 0."""
    if keep is None or keep >= len(stages):
        return 0
    job = stages[keep].job
    cores = job.device.facts.get("cpu_count")
    if not isinstance(cores, int) or job.delegate not in ("cpu", "xnnpack"):
        return 0
    return cores if 0 < cores <= (job.threads or 1) else 0


def _copies(stage: MeasuredStage, kept: Mapping[str, Any]) -> Copied | None:
    return copied(stage.alone.name, stage.alone.runs, kept.get(stage.job.model.name))


def _counted(sessions: Sequence[PipelineSessionRecord]) -> tuple[list[PipelineSessionRecord], bool]:
    """Return the reliable sessions, and False; if none is reliable, all sessions, and True."""
    fit = [one for one in sessions if one.verdict != "unreliable"]
    return (fit, False) if fit or not sessions else (list(sessions), True)


def _stages(group: Sequence[PipelineSessionRecord], jobs: Mapping[int, JobRecord]) -> tuple[MeasuredStage, ...]:
    """Return the stages that were measured alone, in the order of the pipeline."""
    runs = {
        stage.position: stage.runs // (residency_of(one.residency)[1] if stage.position == one.keep else 1)
        for one in group
        if one.residency != "alone"
        for stage in one.stages
    }
    found = grouped((one.stages[0].position, one) for one in group if one.residency == "alone" and one.status == "ok")
    stages = []
    for position in sorted(found):
        counted, _ = _counted(found[position])
        rows = [one.stages[0] for one in counted]
        own = rows[0].runs if position not in runs else runs[position]
        peaks = [one.peak_kb for one in counted if one.peak_kb is not None]
        alone = Alone(
            name=rows[0].name,
            runs=own,
            load_ms=middle(row.load_ms for row in rows) or 0.0,
            first_ms=middle(row.first_ms for row in rows) or 0.0,
            steady_ms=middle(row.steady_ms for row in rows) or 0.0,
            init_ms=middle(row.init_ms for row in rows),
        )
        job = jobs[rows[0].job_number]
        stages.append(MeasuredStage(alone, job, rows[0].repeated, len(rows), max(peaks, default=None)))
    return tuple(stages)


def _whole_result(
    residency: str, sessions: Sequence[PipelineSessionRecord], stages: Sequence[MeasuredStage], full_cores: int
) -> Whole:
    well = tuple(one for one in sessions if one.status == "ok" and one.latency_ms is not None)
    whole = Whole(residency, well, failure_counts(sessions))
    counted, all_unreliable = _counted(well)
    if not counted:
        return whole
    ordered = sorted(counted, key=lambda one: one.latency_ms or 0.0)
    shown = ordered[(len(ordered) - 1) // 2]
    whole = replace(
        whole,
        latency=estimate([one.latency_ms or 0.0 for one in counted]),
        all_unreliable=all_unreliable,
        shown=shown,
        peak_kb=None if (peak_kb := middle(one.peak_kb for one in counted)) is None else round(peak_kb),
        shares=tuple(shares(shown.latency_ms or 0.0, [timed(stage) for stage in shown.stages])),
        images=_images(shown, stages, full_cores),
    )
    if len(processes_of([stage.alone for stage in stages], shown.keep, residency_of(residency)[1])) != len(
        shown.stages
    ):
        return whole
    return replace(whole, **_against_estimate(residency, shown, stages, full_cores))  # type: ignore[arg-type]


def _images(shown: PipelineSessionRecord, stages: Sequence[MeasuredStage], full_cores: int) -> tuple[SessionImage, ...]:
    """Return each image of a session of several; it ends with the last stage."""
    name, count = residency_of(shown.residency)
    ends = [stage.done_s for stage in shown.stages if stage.name == shown.stages[-1].name and stage.done_s is not None]
    if count < 2 or len(ends) != count:
        return ()
    times, series = memory_series(shown)
    found, start = [], 0.0
    alone = [stage.alone for stage in stages]
    for number, end in enumerate(ends, 1):
        sums = [sum(values[n] for values in series.values()) for n, at in enumerate(times) if start <= at <= end]
        if number == 2 and shown.keep is not None and alone:
            # The kept stage had its first inference in the image before.
            kept = alone[shown.keep]
            alone[shown.keep] = replace(kept, first_ms=kept.steady_ms)
        parts = compose(name, alone, shown.keep, shown.overlap_runs, full_cores=full_cores)
        estimate_ms = total_ms(parts) if alone else None
        found.append(SessionImage(number, 1000 * (end - start), max(sums, default=None), estimate_ms))
        start = end
    return tuple(found)


def _against_estimate(
    residency: str, shown: PipelineSessionRecord, stages: Sequence[MeasuredStage], full_cores: int
) -> dict[str, object]:
    name, images = residency_of(residency)
    alone = [stage.alone for stage in stages]
    steps = sorted({*_OTHER_STEPS, shown.steps}, reverse=True)
    choices = [(count, guidance) for count in steps for guidance in (True, False)]
    repeated = [stage.repeated for stage in stages]
    times = [timed(stage) for stage in shown.stages]
    known = shown.latency_ms or 0.0
    return {
        "composed": tuple(compose(name, alone, shown.keep, shown.overlap_runs, images, full_cores)),
        "difference": tuple(explain(known, times, name, alone, shown.keep, shown.overlap_runs, images, full_cores)),
        "fewer": tuple(fewer_steps(name, alone, repeated, shown.keep, None, choices, full_cores))
        if any(repeated) and images == 1
        else (),
    }


def timed(stage: PipelineStageRecord) -> Timed:
    """Convert a stored stage of a session for the functions of `analysis/pipeline.py`."""
    return Timed(
        name=stage.name,
        runs=stage.runs,
        load_ms=stage.load_ms,
        loaded_before=stage.loaded_before,
        wait_ms=stage.wait_ms,
        wall_ms=stage.wall_ms,
        steady_ms=stage.steady_ms,
        overlapped_ms=stage.overlapped_ms,
        overlapped_runs=stage.overlapped_runs,
        release_ms=stage.release_ms,
    )


def memory_series(session: PipelineSessionRecord) -> tuple[list[float], dict[int, list[int]]]:
    """Return times in seconds and, for each stage by its position, as many values in kB."""
    pairs: dict[int, tuple[dict[int, int], dict[int, int]]] = {}
    times: dict[int, float] = {}
    for sample in sorted(session.samples, key=lambda sample: sample.number):
        times[sample.number] = sample.t_s
        for into, kb in zip(pairs.setdefault(sample.number, ({}, {})), (sample.pss_kb, sample.rss_kb), strict=True):
            if kb is not None:
                into[sample.position] = kb
    moments = memory_over_time(list(pairs.values()))
    series = {s.position: [moment.get(s.position, 0) for moment in moments] for s in session.stages}
    return list(times.values()), series
