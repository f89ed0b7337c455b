"""Panels over one horizontal axis, each with its own values: the frame of charts over time; knows no run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from devbench.forms.charts.picture import Canvas, fitted, text_width
from devbench.forms.charts.scale import Scale, log_ticks, tick_text, ticks

LEFT, RIGHT = 58.0, 168.0
_TITLE, _GAP = 18.0, 10.0
_LEGEND_LINE = 15.0


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        title: above it.
        height: of its area, in pixels.
        low, high: its values.
        fill: draws into it, given the canvas, the scale across and the scale upwards.
        legend: colour and word, next to it.
        log: a logarithmic scale.
        whole: only whole numbers are marked.
    """

    title: str
    height: float
    low: float
    high: float
    fill: Callable[[Canvas, Scale, Scale], None]
    legend: tuple[tuple[str, str], ...] = ()
    log: bool = False
    whole: bool = False


def draw_panels(
    canvas: Canvas,
    panels: Sequence[Panel],
    across: Scale,
    marks: Sequence[tuple[float, str]],
    behind: Callable[[Canvas, float, float], None],
    top: float = 0.0,
) -> float:
    """Draw the panels below each other; gives the base line of the last one.

    Args:
        across: of all panels.
        marks: values of that axis, with their words; the words stand below the last panel.
        behind: draws behind each panel, given its upper and its lower edge.
    """
    y = top
    for panel in panels:
        begin, end = y + _TITLE, y + _TITLE + panel.height
        canvas.text(across.start, begin - 5, fitted(panel.title, 11, across.end - across.start), size=11, bold=True)
        up = Scale(panel.low, panel.high, end, begin, panel.log)
        behind(canvas, begin, end)
        for value in _marks(panel):
            canvas.line([(across.start, up(value)), (across.end, up(value))], "line")
            canvas.text(across.start - 6, up(value) + 4, tick_text(value), size=10.5, anchor="end", colour="soft")
        for value, _ in marks:
            canvas.line([(across(value), begin), (across(value), end)], "line", opacity=0.7)
        panel.fill(canvas, across, up)
        _legend(canvas, panel.legend, across.end + 10, begin, panel.height)
        y = end + _GAP
    for value, words in marks:
        half = text_width(words, 10.5) / 2
        x = min(max(across(value), half), across.end + RIGHT - half)
        canvas.text(x, y + 5, words, size=10.5, anchor="middle", colour="soft")
    return y + 10


def _marks(panel: Panel) -> list[float]:
    if panel.log:
        return log_ticks(panel.low, panel.high)
    found = ticks(panel.low, panel.high, max(2, int(panel.height // 22)))
    return [value for value in found if not panel.whole or value == int(value)]


def _legend(canvas: Canvas, legend: Sequence[tuple[str, str]], x: float, top: float, height: float) -> None:
    room = max(2, int((height + 8) // _LEGEND_LINE))
    shown = list(legend) if len(legend) <= room else [*legend[: room - 1], ("", f"and {len(legend) - room + 1} more")]
    for number, (colour, word) in enumerate(shown):
        y = top + 9 + number * _LEGEND_LINE
        if colour:
            canvas.rect(x, y - 7, 9, 9, colour)
        canvas.text(x + 14, y + 1, fitted(word, 10.5, RIGHT - 26), size=10.5)
