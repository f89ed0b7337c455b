"""Spells a document as a short Markdown summary, for the page of a CI; knows no subject. Texts are made inert."""

from __future__ import annotations

from devbench.forms.lines import listed, notices, spelt
from devbench.sections.document import Document, Line
from devbench.sections.notices import MAX_SHORT
from devbench.text import for_markdown

_MAX_ROWS = 50
_MAX_TEXT = 2000


def summary(document: Document) -> str:
    """The headline, the most important notices as an alert of GitHub's Markdown, and the lines of each section."""
    found = [f"## devbench nightly · {_text(document.title)}: {document.headline}", ""]
    found += [line for part in document.head if isinstance(part, Line) for line in (_text(part.text), "")]
    known = notices(document)
    if known:
        kind = "NOTE" if known[0].kind == "information" else "WARNING"
        texts = [("" if one.kind == "information" else "⚠ ") + spelt(one, _text) for one in known[:MAX_SHORT]]
        more = len(known) - MAX_SHORT
        texts += [f"{more} more notice{'' if more == 1 else 's'}"] if more > 0 else []
        found += [f"> [!{kind}]", *(f"> - {text}" for text in texts), ""]
    for title, lines in listed(document):
        found += [f"### {title}", "", *(f"- {spelt(line, _text)}" for line in lines[:_MAX_ROWS])]
        found += [f"- {len(lines) - _MAX_ROWS} more in the report"] if len(lines) > _MAX_ROWS else []
        found.append("")
    return "\n".join(found)


def _text(text: str) -> str:
    return for_markdown(text, _MAX_TEXT)
