"""Reports of a run for people: one self-contained page, Markdown and charts in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devbench.errors import DevbenchError, EnvironmentProblem

if TYPE_CHECKING:
    from devbench.reports.model import ReportData
    from devbench.results.store import Store


@dataclass(frozen=True, slots=True)
class ReportPaths:
    """Where a report was written."""

    html: Path
    markdown: Path
    charts: tuple[Path, ...]


def write_report(report: ReportData, store: Store, out_dir: Path) -> ReportPaths:
    """Write `report.html`, `report.md` and the charts as PNG into a folder; the store has the raw outputs.

    Raises:
        EnvironmentProblem: the folder cannot be written to.
    """
    from devbench.reports.charts import draw_charts
    from devbench.reports.export import write_whole
    from devbench.reports.html import render_html
    from devbench.reports.markdown import render_markdown

    charts = draw_charts(report)
    page = render_html(report, charts, _raw_texts(report, store))
    text = render_markdown(report, charts)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        pictures = []
        for chart in charts:
            picture = out_dir / f"{chart.name}.png"
            picture.write_bytes(chart.png)
            pictures.append(picture)
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write the report to {out_dir}: {error.strerror or error}", hint="choose another folder with --out"
        ) from None
    paths = ReportPaths(out_dir / "report.html", out_dir / "report.md", tuple(pictures))
    write_whole(paths.html, lambda file: file.write(page))
    write_whole(paths.markdown, lambda file: file.write(text))
    return paths


def _raw_texts(report: ReportData, store: Store) -> dict[str, str]:
    """Raw outputs by their path; one that is gone is left out."""
    texts = {}
    for job in report.jobs:
        for repetition in job.repetitions:
            try:
                texts[repetition.raw_path] = store.read_raw(repetition.raw_path).decode("utf-8", "replace")
            except DevbenchError:
                continue
    return texts
