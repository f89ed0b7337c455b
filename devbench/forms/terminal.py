"""Spells a document for a terminal, readable from 60 columns on; knows no subject."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table as Grid
from rich.text import Text

from devbench.sections.document import Document, Facts, Line, Lines, Part, Section, parts_for
from devbench.sections.tables import Cell, Column, Table
from devbench.text import clean

_STYLES: Mapping[str, str] = {
    "good": "green", "best": "bold green", "bad": "red", "warn": "yellow", "soft": "dim", "below": "dim",
    "information": "dim", "strong": "bold",
    "unreliable": "yellow",
}  # fmt: skip
_SIGNS: Mapping[str, str] = {"bad": "✗ ", "good": "✓ ", "warn": "! ", "information": "i "}
_MAX_ROWS = 20
_MAX_TEXT = 600
_MIN_WIDTH = 60
# Columns of text may become this narrow before others are hidden.
_FOLDED = 16
_GAP = "  "
# A blank line, unless there is one.
_BLANK = ""

Output = Iterator[RenderableType]


def print_document(document: Document, console: Console) -> None:
    """Print what was looked at, the headline, what limits it, and the sections."""
    last: RenderableType = _BLANK
    for shown in _document(document, max(console.width, _MIN_WIDTH)):
        if shown != _BLANK or last != _BLANK:
            console.print(shown, soft_wrap=not isinstance(shown, Grid))
        last = shown


def terminal_text(document: Document, width: int = 100) -> str:
    """As `print_document`, for a file."""
    file = io.StringIO()
    print_document(document, Console(file=file, width=width, highlight=False))
    return file.getvalue()


def _document(document: Document, width: int) -> Output:
    yield from _parts(document.head, width)
    yield _BLANK
    if document.headline:
        yield f"[bold {_STYLES.get(document.kind, '')}]{_text(document.headline)}[/]"
    yield from _parts(document.notices, width)
    for section in document.sections:
        yield _BLANK
        yield from _section(section, width)


def _section(section: Section, width: int) -> Output:
    grouped = any(isinstance(part, Table) and _group(part) is not None for part in section.parts)
    if section.title and not grouped:
        yield f"[bold]{_text(section.title)}[/bold]"
    yield from _parts(section.parts, width, section.title)


def _parts(parts: Sequence[Part], width: int, title: str = "") -> Output:
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
            yield from _table(part, width, title)


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


def _table(table: Table, width: int, title: str) -> Output:
    if table.title:
        yield _BLANK
        yield f"[bold]{_text(table.title)}[/bold]"
    numbers = range(len(table.rows))[: _MAX_ROWS if table.limited else None]
    group = _group(table)
    if group is None:
        yield from _rows(table, numbers, width)
    else:
        values = sorted({table.rows[number][group].text for number in numbers})
        for value in values:
            yield _BLANK
            yield f"[bold]{_text(f'{title[:1].lower()}{title[1:]} on {value}')}[/bold]"
            yield from _rows(table, [number for number in numbers if table.rows[number][group].text == value], width)
    yield from _rest(len(table.rows) - len(numbers))


def _group(table: Table) -> int | None:
    return next((number for number, column in enumerate(table.columns) if column.role == "group"), None)


def _rows(table: Table, numbers: Sequence[int], width: int) -> Output:
    spell = {"grid": _grid, "stacked": _stacked, "entries": _entries}[table.layout]
    yield from spell(table, numbers, width)


def _grid(table: Table, numbers: Sequence[int], width: int) -> Output:
    """Columns side by side, those that give way hidden if the terminal is too narrow."""
    cells = {
        k: [_markup(table.rows[number][k]) for number in numbers]
        for k, column in enumerate(table.columns)
        if column.role != "group"
    }
    widths = {
        k: max([len(clean(table.columns[k].title, 40)), *(Text.from_markup(text).cell_len for text in texts)])
        for k, texts in cells.items()
    }
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


def _on_one_line(column: Column[object]) -> bool:
    return column.numeric or column.hidden is not None or column.role == "name"


def _markup(cell: Cell) -> str:
    text = ("! " if cell.kind == "unreliable" else "") + _text(cell.text, 200)
    aside = f" [dim]{_text(cell.aside, 60)}[/dim]" if cell.aside else ""
    return (f"[{_STYLES[cell.kind]}]{text}[/]" if cell.kind in _STYLES and text else text) + aside


def _stacked(table: Table, numbers: Sequence[int], width: int) -> Output:
    """Each row's numbers under each other; its name next to them if there is room, else above."""
    by_role: dict[str, list[int]] = {}
    for k, column in enumerate(table.columns):
        by_role.setdefault(column.role, []).append(k)
    values, below = by_role.get("", []), by_role.get("below", [])
    names = [clean(" · ".join(table.rows[n][k].text for k in by_role["name"]), 300) for n in numbers]
    widths = [max(len(clean(table.rows[n][k].text)) for n in numbers) for k in values]
    room = min(width - sum(widths) - len(_GAP) * (len(values) + 1), max(map(len, names)))
    for n, name in zip(numbers, names, strict=True):
        if len(name) > room:
            yield Text(f"{_GAP}{name}")
            name = ""
        line = Text(_GAP + name.ljust(max(room, 0)))
        for k, size in zip(values, widths, strict=True):
            cell = table.rows[n][k]
            text = clean(cell.text)
            line.append(_GAP).append(_aligned(text, size, table.columns[k]), _STYLES.get(cell.kind))
        line.rstrip()
        yield line
        details = [table.rows[n][k].text for k in below if table.rows[n][k].text]
        yield from (_line(Line(text, "below")) for text in (*details, *table.details.get(n, ("", ()))[1]))


def _aligned(text: str, size: int, column: Column[object]) -> str:
    return text.rjust(size) if column.numeric else text.ljust(size)


def _entries(table: Table, numbers: Sequence[int], width: int) -> Output:
    """The first two cells on a line, the others below it."""
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
