"""Renders a document as a message for a chat; knows no subject. Texts are escaped."""

from __future__ import annotations

import re

from devbench.forms.lines import counted, listed, notices, shortened, spelt
from devbench.sections.document import Document
from devbench.sections.notices import MAX_SHORT
from devbench.text import for_chat

_MAX_ROWS = 5
_MAX_TEXT = 300
_SIGNS = {"bad": "❌", "warn": "⚠️", "good": "✅"}
# The form of an address that can be a link without escaping.
_ADDRESS = re.compile(r"https?://[^\s<>|]+")


def message(document: Document, where: str = "") -> str:
    """Return the headline, the counts, the most important notices, the first lines of each section.

    Args:
        document: made for "message".
        where: the address of the report; a local path does not become a link, since others cannot open it.
    """
    found = [f"{_SIGNS[document.kind]} *{_text(document.headline)}*"]
    found += map(_text, counted(document))
    for title, lines in listed(document):
        texts = [f"• {spelt(line, _text)}" for line in lines]
        found += [f"*{title}*", *shortened(texts, _MAX_ROWS, "in the report")]
    texts = [f"{'ℹ️' if one.kind == 'information' else '⚠️'} {spelt(one, _text)}" for one in notices(document)]
    found += shortened(texts, MAX_SHORT, "notices")
    return "\n".join([*found, *([f"<{where}|Report>"] if _ADDRESS.fullmatch(where) else [])])


def _text(text: str) -> str:
    return for_chat(text, _MAX_TEXT)
