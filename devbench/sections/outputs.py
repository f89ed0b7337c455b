"""What is shown of the outputs of models, next to this machine's and the device's own CPU; knows no form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from devbench.findings.run import JobReport, ReportData
from devbench.sections.document import Document, Line, Section, SectionOf, sections_for
from devbench.sections.figures import limits_words
from devbench.sections.notices import notice_parts
from devbench.sections.tables import Cell, Column, Form, table


def outputs_document(report: ReportData, form: Form) -> Document:
    """How far each delegate's outputs are from this machine's CPU and from the device's own."""
    sections = sections_for(form, report, (SectionOf(_outputs),))
    return Document("Outputs", notices=notice_parts(form, report), sections=sections)


def _outputs(report: ReportData) -> Iterator[Section]:
    for number, (model, device, jobs) in enumerate(report.groups, start=1):
        rows = [(job, output) for job in jobs for output in job.outputs]
        columns: tuple[Column[tuple[JobReport, Mapping[str, Any]]], ...] = (
            Column("delegate", lambda row: row[0].title, role="name"),
            *(_of_output(column) for column in OUTPUT_COLUMNS),
        )
        lines = [Line(f"{kind}: {message}", "bad", job.title) for job in jobs for kind, message, _ in job.failures]
        yield Section(f"outputs-{number}", f"{model} on {device.title}", (table("outputs", "", columns, rows), *lines))


def _of_output(column: Column[Mapping[str, Any]]) -> Column[tuple[JobReport, Mapping[str, Any]]]:
    return Column(
        column.title, lambda row: column.cell(row[1]), numeric=column.numeric, role=column.role, hidden=column.hidden
    )


def _figure(key: str, form: str) -> Any:
    return lambda output: "" if output.get(key) is None else format(output[key], form)


def _verdict(output: Mapping[str, Any]) -> Cell:
    faults = [f"{output[key]} {title}" for key, title in (("nan", "NaN"), ("inf", "Inf")) if output.get(key)]
    faults += [title for key, title in (("all_zero", "all zero"), ("wrong_size", "wrong size")) if output.get(key)]
    limits = limits_words(output.get("limits"))
    aside = f"({limits})" if limits else ""
    if output.get("wrong"):
        return Cell(", ".join(faults) or "wrong", kind="bad", aside=aside)
    if output.get("against") == "host" and output.get("deterministic") is False:
        return Cell("not deterministic", kind="warn", aside=aside)
    return Cell("ok" if output.get("against") == "host" else "", kind="good", aside=aside)


OUTPUT_COLUMNS: tuple[Column[Mapping[str, Any]], ...] = (
    Column("output", lambda output: str(output.get("name"))),
    Column("against", lambda output: str(output.get("against")), role="name"),
    Column("largest difference", _figure("max_abs", ".3g"), numeric=True, hidden=3),
    Column("relative", _figure("max_rel", ".2g"), numeric=True, hidden=2),
    Column("cosine", _figure("cosine", ".6f"), numeric=True, hidden=1),
    Column("SNR dB", lambda output: _figure("snr_db", ".1f")(output) or ("equal" if output.get("max_abs") == 0 else ""),
           numeric=True, hidden=4),
    Column("verdict", _verdict, role="name"),
)  # fmt: skip
"""What is shown of a comparison of one output of a job."""
