"""Writes the report of a run into a folder: page, Markdown, CSV, JSON and charts; knows no store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

from devbench.forms.charts import CHART_FORMS
from devbench.forms.charts.files import chart_file
from devbench.forms.html import ReadRaw, html
from devbench.forms.json import json_text
from devbench.forms.markdown import markdown
from devbench.host.whole_files import write_whole, write_whole_bytes, writing_to
from devbench.sections.chart_kinds import run_charts
from devbench.sections.pipeline import pipeline_document
from devbench.sections.run import run_document
from devbench.sections.subjects import RunSubject
from devbench.sections.time_charts import pipeline_charts

FileForm = Literal["html", "md", "csv", "json", "png", "svg", "pdf"]
FILE_FORMS: tuple[FileForm, ...] = get_args(FileForm)
# A function that writes the record of a run to a file.
WriteRecord = Callable[[Path], None]


def write_files(
    subject: RunSubject,
    folder: Path,
    forms: Sequence[FileForm],
    read_raw: ReadRaw,
    records: dict[str, WriteRecord] | None = None,
) -> tuple[Path, ...]:
    """Write `report.html`, `report.md` and so on; return the paths, those of charts last.

    Args:
        subject: a run; if it measured pipelines, `pipeline.html` and `pipeline.json` are written with a page, too.
        read_raw: returns the raw output at a path of the store, for the page.
        records: the functions that write the run's record as "csv" and "json".

    Raises:
        EnvironmentProblem: the folder cannot be written to.
    """
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
    charts = run_charts(subject.report) if {"md", *CHART_FORMS} & set(forms) else ()
    written = []
    if subject.pipelines is not None and "html" in forms:
        written.append(write_pipelines(subject, folder))
    if "html" in forms:
        note = subject.report.virtual_note
        page = html(run_document(subject, "html"), read_raw, virtual_note=note)
        written.append(_text(folder / "report.html", page))
    if "md" in forms:
        images = [(chart.title, f"{chart.name}.png", chart.note) for chart in charts if "png" in forms]
        written.append(_text(folder / "report.md", markdown(run_document(subject, "markdown", images=images))))
    for form, write in (records or {}).items():
        if form in forms:
            write(folder / f"report.{form}")
            written.append(folder / f"report.{form}")
    for chart_form in CHART_FORMS:
        for chart in charts if chart_form in forms else ():
            written.append(folder / f"{chart.name}.{chart_form}")
            write_whole_bytes(written[-1], chart_file(chart, chart_form))
    return tuple(written)


def write_pipelines(subject: RunSubject, folder: Path) -> Path:
    """Write `pipeline.html`, `pipeline.json` and the charts of pipelines as PNG; return the page's path."""
    assert subject.pipelines is not None
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for chart in pipeline_charts(subject.pipelines).values():
        write_whole_bytes(folder / f"{chart.name}.png", chart_file(chart, "png"))
    write_pipeline_json(subject, folder / "pipeline.json")
    document = pipeline_document(subject.pipelines, "html")
    return _text(folder / "pipeline.html", html(document, virtual_note=subject.pipelines.virtual_note))


def write_pipeline_json(subject: RunSubject, path: Path) -> None:
    """Write the pipelines of a run for other programs."""
    assert subject.pipelines is not None
    _text(path, json_text(pipeline_document(subject.pipelines, "json")))


def _text(path: Path, text: str) -> Path:
    write_whole(path, lambda file: file.write(text))
    return path
