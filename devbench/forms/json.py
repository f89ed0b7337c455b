"""Renders a document as JSON for other programs; knows no subject."""

from __future__ import annotations

import json
from typing import Any

from devbench.sections.document import Document, Facts, Line, Lines, Section
from devbench.sections.tables import Table


def json_ready(document: Document) -> dict[str, Any]:
    """Return the document's data, and by their keys the sections that the data do not cover."""
    return {**document.data, **{section.key: _section(section) for section in document.sections}}


def json_text(document: Document, indent: int = 1) -> str:
    """Return `json_ready` as text with a newline at the end."""
    return json.dumps(json_ready(document), indent=indent, ensure_ascii=False, allow_nan=False) + "\n"


def _section(section: Section) -> dict[str, Any]:
    """Return a section: tables by their keys, with rows by column titles; facts by name; the texts of lines."""
    found: dict[str, Any] = {}
    lines: list[str] = []
    for part in section.parts:
        if isinstance(part, Table):
            titles = [column.title for column in part.columns]
            found[part.key] = [{title: cell.text for title, cell in zip(titles, row, strict=True)} for row in part.rows]
        elif isinstance(part, Facts):
            found |= part.pairs
        elif isinstance(part, (Line, Lines)):
            lines += [_line(line) for line in (part.lines if isinstance(part, Lines) else (part,))]
    return {**found, **({"lines": lines} if lines else {})}


def _line(line: Line) -> str:
    return f"{line.subject}: {line.text}" if line.subject else line.text
