"""The page of a run of pipelines, its charts and its JSON in a folder; the template escapes every text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from devbench.errors import EnvironmentProblem
from devbench.reports import words
from devbench.reports.drawing import Chart
from devbench.reports.export import write_whole
from devbench.reports.html import new_environment
from devbench.reports.model import VIRTUAL_NOTE
from devbench.reports.pipeline import DRIVER_NOTE, PipelineReport
from devbench.reports.pipeline_chart import draw_pipelines
from devbench.reports.pipeline_export import write_pipeline_json
from devbench.reports.pipeline_words import (
    contention,
    difference_rows,
    megabytes,
    notes,
    seconds,
    signed,
    signed_percent,
    spread,
)


def render_pipelines(report: PipelineReport, charts: Sequence[Chart]) -> str:
    """The page; charts are those of the variants that have a session, in their order."""
    environment = new_environment()
    environment.filters.update(
        seconds=seconds,
        signed=signed,
        signed_percent=signed_percent,
        megabytes=megabytes,
        spread=spread,
        ms=words.ms,
        rough_percent=words.rough_percent,
    )
    left = list(charts)
    variants = []
    for variant in report.variants:
        has_chart = bool(left) and any(whole.shown for whole in variant.wholes)
        variants.append((variant, left.pop(0) if has_chart else None))
    return environment.get_template("pipeline.html").render(
        report=report,
        run=report.view.run,
        variants=variants,
        virtual_note=VIRTUAL_NOTE,
        driver_note=DRIVER_NOTE,
        contention=contention,
        difference=difference_rows,
        notes=notes,
    )


def write_pipeline_page(report: PipelineReport, out_dir: Path) -> Path:
    """Write `pipeline.html`, `pipeline.json` and the charts as PNG into a folder; gives the page's path.

    Raises:
        EnvironmentProblem: the folder cannot be written to.
    """
    charts = draw_pipelines(report)
    page = render_pipelines(report, charts)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        for chart in charts:
            (out_dir / f"{chart.name}.png").write_bytes(chart.png)
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write the report to {out_dir}: {error.strerror or error}", hint="choose another folder with --out"
        ) from None
    path = out_dir / "pipeline.html"
    write_whole(path, lambda file: file.write(page))
    write_pipeline_json(report, out_dir / "pipeline.json")
    return path
