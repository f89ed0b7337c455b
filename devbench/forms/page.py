"""What every page of devbench shares: its frame, style and script, its policy, packed charts; knows no run.

A page is one file without a network. Its only script and style are `templates/page.js` and `templates/style.css`, which
its Content-Security-Policy names by their hashes: nothing else runs, whatever text a model or a device brings.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbench import __version__
from devbench.forms.colours import TOKENS
from devbench.forms.page_charts import MAX_PICTURES, ChartAssets, chart_assets, charts_html, pack
from devbench.sections.document import Charts, Section
from devbench.sections.tables import Cell, Table
from devbench.text import clean

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_TEMPLATES = Path(__file__).with_name("templates")
# With more values than this, only the text filter is offered.
_MOST_CHOICES = 200
_MOST_TEXT = 400
# Small bars of a cell; more delegates are in the charts below.
_MAX_BARS = 6


@dataclass(frozen=True, slots=True)
class Link:
    """Where a page leads."""

    href: str
    text: str


@dataclass(frozen=True, slots=True)
class Frame:
    """What the frame of a page needs.

    Attributes:
        links: to other pages, where a server shows them.
        forms: whether the page may send forms to where it came from.
        drawn: the charts of the page so far, those in folds, too.
    """

    title: str
    sections: tuple[Section, ...] = ()
    links: tuple[Link, ...] = ()
    virtual_note: str = ""
    forms: bool = False
    drawn: list[Charts] = field(default_factory=list)

    @property
    def version(self) -> str:
        return __version__

    @property
    def style(self) -> Markup:
        return _trusted(_assets()[0])

    @property
    def script(self) -> Markup:
        return _trusted(_assets()[1])

    @property
    def charts(self) -> ChartAssets | None:
        """What draws the charts, for the end of the page; `None` without any."""
        return chart_assets() if self.drawn else None

    def draw(self, part: Charts) -> Markup:
        """Charts of one kind; the first is a picture, too, but not in a server's pages, since drawing takes long."""
        self.drawn.append(part)
        pictured = not self.links and len(self.drawn) <= MAX_PICTURES
        return _trusted(charts_html(part, pictured=pictured))

    @property
    def policy(self) -> str:
        return policy(forms=self.forms)


def policy(*, forms: bool = False) -> str:
    """Return the Content-Security-Policy of a page."""
    style, *scripts = (f"'sha256-{_sha256(text)}'" for text in _assets())
    target = "'self'" if forms else "'none'"
    return (
        f"default-src 'none'; style-src {style}; script-src {' '.join(scripts)}; img-src data:; base-uri 'none'; "
        f"form-action {target}"
    )


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@lru_cache(maxsize=1)
def _assets() -> tuple[str, str, str, str]:
    """Return the style and the script as they are in the page, the script of charts and their library."""
    charts = chart_assets()
    colours = "".join(f"  --{name}: light-dark({light}, {dark});\n" for name, (light, dark) in TOKENS.items())
    style = (_TEMPLATES / "style.css").read_text("utf-8").replace("{{ theme_colours }}\n", colours)
    return style + charts.style, (_TEMPLATES / "page.js").read_text("utf-8"), charts.script, charts.library


def _trusted(text: str) -> Markup:
    from markupsafe import Markup

    return Markup(text)


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Jinja for the templates of this package: everything is escaped, an undefined name is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        clean=clean,
        shown=shown,
        packed=packed_rows,
        cells=cells,
        choices=choices,
        kind=lambda part: type(part).__name__,
        minibars=mini_bars,
    )
    return made


def render(template: str, frame: Frame, **values: Any) -> str:
    """Return a page."""
    return environment().get_template(template).render(page=frame, **values)


def mini_bars(bars: Sequence[tuple[str, float | None, str]]) -> Markup:
    """The delegates of a cell of a matrix as small bars; sizes are attributes, since a style would not be allowed."""
    parts = []
    for number, (name, share, mark) in enumerate(bars[:_MAX_BARS]):
        y = 11 * number
        parts.append(f'<text x="0" y="{y + 8.5}">{escape(clean(name, 12))}</text>')
        size = 'width="0"' if share is None else f'width="{max(1, 62 * share):.1f}"'
        parts.append(f'<rect class="{mark or "bar"}" x="62" y="{y + 2}" {size} height="7"/>')
    height = 11 * min(len(bars), _MAX_BARS)
    size = f'viewBox="0 0 126 {height}" height="{height}"'
    return _trusted(f'<svg class="mini" {size} aria-hidden="true">{"".join(parts)}</svg>')


# -- tables -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=20_000)
def shown(text: str) -> str:
    """Return a cell's text as a page has it: harmless, on one line."""
    return clean(text, _MOST_TEXT)


def cells(row: Sequence[Cell], kinds: Sequence[str], packed: str) -> Markup:
    """A row of a table, its texts escaped; `kinds` are the classes of its columns. No macro: there are very many."""
    return _trusted(f"<tr>{''.join(_cell(cell, kind, packed) for cell, kind in zip(row, kinds, strict=True))}</tr>")


def _cell(cell: Cell, kind: str, packed: str) -> str:
    mark = "warn" if cell.kind == "unreliable" else cell.kind
    text = escape(shown(cell.text))
    if cell.link:
        text = f'<a href="{escape(cell.link)}">{text}</a>'
    elif cell.kind == "unreliable":
        text = f"⚠ {text}"
    aside = f' <span class="soft">{escape(shown(cell.aside))}</span>' if cell.aside else ""
    named = f' class="{f"{kind} {mark}".strip()}"' if kind or mark else ""
    data = f' data-kind="{mark}"' if mark else ""
    sort = "" if cell.sort is None or packed else f' data-sort="{cell.sort:.6g}"'
    return f"<td{named}{data}{sort}>{text}{aside}</td>"


def packed_rows(table: Table) -> str:
    """Return all rows for the script; empty if the page already shows all of them."""
    if not table.seen or len(table.rows) <= table.seen:
        return ""
    return pack(json.dumps([[_short(cell) for cell in row] for row in table.rows], ensure_ascii=False))


def choices(table: Table) -> Mapping[int, list[str]]:
    """By the number of the column, the values that may be chosen."""
    found = {}
    for number, column in enumerate(table.columns):
        if column.choose:
            values = sorted({shown(row[number].text) for row in table.rows} - {""}, key=str.casefold)
            if 1 < len(values) <= _MOST_CHOICES:
                found[number] = values
    return found


def _short(cell: Cell) -> Any:
    """`text`, or `[text, sort, kind, link]` without the empty ones at its end."""
    sort = None if cell.sort is None else float(f"{cell.sort:.6g}")
    parts: list[Any] = [shown(cell.text), sort, cell.kind, cell.link]
    while len(parts) > 1 and parts[-1] in (None, ""):
        parts.pop()
    return parts[0] if len(parts) == 1 else parts
