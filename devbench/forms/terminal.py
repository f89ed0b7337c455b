"""Renders a document for a terminal of at least 60 columns; knows no subject."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table as Grid
from rich.text import Text

from devbench.sections.document import Counts, Document, Facts, Line, Lines, Part, Section, counts_words, parts_for
from devbench.sections.tables import Cell, Column, Table
from devbench.text import clean

_STYLES: Mapping[str, str] = {
    "good": "green", "best": "bold green", "bad": "red", "warn": "yellow", "soft": "dim", "below": "dim",
    "information": "dim", "strong": "bold",
    "unreliable": "yellow",
}  # fmt: skip
_SIGNS: Mapping[str, str] = {"bad": "✗ ", "good": "✓ ", "warn": "! ", "information": "· "}
_MAX_ROWS = 20
_MAX_TEXT = 600
_MIN_WIDTH = 60
# Columns of text may become this narrow before others are hidden.
_FOLDED = 16
_GAP = "  "
# A blank line, unless the line before is blank.
_BLANK = ""

Output = Iterator[RenderableType]


def print_document(document: Document, console: Console) -> None:
    """Print the headline with its lead, the notices, the sections, and the head."""
    last: RenderableType = _BLANK
    for shown in _document(document, max(console.width, _MIN_WIDTH)):
        if shown != _BLANK or last != _BLANK:
            # If the output is not a terminal, each sentence is on its own line.
            console.print(shown, soft_wrap=not isinstance(shown, Grid) and not console.is_terminal)
        last = shown


def terminal_text(document: Document, width: int = 100) -> str:
    """Return the text of `print_document`, for a file."""
    file = io.StringIO()
    print_document(document, Console(file=file, width=width, highlight=False))
    return file.getvalue()


def _document(document: Document, width: int) -> Output:
    if document.headline:
        yield f"[bold {_STYLES.get(document.kind, '')}]{_text(document.headline)}[/]"
    for parts in (document.lead, document.notices):
        yield _BLANK
        yield from _parts(parts, width)
    for section in document.sections:
        yield _BLANK
        yield from _section(section, width)
    yield _BLANK
    yield from _parts(document.head, width)


def _section(section: Section, width: int) -> Output:
    if section.title:
        yield f"[bold]{_text(section.title)}[/bold]"
    yield from _parts(section.parts, width)


def _parts(parts: Sequence[Part], width: int) -> Output:
    for part in parts_for("terminal", parts):
        if isinstance(part, Line):
            yield _line(part)
        elif isinstance(part, Lines):
            shown = part.lines[:_MAX_ROWS] if part.limited else part.lines
            yield from map(_line, shown)
            yield from _rest(len(part.lines) - len(shown), f" {part.what}")
        elif isinstance(part, Facts):
            longest = max(len(name) for name, _ in part.pairs)
            yield from (f"{_text(name):{longest}} {_text(value)}" for name, value in part.pairs)
        elif isinstance(part, Table):
            yield from _table(part, width)
        elif isinstance(part, Counts):
            yield f"[dim]{_text(counts_words(part))}[/dim]"


def _line(line: Line) -> str:
    style, sign = _STYLES.get(line.kind, "none"), _SIGNS.get(line.kind, "")
    subject = f"{sign}{_text(line.subject)}: " if line.subject else sign
    if line.kind == "bad" and line.subject:
        return f"[{style}]{subject}[/]{_text(line.text)}"
    return f"{'      ' if line.kind == 'below' else ''}[{style}]{subject}{_text(line.text)}[/]"


def _rest(count: int, what: str = "") -> Output:
    if count > 0:
        yield f"[dim]… and {count} more{what}: --all lists them[/dim]"


# -- tables -----------------------------------------------------------------------------------------------------------


def _table(table: Table, width: int) -> Output:
    if table.title:
        yield _BLANK
        yield f"[bold]{_text(table.title)}[/bold]"
    numbers = range(len(table.rows))[: _MAX_ROWS if table.limited else None]
    yield from (_entries if table.layout == "entries" else _grid)(table, numbers, width)
    yield from (f"[dim]{_text(note)}[/dim]" for note in table.notes)
    yield from _rest(len(table.rows) - len(numbers))


def _grid(table: Table, numbers: Sequence[int], width: int) -> Output:
    """Return a table. If the terminal is too narrow, columns that are declared as optional are hidden."""
    cells = {k: [_markup(table.rows[number][k]) for number in numbers] for k in range(len(table.columns))}
    widths = {
        k: max(
            [len(clean(table.columns[k].title, 40)), *(Text.from_markup(text, emoji=False).cell_len for text in texts)]
        )
        for k, texts in cells.items()
    }
    if table.layout == "matrix" and sum(widths.values()) + len(_GAP) * (len(widths) - 1) > width:
        yield from _pairs(table, cells)
        return
    widths = {k: size if _on_one_line(table.columns[k]) else min(size, _FOLDED) for k, size in widths.items()}
    shown = list(cells)
    for k in sorted(
        (k for k in cells if table.columns[k].hidden is not None), key=lambda k: table.columns[k].hidden or 0
    ):
        if sum(widths[one] for one in shown) + len(_GAP) * (len(shown) - 1) <= width:
            break
        shown.remove(k)
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for k in shown:
        column = table.columns[k]
        if _on_one_line(column):
            grid.add_column(_text(column.title, 40), justify="right" if column.numeric else "left", no_wrap=True)
        else:
            grid.add_column(_text(column.title, 40), overflow="fold")
    for row in zip(*(cells[k] for k in shown), strict=True):
        grid.add_row(*row)
    yield grid
    hidden = [table.columns[k].title for k in cells if k not in shown]
    if hidden:
        yield f"[dim]hidden (terminal too narrow): {_text(', '.join(hidden))}[/dim]"


def _pairs(table: Table, cells: Mapping[int, Sequence[str]]) -> Output:
    """Return the first cell of each row on a line, and each other cell below it with its column's title."""
    for number, first in enumerate(cells[0]):
        yield f"[bold]{first}[/bold]"
        for k in range(1, len(cells)):
            if table.rows[number][k].text != "–":
                yield f"{_GAP}{_text(table.columns[k].title, 40)}: {cells[k][number]}"


def _on_one_line(column: Column[object]) -> bool:
    return column.numeric or column.hidden is not None or column.role == "name"


def _markup(cell: Cell) -> str:
    text = ("! " if cell.kind == "unreliable" else "") + _text(cell.text, 200)
    aside = f" [dim]{_text(cell.aside, 60)}[/dim]" if cell.aside else ""
    return (f"[{_STYLES[cell.kind]}]{text}[/]" if cell.kind in _STYLES and text else text) + aside


def _entries(table: Table, numbers: Sequence[int], width: int) -> Output:
    """Return the first two cells on a line, the others below it."""
    for number in numbers:
        first, second, *others = table.rows[number]
        style = _STYLES.get(first.kind, "none")
        yield _BLANK
        yield f"[bold {style}]{_text(first.text)}[/]{_GAP}{_text(second.text)}"
        for cell in others:
            for text in cell.text.split("\n") if cell.text else ():
                yield " " * (len(first.text) + len(_GAP)) + f"[{_STYLES.get(cell.kind, 'none')}]{_text(text)}[/]"


def _text(text: str, limit: int = _MAX_TEXT) -> str:
    return escape(clean(text, limit))
