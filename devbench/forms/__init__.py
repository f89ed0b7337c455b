"""Reports of a run for people: one self-contained page, Markdown and charts in a folder; files for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from devbench.findings.changes import ChangesReport
    from devbench.findings.comparison import ComparisonReport
    from devbench.findings.run import ReportData
    from devbench.forms.html import Beside
    from devbench.results.store import RunView, Store

Form = Literal["html", "md", "csv", "json", "png", "svg", "pdf"]
FORMS: tuple[Form, ...] = ("html", "md", "csv", "json", "png", "svg", "pdf")


@dataclass(frozen=True, slots=True)
class ReportPaths:
    """Where a report was written."""

    html: Path
    markdown: Path
    charts: tuple[Path, ...]


def write_report(
    report: ReportData,
    store: Store,
    out_dir: Path,
    *,
    comparison: ComparisonReport | None = None,
    changes: ChangesReport | None = None,
) -> ReportPaths:
    """Write `report.html`, `report.md` and the charts as PNG into a folder; the store has the raw outputs.

    Args:
        comparison: the run against a baseline, to be shown on top.
        changes: the history that the run is a part of.

    Raises:
        EnvironmentProblem: the folder cannot be written to.
    """
    from devbench.forms.html import Beside

    beside = Beside(comparison, changes)
    page, text, *charts = write_forms(report, store, out_dir, ("html", "md", "png"), beside)
    return ReportPaths(page, text, tuple(charts))


def write_forms(
    report: ReportData,
    store: Store,
    out_dir: Path,
    forms: Sequence[Form],
    beside: Beside | None = None,
    view: RunView | None = None,
) -> tuple[Path, ...]:
    """Write a report in each of the forms; gives the paths, those of charts last.

    Args:
        view: the run as stored, for "csv" and "json".

    Raises:
        EnvironmentProblem: the folder cannot be written to.
    """
    from devbench.forms.charts import draw_charts
    from devbench.forms.charts.files import CHART_FORMS, chart_file
    from devbench.results.run_export import write_csv, write_json
    from devbench.whole_files import write_whole, write_whole_bytes, writing_to

    charts = draw_charts(report) if {"md", *CHART_FORMS} & set(forms) else []
    written: list[Path] = []

    def text_file(name: str, text: str) -> None:
        write_whole(out_dir / name, lambda file: file.write(text))
        written.append(out_dir / name)

    with writing_to(out_dir):
        out_dir.mkdir(parents=True, exist_ok=True)
    if "html" in forms:
        from devbench.forms.html import render_html

        text_file("report.html", render_html(report, store.read_raw, beside))
    if "md" in forms:
        from devbench.forms.markdown import markdown
        from devbench.sections.run import run_document

        images = [(chart.title, f"{chart.name}.png", chart.note) for chart in charts if "png" in forms]
        text_file("report.md", markdown(run_document(report, "markdown", images=images)))
    for form, write in (("csv", write_csv), ("json", write_json)):
        if form in forms and view is not None:
            write(view, out_dir / f"report.{form}")
            written.append(out_dir / f"report.{form}")
    for chart_form in CHART_FORMS:
        for picture in charts if chart_form in forms else ():
            path = out_dir / f"{picture.name}.{chart_form}"
            write_whole_bytes(path, chart_file(picture, chart_form))
            written.append(path)
    return tuple(written)
