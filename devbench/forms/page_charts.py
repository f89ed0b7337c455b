"""Puts charts into a page: figures, data for the script, and the library that draws them; knows no subject.

The library is Apache ECharts (`echarts/`, built by `tools/echarts/`). A page carries it compressed; `charts.js` puts it
into a script whose hash is in the page's policy. Without scripts, the first charts of a page are pictures.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path

from devbench.sections.charts import Chart, RowChart, plain
from devbench.sections.document import Charts
from devbench.text import clean

_FOLDER = Path(__file__).parent
# The largest number of charts of a kind in a page, and of pictures.
_MAX_CHARTS, MAX_PICTURES = 240, 3


@dataclass(frozen=True, slots=True)
class ChartAssets:
    """The assets of a page with charts: style and script, and the library as text and compressed."""

    style: str
    script: str
    library: str
    packed: str


@lru_cache(maxsize=1)
def chart_assets() -> ChartAssets:
    """Return the assets of charts, the same for each page."""
    templates, packed = _FOLDER / "templates", (_FOLDER / "echarts" / "echarts.js.gz").read_bytes()
    style, script = ((templates / name).read_text("utf-8") for name in ("charts.css", "charts.js"))
    library = gzip.decompress(packed).decode()
    return ChartAssets(style, script, library, base64.b64encode(packed).decode("ascii"))


def charts_html(part: Charts, *, pictured: bool = False) -> str:
    """Return the charts of one kind:

    figures of the first ones, data of all. `pictured`: also a picture of the first.
    """
    charts = part.charts[:_MAX_CHARTS]
    figures = "\n".join(
        _figure(chart, number, pictured and not number) for number, chart in enumerate(charts[: part.first])
    )
    options = "".join(f'<option value="{n}">{escape(clean(one.title, 120))}</option>' for n, one in enumerate(charts))
    choice = f'<option value="">first {part.first} of {len(charts)}</option>{options}'
    tools = f'<div class="tools" hidden><label>Charts <select>{choice}</select></label></div>\n'
    left = len(part.charts) - len(charts)
    more = f'\n<p class="soft">{left} more charts are not in this page.</p>' if left else ""
    return (
        f'<div class="charts" data-first="{part.first}">\n{tools if len(charts) > part.first else ""}{figures}\n'
        f'<script type="application/gzip" data-charts>{pack(_data(charts))}</script>\n</div>{more}'
    )


def _figure(chart: Chart, number: int, pictured: bool) -> str:
    alt = escape(clean(chart.alt, 2000))
    picture = f"<noscript>{_picture(chart, alt)}</noscript>" if pictured else ""
    groups = len(chart.groups) if isinstance(chart, RowChart) else 0
    kind = "chart narrow" if groups == 1 else "chart"
    return (
        f'<figure class="{kind}" data-chart="{number}"><figcaption>{escape(clean(chart.title, 160))}</figcaption>'
        f'<div class="plots{"" if groups > 1 else " one"}"><div class="panel">'
        f'<div class="plot" role="img" aria-label="{alt}"></div></div></div>{picture}'
        f'<p class="note soft">{escape(clean(chart.note, 600))}</p>'
        '<details><summary>As a table</summary><div class="rows"></div></details></figure>'
    )


def _picture(chart: Chart, alt: str) -> str:
    from devbench.forms.charts.files import chart_file

    data = base64.b64encode(chart_file(chart, "svg")).decode("ascii")
    return f'<img alt="{alt}" src="data:image/svg+xml;base64,{data}">'


def _data(charts: Iterable[Chart]) -> str:
    """Return the charts as JSON, each with its kind."""
    kinds = [{"kind": "rows" if isinstance(chart, RowChart) else "panels", **plain(chart)} for chart in charts]
    return json.dumps(kinds, default=plain, ensure_ascii=False, separators=(",", ":"))


def pack(text: str) -> str:
    """Compress a text (gzip) and encode it (base64); `unpack` in the page's scripts reads it."""
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), 6, mtime=0)).decode("ascii")
