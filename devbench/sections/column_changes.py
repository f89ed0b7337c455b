"""What is shown of the changes in a column of a file; knows no form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devbench.analysis.changes import ChangePoint
from devbench.findings.csv_column import ColumnChanges
from devbench.sections.document import Document, Section, SectionOf, sections_for
from devbench.sections.tables import Cell, Column, Form, table
from devbench.text import clean


def column_document(found: ColumnChanges, form: Form) -> Document:
    """The changes as a form shows them."""
    read, count = found.column, len(found.changes)
    gaps = f", {read.gaps} of them without a number" if read.gaps else ""
    number = "no change" if not count else "1 change" if count == 1 else f"{count} changes"
    headline = f"{number} in {clean(read.name, 60)}: {len(read.values)} rows{gaps}"
    sections = sections_for(form, found, (SectionOf(_changes, in_data=True),))
    return Document("", headline, sections=sections, data=_data(found) if form == "json" else {})


def _changes(found: ColumnChanges) -> Iterator[Section]:
    labels = found.column.labels
    columns: tuple[Column[ChangePoint], ...] = (
        Column("index", lambda one: Cell(str(one.index), one.index), numeric=True),
        Column("at", lambda one: clean(labels[one.index], 40), only_if=lambda one: bool(labels)),
        Column("change", lambda one: one.direction if one.size is None else f"{100 * one.size:+.2f} %", numeric=True),
        Column("before", lambda one: f"{one.before:.6g}", numeric=True),
        Column("after", lambda one: f"{one.after:.6g}", numeric=True),
        Column("p", lambda one: f"{one.p:.2g}" if one.p >= 1e-12 else "< 1e-12", numeric=True),
        Column("points", lambda one: f"{one.points_before} | {one.points_after}", numeric=True),
    )
    yield Section("changes", "", (table("changes", "changes", columns, found.changes),))


def _data(found: ColumnChanges) -> dict[str, Any]:
    """By the keys of docs/detection.md."""
    names = ("direction", "size", "before", "after", "p", "confidence", "points_before", "points_after")
    read = found.column
    return {
        "change_points": [one.index for one in found.changes],
        "changes": [
            {
                "index": one.index,
                "at": read.labels[one.index] if read.labels else None,
                **{name: getattr(one, name) for name in names},
            }
            for one in found.changes
        ],
        "column": read.name,
        "rows": len(read.values),
        "gaps": read.gaps,
    }
