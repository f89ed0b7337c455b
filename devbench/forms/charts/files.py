"""Makes the bytes of a chart's file; equal data make equal files."""

from __future__ import annotations

import io
import logging
import warnings

from devbench.forms.charts import DPI, WIDTH_IN, ChartForm
from devbench.forms.colours import Theme
from devbench.sections.charts import Chart, RowChart

# No time and no version is written into a file, so that equal data give equal files.
_METADATA = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def chart_file(
    chart: Chart,
    form: ChartForm,
    *,
    dpi: int = DPI,
    width_in: float = WIDTH_IN,
    theme: Theme = "light",
    title: str | None = None,
) -> bytes:
    """Draw a chart.

    Args:
        chart: what is drawn.
        form: the format of the file.
        dpi: pixels per inch of a PNG.
        width_in: inches; the chart is laid out for it, texts keep their size.
        theme: the name of the colours, "light" or "dark".
        title: instead of the chart's own.
    """
    # Messages about missing fonts and about the list of fonts are not for the terminal.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    import matplotlib

    from devbench.forms.charts.panels import draw_panels
    from devbench.forms.charts.rows import draw_rows
    from devbench.forms.charts.style import RC, Sheet, families

    file = io.BytesIO()
    with warnings.catch_warnings(), matplotlib.rc_context({**RC, "font.family": families()}):
        warnings.filterwarnings("ignore", message="Glyph ")
        sheet = Sheet(width_in, theme)
        if isinstance(chart, RowChart):
            draw_rows(sheet, chart, title or chart.title)
        else:
            draw_panels(sheet, chart, title or chart.title)
        sheet.figure.savefig(file, format=form, dpi=dpi, metadata=_METADATA[form])
    return file.getvalue()
