"""Makes plain lines of a document for the short forms: message, summary, JUnit; knows no subject."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from devbench.sections.document import Counts, Document, Facts, Line, Lines, counts_words
from devbench.sections.tables import Table
from devbench.text import clean

_MAX_TEXT = 2000


def notice_texts(document: Document) -> list[str]:
    """Return each notice as a line that begins with `!` if it limits a verdict or a winner, and with `i` otherwise."""
    return [f"{'i' if one.kind == 'information' else '!'} {spelt(one, _clean)}" for one in notices(document)]


def notices(document: Document) -> tuple[Line, ...]:
    """Return the lines of a document's notices."""
    return tuple(line for part in document.notices if isinstance(part, Lines) for line in part.lines)


def counted(document: Document) -> list[str]:
    """Return the counts next to the headline."""
    return [counts_words(part) for part in document.lead if isinstance(part, Counts)]


def shortened(texts: Sequence[str], most: int, what: str) -> list[str]:
    """Return the first texts, and a line with the number of the others."""
    more = len(texts) - most
    return [*texts[:most], *([f"{more} more {what}"] if more > 0 else [])]


def listed(document: Document) -> Iterator[tuple[str, tuple[Line, ...]]]:
    """Yield the title and the lines of each section; facts and rows of tables become lines, too."""
    for section in document.sections:
        found: list[Line] = []
        for part in section.parts:
            if isinstance(part, Lines):
                found += part.lines
            elif isinstance(part, Facts):
                found += [Line(value, subject=name) for name, value in part.pairs]
            elif isinstance(part, Table):
                found += [Line(" · ".join(cell.text for cell in row if cell.text)) for row in part.rows]
            elif isinstance(part, Line):
                found.append(part)
        if found:
            yield section.title, tuple(found)


def spelt(line: Line, harmless: Callable[[str], str]) -> str:
    """Return the line, preceded by its subject."""
    return f"{harmless(line.subject)}: {harmless(line.text)}" if line.subject else harmless(line.text)


def _clean(text: str) -> str:
    return clean(text, _MAX_TEXT)
