"""What is shown, as data: a document of sections, which have lines, facts, tables and charts; knows no subject.

A subject lists its sections as `SectionOf`; a form spells the parts of a document. What is not meant for a form is left
out before the form sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

from devbench.sections.tables import EVERY_FORM, MARKDOWN, Form, Table

Kind = Literal["", "good", "bad", "warn", "soft", "note", "virtual", "below"]

Subject = TypeVar("Subject")


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence; not made harmless.

    Attributes:
        text: the sentence.
        kind: "virtual" is the note on virtual devices, "below" a detail of the line above.
        subject: what it is about.
    """

    text: str
    kind: Kind = ""
    subject: str = ""
    forms: frozenset[str] = EVERY_FORM


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines that may be many; a form shows the first of them. `what` is what they are, in the plural."""

    lines: tuple[Line, ...]
    what: str
    limited: bool = True
    forms: frozenset[str] = EVERY_FORM


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with their values."""

    pairs: tuple[tuple[str, str], ...]
    forms: frozenset[str] = EVERY_FORM


@dataclass(frozen=True, slots=True)
class Image:
    """A chart in a file of its own."""

    title: str
    file: str
    note: str
    forms: frozenset[str] = MARKDOWN


Part = Line | Lines | Facts | Image | Table


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a document under a title.

    Attributes:
        key: its name in a page and in JSON.
        title: the heading; empty for none.
        parts: in the order in which they are shown.
    """

    key: str
    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class SectionOf(Generic[Subject]):
    """How sections are made of a subject, for the forms that show them."""

    make: Callable[[Subject], Iterable[Section]]
    forms: frozenset[str] = EVERY_FORM
    in_data: bool = False
    """The document's `data` has the same content for JSON."""


@dataclass(frozen=True, slots=True)
class Document:
    """A subject as one form shows it.

    Attributes:
        title: what it is; a form with a headline puts it in front of that.
        headline: the result in one sentence.
        kind: whether the headline is good or bad.
        head: what comes before the headline on a screen: what was looked at.
        notices: what limits the results, directly below the headline.
        sections: everything else.
        data: the subject for other programs; sections that it does not cover are added to it.
    """

    title: str
    headline: str = ""
    kind: Kind = ""
    head: tuple[Part, ...] = ()
    notices: tuple[Part, ...] = ()
    sections: tuple[Section, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)


def sections_for(form: Form, subject: Subject, kinds: Sequence[SectionOf[Subject]]) -> tuple[Section, ...]:
    """The sections of a subject that a form shows; those without content are left out."""
    found = []
    for kind in kinds:
        if form in kind.forms and not (form == "json" and kind.in_data):
            made = [replace(section, parts=parts_for(form, section.parts)) for section in kind.make(subject)]
            found += [section for section in made if section.parts]
    return tuple(found)


def parts_for(form: Form, parts: Iterable[Part]) -> tuple[Part, ...]:
    """The parts that a form shows, tables with the columns that it shows."""
    shown = (part for part in parts if form in part.forms)
    made = (part.for_form(form) if isinstance(part, Table) else part for part in shown)
    return tuple(part for part in made if not isinstance(part, Table) or part.rows)
