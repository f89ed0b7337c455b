"""The claims of the paper as a table, with verdicts; knows no form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from devbench.findings.claims import Judged
from devbench.sections.ablation import published_table
from devbench.sections.document import Document, Section, SectionOf, sections_for
from devbench.sections.tables import Cell, Column, Form, table

_KINDS: Mapping[str, str] = {"reproduced": "good", "refuted": "bad"}


@dataclass(frozen=True, slots=True)
class ClaimsSubject:
    """The judged claims, with the figures behind them and where they were measured."""

    where: str
    judged: tuple[Judged, ...]
    figures: Mapping[str, float]


def claims_document(found: ClaimsSubject, form: Form) -> Document:
    """Return the claims as a form shows them."""
    return Document(
        "Claims of the paper",
        found.where,
        sections=sections_for(form, found, SECTIONS),
        data=_data(found) if form == "json" else {},
    )


def _claims(found: ClaimsSubject) -> Iterator[Section]:
    columns: tuple[Column[Judged], ...] = (
        Column("claim", lambda one: f"{one.claim.text} ({one.claim.source})"),
        Column("verdict", lambda one: Cell(one.verdict, kind=_KINDS.get(one.verdict, ""))),
        Column("figure", lambda one: one.figure),
        Column("reason", lambda one: one.claim.reason, hidden=1),
        Column("command", lambda one: one.claim.command, hidden=2),
    )
    counts = Counter(one.verdict for one in found.judged)
    title = "Claims: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    yield Section("claims", title, (table("claims", title, columns, found.judged, layout="entries"),))


def _published(found: ClaimsSubject) -> Iterator[Section]:
    shown = published_table()
    yield Section("published", shown.caption, (shown,))


SECTIONS: tuple[SectionOf[ClaimsSubject], ...] = (
    SectionOf(_claims, in_data=True),
    SectionOf(_published, in_data=True),
)


def _data(found: ClaimsSubject) -> dict[str, Any]:
    claims = [
        {name: value for name, value in asdict(one.claim).items() if isinstance(value, str)}
        | {"figure": one.figure, "verdict": one.verdict}
        for one in found.judged
    ]
    return {"format": 1, "where": found.where, "claims": claims, "figures": dict(found.figures)}
