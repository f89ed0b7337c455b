"""What each rewrite does to a pipeline: one row for each step, from the stages' jobs under one delegate.

Knows no terminal and no template. If a step does not change a stage, the stage's earlier measurement is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from devbench.findings.run import JobReport, ReportData
from devbench.results.records import RepetitionRecord


@dataclass(frozen=True, slots=True)
class Published:
    """A published figure, never measured here."""

    who: str
    what: str
    seconds: str
    source: str


PUBLISHED = (
    Published("Qualcomm (Hou, Asghar), 2023", "SD v1.5 int8, Hexagon, Snapdragon 8 Gen 2, 20 steps", "< 15 s", "press"),
    Published("Chen et al., 2023", "SD v1.4 fp16, GPU, Galaxy S23 Ultra, 20 steps", "11.5 s", "arXiv 2304.11267"),
    Published("Choi et al., 2023", "SD v2.1 W8A16, GPU, Galaxy S23, 20 effective steps", "< 7 s", "arXiv 2307.01193"),
)


@dataclass(frozen=True, slots=True)
class StageStep:
    """A stage's model at one step, measured.

    Attributes:
        nodes: operators of the model.
        relative_error: on the host, compared with the step before; `None` where not compared.
        delegated, partitions: as the tool said; `None` where it did not.
        latency_ms: median over processes; `None` where the job failed.
        peak_memory_mb: of the tool's process, MB.
        device_error: of the device's outputs compared with the host's for the same file, relative to its largest value.
        failure: why it did not run, or ran without the delegate, in the tool's words; empty where it did.
    """

    stage: str
    rewrite: str
    nodes: int
    places: int
    size_bytes: int
    relative_error: float | None
    lossy: bool
    runs: int
    delegated: int | None = None
    partitions: int | None = None
    latency_ms: float | None = None
    peak_memory_mb: float | None = None
    device_error: float | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class AblationRow:
    """The pipeline after one more rewrite.

    Attributes:
        delegated_node_share: operators on the delegate by all operators, over the stages, 0 to 1.
        partitions: the sum over the stages.
        composed_ms: Σ runs × latency; `None` where a stage was not measured.
        peak_memory_mb: that of the stage with the highest peak.
        error: the largest error of the changed stages, on the host.
        device_error: the largest error of the stages, the device compared with the host.
        failures: stages that failed, each with the reason.
    """

    rewrite: str
    places: int
    delegated_node_share: float | None
    partitions: int | None
    composed_ms: float | None
    peak_memory_mb: float | None
    size_bytes: int
    error: float | None
    device_error: float | None
    failures: tuple[str, ...]
    stages: tuple[StageStep, ...]


@dataclass(frozen=True, slots=True)
class Ablation:
    """A pipeline on a device under a delegate, one row more for each rewrite."""

    pipeline: str
    device: str
    delegate: str
    virtual_note: str
    rows: tuple[AblationRow, ...]

    @property
    def title(self) -> str:
        return f"{self.pipeline} on {self.device}, {self.delegate}"


def measured(step: StageStep, job: JobReport | None) -> StageStep:
    """`step` with what its job measured."""
    if job is None:
        return step
    said = next((one for one in job.repetitions if one.delegate_applied is not None), None)
    errors = [row.get("max_rel") for row in job.outputs if row.get("against") == "host"]
    known = [float(error) for error in errors if error is not None]
    failure = "; ".join(f"{kind}: {message}" for kind, message, _ in job.failures)
    values = asdict(step) | {
        "delegated": _delegated(said, step.nodes),
        "partitions": _partitions(said),
        "latency_ms": job.latency.median if job.latency else None,
        "peak_memory_mb": job.peak_memory_mb,
        "device_error": max(known) if known and len(known) == len(errors) else None,
        "failure": failure,
    }
    return StageStep(**values)


def _delegated(said: RepetitionRecord | None, nodes: int) -> int | None:
    if said is None:
        return None
    whole = {"none": 0, "full": nodes}
    return whole.get(said.delegate_applied or "", said.nodes_delegated)


def _partitions(said: RepetitionRecord | None) -> int | None:
    if said is None:
        return None
    # Of a graph that runs on the delegate whole the tool counts no partitions.
    whole = {"none": 0, "full": said.partitions or 1}
    return whole.get(said.delegate_applied or "", said.partitions)


def rows(order: Sequence[str], stages: Mapping[str, Sequence[StageStep]]) -> list[AblationRow]:
    """A row for the baseline and for each rewrite in `order` that changed a stage; `stages` by name, baseline first."""
    now = {name: steps[0] for name, steps in stages.items()}
    made = [_row("", tuple(now.values()), tuple(now.values()))]
    for rewrite in order:
        changed = {step.stage: step for steps in stages.values() for step in steps if step.rewrite == rewrite}
        if changed:
            now |= changed
            made.append(_row(rewrite, tuple(now.values()), tuple(changed.values())))
    return made


def _row(rewrite: str, stages: tuple[StageStep, ...], changed: tuple[StageStep, ...]) -> AblationRow:
    nodes = sum(stage.nodes for stage in stages)
    delegated = _sum([stage.delegated for stage in stages])
    latencies = [None if one.latency_ms is None else one.runs * one.latency_ms for one in stages]
    return AblationRow(
        rewrite,
        sum(stage.places for stage in changed),
        delegated / nodes if delegated is not None and nodes else None,
        _sum([stage.partitions for stage in stages]),
        None if None in latencies else sum(latency for latency in latencies if latency is not None),
        max((one.peak_memory_mb for one in stages if one.peak_memory_mb is not None), default=None),
        sum(stage.size_bytes for stage in stages),
        max((one.relative_error for one in changed if one.relative_error is not None), default=None),
        max((one.device_error for one in stages if one.device_error is not None), default=None),
        tuple(f"{stage.stage}: {stage.failure}" for stage in stages if stage.failure),
        stages,
    )


def _sum(values: Sequence[int | None]) -> int | None:
    return None if None in values else sum(value for value in values if value is not None)


def ablation_of(
    pipeline: str, report: ReportData, order: Sequence[str], stages: Mapping[str, Sequence[tuple[StageStep, str]]]
) -> Ablation:
    """What a run measured of a pipeline's stages.

    Args:
        pipeline: its name.
        report: the run.
        order: the names of the rewrites.
        stages: by name, the steps of each, the baseline first, each with the name of its model in the run.
    """
    jobs = {job.job.model.name: job for job in report.jobs}
    known = {name: [measured(step, jobs.get(model)) for step, model in steps] for name, steps in stages.items()}
    device = report.devices[0].title if report.devices else ""
    delegate = report.jobs[0].title if report.jobs else ""
    return Ablation(pipeline, device, delegate, report.virtual_note, tuple(rows(order, known)))
