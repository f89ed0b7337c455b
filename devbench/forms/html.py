"""A run as one self-contained HTML page: no network, light and dark; the templates escape every text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from devbench.findings.run import MEMORY_NOTE, ReportData
from devbench.forms.charts import comparison as comparison_chart
from devbench.forms.charts import history as history_chart
from devbench.forms.charts import jobs as job_charts
from devbench.forms.charts.conditions import conditions
from devbench.forms.charts.picture import Picture
from devbench.forms.charts.pipelines import pipelines as pipeline_charts
from devbench.forms.job_details import CHUNK, ReadRaw, job_details
from devbench.forms.page import ChartSet, Frame, Link, chart_set, render, sections_of
from devbench.forms.pipeline_page import pipeline_values
from devbench.sections import changes as sections_changes
from devbench.sections import comparison as sections_comparison
from devbench.sections import run_tables, words
from devbench.sections.changes_words import drift_words
from devbench.sections.tables import Tile

if TYPE_CHECKING:
    from devbench.findings.changes import ChangesReport
    from devbench.findings.comparison import ComparisonReport
    from devbench.findings.pipeline import PipelineReport


@dataclass(frozen=True, slots=True)
class Beside:
    """What a run's page shows besides the run.

    Attributes:
        comparison: the run against a baseline.
        changes: the history that it is a part of.
        pipelines: what it measured of pipelines.
        links: to other pages, where a server shows them.
    """

    comparison: ComparisonReport | None = None
    changes: ChangesReport | None = None
    pipelines: PipelineReport | None = None
    links: tuple[Link, ...] = ()


def render_html(report: ReportData, read_raw: ReadRaw, beside: Beside | None = None) -> str:
    """The page.

    Args:
        report: what to show.
        read_raw: gives the raw output at a path of the store; one that is gone is left out with a word.
        beside: comparison, history and pipelines.
    """
    from markupsafe import Markup

    more = beside or Beside()
    tables = {
        name: getattr(run_tables, name)(report)
        for name in ("decisions", "jobs", "spread", "startup", "memory", "operators", "fallback")
    }
    charts = _charts(report)
    details = job_details(report, read_raw)
    compared = comparison_values(more.comparison)
    sections = sections_of(
        (
            ("overview", "Overview", True), ("comparison", "Comparison", more.comparison),
            ("latency", "Latency", charts["latency"].first),
            ("operators", "Operators", tables["operators"].rows or tables["fallback"].rows),
            ("startup", "Start-up", tables["startup"].rows), ("memory", "Memory", tables["memory"].rows),
            ("pipelines", "Pipelines", more.pipelines), ("conditions", "Conditions", charts["conditions"].first),
            ("history", "History", more.changes), ("jobs", "Jobs", True), ("devices", "Devices", True),
        )
    )  # fmt: skip
    frame = Frame(f"Run {report.run_id}", sections, more.links, report.virtual_note)
    return render(
        "report.html",
        frame,
        report=report,
        tiles=_tiles(report, more),
        verdict=sections_comparison.verdict_words(more.comparison) if more.comparison else "",
        unfit=sum(job.all_unreliable for job in report.jobs),
        tables=tables,
        chart_sets=charts,
        pipelines=more.pipelines,
        job_details=[(job, Markup(details.html[job.job.number])) for job in report.jobs if details.html],
        job_chunks=details.chunks,
        chunk_size=CHUNK,
        raw=details.raw,
        raw_left_out=details.raw_left_out,
        coverage=words.coverage_note([job.latency for job in report.jobs]),
        memory_note=MEMORY_NOTE,
        **compared,
        **changes_values(more.changes),
        **(pipeline_values(more.pipelines, pipeline_charts(more.pipelines)) if more.pipelines else {}),
    )


def _charts(report: ReportData) -> dict[str, ChartSet]:
    """Charts of each kind, a model after the other."""

    def draws(name: str) -> Iterator[Callable[[], Picture]]:
        for number, shown in enumerate(job_charts.by_model(report, job_charts.WANTED[name]), start=1):
            yield partial(job_charts.DRAWN[name], shown, f"{name}-{number}")

    sets = {name: chart_set(draws(name)) for name in job_charts.DRAWN}
    return {**sets, "conditions": chart_set(conditions(report), first=2)}


def _tiles(report: ReportData, beside: Beside) -> list[list[Tile]]:
    """A row of what is found against other runs, and one of the run itself."""
    found = sections_comparison.comparison_tiles(beside.comparison) if beside.comparison else []
    if beside.changes:
        found += sections_changes.changes_tiles(beside.changes)
    jobs = report.jobs
    failed = sum(job.status in ("failed", "partly failed") for job in jobs)
    unfit = sum(job.all_unreliable for job in jobs)
    measured = sum(job.latency is not None for job in jobs)
    models = len({job.job.model.name for job in jobs})
    devices = len(report.devices)
    run = [
        Tile(f"{measured:,}", f"of {len(jobs):,} jobs measured"),
        Tile(f"{failed:,}", "failed", "bad" if failed else ""),
        Tile(f"{unfit:,}", "unreliable, on a device in no fit state", "warn" if unfit else ""),
        Tile(f"{models:,}", f"model{'' if models == 1 else 's'}"),
        Tile(f"{devices:,}", f"device{'' if devices == 1 else 's'}"),
    ]
    return [tiles for tiles in (found, run) if tiles]


def comparison_values(comparison: ComparisonReport | None) -> dict[str, object]:
    """What `compared.html` needs."""
    if comparison is None:
        return {"comparison": None}
    return {
        "comparison": comparison,
        "compared_charts": chart_set(comparison_chart.changes(comparison)),
        "compared_table": sections_comparison.compared(comparison),
        "failure_table": sections_comparison.failure_table(comparison),
    }


def changes_values(changes: ChangesReport | None) -> dict[str, object]:
    """What `changes.html` needs."""
    if changes is None:
        return {"changes": None}
    return {
        "changes": changes,
        "history_charts": chart_set(history_chart.histories(changes)),
        "change_table": sections_changes.change_table(changes),
        "event_table": sections_changes.event_table(changes),
        "model_table": sections_changes.model_table(changes),
        "drifts": [drift_words(drift) for drift in changes.drifts],
    }
