"""Renders a document as Markdown, for a pull request or a chat; knows no subject. Text from outside is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from devbench.sections.document import (
    Counts,
    Document,
    Facts,
    Fold,
    Image,
    Line,
    Lines,
    Part,
    Section,
    counts_words,
    parts_for,
)  # fmt: skip
from devbench.sections.tables import Cell, Column, Table
from devbench.text import for_markdown

_SIGNS: Mapping[str, str] = {"bad": "✗ ", "good": "✓ ", "warn": "⚠ "}
_MAX_ROWS = 50
_MAX_TEXT = 600
# A number with its unit needs no escaping.
_FIGURE = re.compile(r"[+−]?[\d.,]+ ?[%×\w]{0,6}( to [+−]?[\d.,]+ ?%?)?")


def markdown(document: Document) -> str:
    """Return the document with its headline as the title."""
    return spelt([f"# {_text(document.headline or document.title)}"], _document(document))


def spelt(lines: list[str], added: Iterable[str]) -> str:
    """Return the lines, with blank lines in between where Markdown needs them."""
    for line in added:
        # Items of a list and rows of a table have no blank line between them; everything else has one before it.
        if not (_sort(line) and _sort(line) == _sort(lines[-1])):
            lines.append("")
        lines.append(line)
    return "\n".join([*lines, ""])


def _sort(line: str) -> str:
    return "-" if line.lstrip().startswith("- ") else "|" if line.startswith("|") else ""


def _document(document: Document) -> Iterator[str]:
    yield from parts_of((*document.head, *document.lead, *document.notices))
    for section in document.sections:
        yield from section_of(section)


def section_of(section: Section, level: int = 2) -> Iterator[str]:
    """Yield the lines of a section with its title."""
    if section.title:
        yield f"{'#' * level} {_text(section.title)}"
    yield from parts_of(section.parts)


def parts_of(parts: Sequence[Part]) -> Iterator[str]:
    for part in parts_for("markdown", parts):
        if isinstance(part, Line):
            yield _line(part)
        elif isinstance(part, Lines):
            shown = part.lines[:_MAX_ROWS] if part.limited else part.lines
            yield from map(_line, shown)
            if len(part.lines) > len(shown):
                yield f"- … and {len(part.lines) - len(shown)} more {part.what}"
        elif isinstance(part, Facts):
            yield from (f"- {_text(name)}: {_text(value)}" for name, value in part.pairs)
        elif isinstance(part, Image):
            yield f"![{_text(part.title)}]({part.file})"
            yield from [_text(part.note)] if part.note else []
        elif isinstance(part, Table):
            yield from _table(part)
        elif isinstance(part, Counts):
            yield _text(counts_words(part))
        elif isinstance(part, Fold):
            yield f"<details><summary>{_text(part.summary)}</summary>"
            yield from parts_of(tuple(part.parts()))
            yield "</details>"


def _line(line: Line) -> str:
    text = _text(line.text)
    if line.kind == "below":
        return f"  - {text}"
    subject = _text(line.subject)
    if line.kind == "bad" and subject:
        subject = f"**{subject}**"
    listed = f"{subject}: {text}" if subject else text
    return f"- {_SIGNS.get(line.kind, '')}{listed}" if subject or line.kind in _SIGNS else listed


def _table(table: Table) -> Iterator[str]:
    if table.title:
        yield f"### {_text(table.title)}"
    yield f"| {' | '.join(_text(column.title) for column in table.columns)} |"
    yield f"|{'|'.join('--:' if column.numeric else '---' for column in table.columns)}|"
    shown = table.rows[:_MAX_ROWS] if table.limited else table.rows
    for row in shown:
        cells = (_cell(cell, column) for cell, column in zip(row, table.columns, strict=True))
        yield f"| {' | '.join(cells)} |"
    if len(table.rows) > len(shown):
        yield f"… and {len(table.rows) - len(shown)} more."
    yield from map(_text, table.notes)


def _cell(cell: Cell, column: Column[object]) -> str:
    text = "; ".join(_text(part) for part in cell.text.split("\n"))
    if column.numeric and _FIGURE.fullmatch(cell.text):
        text = cell.text
    text = f"**{text}**" if cell.kind == "best" else f"{text} ⚠ unreliable" if cell.kind == "unreliable" else text
    return f"{text} {_text(cell.aside)}" if cell.aside else text


def _text(text: str) -> str:
    return for_markdown(text, _MAX_TEXT)
