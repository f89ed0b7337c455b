"""Makes the document of an ablation: the effect of each lever on a pipeline on a device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from devbench.findings.ablation import Ablation, AblationRow
from devbench.findings.published import TITLE, PublishedFigure, published
from devbench.sections.charts import RowChart, Virtual
from devbench.sections.document import Document, Line, Section, SectionOf, sections_for
from devbench.sections.pipeline_cells import megabytes, seconds
from devbench.sections.tables import Cell, Column, Form, Table, table
from devbench.sections.waterfall import Step, waterfall

FORMAT = 3
# The largest accepted error, as a share of the largest value; delegates that compute in fp16 stay below it.
_MAX_ERROR = 0.02
_EXPLANATION = (
    "Each row has all levers above it, and is measured as one session of the whole pipeline. error: outputs after the "
    "rewrite compared with those before it, on this machine; on device: the device's outputs compared with this "
    "machine's; both relative to the largest value."
)


def ablation_document(found: Ablation, form: Form) -> Document:
    """Return the ablation as a form shows it."""
    return Document(
        "Ablation",
        found.title,
        sections=sections_for(form, found, SECTIONS),
        data=_data(found) if form == "json" else {},
    )


def _rows(found: Ablation) -> Iterator[Section]:
    before = dict(zip(found.rows[1:], found.rows, strict=False))

    def change(row: AblationRow) -> str:
        was = before[row].latency_ms if row in before else None
        return "" if was is None or row.latency_ms is None else f"{100 * (row.latency_ms / was - 1):+.0f} %"

    columns: tuple[Column[AblationRow], ...] = (
        Column("lever", lambda row: row.facts.lever),
        Column("passes", lambda row: str(row.facts.steps * (1 + row.facts.guidance)), numeric=True),
        Column("places", lambda row: str(row.facts.places or ""), numeric=True, hidden=1),
        Column("delegated", lambda row: share_words(row.facts.delegated_node_share), numeric=True),
        Column("parts", lambda row: str(row.facts.partitions or ""), numeric=True, hidden=2),
        Column("end to end", _latency, numeric=True),
        Column("change", change, numeric=True),
        Column("peak MB", lambda row: megabytes(row.peak_kb), numeric=True),
        Column("size MB", lambda row: f"{row.facts.size_bytes / 1e6:.1f}", numeric=True, hidden=3),
        Column("error", lambda row: _figure(row.facts.error), numeric=True),
        Column("on device", _on_device, numeric=True),
    )
    failures = dict.fromkeys(failure for row in found.rows for failure in row.facts.failures)
    lines = [Line(failure, "bad") for failure in failures]
    lines += [Line(row.failure, "bad", row.facts.lever) for row in found.rows if row.failure]
    lines += [Line(_EXPLANATION)] + ([Line(found.virtual_note, "information")] if found.virtual_note else [])
    yield Section("rows", "", (table("rows", found.title, columns, found.rows), *lines))


def share_words(share: float | None) -> str:
    """Return a share in percent. Only a complete share is shown as 100 %."""
    return "" if share is None else "100 %" if share == 1 else f"{min(100 * share, 99.9):.1f} %"


def _latency(row: AblationRow) -> Cell:
    if row.latency_ms is None:
        return Cell("failed", kind="bad")
    return Cell(seconds(row.latency_ms), row.latency_ms, kind="unreliable" if row.unreliable else "")


def _figure(value: float | None) -> str:
    return "" if value is None else format(value, ".1g")


def _on_device(row: AblationRow) -> Cell:
    error = row.facts.device_error
    if error is None or error <= _MAX_ERROR:
        return Cell(_figure(error))
    return Cell(f"{error:.1g} wrong", kind="bad")


def published_table(rows: tuple[PublishedFigure, ...] = ()) -> Table:
    """Return a table of published figures with their exact sources, in the order of their file."""
    columns: tuple[Column[PublishedFigure], ...] = (
        Column("who", lambda one: one.who + (f", {one.year}" if one.year else "")),
        Column("model", lambda one: f"{one.model}, {one.precision}", hidden=3),
        Column("device", lambda one: f"{one.device}, {one.soc}; {one.processor}", hidden=4),
        Column("steps", lambda one: one.steps),
        Column("guidance", lambda one: one.guidance, hidden=1),
        Column("seconds", lambda one: one.seconds),
        Column("included", lambda one: one.included + (f"; {one.note}" if one.note else ""), hidden=2),
        Column("source", lambda one: one.source),
    )
    return table("published", TITLE, columns, rows or published())


def _published(found: Ablation) -> Iterator[Section]:
    yield Section("published", TITLE, (published_table(),))


SECTIONS: tuple[SectionOf[Ablation], ...] = (SectionOf(_rows, in_data=True), SectionOf(_published, in_data=True))


def _data(found: Ablation) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "pipeline": found.pipeline,
        "device": found.device,
        "delegate": found.delegate,
        "rows": [
            {
                **asdict(row.facts),
                "delegated_node_share": row.facts.delegated_node_share,
                **{name: value for name, value in asdict(row).items() if name != "facts"},
            }
            for row in found.rows
        ],
        "published_not_measured_here": [asdict(one) for one in published()],
    }


def ablation_charts(found: Ablation) -> tuple[RowChart, RowChart]:
    """Return the charts of each lever's effect on end-to-end latency and on peak memory."""

    def chart(name: str, what: str, unit: str, values: list[float | None], texts: list[str]) -> RowChart:
        changes = [
            Step(row.facts.lever, value, text if value is not None else "failed")
            for row, value, text in zip(found.rows, values, texts, strict=True)
        ]
        note = "A bar is what its lever changes, upon all levers above it; the text at its end is the value after it."
        virtual: Virtual = "every" if found.virtual_note else ""
        return waterfall(name, f"{what}: {found.title}", unit, changes, last="all levers", note=note, virtual=virtual)

    latencies = [None if row.latency_ms is None else row.latency_ms / 1000 for row in found.rows]
    peaks = [None if row.peak_kb is None else row.peak_kb / 1024 for row in found.rows]
    took = [seconds(row.latency_ms) for row in found.rows]
    needed = [f"{megabytes(row.peak_kb)} MB" for row in found.rows]
    return (
        chart("ablation", "End to end", "seconds, one session", latencies, took),
        chart("ablation-memory", "Peak memory", "MB, all stages", peaks, needed),
    )
