"""What is shown of the runs of a store; knows no form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from devbench.sections.document import Document, Line, Section, SectionOf, sections_for
from devbench.sections.tables import Cell, Column, Form, table

# A summary of a run, and in words how it ended.
Listed = tuple[Any, str]


def runs_document(runs: Sequence[Listed], form: Form) -> Document:
    """The runs, the newest first."""
    return Document("Runs", sections=sections_for(form, runs, SECTIONS))


def _runs(runs: Sequence[Listed]) -> Iterator[Section]:
    columns: tuple[Column[Listed], ...] = (
        Column("run", lambda row: row[0].run_id, role="name"),
        Column("started (UTC)", lambda row: f"{row[0].started_utc:%Y-%m-%d %H:%M:%S}", hidden=1),
        Column("status", lambda row: row[0].status),
        Column("jobs", lambda row: str(row[0].jobs), numeric=True),
        Column("repetitions", _repetitions, numeric=True),
        Column("models", lambda row: ", ".join(row[0].models)),
        Column("devices", lambda row: ", ".join(row[0].devices)),
        Column("labels", _labels, only_if=_labels),
    )
    ends = [Line(f"{run.run_id} {words}", "soft") for run, words in runs if words != run.status]
    yield Section("runs", "", (table("runs", "runs", columns, runs), *ends))


def _repetitions(row: Listed) -> Cell:
    run, _ = row
    return Cell(f"{run.repetitions} ({run.failed} failed)", kind="bad") if run.failed else Cell(str(run.repetitions))


def _labels(row: Listed) -> str:
    return ", ".join(f"{key}={value}" for key, value in row[0].labels.items())


SECTIONS: tuple[SectionOf[Sequence[Listed]], ...] = (SectionOf(_runs),)
