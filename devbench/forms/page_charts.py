"""Charts in a page: the figures of the first ones; knows no subject."""

from __future__ import annotations

import base64
from html import escape

from devbench.forms.charts.files import chart_file
from devbench.sections.charts import Chart
from devbench.text import clean

# A page of files has this many pictures, for readers whose browser runs no scripts.
MOST_PICTURES = 3


def chart_html(chart: Chart) -> str:
    """The figure of a chart: its title, its picture, how to read it."""
    picture = base64.b64encode(chart_file(chart, "svg")).decode("ascii")
    return (
        f'<figure class="chart"><figcaption>{escape(clean(chart.title, 160))}</figcaption>'
        f'<img data-chart alt="{escape(clean(chart.alt, 2000))}" src="data:image/svg+xml;base64,{picture}"></figure>'
    )
