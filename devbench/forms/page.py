"""The parts that all pages share: frame, style, script, security policy, compressed charts; knows no run.

A page is one file and uses no network. Its only script and style are `templates/page.js` and `templates/style.css`,
which its Content-Security-Policy names by their hashes: a browser runs nothing else, whatever text a model or a device
contains.
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
# The largest number of small bars in a cell; further delegates are in the charts below.
_MAX_BARS = 6


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a page."""

    href: str
    text: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The values for the frame of a page.

    Attributes:
        links: links to other pages, if a server shows them.
        forms: whether the page may send forms to where it came from.
        drawn: the charts of the page so far, also those in folded parts.
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
        """Return the script and the style of charts for the end of the page; `None` if there are no charts."""
        return chart_assets() if self.drawn else None

    def draw(self, part: Charts) -> Markup:
        """Return charts of one kind.

        The first one is also a picture, except in a server's pages, since drawing takes long.
        """
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
    """Return the page's style and script, the script of charts, and the charts' library."""
    charts = chart_assets()
    colours = "".join(f"  --{name}: light-dark({light}, {dark});\n" for name, (light, dark) in TOKENS.items())
    style = (_TEMPLATES / "style.css").read_text("utf-8").replace("{{ theme_colours }}\n", colours)
    return style + charts.style, (_TEMPLATES / "page.js").read_text("utf-8"), charts.script, charts.library


def _trusted(text: str) -> Markup:
    from markupsafe import Markup

    return Markup(text)


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the Jinja environment of this package: texts are escaped, an undefined name is an error."""
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
    """Return the delegates of a matrix's cell as small bars. Sizes are attributes, since styles are not allowed."""
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
    """Return a cell's text for a page: harmless, on one line."""
    return clean(text, _MOST_TEXT)


def cells(row: Sequence[Cell], kinds: Sequence[str], packed: str) -> Markup:
    """Return a row of a table as HTML; `kinds` are the columns' classes. A template would be too slow for many rows."""
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
    """Return the values of the filters by the number of the column."""
    found = {}
    for number, column in enumerate(table.columns):
        if column.choose:
            values = sorted({shown(row[number].text) for row in table.rows} - {""}, key=str.casefold)
            if 1 < len(values) <= _MOST_CHOICES:
                found[number] = values
    return found


def _short(cell: Cell) -> Any:
    """Return `text`, or `[text, sort, kind, link]` without empty values at the end."""
    sort = None if cell.sort is None else float(f"{cell.sort:.6g}")
    parts: list[Any] = [shown(cell.text), sort, cell.kind, cell.link]
    while len(parts) > 1 and parts[-1] in (None, ""):
        parts.pop()
    return parts[0] if len(parts) == 1 else parts
