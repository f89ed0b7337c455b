"""Computes the effect of each lever on a pipeline, from the sessions of a run and the facts stored with its options.

A lever is one change of a pipeline, such as a rewrite of its models; an ablation measures levers one by one. The run's
options contain what its sessions do not: the levers, the share of the graphs that the delegate takes, and the errors of
the outputs. So the ablation can be computed again from the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from devbench.findings.pipeline import PipelineReport, Variant
from devbench.findings.run import JobReport, ReportData
from devbench.text import clean

if TYPE_CHECKING:
    from devbench.results.records import RepetitionRecord

OPTION = "ablation"
_MOST_ROWS = 64


@dataclass(frozen=True, slots=True)
class LeverFacts:
    """The facts about a lever that its session does not contain.

    Attributes:
        lever: what was changed; "baseline" for the first one.
        pipeline: the name of its pipeline in the run.
        places: the number of places that its rewrite changed; 0 if the lever is no rewrite.
        nodes, delegated, partitions: the sums over all stages; `None` if the tool did not report them.
        error: the error of the outputs that a rewrite changed, on this machine.
        device_error: the largest error of a stage's outputs on the device, compared with this machine.
        checked: stages whose outputs were compared on the device.
        failures: stages that do not run with the delegate, or whose outputs are wrong, each with the reason.
        Errors are relative to the largest value of an output.
    """

    lever: str
    pipeline: str
    steps: int
    guidance: bool
    residency: str
    places: int = 0
    size_bytes: int = 0
    nodes: int | None = None
    delegated: int | None = None
    partitions: int | None = None
    error: float | None = None
    device_error: float | None = None
    checked: int = 0
    failures: tuple[str, ...] = ()

    @property
    def delegated_node_share(self) -> float | None:
        return self.delegated / self.nodes if self.delegated is not None and self.nodes else None


@dataclass(frozen=True, slots=True)
class AblationRow:
    """A measured lever.

    End-to-end latency and peak memory are medians over sessions; `None` if no session ended well.
    """

    facts: LeverFacts
    sessions: int = 0
    latency_ms: float | None = None
    peak_kb: int | None = None
    unreliable: bool = False
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Ablation:
    """The ablation of a pipeline on a device under a delegate: a row for each lever."""

    pipeline: str
    device: str
    delegate: str
    virtual_note: str
    rows: tuple[AblationRow, ...]

    @property
    def title(self) -> str:
        return f"{self.pipeline} on {self.device}, {self.delegate}"


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """The result of one process of a model under the delegate; see `LeverFacts`."""

    nodes: int
    delegated: int | None = None
    partitions: int | None = None
    device_error: float | None = None
    checked: bool = False
    applied: bool = True
    failure: str = ""


def model_check(nodes: int, job: JobReport | None) -> ModelCheck:
    """Return the result of a model's job; `nodes` is the number of the model's operators."""
    if job is None:
        return ModelCheck(nodes)
    said = next((one for one in job.repetitions if one.delegate_applied is not None), None)
    errors = [row.get("max_rel") for row in job.outputs if row.get("against") == "host"]
    known = [float(error) for error in errors if error is not None]
    failure = "; ".join(f"{kind}: {message}" for kind, message, _ in job.failures)
    # Wrong outputs are shown, and the model is measured as it is.
    applied = all(kind == "output_mismatch" for kind, _, _ in job.failures)
    error = max(known) if known and len(known) == len(errors) else None
    return ModelCheck(nodes, _delegated(said, nodes), _partitions(said), error, bool(errors), applied, failure)


def _delegated(said: RepetitionRecord | None, nodes: int) -> int | None:
    if said is None:
        return None
    whole = {"none": 0, "full": nodes}
    return whole.get(said.delegate_applied or "", said.nodes_delegated)


def _partitions(said: RepetitionRecord | None) -> int | None:
    if said is None:
        return None
    # The tool reports no partitions if the whole graph runs on the delegate.
    whole = {"none": 0, "full": said.partitions or 1}
    return whole.get(said.delegate_applied or "", said.partitions)


def with_checks(facts: LeverFacts, checks: Mapping[str, ModelCheck]) -> LeverFacts:
    """Return the lever with the checks of its stages' models added; `checks` are by the stage."""
    found = list(checks.values())
    return replace(
        facts,
        nodes=sum(one.nodes for one in found),
        delegated=_sum([one.delegated for one in found]),
        partitions=_sum([one.partitions for one in found]),
        device_error=max((one.device_error for one in found if one.device_error is not None), default=None),
        checked=sum(one.checked for one in found),
        failures=tuple(
            f"{stage}: {one.failure}" + ("" if one.applied else "; this stage ran with XNNPACK")
            for stage, one in checks.items()
            if one.failure
        ),
    )


def _sum(values: Sequence[int | None]) -> int | None:
    return None if None in values else sum(value for value in values if value is not None)


def checks_of(report: ReportData, models: Mapping[str, int]) -> dict[str, ModelCheck]:
    """Return the result of each model's job by the model's name; `models` has the number of operators of each."""
    jobs = {job.job.model.name: job for job in report.jobs}
    return {name: model_check(nodes, jobs.get(name)) for name, nodes in models.items()}


def ablation_of(report: PipelineReport) -> Ablation | None:
    """Return the ablation that a run measured; `None` if it measured none."""
    kept = report.view.run.options.get(OPTION)
    if not isinstance(kept, Mapping) or not isinstance(kept.get("rows"), list) or not report.variants:
        return None
    variants = {variant.pipeline: variant for variant in report.variants}
    rows = tuple(_row(one, variants) for one in kept["rows"][:_MOST_ROWS] if isinstance(one, Mapping))
    first = report.variants[0]
    return Ablation(clean(kept.get("pipeline", ""), 80), first.device.title, first.title, report.virtual_note, rows)


def _row(values: Mapping[str, Any], variants: Mapping[str, Variant]) -> AblationRow:
    def number(name: str) -> Any:
        value = values.get(name)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def text(name: str) -> str:
        return clean(values.get(name, ""), 200)

    failures = values["failures"] if isinstance(values.get("failures"), list) else []
    facts = LeverFacts(
        text("lever"), str(values.get("pipeline", "")), number("steps") or 0, values.get("guidance") is True,
        text("residency"), number("places") or 0, number("size_bytes") or 0, number("nodes"), number("delegated"),
        number("partitions"), number("error"), number("device_error"), number("checked") or 0,
        tuple(clean(one, 400) for one in failures[:_MOST_ROWS]),
    )  # fmt: skip
    variant = variants.get(facts.pipeline)
    whole = variant.of(facts.residency) if variant else None
    if whole is None:
        return AblationRow(facts, failure="not measured")
    failure = "; ".join(f"{kind}: {message}" for kind, message, _ in whole.failures)
    latency = whole.latency.median if whole.latency else None
    return AblationRow(facts, len(whole.sessions), latency, whole.peak_kb, whole.all_unreliable, failure)
