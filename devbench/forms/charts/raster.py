"""A picture as PNG or PDF, drawn with matplotlib's renderers shape by shape; the layout is the picture's own.

An artist for each shape would cost more than the drawing, so one artist hands all of them to the renderer.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from devbench.forms.charts.picture import FORMS, THEMES, Label, Mark, Picture, Polyline, Rect, Shape, Theme
from devbench.text import clean

# A pixel of a picture is that of CSS.
_PX_PER_INCH = 96
_PT_PER_INCH = 72


def rendered(
    picture: Picture,
    form: Literal["png", "pdf"] = "png",
    *,
    dpi: int,
    theme: Theme = "light",
    width_in: float | None = None,
) -> bytes:
    """The bytes of the file; `width_in` is its width in inches, the picture's own where `None`."""
    width = width_in or picture.width / _PX_PER_INCH
    colours = THEMES[theme]
    return (_png if form == "png" else _pdf)(picture, colours, width, width * picture.height / picture.width, dpi)


def _png(picture: Picture, colours: Mapping[str, str], width_in: float, height_in: float, dpi: int) -> bytes:
    """Straight with the renderer: a figure with axes takes longer to import than to draw."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.colors import to_rgba
    from PIL import Image, PngImagePlugin

    _settle()
    width, height = int(width_in * dpi), int(height_in * dpi)
    renderer = RendererAgg(width, height, dpi)
    pen = _Pen(renderer, (width_in * dpi, height_in * dpi), dpi, picture, colours)
    for part in picture.parts:
        pen.draw(part)
    drawn = Image.fromarray(np.asarray(renderer.buffer_rgba()))
    paper = Image.new("RGBA", drawn.size, tuple(round(255 * share) for share in to_rgba(colours["paper"])))
    about = PngImagePlugin.PngInfo()
    about.add_text("Software", "devbench")
    out = io.BytesIO()
    Image.alpha_composite(paper, drawn).save(out, "PNG", dpi=(dpi, dpi), pnginfo=about)
    return out.getvalue()


def _pdf(picture: Picture, colours: Mapping[str, str], width_in: float, height_in: float, dpi: int) -> bytes:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

    class Shapes(Artist):
        """All shapes of the picture."""

        def draw(self, renderer: Any) -> None:
            pen = _Pen(renderer, (figure.bbox.width, figure.bbox.height), figure.dpi, picture, colours)
            for part in picture.parts:
                pen.draw(part)

    _settle()
    figure = Figure(figsize=(width_in, height_in))
    figure.add_artist(Shapes())
    out = io.BytesIO()
    about = {"Creator": "devbench", "CreationDate": None}
    figure.savefig(out, format="pdf", dpi=dpi, facecolor=colours["paper"], metadata=about)
    return out.getvalue()


def _settle() -> None:
    """A dollar in a name is a dollar, and text in a PDF stays text."""
    import matplotlib as mpl

    mpl.rcParams.update({"text.parse_math": False, "pdf.fonttype": 42})


class _Pen:
    """Draws shapes with a renderer; `unit` is a picture's pixel in the renderer's own."""

    def __init__(
        self, renderer: Any, size: tuple[float, float], dpi: float, picture: Picture, colours: Mapping[str, str]
    ) -> None:
        from matplotlib.transforms import Affine2D

        width, height = size
        self._renderer = renderer
        self._colours = colours
        self._height = height
        self._unit = width / picture.width
        self._points = self._unit * _PT_PER_INCH / dpi
        self._place = Affine2D().scale(self._unit, -self._unit).translate(0, height)

    def draw(self, part: Shape) -> None:
        if isinstance(part, Rect):
            x, y, right, bottom = part.x, part.y, part.x + part.width, part.y + part.height
            corners = [(x, y), (right, y), (right, bottom), (x, bottom)]
            edge = (part.stroke, 1.0) if part.stroke else None
            self._lines(corners, fill=part.fill, edge=edge, opacity=part.opacity, closed=True, dash=part.dash)
            if part.hatch:
                self._hatch(corners)
        elif isinstance(part, Polyline):
            fill, edge = (part.colour, None) if part.fill else ("", (part.colour, part.width))
            self._lines(part.points, fill=fill, edge=edge, opacity=part.opacity, closed=part.fill, dash=part.dash)
        elif isinstance(part, Mark):
            self._mark(part)
        else:
            self._text(part)

    def _context(self, opacity: float, edge: tuple[str, float] | None, dash: bool = False) -> Any:
        context = self._renderer.new_gc()
        context.set_alpha(opacity)
        context.set_antialiased(True)
        context.set_linewidth(edge[1] * self._unit if edge else 0)
        if edge:
            context.set_foreground(self._colours[edge[0]])
        if dash:
            context.set_dashes(0, [4 * self._unit, 3 * self._unit])
        return context

    def _lines(
        self,
        points: Any,
        *,
        fill: str,
        edge: tuple[str, float] | None,
        opacity: float,
        closed: bool,
        dash: bool = False,
    ) -> None:
        from matplotlib.path import Path as Line

        self._stroke(Line([*points, points[0]] if closed else list(points), closed=closed), fill, edge, opacity, dash)

    def _stroke(
        self,
        line: Any,
        fill: str,
        edge: tuple[str, float] | None,
        opacity: float,
        dash: bool = False,
        place: Any = None,
    ) -> None:
        from matplotlib.colors import to_rgba

        context = self._context(opacity, edge, dash)
        face = to_rgba(self._colours[fill], opacity) if fill else None
        self._renderer.draw_path(context, line, place or self._place, face)
        context.restore()

    def _hatch(self, corners: list[tuple[float, float]]) -> None:
        from matplotlib.path import Path as Line

        context = self._context(0.6, None)
        context.set_hatch("////")
        context.set_hatch_color(self._colours["paper"])
        context.set_hatch_linewidth(1.2 * self._points)
        self._renderer.draw_path(context, Line([*corners, corners[0]], closed=True), self._place, None)
        context.restore()

    def _mark(self, part: Mark) -> None:
        from matplotlib.path import Path as Line
        from matplotlib.transforms import Affine2D

        if part.form in ("dot", "ring"):
            place = Affine2D().scale(part.size).translate(part.x, part.y) + self._place
            fill, edge = (part.colour, None) if part.form == "dot" else ("", (part.colour, 1.3))
            self._stroke(Line.unit_circle(), fill, edge, part.opacity, place=place)
            return
        cross = part.form == "cross"
        for corners in FORMS[part.form]:
            points = [(part.x + part.size * dx, part.y + part.size * dy) for dx, dy in corners]
            edge = (part.colour, 1.5) if cross else None
            self._lines(points, fill="" if cross else part.colour, edge=edge, opacity=part.opacity, closed=not cross)

    def _text(self, part: Label) -> None:
        import math

        from matplotlib.font_manager import FontProperties

        words = clean(part.text)
        if not words:
            return
        font = FontProperties(size=part.size * self._points, weight="bold" if part.bold else "normal")
        width, _, _ = self._renderer.get_text_width_height_descent(words, font, ismath=False)
        back = {"start": 0.0, "middle": width / 2, "end": width}[part.anchor]
        turn = math.radians(-part.turn)
        x = part.x * self._unit - back * math.cos(turn)
        y = self._height - part.y * self._unit - back * math.sin(turn)
        context = self._context(part.opacity, (part.colour, 1.0))
        # A bitmap's rows go down, a page's up.
        if self._renderer.flipy():
            y = self._height - y
        self._renderer.draw_text(context, x, y, words, font, -part.turn, ismath=False)
        context.restore()
