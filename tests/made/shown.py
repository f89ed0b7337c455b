"""What the forms show of a run, for tests."""

from __future__ import annotations

from collections.abc import Callable

from devbench.findings.run import ReportData
from devbench.forms.charts.files import chart_file
from devbench.forms.colours import Theme
from devbench.forms.html import html
from devbench.forms.markdown import markdown
from devbench.forms.terminal import terminal_text
from devbench.sections.chart_kinds import run_charts
from devbench.sections.charts import Chart
from devbench.sections.run import run_document
from devbench.sections.subjects import RunSubject


def run_page(report: ReportData, read_raw: Callable[[str], bytes | None] = lambda path: None) -> str:
    """The page of a run."""
    return html(run_document(RunSubject(report), "html"), read_raw, virtual_note=report.virtual_note)


def run_markdown(report: ReportData) -> str:
    return markdown(run_document(RunSubject(report), "markdown"))


def run_terminal(report: ReportData, width: int = 160, *, operators: bool = False) -> str:
    return terminal_text(run_document(RunSubject(report, operators=operators), "terminal"), width)


def run_pictures(report: ReportData) -> list[Chart]:
    """The charts of a run, as a folder has them."""
    return list(run_charts(report))


def svg_file(chart: Chart, theme: Theme = "light") -> str:
    """A chart as the text of its SVG."""
    return chart_file(chart, "svg", theme=theme).decode()
