"""The document: sections with lines, facts, tables and charts, as data for all forms of output; knows no subject.

A subject lists its sections as `SectionOf`; a form spells the parts of a document. Parts that a form does not show are
removed before they are passed to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Generic, Literal, TypeVar

from devbench.frozen import dataclass
from devbench.sections.charts import Chart
from devbench.sections.tables import EVERY_FORM, MARKDOWN, PAGE, Form, Table

Kind = Literal["", "good", "bad", "warn", "soft", "small", "information", "verdict", "below"]

JUNIT: frozenset[str] = frozenset(["junit"])
# The short forms of a night.
NIGHT: frozenset[str] = frozenset(["terminal", "markdown", "message"])

Subject = TypeVar("Subject")


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence; not escaped yet.

    Attributes:
        text: the sentence.
        kind: "below" is a detail of the line above.
        subject: what it is about.
    """

    text: str
    kind: Kind = ""
    subject: str = ""
    forms: frozenset[str] = EVERY_FORM


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines that may be many; a form shows the first of them. `what`: the noun for them, in the plural."""

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


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading within a section, of level 3 or 4."""

    text: str
    level: int = 3
    forms: frozenset[str] = PAGE


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """The result of one pair, such as a device and a model.

    Attributes:
        head, value: the result in bold, and its figure.
        lines: more about it.
        kind: "good" for a winner, "warn" if there is no verdict.
        bars: a small bar for each delegate: name, share of the longest (`None` without a value), and "win",
            "unreliable" or nothing.
    """

    head: str
    value: str = ""
    lines: tuple[str, ...] = ()
    kind: Kind = ""
    bars: tuple[tuple[str, float | None, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Matrix:
    """Pairs as a table of two dimensions; each row has its name, more about it, and a cell for each column."""

    corner: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...], tuple[MatrixCell, ...]], ...]
    forms: frozenset[str] = PAGE


@dataclass(frozen=True, slots=True)
class Counts:
    """The number of each result; `rest` has the totals, `9 cases, 31 checks`."""

    counts: tuple[tuple[int, str, Kind], ...]
    rest: str
    forms: frozenset[str] = EVERY_FORM


@dataclass(frozen=True, slots=True)
class Charts:
    """Charts of one kind, the most important first; a page draws the first ones in place."""

    charts: tuple[Chart, ...]
    first: int = 6
    forms: frozenset[str] = PAGE


@dataclass(frozen=True, slots=True)
class Raw:
    """A raw output of the store, and the command line that made it."""

    title: str
    command: str
    words: str
    path: str


@dataclass(frozen=True, slots=True)
class Fold:
    """Folded parts, which a page shows when the user opens them.

    Attributes:
        number: the number of the job that they are about, 0 for none.
        summary: the text that is shown while they are closed.
        heading: what they are, if they are next to other folds.
        parts: makes them.
        raws: the outputs below them.
    """

    summary: str
    parts: Callable[[], Iterable[Part]]
    number: int = 0
    heading: str = ""
    raws: tuple[Raw, ...] = ()
    forms: frozenset[str] = PAGE


@dataclass(frozen=True, slots=True)
class Folds:
    """The details of the jobs of a run."""

    run_id: str
    folds: tuple[Fold, ...]
    forms: frozenset[str] = PAGE


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a job did not pass; `kind` is one word."""

    tag: Literal["failure", "error"]
    kind: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckedJob:
    """A job as a test case; `of` is the class it belongs to, `skipped` the reason for no verdict."""

    name: str
    of: str
    seconds: float = 0.0
    faults: tuple[Fault, ...] = ()
    skipped: str = ""
    output: tuple[str, ...] = ()
    forms: frozenset[str] = JUNIT


Part = CheckedJob | Line | Lines | Facts | Heading | Image | Matrix | Counts | Charts | Fold | Folds | Table


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a document under a title.

    Attributes:
        key: its name in a page and in JSON.
        title: the heading; empty for none.
        parts: in the order in which they are shown.
        short: the title in a list of sections, if it is another one.
    """

    key: str
    title: str
    parts: tuple[Part, ...]
    short: str = ""


@dataclass(frozen=True, slots=True)
class SectionOf(Generic[Subject]):
    """A function that makes sections of a subject, with the forms that show them."""

    make: Callable[[Subject], Iterable[Section]]
    forms: frozenset[str] = EVERY_FORM
    in_data: bool = False
    """The document's `data` has the same content for JSON."""


@dataclass(frozen=True, slots=True)
class Document:
    """A subject as one form shows it.

    Attributes:
        title: what it is.
        headline: the result in one sentence, with which every form begins.
        kind: whether the headline is good or bad.
        head: what was looked at.
        lead: what belongs to the headline, directly below it.
        notices: what limits the results, below that.
        sections: everything else.
        data: the subject for other programs; sections that it does not cover are added to it.
    """

    title: str
    headline: str = ""
    kind: Kind = ""
    head: tuple[Part, ...] = ()
    lead: tuple[Part, ...] = ()
    notices: tuple[Part, ...] = ()
    sections: tuple[Section, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)


def counts_words(part: Counts) -> str:
    """Return `9 cases, 31 checks: 3 regressed, 1 improved, 5 unchanged`."""
    return f"{part.rest}: {', '.join(f'{count:,} {what}' for count, what, _ in part.counts) or 'nothing to compare'}"


def sections_for(form: Form, subject: Subject, kinds: Sequence[SectionOf[Subject]]) -> tuple[Section, ...]:
    """Return the sections of a subject that a form shows; those without content are left out."""
    found = []
    for kind in kinds:
        if form in kind.forms and not (form == "json" and kind.in_data):
            made = [replace(section, parts=parts_for(form, section.parts)) for section in kind.make(subject)]
            found += [section for section in made if section.parts]
    return tuple(found)


def parts_for(form: Form, parts: Iterable[Part]) -> tuple[Part, ...]:
    """Return the parts that a form shows, tables with the columns that it shows."""
    shown = (part for part in parts if form in part.forms)
    made = (part.for_form(form) if isinstance(part, Table) else part for part in shown)
    return tuple(part for part in made if _has_content(part))


def _has_content(part: Part) -> bool:
    return bool(part.rows if isinstance(part, Table) else part.charts if isinstance(part, Charts) else True)
