"""Which charts are shown of what, as data; knows no drawing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devbench.findings.run import JobReport, ReportData
from devbench.metrics import shown_in
from devbench.sections.document import Chart
from devbench.text import clean

if TYPE_CHECKING:
    from devbench.findings.changes import ChangesReport, MeasuredSeries
    from devbench.findings.comparison import ComparedRow, ComparisonReport
    from devbench.findings.pipeline import PipelineReport

# A chart with more rows is no overview.
_MAX_ROWS = 60
_MAX_CHANGES = 24
_MAX_DEVICES, _MAX_DEVICES_IN_FOLDER = 12, 6
_MAX_PIPELINES = 24
Wanted = Callable[[JobReport], bool]


@dataclass(frozen=True, slots=True)
class ChartedJobs:
    """Some jobs of a run, for one chart; `title` says which."""

    report: ReportData
    jobs: tuple[JobReport, ...]
    title: str = ""

    @property
    def every(self) -> bool:
        return all(job.virtual for job in self.jobs)

    @property
    def some(self) -> bool:
        return any(job.virtual for job in self.jobs) and not self.every

    def hatch(self, job: JobReport) -> bool:
        return self.some and job.virtual


def by_model(report: ReportData, wanted: Wanted) -> Iterator[ChartedJobs]:
    """The jobs that are wanted, a model after the other, in portions that one chart holds."""
    models: dict[str, list[JobReport]] = {}
    for job in report.jobs:
        if wanted(job):
            models.setdefault(job.subject, []).append(job)
    for model, jobs in models.items():
        portions: list[list[JobReport]] = [[]]
        devices: dict[str, list[JobReport]] = {}
        for job in jobs:
            devices.setdefault(job.job.device.key, []).append(job)
        for those in devices.values():
            if portions[-1] and len(portions[-1]) + len(those) > _MAX_ROWS:
                portions.append([])
            portions[-1] += those[:_MAX_ROWS]
        for number, portion in enumerate(portions, start=1):
            part = f" ({number} of {len(portions)})" if len(portions) > 1 else ""
            yield ChartedJobs(report, tuple(portion), f"{clean(model, 90)}{part}")


def all_jobs(report: ReportData, wanted: Wanted) -> ChartedJobs:
    """The first jobs that are wanted, all models together."""
    return ChartedJobs(report, tuple(job for job in report.jobs if wanted(job))[:_MAX_ROWS])


def _timed(job: JobReport) -> bool:
    return job.latency is not None


def _started(job: JobReport) -> bool:
    return any(start.init or start.first_inference for start in job.startups)


def _sized(job: JobReport) -> bool:
    return any(value is not None for value in (job.peak_memory_mb, job.vm_hwm_mb, job.pss_mb))


def _profiled(job: JobReport) -> bool:
    return bool(job.by_type)


# Which jobs have something to show, by the kind of the chart.
WANTED: Mapping[str, Wanted] = {
    "latency": _timed, "speedup": _timed, "operators": _profiled, "startup": _started, "memory": _sized,
}  # fmt: skip


def job_charts(report: ReportData, kind: str) -> tuple[Chart, ...]:
    """Charts of one kind, a model after the other."""
    shown = by_model(report, WANTED[kind])
    return tuple(Chart(kind, jobs, f"{kind}-{number}") for number, jobs in enumerate(shown, start=1))


def condition_charts(report: ReportData) -> tuple[Chart, ...]:
    """A chart for each device that said anything of itself."""
    told = [timeline for timeline in report.timelines if timeline.has_conditions][:_MAX_DEVICES]
    titles = tuple(dict.fromkeys(job.title for job in report.jobs))
    return tuple(
        Chart("conditions", (timeline, titles), "conditions" if number == 1 else f"conditions-{number}")
        for number, timeline in enumerate(told, start=1)
    )


def run_charts(report: ReportData) -> tuple[Chart, ...]:
    """The charts of a run for which it has numbers, as a folder has them: latency, operators, conditions."""
    kinds = {kind: all_jobs(report, WANTED[kind]) for kind in ("latency", "operators")}
    drawn = tuple(Chart(kind, jobs, kind) for kind, jobs in kinds.items() if jobs.jobs)
    return drawn + condition_charts(report)[:_MAX_DEVICES_IN_FOLDER]


@dataclass(frozen=True, slots=True)
class ChartedMetric:
    """The largest changes of a metric, out of `of` comparisons with `baseline`."""

    metric: str
    rows: tuple[ComparedRow, ...]
    of: int
    baseline: str


def comparison_charts(report: ComparisonReport) -> tuple[Chart, ...]:
    """A chart for each metric that changed anywhere, or could not be decided."""
    found = []
    for metric in shown_in("comparison"):
        rows = [row for row in report.rows if row.metric == metric and row.comparison.change is not None]
        rows = [row for row in rows if not row.comparison.reason]
        told = [row for row in rows if row.comparison.verdict != "unchanged"]
        if told:
            largest = sorted(told, key=lambda row: -abs(row.comparison.change or 0.0))[:_MAX_CHANGES]
            data = ChartedMetric(metric, tuple(largest), len(rows), report.baseline.title)
            found.append(Chart("comparison", data, f"changes-{metric}"))
    return tuple(found)


def history_charts(report: ChangesReport) -> tuple[Chart, ...]:
    """A chart for each series: those that changed first, then latencies, then the rest."""

    def rank(series: MeasuredSeries) -> tuple[bool, float, bool]:
        own = [abs(change.point.size or 0.0) for change in series.changes if change.own]
        return (not own, -max(own, default=0.0), series.metric != "latency")

    ranked = enumerate(sorted(report.series, key=rank), start=1)
    return tuple(Chart("history", one, f"history-{number}") for number, one in ranked if len(one.values) > 1)


def pipeline_charts(report: PipelineReport) -> tuple[Chart, ...]:
    """A chart for each variant that has a session."""
    shown = [variant for variant in report.variants if any(whole.shown for whole in variant.wholes)][:_MAX_PIPELINES]
    return tuple(
        Chart("pipeline", variant, "pipeline" if number == 1 else f"pipeline-{number}")
        for number, variant in enumerate(shown, start=1)
    )


def charts_of(kind: str, subject: Any, over: str) -> tuple[Chart, ...]:
    """The charts of a kind; `over` is the delegate that a speed-up is compared with.

    Args:
        subject: a comparison for "comparison", changes for "history", pipelines for "pipeline", else a run; `None` has
            no charts.
    """
    whole = {"comparison": comparison_charts, "history": history_charts, "pipeline": pipeline_charts}
    if subject is None or kind in whole:
        return whole[kind](subject) if subject is not None else ()  # type: ignore[operator]
    if kind == "conditions":
        return condition_charts(subject)
    shown = all_jobs(subject, WANTED[kind])
    return (Chart(kind, (shown, over) if kind == "speedup" else shown, kind),) if shown.jobs else ()
