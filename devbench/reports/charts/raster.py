"""A picture as PNG or PDF, drawn with matplotlib shape by shape; the layout is the picture's own."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal

from devbench.reports.charts.picture import FORMS, THEMES, Mark, Path, Picture, Rect, Text, Theme
from devbench.text import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A pixel of a picture is that of CSS.
_PX_PER_INCH = 96
_PT_PER_PX = 72 / _PX_PER_INCH


def rendered(
    picture: Picture,
    form: Literal["png", "pdf"] = "png",
    *,
    dpi: int,
    theme: Theme = "light",
    width_in: float | None = None,
) -> bytes:
    """The bytes of the file; `width_in` is its width in inches, the picture's own where `None`."""
    figure = _figure(picture, THEMES[theme], width_in or picture.width / _PX_PER_INCH)
    out = io.BytesIO()
    about = {"Software": "devbench"} if form == "png" else {"Creator": "devbench", "CreationDate": None}
    figure.savefig(out, format=form, dpi=dpi, facecolor=THEMES[theme]["paper"], metadata=about)
    return out.getvalue()


def _figure(picture: Picture, colours: Any, width_in: float) -> Figure:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    scale = width_in / (picture.width / _PX_PER_INCH)
    mpl.rcParams.update({"text.parse_math": False, "pdf.fonttype": 42, "hatch.linewidth": 1.2 * scale})
    figure = Figure(figsize=(width_in, width_in * picture.height / picture.width))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, picture.width)
    axes.set_ylim(picture.height, 0)
    for number, part in enumerate(picture.parts):
        _draw(axes, part, colours, scale, number)
    return figure


def _draw(axes: Any, part: Rect | Path | Mark | Text, colours: Any, scale: float, order: int) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Circle, Polygon, Rectangle

    points = _PT_PER_PX * scale
    if isinstance(part, Rect):
        face = colours[part.fill] if part.fill else "none"
        edge = colours[part.stroke] if part.stroke else "none"
        place = (part.x, part.y), part.width, part.height
        axes.add_patch(
            Rectangle(*place, facecolor=face, edgecolor=edge, alpha=part.opacity, zorder=order,
                      linewidth=points if part.stroke else 0, linestyle="--" if part.dash else "-")
        )  # fmt: skip
        if part.hatch:
            axes.add_patch(
                Rectangle(*place, facecolor="none", edgecolor=colours["paper"], hatch="////", linewidth=0, alpha=0.6,
                          zorder=order)
            )  # fmt: skip
    elif isinstance(part, Path) and part.fill:
        axes.add_patch(
            Polygon(part.points, facecolor=colours[part.colour], alpha=part.opacity, linewidth=0, zorder=order)
        )
    elif isinstance(part, Path):
        xs, ys = zip(*part.points, strict=True)
        style = (0, (4, 3)) if part.dash else "-"
        axes.add_line(
            Line2D(xs, ys, color=colours[part.colour], linewidth=part.width * points, linestyle=style,
                   alpha=part.opacity, zorder=order)
        )  # fmt: skip
    elif isinstance(part, Mark):
        colour = colours[part.colour]
        if part.form in ("dot", "ring"):
            face, width = (colour, 0.0) if part.form == "dot" else ("none", 1.3 * points)
            how = {"facecolor": face, "edgecolor": colour, "linewidth": width, "alpha": part.opacity}
            axes.add_patch(Circle((part.x, part.y), part.size, zorder=order, **how))
            return
        for corners in FORMS[part.form]:
            places = [(part.x + part.size * dx, part.y + part.size * dy) for dx, dy in corners]
            axes.add_patch(
                Polygon(places, closed=part.form != "cross", facecolor=colour, edgecolor=colour, alpha=part.opacity,
                        linewidth=1.5 * points if part.form == "cross" else 0, zorder=order)
            )  # fmt: skip
    else:
        sides = {"start": "left", "middle": "center", "end": "right"}
        axes.text(
            part.x, part.y, clean(part.text), fontsize=part.size * points, color=colours[part.colour], zorder=order,
            ha=sides[part.anchor], va="baseline", fontweight="bold" if part.bold else "normal", alpha=part.opacity,
            rotation=-part.turn, rotation_mode="anchor",
        )  # fmt: skip
