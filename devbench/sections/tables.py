"""Tables of a page as data: the first rows stand in the page, all of them are packed beside, to be sorted and filtered.

A cell is text with a value to sort by. Knows no run; the template and `templates/page.js` know how a table is shown.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from devbench.text import clean

# So many rows are seen at once; the first of them are what a reader without scripts sees.
LONG, SHORT = 50, 15
# A choice of more values than these is no choice; the filter finds them.
_MOST_CHOICES = 200
_MOST_TEXT = 400
_SAID_ONCE = ("device", "model", "metric")


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `choose` offers its values as a filter, `wide` has room for sentences."""

    title: str
    numeric: bool = False
    choose: bool = False
    wide: bool = False

    @property
    def kind(self) -> str:
        """Its class in the page."""
        return "n" if self.numeric else "w" if self.wide else ""


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in a cell.

    Attributes:
        text: as it is shown; made harmless here.
        sort: what it is sorted by, where that is not its text; `None` in a numeric column sorts last.
        kind: "good", "bad", "warn", "best", "cold" or nothing.
        link: where it leads: a part of the page, or a path of the server.
    """

    text: str
    sort: float | None = None
    kind: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure of the overview; `kind` is "good", "bad", "warn" or nothing."""

    value: str
    words: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its name in the page, its caption, columns and rows; `seen` rows at once."""

    key: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    seen: int = SHORT

    @property
    def first(self) -> Sequence[tuple[Cell, ...]]:
        return self.rows[: self.seen]

    @property
    def packed(self) -> str:
        """All rows for the script; empty where the page itself has them all."""
        if len(self.rows) <= self.seen:
            return ""
        return pack(json.dumps([[_short(cell) for cell in row] for row in self.rows], ensure_ascii=False))

    @property
    def choices(self) -> Mapping[int, list[str]]:
        """By the number of the column, the values that may be chosen."""
        found = {}
        for number, column in enumerate(self.columns):
            if column.choose:
                values = sorted({shown(row[number].text) for row in self.rows} - {""}, key=str.casefold)
                if 1 < len(values) <= _MOST_CHOICES:
                    found[number] = values
        return found


def table(
    key: str, caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], seen: int = SHORT
) -> Table:
    """A table; of a column to choose by that has one value only, the value is said once, in the caption."""
    left, said = [], []
    for number, column in enumerate(columns):
        texts = {row[number].text for row in rows} if column.choose and column.title in _SAID_ONCE else set()
        if len(texts) == 1 and len(rows) > 1:
            said.append(shown(texts.pop()))
        else:
            left.append(number)
    words = caption + (f" ({' · '.join(said)})" if said else "")
    kept = tuple(tuple(row[number] for number in left) for row in rows)
    return Table(key, words, tuple(columns[number] for number in left), kept, seen)


@lru_cache(maxsize=20_000)
def shown(text: str) -> str:
    """A cell's text as a page has it: harmless, on one line."""
    return clean(text, _MOST_TEXT)


def _short(cell: Cell) -> Any:
    """`text`, or `[text, sort, kind, link]` without the empty ones at its end."""
    sort = None if cell.sort is None else float(f"{cell.sort:.6g}")
    parts: list[Any] = [shown(cell.text), sort, cell.kind, cell.link]
    while len(parts) > 1 and parts[-1] in (None, ""):
        parts.pop()
    return parts[0] if len(parts) == 1 else parts


def pack(text: str) -> str:
    """A text, compressed (gzip) and in letters (base64), as `unpack` of the page's script reads it."""
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), 6, mtime=0)).decode("ascii")
