"""Spells a document as a message for a chat; knows no subject. Texts are made inert."""

from __future__ import annotations

from devbench.forms.lines import listed, notices, spelt
from devbench.sections.document import Document
from devbench.sections.notices import MAX_SHORT
from devbench.text import for_chat

_MAX_ROWS = 8
_MAX_TEXT = 2000
_SIGNS = {"bad": "❌", "warn": "⚠️", "good": "✅"}


def message(document: Document, where: str = "") -> str:
    """The headline, the most important notices, the first lines of each section; `where` is a link to the report."""
    found = [f"{_SIGNS[document.kind]} *devbench nightly* {_text(document.title)}: {document.headline}"]
    known = notices(document)
    for one in known[:MAX_SHORT]:
        found.append(f"{'ℹ️' if one.kind == 'information' else '⚠️'} {spelt(one, _text)}")
    more = len(known) - MAX_SHORT
    found += [f"{more} more notice{'' if more == 1 else 's'}"] if more > 0 else []
    for title, lines in listed(document):
        found += [f"*{title}*", *(f"• {spelt(line, _text)}" for line in lines[:_MAX_ROWS])]
        found += [f"• {len(lines) - _MAX_ROWS} more in the report"] if len(lines) > _MAX_ROWS else []
    return "\n".join([*found, *([f"Report: {_text(where)}"] if where else [])])


def _text(text: str) -> str:
    return for_chat(text, _MAX_TEXT)
