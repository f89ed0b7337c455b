"""A picture as the bytes of a file: SVG, PNG or PDF, with its title and what is to be known of virtual devices."""

from __future__ import annotations

from typing import Literal

from devbench.forms.charts.picture import Picture, Theme, svg_file, with_heading
from devbench.notices import VIRTUAL_NOTE

ChartForm = Literal["png", "svg", "pdf"]
CHART_FORMS: tuple[ChartForm, ...] = ("png", "svg", "pdf")
DPI = 160


def chart_file(
    picture: Picture, form: ChartForm, *, dpi: int = DPI, width_in: float | None = None, theme: Theme = "light"
) -> bytes:
    """The file; `width_in` is its width in inches (PNG and PDF), the picture's own where `None`."""
    whole = with_heading(picture, VIRTUAL_NOTE)
    if form == "svg":
        return svg_file(whole, theme).encode()
    from devbench.forms.charts.raster import rendered

    return rendered(whole, form, dpi=dpi, theme=theme, width_in=width_in)
