"""Draws a chart of panels over one axis of time: lines with their intervals, marks, and stretches of time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from devbench.forms.charts.style import LINE, MARGIN, NUMBERS, Sheet, fitted, log_axis, width_of
from devbench.sections.charts import Curve, Mark, Panel, PanelChart, Span

_DAY = 86_400.0
# With more values than this, single values have no markers.
_MARKED = 120
_SPANS: dict[str, dict[str, Any]] = {
    "faint": {"alpha": 0.12, "linewidth": 0}, "pale": {"alpha": 0.2, "linewidth": 0},
    "solid": {"linewidth": 0}, "outline": {"linewidth": 0.8}, "hatched": {"linewidth": 0, "hatch": "////"},
}  # fmt: skip


def draw_panels(sheet: Sheet, chart: PanelChart, title: str) -> None:
    """Draw the panels below each other."""
    sheet.heading(title, chart.virtual)
    scale = 1 / _DAY if chart.dates else 1.0
    low, high = _extent(chart)
    margin = 0.015 * ((high - low) or 1.0)
    names = [name for panel in chart.panels for name in panel.rows]
    left = MARGIN + max([34.0, *(width_of(fitted(name, 0.3 * sheet.width)) + 6 for name in names)])
    width = sheet.width - left - MARGIN
    for span in (span for panel in chart.panels for span in panel.spans if span.text):
        # Its text has room behind it.
        high = max(high, low + (span.end - low) / max(1 - (width_of(span.text) + 8) / width, 0.2))
    for panel in chart.panels:
        sheet.text(fitted(panel.title, sheet.inner, "bold"), MARGIN, sheet.y + LINE / 2, weight="bold")
        sheet.y += LINE + 1
        named = [one for one in reversed(panel.lines) if one.form not in ("cap", "level")]
        entries = {
            (one.name, one.colour): (one.name, one.colour, "bar" if one.form == "area" else one.form) for one in named
        }
        if len(entries) > 1:
            sheet.legend(list(reversed(entries.values())))
        marks = _rows_of_marks(panel.marks, low, high, width)
        sheet.y += 3 + LINE * (max(marks, default=-1) + 1)
        axes = sheet.axes(left, panel.height * LINE)
        axes.set_xlim((low - margin) * scale, (high + margin) * scale)
        _values_axis(axes, panel, sheet)
        _behind(axes, chart.behind, sheet, scale)
        for span in panel.spans:
            _span(axes, span, sheet, scale)
        _areas(axes, panel, sheet, scale)
        for one in panel.lines:
            _line(axes, one, sheet, scale)
        for mark, row in zip(panel.marks, marks, strict=True):
            _mark(axes, mark, row, sheet, scale, flip=mark.at > low + 0.85 * (high - low))
        last = panel is chart.panels[-1]
        _time_axis(axes, sheet, dates=chart.dates, labelled=last)
        sheet.y += 6 if not last else LINE + 3
    if chart.x_title:
        sheet.text(fitted(chart.x_title, sheet.inner), left, sheet.y + LINE / 2, "soft")
        sheet.y += LINE + 2
    sheet.end(chart.note)


def _extent(chart: PanelChart) -> tuple[float, float]:
    times = [at for panel in chart.panels for one in panel.lines for at in one.at]
    for spans in (chart.behind, *(panel.spans for panel in chart.panels)):
        times += [end for span in spans for end in (span.start, span.end)]
    times += [mark.at for panel in chart.panels for mark in panel.marks]
    return min(times, default=0.0), max(times, default=1.0)


def _rows_of_marks(marks: Sequence[Mark], low: float, high: float, width: float) -> list[int]:
    """Return the line above the panel, of three, in which the text of each mark fits; the third line takes the rest."""
    ends = [-math.inf] * 3
    rows = []
    for mark in marks:
        at = (mark.at - low) / ((high - low) or 1.0) * width
        row = next((number for number, end in enumerate(ends) if at > end), 2) if mark.text else -1
        if row >= 0:
            ends[row] = at + width_of(mark.text) + 8
        rows.append(row)
    return rows


def _mark(axes: Axes, mark: Mark, row: int, sheet: Sheet, scale: float, *, flip: bool) -> None:
    colour = sheet.colours[mark.colour]
    axes.axvline(mark.at * scale, color=colour, linewidth=0.9, linestyle=(0, (3, 3)))
    if mark.text:
        axes.annotate(
            mark.text, (mark.at * scale, 1), xycoords=("data", "axes fraction"), ha="right" if flip else "left",
            xytext=(-2 if flip else 2, 3 + row * LINE), textcoords="offset points", color=colour, annotation_clip=False,
        )  # fmt: skip


def _values_axis(axes: Axes, panel: Panel, sheet: Sheet) -> None:
    if panel.rows:
        axes.set_ylim(len(panel.rows) - 0.4, -0.6)
        axes.set_yticks(range(len(panel.rows)), [fitted(name, 0.3 * sheet.width) for name in panel.rows])
        return
    parts = [v for one in panel.lines for values in (one.values, one.lows, one.highs) for v in values if v is not None]
    least, most = min(parts, default=0.0), max(parts, default=1.0)
    axes.tick_params(axis="y", labelcolor=sheet.colours["soft"])
    axes.grid(axis="y", color=sheet.colours["line"], linewidth=0.6)
    if panel.log and least > 0:
        axes.set_ylim(least / 1.3, most * 1.3)
        log_axis(axes, "y", least / 1.3, most * 1.3, int(panel.height))
        return
    # The axis has a smallest span, so that tiny differences do not look like jumps.
    room = max(0.08 * (most - least), 0.02 * max(abs(least), abs(most)), 1e-9)
    low = panel.low if panel.low is not None else max(least - room, 0.0) if least >= 0 else least - room
    axes.set_ylim(low, panel.high if panel.high is not None else most + room)
    axes.yaxis.set_major_locator(MaxNLocator(max(2, int(panel.height / 2)), steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(NUMBERS)


def _time_axis(axes: Axes, sheet: Sheet, *, dates: bool, labelled: bool) -> None:
    most = max(2, int(sheet.width / 80))
    if dates:
        low, high = axes.get_xlim()
        words = "%Y-%m-%d" if high - low > 3 else "%m-%d %H:%M"

        def date(day: float, _: object) -> str:
            return datetime.fromtimestamp(day * _DAY, timezone.utc).strftime(words)

        axes.xaxis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], integer=high - low > 3))
        axes.xaxis.set_major_formatter(FuncFormatter(date))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(most + 2, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(NUMBERS)
        axes.grid(axis="x", color=sheet.colours["line"], linewidth=0.4)
    axes.tick_params(axis="x", labelbottom=labelled)
    axes.spines["bottom"].set(visible=True, color=sheet.colours["rule"], linewidth=0.6)


def _behind(axes: Axes, spans: Sequence[Span], sheet: Sheet, scale: float) -> None:
    """Draw the spans behind a panel. There may be many, so those with the same style are drawn together."""
    for form, colour in dict.fromkeys((span.form, span.colour) for span in spans):
        alike = [span for span in spans if (span.form, span.colour) == (form, colour)]
        across = [(span.start * scale, (span.end - span.start) * scale) for span in alike]
        axes.broken_barh(
            across, (0, 1), transform=axes.get_xaxis_transform(), facecolor=sheet.colours[colour], zorder=0,
            **_SPANS[form],
        )  # fmt: skip


def _span(axes: Axes, span: Span, sheet: Sheet, scale: float) -> None:
    """Draw a span in its row."""
    assert span.row is not None
    colour = sheet.colours[span.colour]
    across = [(span.start * scale, (span.end - span.start) * scale)]
    face = "none" if span.form == "outline" else colour
    edge = colour if span.form == "outline" else sheet.colours["paper"]
    axes.broken_barh(across, (span.row - 0.32, 0.64), facecolor=face, edgecolor=edge, **_SPANS[span.form])
    if span.text:
        axes.annotate(span.text, (span.end * scale, span.row), xytext=(4, 0), textcoords="offset points", va="center",
                      color=sheet.colours["ink"], annotation_clip=False)  # fmt: skip


def _areas(axes: Axes, panel: Panel, sheet: Sheet, scale: float) -> None:
    """Draw stacked areas, which have the same times."""
    areas = [one for one in panel.lines if one.form == "area"]
    if areas:
        colours = [sheet.colours[one.colour] for one in areas]
        values = [[value or 0.0 for value in one.values] for one in areas]
        axes.stackplot([at * scale for at in areas[0].at], values, colors=colours, alpha=0.6, linewidth=0)


def _line(axes: Axes, one: Curve, sheet: Sheet, scale: float) -> None:
    if one.form == "area":
        return
    at = [time * scale for time in one.at]
    values = [math.nan if value is None else value for value in one.values]
    few = sum(value is not None for value in one.values) <= _MARKED
    styles: dict[str, dict[str, Any]] = {
        "line": {"linewidth": 1.2, "marker": "o" if few else "", "markersize": 2.4},
        "dots": {"linestyle": "", "marker": "o", "markersize": 4},
        "crosses": {"linestyle": "", "marker": "x", "markersize": 4.5},
        "level": {"linewidth": 2.4, "alpha": 0.45, "solid_capstyle": "butt"},
        "cap": {"linewidth": 0.9, "linestyle": (0, (3, 2)), "drawstyle": "steps-post"},
    }
    axes.plot(at, values, color=sheet.colours[one.colour], **styles[one.form])
    if one.lows and one.highs:
        lows, highs = ([math.nan if end is None else end for end in ends] for ends in (one.lows, one.highs))
        axes.fill_between(at, lows, highs, color=sheet.colours[one.colour], alpha=0.2, linewidth=0)
