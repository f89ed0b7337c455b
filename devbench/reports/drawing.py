"""What all charts share: how one is drawn as SVG, light and dark, and as PNG; colours; the mark of virtual devices.

Texts from models and devices are drawn as they are: no mathematics, no markup.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devbench.reports.model import ReportData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart by readers with any kind of colour vision, but for its black.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#8c8c8c")
LIGHT, DARK = "#1f2328", "#e6edf3"
HATCH = "///"
_DPI = 160


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn chart. `alt` says in words what it shows, `note` how to read it."""

    name: str
    title: str
    alt: str
    svg_light: str
    svg_dark: str
    png: bytes
    note: str = ""


def draw(name: str, title: str, alt: str, figure: Callable[[str], Figure], note: str = "") -> Chart:
    """Draw `figure`, which makes one with the ink that it is given."""

    def svg(drawn: Figure) -> str:
        out = io.StringIO()
        drawn.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": "devbench"})
        return out.getvalue()

    light = figure(LIGHT)
    svg_light = svg(light)
    png = io.BytesIO()
    light.savefig(png, format="png", dpi=_DPI, facecolor="white", metadata={"Software": "devbench"})
    return Chart(name, title, alt, svg_light, svg(figure(DARK)), png.getvalue(), note)


def new_figure(ink: str, width: float, height: float) -> Figure:
    """An empty figure, inches wide and high, whose texts and axes are in `ink`."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update(
        {
            "text.parse_math": False,
            "svg.fonttype": "none",
            "svg.hashsalt": "devbench",
            "font.size": 9,
            "text.color": ink,
            "axes.labelcolor": ink,
            "axes.titlecolor": ink,
            "axes.edgecolor": ink,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "xtick.color": ink,
            "ytick.color": ink,
        }
    )
    return Figure(figsize=(width, height), layout="constrained")


def delegate_colours(report: ReportData) -> dict[str, str]:
    """Delegates and threads in order of appearance, each with its colour, the same in all charts of a run."""
    titles = dict.fromkeys(job.title for job in report.jobs)
    return {title: COLOURS[number % len(COLOURS)] for number, title in enumerate(titles)}


def mark_processes(
    axes: Any, points: Sequence[tuple[float, float, bool, bool]], colour: str, size: float, marker: str = "o"
) -> None:
    """Processes as dots at x, y: hollow where an outlier, a cross where crossed out."""
    forms = (
        {"marker": marker, "markerfacecolor": colour},
        {"marker": marker, "markerfacecolor": "none"},
        {"marker": "x", "markerfacecolor": colour},
    )
    for number, form in enumerate(forms):
        those = [(x, y) for x, y, outlier, crossed in points if (2 if crossed else int(outlier)) == number]
        if those:
            bigger, alpha = size if number == 0 else size + 2, 0.7 if size < 4 else 1.0
            xs, ys = zip(*those, strict=True)
            axes.plot(xs, ys, linestyle="", color=colour, markersize=bigger, alpha=alpha, **form)


def mark_virtual(figure: Figure, *, every: bool, some: bool) -> None:
    """Across the chart where all of it is virtual; where a part is, a line says what the hatched bars are."""
    if every:
        figure.text(
            0.5,
            0.5,
            "VIRTUAL DEVICE",
            fontsize=30,
            alpha=0.09,
            ha="center",
            va="center",
            rotation=12,
            fontweight="bold",
        )
    elif some:
        figure.text(0.99, 0.99, "hatched: virtual device", fontsize=8, ha="right", va="top", style="italic")
