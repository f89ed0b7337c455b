"""Tables as data: columns are functions of a row, cells are text with a value to sort by; knows no subject."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Generic, Literal, TypeVar, get_args

from devbench.frozen import dataclass
from devbench.text import clean

Form = Literal["terminal", "markdown", "html", "json", "junit", "message"]
EVERY_FORM: frozenset[str] = frozenset(get_args(Form))
TERMINAL: frozenset[str] = frozenset(["terminal"])
MARKDOWN: frozenset[str] = frozenset(["markdown"])
PAGE: frozenset[str] = frozenset(["html"])
# Forms in which readers can neither sort nor unfold.
TEXT: frozenset[str] = TERMINAL | MARKDOWN
# This many rows of a page's table are seen at once.
LONG, SHORT = 50, 15
_SAID_ONCE = ("device", "model", "metric")

Row = TypeVar("Row")
Row_contra = TypeVar("Row_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Cell:
    """One value.

    Attributes:
        text: as it is shown; a form makes it harmless.
        sort: what it is sorted by, if that is not its text; `None` in a numeric column sorts last.
        kind: "good", "bad", "warn", "best", "unreliable", "cold", "soft" or nothing.
        link: where it leads: a part of the page, or a path of the server.
        aside: more about the same value, for forms that have no column of its own for it.
    """

    text: str
    sort: float | None = None
    kind: str = ""
    link: str = ""
    aside: str = ""


@dataclass(frozen=True, slots=True)
class Column(Generic[Row_contra]):
    """A column.

    Attributes:
        cell: the value of a row.
        choose: a page offers its values as a filter.
        wide: it has room for sentences.
        role: a "name" stays on one line in a terminal.
        hidden: its position in the order in which columns are hidden if a terminal is too narrow; `None`: never hidden.
        only_if: the column is shown if this function is true for any row.
    """

    title: str
    cell: Callable[[Row_contra], Cell | str]
    numeric: bool = False
    choose: bool = False
    wide: bool = False
    role: Literal["", "name"] = ""
    hidden: int | None = None
    only_if: Callable[[Row_contra], object] | None = None
    forms: frozenset[str] = EVERY_FORM


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells.

    Attributes:
        key: its name in a page and in JSON.
        caption: what it has, for a page.
        seen: how many rows a page shows at once, with a way to search and sort them; 0 shows all as they are.
        title: a heading for text.
        layout: in a terminal, "entries" has all but the first two columns below them; "matrix" has all but the first
            below it if the terminal is too narrow.
        limited: text shows the first rows only.
        notes: sentences below it.
    """

    key: str
    caption: str
    columns: tuple[Column[Any], ...]
    rows: tuple[tuple[Cell, ...], ...]
    seen: int = SHORT
    title: str = ""
    layout: Literal["grid", "entries", "matrix"] = "grid"
    limited: bool = False
    notes: tuple[str, ...] = ()
    forms: frozenset[str] = EVERY_FORM

    def for_form(self, form: str) -> Table:
        """Return the table with only the columns that a form shows."""
        if all(form in column.forms for column in self.columns):
            return self
        return self._only([number for number, column in enumerate(self.columns) if form in column.forms])

    def _only(self, numbers: Sequence[int]) -> Table:
        columns = tuple(self.columns[number] for number in numbers)
        return replace(self, columns=columns, rows=tuple(tuple(row[k] for k in numbers) for row in self.rows))


def table(
    key: str, caption: str, columns: Sequence[Column[Row]], rows: Iterable[Row], seen: int = SHORT, **options: Any
) -> Table:
    """Return a table. If a filter column has only one value, the value moves to the caption."""
    items = list(rows)
    shown = [column for column in columns if column.only_if is None or any(map(column.only_if, items))]
    cells = tuple(tuple(_cell(column.cell(item)) for column in shown) for item in items)
    left, said = [], []
    for number, column in enumerate(shown):
        texts = {row[number].text for row in cells} if column.choose and column.title in _SAID_ONCE else set()
        if len(texts) == 1 and len(cells) > 1:
            said.append(clean(texts.pop(), 400))
        else:
            left.append(number)
    words = caption + (f" ({' · '.join(said)})" if said else "")
    made = Table(key, words, tuple(shown), cells, seen, **options)
    return made._only(left) if said else made


def number(value: float | None, text: str, kind: str = "") -> Cell:
    """Return a cell that is sorted by its value; empty if there is none."""
    return Cell("") if value is None else Cell(text, value, kind)


def _cell(value: Cell | str) -> Cell:
    return Cell(value) if isinstance(value, str) else value
