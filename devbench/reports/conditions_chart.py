"""How a device was while it measured, drawn under the latencies: one chart for each device, panels on one time axis.

Only panels that have data are drawn. Where nothing ran (cool-down, other work) the background is left blank.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devbench.reports.drawing import COLOURS, Chart, delegate_colours, draw, mark_processes, mark_virtual, new_figure
from devbench.reports.model import ReportData
from devbench.reports.timeline import Clock, Line, Timeline
from devbench.reports.words import thermal_words
from devbench.text import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_DEVICES = 12
_MOST_LEGEND = 10
_WIDTH_IN = 9.5
_HEAT = "#D55E00"
_HEAT_COLOURS = ("#D55E00", "#E69F00", "#CC79A7", "#0072B2", "#009E73", "#56B4E9")
# One for each model; delegates have colours.
_MARKERS = ("o", "s", "^", "D", "v", "p")
# With values this far apart the small ones lie on the axis, so the axis is made logarithmic.
_LOG_FROM = 12


@dataclass(frozen=True, slots=True)
class _Panel:
    title: str
    inches: float
    fill: Callable[[Any], None]


def draw_conditions(report: ReportData) -> list[Chart]:
    """A chart for each device that said anything of itself."""
    told = [timeline for timeline in report.timelines if timeline.has_conditions][:_MOST_DEVICES]
    colours = delegate_colours(report)
    charts = []
    for number, timeline in enumerate(told):
        named = clean(timeline.device.title, 80)
        said = not timeline.device.virtual or "virtual" in named.casefold()
        title = f"Conditions of {named}" + ("" if said else " (virtual)")
        charts.append(
            draw(
                "conditions" if number == 0 else f"conditions-{number + 1}",
                title,
                _words(timeline, title),
                lambda ink, timeline=timeline: _figure(timeline, colours, ink),  # type: ignore[misc]
                _note(timeline),
            )
        )
    return charts


def _words(timeline: Timeline, title: str) -> str:
    parts = [f"{title} over the run, under the latency of each process"]
    for line in timeline.temperatures[:1]:
        known = [value for value in line.values if value is not None]
        parts.append(f"{line.label} {min(known):.0f} to {max(known):.0f} °C")
    worst = max((status for _, _, status in timeline.throttled), default=0)
    parts.append(f"throttled: {thermal_words(worst)}" if worst else "not throttled")
    return "; ".join(parts)


def _note(timeline: Timeline) -> str:
    parts = ["Grey: a process of the tool runs"]
    if timeline.throttled:
        parts.append("orange: Android reports throttling")
    if any(dot.suspect for dot in timeline.dots):
        parts.append("crosses: suspect processes")
    if any(dot.outlier for dot in timeline.dots):
        parts.append("hollow dots: outliers")
    if any(clock.cap for clock in (*timeline.cpu, timeline.gpu)):
        parts.append("dashed: the highest clock allowed")
    return "; ".join(parts) + "."


def _figure(timeline: Timeline, colours: dict[str, str], ink: str) -> Figure:
    from matplotlib.ticker import MultipleLocator

    panels = _panels(timeline, colours, ink)
    figure = new_figure(ink, _WIDTH_IN, 0.5 + sum(panel.inches for panel in panels))
    divisor, unit = _time_unit(timeline)
    all_axes = figure.subplots(
        len(panels), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": [panel.inches for panel in panels]}
    )[:, 0]
    for axes, panel in zip(all_axes, panels, strict=True):
        panel.fill(axes)
        _backdrop(axes, timeline, ink)
        axes.set_title(panel.title, loc="left", fontsize=8, pad=3)
        axes.grid(axis="both", alpha=0.2, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=7.5)
    start = min((start for start, _ in timeline.spans), default=0.0)
    end = max((end for _, end in timeline.spans), default=1.0)
    margin = 0.01 * max(end - start, 1.0)
    all_axes[-1].set_xlim(start - margin, end + margin)
    # Round numbers of the unit that is shown, not of seconds.
    all_axes[-1].xaxis.set_major_locator(MultipleLocator(_step((end - start) / divisor) * divisor))
    all_axes[-1].xaxis.set_major_formatter(lambda value, _: f"{value / divisor:g}")
    all_axes[-1].set_xlabel(f"{unit} since the run began", fontsize=8)
    mark_virtual(figure, every=timeline.device.virtual, some=False)
    return figure


def _time_unit(timeline: Timeline) -> tuple[float, str]:
    end = max((end for _, end in timeline.spans), default=0.0)
    return (1.0, "seconds") if end < 180 else (60.0, "minutes") if end < 3 * 3600 else (3600.0, "hours")


def _step(span: float) -> float:
    """A round number that goes at most ten times into `span`: 1, 2, 5, 10, …"""
    power = 10.0 ** math.floor(math.log10(max(span, 1e-3) / 10))
    return next(step for step in (power, 2 * power, 5 * power, 10 * power) if 10 * step >= span)


def _panels(timeline: Timeline, colours: dict[str, str], ink: str) -> list[_Panel]:
    panels = []
    if timeline.dots:
        panels.append(_Panel("latency of each process, ms", 2.1, lambda axes: _latencies(axes, timeline, colours, ink)))
    if timeline.temperatures or timeline.throttled:
        shown, sensors = len(timeline.temperatures), timeline.sensors
        title = "temperature, °C" + (f" ({shown} lines of {sensors} sensors)" if sensors > shown else "")
        panels.append(_Panel(title, 1.5, lambda axes: _heat(axes, timeline)))
    if timeline.cpu:
        panels.append(_Panel("CPU clocks by cluster, GHz", 1.4, lambda axes: _clocks(axes, timeline.cpu)))
    if timeline.gpu.now or timeline.gpu.cap:
        panels.append(_Panel("GPU clock, MHz", 1.0, lambda axes: _clocks(axes, [timeline.gpu], first_colour=3)))
    single = (
        ("battery, %", timeline.battery_level, 2),
        ("battery current, mA", timeline.battery_ma, 5),
        ("load, one minute", timeline.load, 7),
        ("free memory, GB", timeline.memory_gb, 4),
    )
    for title, line, colour in single:
        if line is not None:
            panels.append(_Panel(title, 0.85, _single(line, COLOURS[colour], whole=title.startswith("battery"))))
    return panels


def _single(line: Line, colour: str, whole: bool) -> Callable[[Any], None]:
    def fill(axes: Any) -> None:
        _plot(axes, line, colour)
        known = [value for value in line.values if value is not None]
        # A value that hardly moves must not look as if it jumped.
        least = 0.04 * max(abs(value) for value in known) or 1.0
        if max(known) - min(known) < least:
            middle = (max(known) + min(known)) / 2
            axes.set_ylim(middle - least, middle + least)
        axes.locator_params(axis="y", nbins=3, integer=whole)

    return fill


def _plot(axes: Any, line: Line, colour: str, **how: Any) -> None:
    values = [float("nan") if value is None else value for value in line.values]
    few = sum(value is not None for value in line.values) < 40
    marks = {"marker": "."} if few else {}
    axes.plot(line.times_s, values, color=colour, **{"linewidth": 1.2, "markersize": 3.5, **marks, **how})
    # A single value between two gaps has no line to be seen by.
    padded = [None, *line.values, None]
    alone = [n for n in range(len(values)) if padded[n + 1] is not None and padded[n] is None and padded[n + 2] is None]
    if alone and not few:
        axes.plot([line.times_s[n] for n in alone], [values[n] for n in alone], ".", color=colour, markersize=2.5)


def _latencies(axes: Any, timeline: Timeline, colours: dict[str, str], ink: str) -> None:
    from matplotlib.ticker import LogLocator

    models = dict.fromkeys(dot.model for dot in timeline.dots)
    markers = {model: _MARKERS[number % len(_MARKERS)] for number, model in enumerate(models)}
    for title in dict.fromkeys(dot.title for dot in timeline.dots):
        those = [dot for dot in timeline.dots if dot.title == title]
        heights, starts, ends = zip(*((dot.latency_ms, dot.start_s, dot.end_s) for dot in those), strict=True)
        axes.hlines(heights, starts, ends, color=colours[title], linewidth=1, alpha=0.5)
        for model, marker in markers.items():
            points = [
                ((dot.start_s + dot.end_s) / 2, dot.latency_ms, dot.outlier, dot.suspect)
                for dot in those
                if dot.model == model
            ]
            mark_processes(axes, points, colours[title], 4.5, marker)
        axes.plot([], [], "o", color=colours[title], markersize=4.5, label=clean(title, 26))
    for model, marker in markers.items() if len(markers) > 1 else ():
        axes.plot([], [], marker, color=ink, linestyle="", markersize=4.5, label=clean(model, 26))
    for marker, face, label in (("o", "none", "outlier"), ("x", ink, "suspect")):
        if any(getattr(dot, label) for dot in timeline.dots):
            axes.plot([], [], marker, color=ink, markerfacecolor=face, linestyle="", markersize=6, label=label)
    values = [dot.latency_ms for dot in timeline.dots]
    if min(values) > 0 and max(values) / min(values) > _LOG_FROM:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(lambda value, _: "")
        axes.set_ylim(min(values) / 1.3, max(values) * 1.3)
    else:
        axes.set_ylim(0, 1.15 * max(values) or 1.0)
    _legend(axes)


def _heat(axes: Any, timeline: Timeline) -> None:
    for line, colour in zip(timeline.temperatures, _HEAT_COLOURS, strict=False):
        _plot(axes, line, colour, label=line.label)
    for status in sorted({status for _, _, status in timeline.throttled}):
        label = f"throttled: {thermal_words(status)}"
        axes.fill_between([], [], [], color=_HEAT, alpha=_heat_alpha(status), linewidth=0, label=label)
    axes.locator_params(axis="y", nbins=5)
    _legend(axes)


def _heat_alpha(status: int) -> float:
    return min(0.1 + 0.07 * status, 0.45)


def _clocks(axes: Any, clocks: Sequence[Clock], first_colour: int = 0) -> None:
    for number, clock in enumerate(clocks):
        colour = COLOURS[(first_colour + number) % len(COLOURS)]
        if clock.cap is not None:
            _plot(axes, clock.cap, colour, linestyle="--", linewidth=1, alpha=0.8, marker="", drawstyle="steps-post",
                  label=None if clock.now else clock.cap.label)  # fmt: skip
        if clock.now is not None:
            _plot(axes, clock.now, colour, label=clock.now.label if len(clocks) > 1 else None)
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="y", nbins=4)
    _legend(axes)


def _legend(axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if len(handles) > _MOST_LEGEND:
        labels = [*labels[: _MOST_LEGEND - 1], f"and {len(handles) - _MOST_LEGEND + 1} more"]
        handles = handles[:_MOST_LEGEND]
    if handles:
        axes.legend(
            handles, labels, loc="upper left", bbox_to_anchor=(1.005, 1.04), frameon=False, fontsize=7.5,
            borderaxespad=0, handlelength=1.4, labelspacing=0.35,
        )  # fmt: skip


def _backdrop(axes: Any, timeline: Timeline, ink: str) -> None:
    """Processes in grey and throttling in orange, behind everything else, whatever the panel's scale."""
    across = axes.get_xaxis_transform()
    spans = [(start, end - start) for start, end in timeline.spans]
    axes.broken_barh(spans, (0, 1), transform=across, facecolors=ink, alpha=0.06, linewidth=0, zorder=0)
    for status in sorted({status for _, _, status in timeline.throttled}):
        stretches = [(start, end - start) for start, end, of in timeline.throttled if of == status]
        axes.broken_barh(
            stretches, (0, 1), transform=across, facecolors=_HEAT, alpha=_heat_alpha(status), linewidth=0, zorder=0
        )
