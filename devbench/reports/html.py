"""A run as one self-contained HTML page: no network, light and dark; the templates escape every text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from devbench.reports import history_tables, job_tables, words
from devbench.reports.charts import comparison as comparison_chart
from devbench.reports.charts import history as history_chart
from devbench.reports.charts import jobs as job_charts
from devbench.reports.charts.conditions import conditions
from devbench.reports.charts.picture import Picture
from devbench.reports.charts.pipelines import pipelines as pipeline_charts
from devbench.reports.job_details import CHUNK, ReadRaw, job_details
from devbench.reports.model import MEMORY_NOTE, ReportData
from devbench.reports.page import ChartSet, Frame, Link, Tile, chart_set, render, sections_of
from devbench.reports.pipeline_page import pipeline_values
from devbench.reports.watch_words import drift_words

if TYPE_CHECKING:
    from devbench.reports.comparison import ComparisonReport
    from devbench.reports.pipeline import PipelineReport
    from devbench.reports.watch import WatchReport


@dataclass(frozen=True, slots=True)
class Beside:
    """What a run's page shows besides the run.

    Attributes:
        comparison: the run against a baseline.
        watch: the history that it is a part of.
        pipelines: what it measured of pipelines.
        links: to other pages, where a server shows them.
    """

    comparison: ComparisonReport | None = None
    watch: WatchReport | None = None
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
        name: getattr(job_tables, name)(report)
        for name in ("decisions", "jobs", "spread", "startup", "memory", "operators", "fallback")
    }
    charts = _charts(report)
    details = job_details(report, read_raw)
    compared = comparison_values(more.comparison)
    watched = watch_values(more.watch)
    sections = sections_of(
        (
            ("overview", "Overview", True), ("comparison", "Comparison", more.comparison),
            ("latency", "Latency", charts["latency"].first),
            ("operators", "Operators", tables["operators"].rows or tables["fallback"].rows),
            ("startup", "Start-up", tables["startup"].rows), ("memory", "Memory", tables["memory"].rows),
            ("pipelines", "Pipelines", more.pipelines), ("conditions", "Conditions", charts["conditions"].first),
            ("history", "History", more.watch), ("jobs", "Jobs", True), ("devices", "Devices", True),
        )
    )  # fmt: skip
    frame = Frame(f"Run {report.run_id}", sections, more.links, report.virtual_note)
    return render(
        "report.html",
        frame,
        report=report,
        tiles=_tiles(report, more),
        verdict=history_tables.verdict_words(more.comparison) if more.comparison else "",
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
        **watched,
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
    found = history_tables.comparison_tiles(beside.comparison) if beside.comparison else []
    if beside.watch:
        found += history_tables.watch_tiles(beside.watch)
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
        "compared_table": history_tables.compared(comparison),
        "failure_table": history_tables.failures(comparison),
    }


def watch_values(watch: WatchReport | None) -> dict[str, object]:
    """What `watched.html` needs."""
    if watch is None:
        return {"watch": None}
    return {
        "watch": watch,
        "history_charts": chart_set(history_chart.histories(watch)),
        "change_table": history_tables.changes(watch),
        "event_table": history_tables.events(watch),
        "model_table": history_tables.models(watch),
        "drifts": [drift_words(drift) for drift in watch.drifts],
    }
