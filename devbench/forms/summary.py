"""Renders a document as a short Markdown summary, for the page of a CI; knows no subject. Texts are escaped."""

from __future__ import annotations

from collections.abc import Iterator

from devbench.forms.lines import notices, shortened, spelt
from devbench.forms.markdown import parts_of, section_of
from devbench.forms.markdown import spelt as spaced
from devbench.sections.document import Document
from devbench.sections.notices import MAX_SHORT
from devbench.text import for_markdown

_MAX_TEXT = 2000
_SIGNS = {"bad": "❌ ", "warn": "⚠️ ", "good": "✅ "}


def summary(document: Document) -> str:
    """Return the headline, the most important notices as an alert of GitHub's Markdown, and the sections."""
    return spaced([f"## {_SIGNS.get(document.kind, '')}{_text(document.headline)}"], _body(document))


def _body(document: Document) -> Iterator[str]:
    yield from parts_of((*document.head, *document.lead))
    known = notices(document)
    if known:
        texts = [("" if one.kind == "information" else "⚠ ") + spelt(one, _text) for one in known]
        alert = [f"[!{'NOTE' if known[0].kind == 'information' else 'WARNING'}]"]
        yield "\n".join(f"> {line}" for line in (*alert, *(f"- {x}" for x in shortened(texts, MAX_SHORT, "notices"))))
    for section in document.sections:
        yield from section_of(section, 3)


def _text(text: str) -> str:
    return for_markdown(text, _MAX_TEXT)
