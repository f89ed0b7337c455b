"""How a device was while it measured, drawn under the latencies: one chart for each device, panels on one time axis.

Only panels that have data are drawn. Where nothing ran (cool-down, other work) the background is left blank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from devbench.findings.timeline import Clock, Timeline, Trace
from devbench.forms.charts.jobs import colours
from devbench.forms.charts.panels import LEFT, RIGHT, Panel, draw_panels
from devbench.forms.charts.picture import SERIES, Canvas, MarkForm, Picture
from devbench.forms.charts.scale import LOG_FROM, Scale, padded, tick_text, ticks
from devbench.sections.figures import ms, thermal_words
from devbench.text import clean

_WIDTH = 860.0
_HEAT = "c5"
_HEAT_COLOURS = ("c5", "c1", "c3", "c0", "c2", "c4")
# One for each model; delegates have colours.
_FORMS: tuple[MarkForm, ...] = ("dot", "square", "triangle", "diamond")
_Draw = Callable[[Canvas, Scale, Scale], None]


def conditions(of: tuple[Timeline, tuple[str, ...]], name: str) -> Picture:
    """The chart of one device; `of` has the titles of all jobs of the run, too."""
    timeline, titles = of
    named = clean(timeline.device.title, 80)
    said = not timeline.device.virtual or "virtual" in named.casefold()
    title = f"Conditions of {named}" + ("" if said else " (virtual)")
    return _picture(name, title, timeline, colours(titles))


def _words(timeline: Timeline, title: str) -> str:
    parts = [f"{title} over the run, under the latency of each process"]
    for line in timeline.temperatures[:1]:
        known = _known(line)
        parts.append(f"{line.label} {min(known):.0f} to {max(known):.0f} °C")
    worst = max((status for _, _, status in timeline.throttled), default=0)
    parts.append(f"throttled: {thermal_words(worst)}" if worst else "not throttled")
    return "; ".join(parts)


def _note(timeline: Timeline) -> str:
    parts = ["Grey: a process of the tool runs"]
    if timeline.throttled:
        parts.append("orange: Android reports throttling")
    if any(dot.unreliable for dot in timeline.dots):
        parts.append("crosses: unreliable processes")
    if any(dot.outlier for dot in timeline.dots):
        parts.append("hollow dots: outliers")
    if any(clock.cap for clock in (*timeline.cpu, timeline.gpu)):
        parts.append("dashed: the highest clock allowed")
    return "; ".join(parts) + "."


def _picture(name: str, title: str, timeline: Timeline, paint: dict[str, str]) -> Picture:
    start = min((start for start, _ in timeline.spans), default=0.0)
    end = max((end for _, end in timeline.spans), default=1.0)
    margin = 0.01 * max(end - start, 1.0)
    across = Scale(start - margin, end + margin, LEFT, _WIDTH - RIGHT)
    divisor, unit = (1.0, "seconds") if end < 180 else (60.0, "minutes") if end < 3 * 3600 else (3600.0, "hours")
    # Round numbers of the unit that is shown, not of seconds.
    marks = [(value * divisor, tick_text(value)) for value in ticks(start / divisor, end / divisor, 9)]
    canvas = Canvas()

    def behind(on: Canvas, top: float, bottom: float) -> None:
        for begin, stop in timeline.spans:
            on.rect(across(begin), top, across(stop) - across(begin), bottom - top, "ink", opacity=0.06)
        for begin, stop, status in timeline.throttled:
            alpha = min(0.1 + 0.07 * status, 0.45)
            on.rect(across(begin), top, across(stop) - across(begin), bottom - top, _HEAT, opacity=alpha)

    base = draw_panels(canvas, _panels(timeline, paint), across, marks, behind)
    canvas.text(LEFT, base + 12, f"{unit} since the run began", size=11, colour="soft")
    height = base + 18
    canvas.watermark(_WIDTH, height, every=timeline.device.virtual, some=False)
    return Picture(
        name, title, _words(timeline, title), _WIDTH, height, tuple(canvas.parts), _note(timeline),
        timeline.device.virtual,
    )  # fmt: skip


def _known(*lines: Trace | None) -> list[float]:
    return [value for line in lines if line for value in line.values if value is not None]


def _panels(timeline: Timeline, paint: dict[str, str]) -> list[Panel]:
    panels = [_latencies(timeline, paint)] if timeline.dots else []
    if timeline.temperatures:
        shown, sensors = len(timeline.temperatures), timeline.sensors
        title = "temperature, °C" + (f" ({shown} lines of {sensors} sensors)" if sensors > shown else "")
        lines = list(zip(timeline.temperatures, _HEAT_COLOURS, strict=False))
        legend = [(colour, line.label) for line, colour in lines]
        worst = sorted({status for _, _, status in timeline.throttled})
        legend += [(_HEAT, f"throttled: {thermal_words(status)}") for status in worst]
        low, high = padded(_known(*timeline.temperatures))
        panels.append(Panel(title, 112, low, high, _lines(lines), tuple(legend)))
    if timeline.cpu:
        panels.append(_clocks("CPU clocks by cluster, GHz", 100, timeline.cpu, 0))
    if timeline.gpu.now or timeline.gpu.cap:
        panels.append(_clocks("GPU clock, MHz", 66, [timeline.gpu], 3))
    single = (
        ("battery, %", timeline.battery_level, 2, True),
        ("battery current, mA", timeline.battery_ma, 5, True),
        ("load, one minute", timeline.load, 7, False),
        ("free memory, GB", timeline.memory_gb, 4, False),
    )
    for title, line, colour, whole in single:
        if line is not None:
            low, high = padded(_known(line))
            panels.append(Panel(title, 52, low, high, _lines([(line, SERIES[colour])]), whole=whole))
    return panels


def _lines(lines: Sequence[tuple[Trace, str]], *, dash: bool = False, steps: bool = False) -> _Draw:
    def draw(canvas: Canvas, across: Scale, up: Scale) -> None:
        for line, colour in lines:
            _plot(canvas, line, colour, across, up, dash=dash, steps=steps)

    return draw


def _plot(canvas: Canvas, line: Trace, colour: str, across: Scale, up: Scale, *, dash: bool, steps: bool) -> None:
    few = len(_known(line)) < 40 and not dash
    stretch: list[tuple[float, float]] = []
    stretches = [stretch]
    for at, value in zip(line.times_s, line.values, strict=True):
        if value is None:
            stretch = []
            stretches.append(stretch)
            continue
        if steps and stretch:
            stretch.append((across(at), stretch[-1][1]))
        stretch.append((across(at), up(value)))
    for points in stretches:
        # A single value between two gaps has no line to be seen by.
        marked = points if few or len(points) == 1 else []
        for x, y in marked:
            canvas.mark(x, y, 1.8, "dot", colour)
        if len(points) > 1:
            canvas.line(points, colour, width=1.0 if dash else 1.4, dash=dash, opacity=0.8 if dash else 1.0)


def _clocks(title: str, height: float, clocks: Sequence[Clock], first: int) -> Panel:
    painted = [(clock, SERIES[(first + number) % len(SERIES)]) for number, clock in enumerate(clocks)]

    def draw(canvas: Canvas, across: Scale, up: Scale) -> None:
        _lines([(c.cap, colour) for c, colour in painted if c.cap], dash=True, steps=True)(canvas, across, up)
        _lines([(c.now, colour) for c, colour in painted if c.now])(canvas, across, up)

    highest = max(value for clock in clocks for value in _known(clock.now, clock.cap))
    legend = [(colour, (c.now or c.cap).label) for c, colour in painted if c.now or c.cap]  # type: ignore[union-attr]
    return Panel(title, height, 0.0, 1.08 * highest or 1.0, draw, tuple(legend) if len(clocks) > 1 else ())


def _latencies(timeline: Timeline, paint: dict[str, str]) -> Panel:
    values = [dot.latency_ms for dot in timeline.dots]
    models = dict.fromkeys(dot.model for dot in timeline.dots)
    forms = {model: _FORMS[number % len(_FORMS)] for number, model in enumerate(models)}

    def draw(canvas: Canvas, across: Scale, up: Scale) -> None:
        for dot in timeline.dots:
            y, colour = up(dot.latency_ms), paint[dot.title]
            canvas.line([(across(dot.start_s), y), (across(dot.end_s), y)], colour, opacity=0.5)
            form: MarkForm = "cross" if dot.unreliable else "ring" if dot.outlier else forms[dot.model]
            tip = f"{dot.model} {dot.title}: {ms(dot.latency_ms)} ms"
            canvas.mark(across((dot.start_s + dot.end_s) / 2), y, 3.2, form, colour, tip=tip)

    log = min(values) > 0 and max(values) / min(values) > LOG_FROM
    low, high = (min(values) / 1.3, max(values) * 1.3) if log else (0.0, 1.15 * max(values) or 1.0)
    legend = [(paint[title], title) for title in dict.fromkeys(dot.title for dot in timeline.dots)]
    marks = {"dot": "●", "square": "■", "triangle": "▲", "diamond": "◆"}
    legend += [("", f"{marks[form]} {clean(model, 26)}") for model, form in forms.items()] if len(forms) > 1 else []
    return Panel("latency of each process, ms", 156, low, high, draw, tuple(legend), log)
