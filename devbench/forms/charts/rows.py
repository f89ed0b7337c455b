"""Draws a chart of bars in rows: headings, bars with their values, intervals and single processes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from devbench.forms.charts.style import LINE, MARGIN, NUMBERS, Sheet, fitted, log_axis, width_of
from devbench.sections.charts import Bar, Row, RowChart

_BAR, _SEVERAL, _GAP, _POINTS, _HEAD = 9.0, 11.0, 5.0, 5.0, 16.0
# The last mark of the axis may be half beyond its end.
_RIGHT = 18.0
_MARKS = {"counted": ("o", "dot"), "outlier": ("o", "none"), "unreliable": ("x", "dot")}


@dataclass(frozen=True, slots=True)
class _Placed:
    """The position of a bar: its middle and height from the top, its start and its end."""

    bar: Bar
    row: Row
    y: float
    height: float
    start: float
    end: float


def draw_rows(sheet: Sheet, chart: RowChart, title: str) -> None:
    """Draw the chart; its height follows the number of rows."""
    sheet.heading(title, chart.virtual)
    rows = [row for group in chart.groups for row in group.rows]
    values = [
        value for row in rows for bar in row.bars for value in (bar.value, bar.low, bar.high) if value is not None
    ]
    positive = [value for value in values if value > 0]
    origin = min(positive) / 2 if chart.log and positive else chart.origin
    labels = {row.label: fitted(row.label, 0.42 * sheet.width) for row in rows}
    left = MARGIN + max((width_of(label) for label in labels.values()), default=0) + 6
    placed, heads, ticks, height = _place(chart, origin)
    if any(bar.value < 0 or (bar.low or 0) < 0 for row in rows for bar in row.bars):
        # There are values on both sides, so the labels need space on the left, too.
        left += 6
    axes = sheet.axes(left, height, _RIGHT)
    axes.set_ylim(height, 0)
    axes.set_yticks([y for y, _ in ticks], [labels[row.label] for _, row in ticks])
    for y, head in heads:
        # A heading begins at the left margin of the sheet, not of the axes.
        axes.annotate(
            fitted(head, sheet.inner, "bold"), (0, y), xycoords=("axes fraction", "data"), xytext=(MARGIN - left, 0),
            textcoords="offset points", va="center", weight="bold", color=sheet.colours["ink"],
        )  # fmt: skip
    _limits(axes, chart, placed, origin, sheet.width - _RIGHT - left)
    if chart.log:
        log_axis(axes, "x", origin, max(values), int((sheet.width - left) / 40))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(max(2, int((sheet.width - left) / 48)), steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(NUMBERS)
    axes.grid(axis="x", color=sheet.colours["line"], linewidth=0.6)
    if axes.get_xlim()[0] <= origin:
        axes.axvline(origin, color=sheet.colours["rule"], linewidth=0.8, zorder=1)
    _bars(axes, chart, placed, sheet)
    for y, row in ticks:
        if not row.bars:
            axes.annotate(row.text, (origin, y), xytext=(4, 0), textcoords="offset points", va="center",
                          color=sheet.colours["soft"])  # fmt: skip
    sheet.y += LINE + 3
    unit = chart.unit + (" (logarithmic)" if chart.log else "")
    beside = width_of(unit) <= sheet.width - MARGIN - left
    sheet.text(fitted(unit, sheet.inner), left if beside else MARGIN, sheet.y + LINE / 2, "soft")
    sheet.y += LINE + 4
    used = sorted({bar.series for row in rows for bar in row.bars})
    if len(chart.series) > 1:
        sheet.legend([(chart.series[number].name, chart.series[number].colour, "bar") for number in used])
    sheet.end(chart.note)


def _place(
    chart: RowChart, origin: float
) -> tuple[list[_Placed], list[tuple[float, str]], list[tuple[float, Row]], float]:
    """Return bars, headings and rows with their positions from the top, and the whole height."""
    placed: list[_Placed] = []
    heads: list[tuple[float, str]] = []
    ticks: list[tuple[float, Row]] = []
    dots = any(row.points for group in chart.groups for row in group.rows)
    y = 0.0
    for group in chart.groups:
        if group.head:
            heads.append((y + _HEAD / 2, group.head))
            y += _HEAD
        for row in group.rows:
            several = len(row.bars) > 1 and not chart.stacked
            tall = _SEVERAL if several else _BAR
            begin, whole = y, tall * len(row.bars) if several else tall
            start = 0.0
            for number, bar in enumerate(row.bars):
                middle = y + tall * (number + 0.5 if several else 0.5) + _GAP / 2
                end = start + bar.value if chart.stacked else bar.value
                begin_at = bar.start if bar.start is not None else start if chart.stacked else origin
                placed.append(_Placed(bar, row, middle, tall, begin_at, end))
                start = end
            ticks.append((begin + _GAP / 2 + whole / 2, row))
            y += whole + _GAP + (_POINTS if dots else 0)
        y += 3
    return placed, heads, ticks, y


def _limits(axes: Axes, chart: RowChart, placed: list[_Placed], origin: float, width: float) -> None:
    """Set the limits of the axis so that each bar fits with its text, whose width does not depend on the axis."""
    points = [(one, end) for one in placed for end in _ends(one)]
    points += [(one, point.value) for one in placed for point in one.row.points]
    at: Any = (lambda value: math.log10(max(value, origin))) if chart.log else float
    low, high = min([at(origin), *(at(end) for _, end in points)]), max([at(origin), *(at(end) for _, end in points)])
    span = (high - low) or abs(high) or 1.0
    low, high = (low - 0.0 if low == at(origin) else low - 0.02 * span), high + 0.02 * span
    for _ in range(4):
        # A text beyond the edge moves the edge, which moves all texts; this comes to rest after a few rounds.
        scale = (high - low) / width
        for one in placed:
            text = _text(chart, one)
            room = (width_of(text) + 8) * scale if text else 0.0
            ends = [at(end) for end in _ends(one)]
            if one.end >= origin:
                high = max(high, max(ends) + room)
            else:
                low = min(low, min(ends) - room)
    axes.set_xlim(*(10**low, 10**high) if chart.log else (low, high))


def _ends(one: _Placed) -> Iterator[float]:
    yield one.end
    if one.bar.start is not None:
        yield one.bar.start
    yield from (end for end in (one.bar.low, one.bar.high) if end is not None)


def _text(chart: RowChart, one: _Placed) -> str:
    """Return the text at the end of a bar, or of the last piece of a stacked one."""
    if not chart.stacked:
        return one.bar.text
    return one.row.text if one.bar is one.row.bars[-1] else ""


def _bars(axes: Axes, chart: RowChart, placed: list[_Placed], sheet: Sheet) -> None:
    colours = sheet.colours
    paint = [colours[one.bar.colour or chart.series[one.bar.series].colour] for one in placed]
    drawn = axes.barh(
        [one.y for one in placed], [one.end - one.start for one in placed], [one.height - 1 for one in placed],
        [one.start for one in placed], color=paint, linewidth=0,
    )  # fmt: skip
    for patch, one in zip(drawn, placed, strict=True):
        if one.row.unreliable:
            patch.set(facecolor="none", edgecolor=colours["soft"], linewidth=0.8, linestyle=(0, (3, 2)), hatch="////")
        elif one.row.virtual and chart.virtual == "some":
            patch.set(edgecolor=colours["paper"], hatch="////")
        elif chart.stacked:
            patch.set(edgecolor=colours["paper"], linewidth=0.6)
    ranged = [
        (one, one.bar.low, one.bar.high) for one in placed if one.bar.low is not None and one.bar.high is not None
    ]
    if ranged:
        # A value may be outside its interval.
        middle = [(low + high) / 2 for _, low, high in ranged]
        half = [(high - low) / 2 for _, low, high in ranged]
        axes.errorbar(middle, [one.y for one, _, _ in ranged], xerr=half, fmt="none", ecolor=colours["ink"],
                      elinewidth=1.0, capsize=2.0, capthick=1.0)  # fmt: skip
    for kind, (marker, face) in _MARKS.items():
        dots = [(p.value, one.y + one.height / 2 + 2.5) for one in placed for p in one.row.points if p.kind == kind]
        if dots:
            filled: dict[str, Any] = (
                {"color": colours["dot"]} if face == "dot" else {"facecolors": "none", "edgecolors": colours["dot"]}
            )
            axes.scatter(
                [x for x, _ in dots], [y for _, y in dots], s=5, marker=marker, linewidths=0.6, zorder=3, **filled
            )
    for one in placed:
        text = _text(chart, one)
        right = one.end >= one.start or one.bar.start is not None
        if text:
            end = max(_ends(one)) if right else min(_ends(one))
            axes.annotate(
                fitted(text, 0.5 * sheet.width), (end, one.y), xytext=(4 if right else -4, 0),
                textcoords="offset points", ha="left" if right else "right", va="center", color=colours["ink"],
            )  # fmt: skip
