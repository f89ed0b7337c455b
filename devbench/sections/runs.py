"""Makes the document that lists the runs of a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

from devbench.sections.document import Document, Line, Section, SectionOf, sections_for
from devbench.sections.tables import LONG, PAGE, TERMINAL, Cell, Column, Form, table

# Summaries of runs, the newest first.
Runs = Sequence[Any]


def runs_document(runs: Runs, form: Form) -> Document:
    """Return the runs, the newest first; a page links each run, and its comparison with the run before."""
    return Document("Runs", sections=sections_for(form, runs, SECTIONS))


def _runs(runs: Runs) -> Iterator[Section]:
    # A run that measured nothing is no baseline.
    measured = [run.run_id for run in runs if run.repetitions > run.failed]
    before = dict(pairwise(measured))

    def compare(run: Any) -> Cell:
        sides = {"baseline": before.get(run.run_id), "candidate": run.run_id}
        return Cell("with the one before", link="/compare?" + urlencode(sides)) if sides["baseline"] else Cell("")

    columns: tuple[Column[Any], ...] = (
        Column("run", lambda run: Cell(run.run_id, link=f"/run/{run.run_id}"), role="name"),
        Column("started (UTC)", lambda run: f"{run.started_utc:%Y-%m-%d %H:%M:%S}", hidden=1),
        Column("status", lambda run: run.status, forms=TERMINAL),
        Column("status", _ended, choose=True, forms=PAGE),
        Column("jobs", lambda run: Cell(str(run.jobs), run.jobs), numeric=True),
        Column("repetitions", _repetitions, numeric=True),
        Column("models", lambda run: ", ".join(run.models), forms=TERMINAL),
        Column("devices", lambda run: ", ".join(run.devices), forms=TERMINAL),
        Column("devices", lambda run: "virtual" if run.virtual else "phones", choose=True, forms=PAGE),
        Column("labels", _labels, wide=True, only_if=_labels),
        Column("compare", compare, forms=PAGE),
    )
    found = table("runs", "all runs of this store, the newest first", columns, runs, LONG)
    ends = [Line(f"{run.run_id} {run.ended}", "soft", forms=TERMINAL) for run in runs if run.ended != run.status]
    yield Section("all-runs", "", (found, *ends) if runs else (Line("No run is stored yet."),))


def _ended(run: Any) -> Cell:
    return Cell(run.ended, kind="" if run.ended == "done" else "warn")


def _repetitions(run: Any) -> Cell:
    failed = f" ({run.failed} failed)" if run.failed else ""
    return Cell(f"{run.repetitions}{failed}", run.repetitions, "bad" if run.failed else "")


def _labels(run: Any) -> str:
    return ", ".join(f"{key}={value}" for key, value in run.labels.items())


SECTIONS: tuple[SectionOf[Runs], ...] = (SectionOf(_runs),)
