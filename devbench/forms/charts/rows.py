"""Bars in rows under headings, with intervals, single values and stacked parts; knows no run.

All charts that compare jobs are made of it: latency, speed-up, start-up, memory, operators, differences.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from devbench.forms.charts.picture import Canvas, MarkForm, Picture, fitted, text_width
from devbench.forms.charts.scale import Scale, log_ticks, tick_text, ticks

WIDTH = 760.0
_LABELS_MOST, _LABELS_LEAST = 250.0, 70.0
_HEAD, _ROW_GAP, _GROUP_GAP = 22.0, 7.0, 8.0
_AXIS, _LEGEND_ROW = 38.0, 19.0
_STRIP = 11.0


@dataclass(frozen=True, slots=True)
class Dot:
    """A single process under its bar."""

    value: float
    form: MarkForm
    tip: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a stacked bar."""

    value: float
    colour: str
    tip: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Attributes:
        value: its end; where there are `pieces`, the sum of them.
        low, high: its interval; `None` for none.
        label: printed behind it.
        pale: it is unreliable.
        hatch: of a virtual device among others that are not.
    """

    value: float
    colour: str
    label: str
    tip: str = ""
    low: float | None = None
    high: float | None = None
    pale: bool = False
    hatch: bool = False
    dots: tuple[Dot, ...] = ()
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """Bars of one label; several are thinner. A row without a bar says `missing` in its place."""

    label: str
    bars: tuple[Bar, ...]
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows under a heading."""

    head: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """What a chart of rows has besides its bars.

    Attributes:
        unit: of the axis, in words.
        legend: colour and word.
        origin: where bars start (1 for a speed-up, 0 else).
        log: a logarithmic axis, for ratios.
        every, some: all numbers, or some of them, are of virtual devices.
    """

    unit: str
    legend: tuple[tuple[str, str], ...] = ()
    origin: float = 0.0
    log: bool = False
    every: bool = False
    some: bool = False


def draw_rows(name: str, title: str, alt: str, groups: Sequence[Group], axis: Axis, note: str = "") -> Picture:
    """The picture; as high as its rows need."""
    canvas = Canvas()
    rows = [row for group in groups for row in group.rows]
    bars = [bar for row in rows for bar in row.bars]
    left = min(max((text_width(row.label, 12) for row in rows), default=0.0) + 12, _LABELS_MOST)
    left = max(left, _LABELS_LEAST)
    behind = max((text_width(bar.label, 11) for bar in bars), default=0.0) + 14
    top = 18.0 if axis.some and not axis.every else 4.0
    height = top + sum(_HEAD * bool(g.head) + _GROUP_GAP + sum(_row_height(r) for r in g.rows) for g in groups)
    scale = _scale(bars, axis, left, WIDTH - behind)
    marks = log_ticks(scale.low, scale.high) if axis.log else ticks(scale.low, scale.high)
    for value in marks:
        canvas.text(scale(value), height + 13, tick_text(value), size=11, anchor="middle", colour="soft")
    y = top
    for group in groups:
        if group.head:
            canvas.text(0, y + 15, fitted(group.head, 12, WIDTH - 140), bold=True)
            y += _HEAD
        begin, end = y - 2, y + sum(map(_row_height, group.rows))
        for value in marks:
            canvas.line([(scale(value), begin), (scale(value), end)], "line")
        for row in group.rows:
            _row(canvas, row, y, left, scale, axis)
            y += _row_height(row)
        canvas.line([(scale(axis.origin), begin), (scale(axis.origin), end)], "soft")
        y += _GROUP_GAP
    canvas.text(left, height + 29, axis.unit, size=11, colour="soft")
    bottom = _legend(canvas, axis.legend, height + _AXIS)
    canvas.watermark(WIDTH, bottom, every=axis.every, some=axis.some)
    return Picture(name, title, alt, WIDTH, bottom, tuple(canvas.parts), note, axis.every or axis.some)


def _row_height(row: Row) -> float:
    dots = any(bar.dots for bar in row.bars)
    return _thickness(row) * max(len(row.bars), 1) + (_STRIP if dots else 0.0) + _ROW_GAP


def _thickness(row: Row) -> float:
    return 15.0 if len(row.bars) <= 1 else 10.0


def _scale(bars: Sequence[Bar], axis: Axis, start: float, end: float) -> Scale:
    reached = [v for bar in bars for v in (bar.value, bar.low, bar.high, *(dot.value for dot in bar.dots))]
    known = [value for value in reached if value is not None and math.isfinite(value)]
    low, high = min([axis.origin, *known]), max([axis.origin, *known])
    if axis.log:
        return Scale(min(low, 0.8 * axis.origin) / 1.05, max(high, 1.25 * axis.origin) * 1.05, start, end, True)
    if low == high:
        high = low + 1.0
    return Scale(low if low == axis.origin else low - 0.03 * (high - low), high, start, end)


def _row(canvas: Canvas, row: Row, y: float, left: float, scale: Scale, axis: Axis) -> None:
    thick = _thickness(row)
    middle = y + thick * max(len(row.bars), 1) / 2
    canvas.text(left - 8, middle + 4, fitted(row.label, 12, left - 8), anchor="end")
    if not row.bars:
        canvas.text(left + 6, middle + 4, row.missing, size=11, colour="bad")
    for number, bar in enumerate(row.bars):
        top = y + number * thick
        _bar(canvas, bar, top, thick - (1.0 if len(row.bars) > 1 else 0.0), scale, axis)
        if bar.dots:
            at = y + len(row.bars) * thick + _STRIP / 2 + 0.5
            for dot in bar.dots:
                canvas.mark(scale(dot.value), at, 2.9, dot.form, bar.colour, opacity=0.75, tip=dot.tip)


def _bar(canvas: Canvas, bar: Bar, top: float, thick: float, scale: Scale, axis: Axis) -> None:
    origin, end = scale(axis.origin), scale(bar.value)
    if bar.pieces:
        at = axis.origin
        for piece in bar.pieces:
            x = scale(at)
            canvas.rect(x, top, scale(at + piece.value) - x, thick, piece.colour, hatch=bar.hatch, tip=piece.tip)
            at += piece.value
    else:
        canvas.rect(
            min(origin, end), top, abs(end - origin), thick, bar.colour, opacity=0.35 if bar.pale else 0.92,
            stroke=bar.colour if bar.pale else "", dash=bar.pale, hatch=bar.hatch, tip=bar.tip,
        )  # fmt: skip
    reach = max(origin, end)
    if bar.low is not None and bar.high is not None:
        low, high, middle = scale(bar.low), scale(bar.high), top + thick / 2
        reach = max(reach, high)
        canvas.line([(low, middle), (high, middle)], "ink", width=1.4)
        for x in (low, high):
            canvas.line([(x, middle - 3.5), (x, middle + 3.5)], "ink", width=1.4)
    canvas.text(reach + 7, top + thick / 2 + 4, bar.label, size=11)


def _legend(canvas: Canvas, legend: Sequence[tuple[str, str]], top: float) -> float:
    """The words of the colours, as many a line as there is room for; gives where they end."""
    x, y = 0.0, top + 12
    for colour, word in legend:
        shown = fitted(word, 11, 260)
        width = 18 + text_width(shown, 11) + 14
        if x and x + width > WIDTH:
            x, y = 0.0, y + _LEGEND_ROW
        canvas.rect(x, y - 9, 11, 11, colour)
        canvas.text(x + 17, y + 0.5, shown, size=11)
        x += width
    return y + 10 if legend else top
