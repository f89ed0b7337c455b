"""The page of a run of pipelines, its charts and its JSON in a folder; the template escapes every text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devbench.findings.pipeline import DRIVER_NOTE, PipelineReport, Variant
from devbench.forms.charts.files import chart_file
from devbench.forms.charts.picture import Picture
from devbench.forms.charts.pipelines import pipelines
from devbench.forms.json import json_text
from devbench.forms.page import Frame, render
from devbench.notices import VIRTUAL_NOTE
from devbench.sections.pipeline import pipeline_document
from devbench.sections.pipeline_words import contention, difference_rows, notes
from devbench.whole_files import write_whole, write_whole_bytes, writing_to


def pipeline_values(report: PipelineReport, charts: Sequence[tuple[Variant, Picture]]) -> dict[str, Any]:
    """What `pipelines.html` needs."""
    drawn = {id(variant): picture for variant, picture in charts}
    return {
        "variants": [(variant, drawn.get(id(variant))) for variant in report.variants],
        "driver_note": DRIVER_NOTE,
        "contention": contention,
        "difference": difference_rows,
        "notes": notes,
    }


def render_pipelines(report: PipelineReport, charts: Sequence[tuple[Variant, Picture]]) -> str:
    """The page of its own."""
    run = report.view.run
    frame = Frame(f"Pipelines of run {run.run_id}", virtual_note=VIRTUAL_NOTE if report.virtual else "")
    return render("pipeline.html", frame, report=report, run=run, **pipeline_values(report, charts))


def write_pipeline_page(report: PipelineReport, out_dir: Path) -> Path:
    """Write `pipeline.html`, `pipeline.json` and the charts as PNG into a folder; gives the page's path.

    Raises:
        EnvironmentProblem: the folder cannot be written to.
    """
    charts = pipelines(report)
    page = render_pipelines(report, charts)
    with writing_to(out_dir):
        out_dir.mkdir(parents=True, exist_ok=True)
        for _, picture in charts:
            write_whole_bytes(out_dir / f"{picture.name}.png", chart_file(picture, "png"))
    path = out_dir / "pipeline.html"
    write_whole(path, lambda file: file.write(page))
    write_pipeline_json(report, out_dir / "pipeline.json")
    return path


def write_pipeline_json(report: PipelineReport, path: Path) -> None:
    """Write the pipelines' data to a file.

    Raises:
        EnvironmentProblem: it cannot be written.
    """
    text = json_text(pipeline_document(report, "json"))
    write_whole(path, lambda file: file.write(text))
