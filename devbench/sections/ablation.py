"""What is shown of an ablation: what each rewrite does to a pipeline on a device; knows no form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from devbench.findings.ablation import PUBLISHED, Ablation, AblationRow, Published
from devbench.sections.document import Document, Line, Section, SectionOf, sections_for
from devbench.sections.tables import Cell, Column, Form, table

FORMAT = 2
# Of the largest value; a delegate in fp16 is within it.
_MAX_ERROR = 0.02
_EXPLANATION = (
    "latency: the stages' medians times their runs; error: the rewrite's outputs compared with those before it, on "
    "this machine; on device: the device's outputs compared with this machine's, relative to the largest value."
)


def ablation_document(found: Ablation, form: Form) -> Document:
    """The ablation as a form shows it."""
    return Document(
        "Ablation",
        found.title,
        sections=sections_for(form, found, SECTIONS),
        data=_data(found) if form == "json" else {},
    )


def _rows(found: Ablation) -> Iterator[Section]:
    columns: tuple[Column[AblationRow], ...] = (
        Column("after", lambda row: f"+ {row.rewrite}" if row.rewrite else "baseline"),
        Column("places", lambda row: str(row.places) if row.rewrite else "", numeric=True, hidden=1),
        Column("delegated", lambda row: share_words(row.delegated_node_share), numeric=True),
        Column("parts", lambda row: "" if row.partitions is None else str(row.partitions), numeric=True, hidden=2),
        Column("latency", _latency, numeric=True),
        Column("peak MB", lambda row: _figure(row.peak_memory_mb, ".0f"), numeric=True, hidden=4),
        Column("size MB", lambda row: f"{row.size_bytes / 1e6:.1f}", numeric=True, hidden=3),
        Column("error", lambda row: _figure(row.error, ".1g"), numeric=True),
        Column("on device", _on_device, numeric=True),
    )
    failures = dict.fromkeys(failure for row in found.rows for failure in row.failures)
    lines = [Line(failure, "bad") for failure in failures]
    lines += [Line(_EXPLANATION)] + ([Line(found.virtual_note, "information")] if found.virtual_note else [])
    yield Section("rows", "", (table("rows", found.title, columns, found.rows), *lines))


def share_words(share: float | None) -> str:
    """A share in percent. Only a complete share is shown as 100 %."""
    return "" if share is None else "100 %" if share == 1 else f"{min(100 * share, 99.9):.1f} %"


def _latency(row: AblationRow) -> Cell:
    if row.composed_ms is None:
        return Cell("failed", kind="bad")
    return Cell(f"{row.composed_ms / 1000:.3f} s", row.composed_ms)


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _on_device(row: AblationRow) -> Cell:
    if row.device_error is None or row.device_error <= _MAX_ERROR:
        return Cell(_figure(row.device_error, ".1g"))
    return Cell(f"{row.device_error:.1g} wrong", kind="bad")


def _published(found: Ablation) -> Iterator[Section]:
    columns: tuple[Column[Published], ...] = (
        Column("who", lambda one: one.who),
        Column("what", lambda one: one.what),
        Column("time", lambda one: one.seconds),
        Column("source", lambda one: one.source),
    )
    title = "Published, not measured here"
    yield Section("published", title, (table("published", title, columns, PUBLISHED),))


SECTIONS: tuple[SectionOf[Ablation], ...] = (SectionOf(_rows, in_data=True), SectionOf(_published, in_data=True))


def _data(found: Ablation) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "pipeline": found.pipeline,
        "device": found.device,
        "delegate": found.delegate,
        "rows": [asdict(row) for row in found.rows],
        "published_not_measured_here": [asdict(one) for one in PUBLISHED],
    }
