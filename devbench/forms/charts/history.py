"""One metric of one case on one device over time, with the levels between its changes; knows no store."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timezone
from itertools import pairwise
from typing import TYPE_CHECKING

from devbench.forms.charts.picture import Canvas, Picture, fitted, text_width
from devbench.forms.charts.scale import Scale, day_ticks, padded, tick_text, ticks
from devbench.sections.comparison_cells import metric_words
from devbench.text import clean

if TYPE_CHECKING:
    from devbench.findings.changes import Change, MeasuredSeries

_WIDTH, _AREA = 860.0, 200.0
_LEFT, _RIGHT, _TOP = 58.0, 16.0, 40.0
# Of more runs than that the intervals would be a fog.
_MOST_INTERVALS = 120
_NOTE = (
    "Dots: medians of runs, of up to 120 with their intervals; lines: levels between changes; dashed: the first run "
    "after a change, orange to the worse, green to the better, grey part of an event of the whole device."
)


def history(series: MeasuredSeries, name: str = "history") -> Picture:
    """The chart of one series."""
    canvas = Canvas()
    factor, unit = _unit(series.unit)
    values = [factor * value for value in series.values]
    times = [at.timestamp() for at in series.times_utc]
    across = Scale(times[0], times[-1], _LEFT + 8, _WIDTH - _RIGHT)
    low, high = padded(values)
    bottom = _TOP + _AREA
    up = Scale(max(low, 0.0) if min(values) >= 0 else low, high, bottom, _TOP)
    for value in ticks(up.low, up.high, 6):
        canvas.line([(_LEFT, up(value)), (_WIDTH - _RIGHT, up(value))], "line")
        canvas.text(_LEFT - 6, up(value) + 4, tick_text(value), size=10.5, anchor="end", colour="soft")
    start, end = (series.times_utc[at].astimezone(timezone.utc) for at in (0, -1))
    for moment, words in day_ticks(start, end):
        x = across(moment.timestamp())
        canvas.line([(x, bottom), (x, bottom + 4)], "soft")
        half = text_width(words, 10.5) / 2
        canvas.text(min(max(x, half), _WIDTH - half), bottom + 16, words, size=10.5, anchor="middle", colour="soft")
    canvas.text(0, _TOP - 26, unit, size=11, colour="soft")
    _levels(canvas, series.changes, values, times, across, up, factor)
    if len(values) <= _MOST_INTERVALS:
        # None of them where the series has no intervals; an end beyond the axis ends there.
        for at, *ends in zip(times, series.lows, series.highs, strict=False):
            if all(map(math.isfinite, ends)):
                whisker = [(across(at), up(min(max(factor * end, up.low), up.high))) for end in ends]
                canvas.line(whisker, "c0", width=1, opacity=0.35)
    for at, value, run in zip(times, values, series.run_ids, strict=True):
        canvas.mark(across(at), up(value), 2.4 if len(values) < 120 else 1.8, "dot", "c0", opacity=0.8,
                    tip=f"{run}: {tick_text(float(f'{value:.4g}'))} {unit}")  # fmt: skip
    canvas.watermark(_WIDTH, bottom + 24, every=series.virtual, some=False)
    return Picture(
        name, _title(series), _words(series, values, unit), _WIDTH, bottom + 24, tuple(canvas.parts), _NOTE,
        series.virtual,
    )  # fmt: skip


def _unit(unit: str) -> tuple[float, str]:
    return {"bytes": (1e-6, "MB"), "": (100.0, "%")}.get(unit, (1.0, unit))


def _title(series: MeasuredSeries) -> str:
    title = metric_words(series.metric, series.operator_type)
    what = title[:1].upper() + title[1:]
    virtual = " (virtual)" if series.virtual and "virtual" not in series.device.casefold() else ""
    return f"{clean(what, 60)}: {clean(series.case, 80)} on {clean(series.device, 60)}{virtual}"


def _words(series: MeasuredSeries, values: Sequence[float], unit: str) -> str:
    found = [f"{change.sides.at_utc:%Y-%m-%d} {_size(change)}" for change in series.changes]
    said = f"changes: {', '.join(found)}" if found else "no change found"
    return f"{_title(series)}, {len(values)} runs, last {values[-1]:.4g} {unit}; {said}"


def _size(change: Change) -> str:
    size = change.point.size
    return "from zero" if size is None else f"{100 * size:+.1f} %"


def _levels(
    canvas: Canvas,
    changes: Sequence[Change],
    values: Sequence[float],
    times: Sequence[float],
    across: Scale,
    up: Scale,
    factor: float,
) -> None:
    """The level of each stretch, and a dashed line with its words where one begins."""
    ends = [0, *(change.point.index for change in changes), len(values)]
    for number, (first, last) in enumerate(pairwise(ends)):
        known = changes[number - 1].point.after if number else changes[0].point.before if changes else None
        if known is not None and last > first:
            y = up(factor * known)
            canvas.line([(across(times[first]), y), (across(times[last - 1]), y)], "c0", width=2.2, opacity=0.55)
    free = -1e9
    row = 0
    for change in changes:
        at = times[change.point.index]
        x = across(at)
        colour = ("c5" if change.worse else "good") if change.own else "soft"
        canvas.line([(x, _TOP - 4), (x, _TOP + _AREA)], colour, width=1.2, dash=True)
        words = fitted(f"{_size(change)} {change.sides.at_utc:%d %b}", 10.5, 150)
        width = text_width(words, 10.5)
        left = min(x + 3, _WIDTH - width)
        row = 1 - row if left < free else 0
        canvas.text(left, _TOP - 8 - 12 * row, words, size=10.5, colour=colour, bold=change.own)
        free = left + width + 6
