"""Makes charts over time: the history of metrics, the conditions of a device, the timeline of a pipeline.

Charts are made as data (`charts.py`); this file knows no way of drawing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from devbench.findings.pipeline import PipelineReport, Variant, Whole, memory_series
from devbench.grouped import grouped
from devbench.sections.charts import Curve, Mark, Panel, PanelChart, Span, delegate_colours, needs_log
from devbench.sections.figures import metric_words, ms, thermal_words
from devbench.sections.pipeline_cells import megabytes, seconds
from devbench.text import clean

if TYPE_CHECKING:
    from devbench.findings.changes import ChangesReport, MeasuredSeries
    from devbench.findings.run import ReportData
    from devbench.findings.timeline import Clock, Timeline, Trace

_MAX_DEVICES, _MAX_PIPELINES = 12, 24
# The largest number of lines in one panel that a user can follow.
_MAX_LINES = 8
# The plain CPU is hidden at first if XNNPACK is this many times as fast: it would flatten the lines that matter.
_HIDES_CPU = 2.5


# -- history ----------------------------------------------------------------------------------------------------------


def history_charts(report: ChangesReport) -> tuple[PanelChart, ...]:
    """Return a chart for each metric of a model on a device, a line for each case: changed ones first."""
    groups = grouped(
        ((one.device_key, one.model, one.metric, one.operator_type), one)
        for one in report.series
        if len(one.values) > 1
    )

    def rank(of: Sequence[MeasuredSeries]) -> tuple[bool, float, bool]:
        own = [abs(change.point.size or 0.0) for one in of for change in one.changes if change.own]
        return (not own, -max(own, default=0.0), of[0].metric != "latency")

    portions = [of[at : at + _MAX_LINES] for of in groups.values() for at in range(0, len(of), _MAX_LINES)]
    ranked = enumerate(sorted(portions, key=rank), start=1)
    return tuple(_history(f"history-{number}", of, report.run_labels) for number, of in ranked)


def _history(name: str, of: Sequence[MeasuredSeries], labels: Mapping[str, Mapping[str, str]]) -> PanelChart:
    first = of[0]
    factor, unit = {"bytes": (1e-6, "MB"), "": (100.0, "%")}.get(first.unit, (1.0, first.unit))
    titles = {one.case: one.case.removeprefix(f"{one.model} · ") or one.case for one in of}
    colours = delegate_colours(titles.values())
    last = {one.delegate: one.values[-1] for one in of}
    lines: list[Curve] = []
    marks: list[Mark] = []
    words: list[str] = []
    for one in of:
        title = titles[one.case]
        slow = (
            one.metric == "latency"
            and one.delegate == "cpu"
            and last["cpu"] > _HIDES_CPU * last.get("xnnpack", math.inf)
        )
        at = tuple(moment.timestamp() for moment in one.times_utc)
        values = tuple(factor * value for value in one.values)
        lows, highs = (
            tuple(factor * end if math.isfinite(end) else None for end in ends) for ends in (one.lows, one.highs)
        )
        facets = (("device", one.device), ("model", one.model))
        lines.append(Curve(title, colours[title], at, values, "line", lows, highs, hidden=slow, facets=facets))
        if one.changes:
            lines.append(_levels(one, title, colours[title], at, factor, slow))
        for change in one.changes:
            size = "from zero" if change.point.size is None else f"{100 * change.point.size:+.1f} %"
            colour = "soft" if not change.own else "worse" if change.worse else "better"
            changed = [f"{key} {old} → {new}" for key, (old, new) in change.sides.labels.items()]
            changed += [f"{fact.fact} {fact.before} → {fact.after}" for fact in change.sides.facts]
            said = f"{title} {size}" + (f": {', '.join(changed)}" if changed else "")
            marks.append(Mark(at[change.point.index], size, colour, said, title))
            words.append(f"{title} {change.sides.at_utc:%Y-%m-%d} {size}")
    what = metric_words(first.metric, first.operator_type)
    case = f" · {next(iter(titles.values()))}" if len(of) == 1 else ""
    virtual = " (virtual)" if first.virtual and "virtual" not in first.device.casefold() else ""
    what = clean(what[:1].upper() + what[1:], 60)
    title = f"{what}: {clean(first.model + case, 90)} on {clean(first.device, 60)}{virtual}"
    told = f"changes: {', '.join(words)}" if words else "no change found"
    ends = ", ".join(f"{titles[one.case]} {factor * one.values[-1]:.4g} {unit}" for one in of)
    note = "Bands: 95 % interval; thick lines: level between changes; dashed: first run after a change."
    panel = Panel(f"{what.lower()}, {unit}", tuple(lines), tuple(marks), height=16.0)
    return PanelChart(
        name, title, f"{title}, {max(len(one.values) for one in of)} runs, last: {ends}; {told}", (panel,), "", note,
        dates=True, moments=_moments(of, labels), virtual="every" if first.virtual else "",
    )  # fmt: skip


def _levels(one: MeasuredSeries, title: str, colour: str, at: Sequence[float], factor: float, hidden: bool) -> Curve:
    """Return the level between each two changes, from the first run to the last."""
    times: list[float] = []
    values: list[float | None] = []
    ends = [0, *(change.point.index for change in one.changes), len(at)]
    for number, (first, end) in enumerate(pairwise(ends)):
        level = one.changes[number - 1].point.after if number else one.changes[0].point.before
        if end > first:
            times += [at[first], at[end - 1], at[end - 1]]
            values += [factor * level, factor * level, None]
    return Curve(title, colour, tuple(times), tuple(values), "level", hidden=hidden)


def _moments(of: Sequence[MeasuredSeries], labels: Mapping[str, Mapping[str, str]]) -> tuple[tuple[float, str], ...]:
    """Return what each run was: its id and, if a label has it, the commit."""
    runs = {moment.timestamp(): run for one in of for moment, run in zip(one.times_utc, one.run_ids, strict=True)}

    def words(run: str) -> str:
        commit = labels.get(run, {}).get("commit")
        return f"run {run}" + (f" · commit {clean(commit, 40)}" if commit else "")

    return tuple((at, words(runs[at])) for at in sorted(runs))


# -- conditions -------------------------------------------------------------------------------------------------------


def condition_charts(report: ReportData) -> tuple[PanelChart, ...]:
    """Return a chart for each device that has reported its conditions."""
    known = [timeline for timeline in report.timelines if timeline.has_conditions][:_MAX_DEVICES]
    colours = delegate_colours(job.title for job in report.jobs)
    return tuple(
        _conditions("conditions" if number == 1 else f"conditions-{number}", timeline, colours)
        for number, timeline in enumerate(known, start=1)
    )


def _conditions(name: str, timeline: Timeline, colours: Mapping[str, str]) -> PanelChart:
    named = clean(timeline.device.title, 80)
    virtual = timeline.device.virtual
    title = f"Conditions of {named}" + (" (virtual)" if virtual and "virtual" not in named.casefold() else "")
    end = max((end for _, end in timeline.spans), default=1.0)
    divisor, unit = (1.0, "seconds") if end < 180 else (60.0, "minutes") if end < 3 * 3600 else (3600.0, "hours")
    panels = tuple(_panels(timeline, colours, divisor))
    behind = [Span(start / divisor, end / divisor, "soft", words="a process runs") for start, end in timeline.spans]
    behind += [
        Span(start / divisor, end / divisor, "warn", "pale", words=f"throttled: {thermal_words(status)}")
        for start, end, status in timeline.throttled
    ]
    parts = [f"{title} over the run, under the latency of each process"]
    for one in timeline.temperatures[:1]:
        parts.append(f"{one.label} {min(_known(one)):.0f} to {max(_known(one)):.0f} °C")
    worst = max((status for _, _, status in timeline.throttled), default=0)
    parts.append(f"throttled: {thermal_words(worst)}" if worst else "not throttled")
    note = ["Grey: a process runs"]
    note += ["orange: throttled, as Android reports it"] if timeline.throttled else []
    note += ["crosses: unreliable processes"] if any(dot.unreliable for dot in timeline.dots) else []
    note += ["dashed: highest clock allowed"] if any(one.cap for one in (*timeline.cpu, timeline.gpu)) else []
    return PanelChart(
        name, title, "; ".join(parts), panels, f"{unit} since the run began", "; ".join(note) + ".",
        behind=tuple(behind), virtual="every" if virtual else "",
    )  # fmt: skip


def _known(*traces: Trace) -> list[float]:
    return [value for one in traces for value in one.values if value is not None]


def _panels(timeline: Timeline, colours: Mapping[str, str], divisor: float) -> Iterator[Panel]:
    if timeline.dots:
        yield _latencies(timeline, colours, divisor)
    if timeline.temperatures:
        shown, sensors = len(timeline.temperatures), timeline.sensors
        title = "temperature, °C" + (f" ({shown} of {sensors} sensors)" if sensors > shown else "")
        yield Panel(title, tuple(_line(one, divisor, 5 + n) for n, one in enumerate(timeline.temperatures)), height=9.0)
    for title, clocks, first in (("CPU clock by cluster, GHz", timeline.cpu, 2), ("GPU clock, MHz", [timeline.gpu], 3)):
        lines = _clocks(clocks, divisor, first)
        if lines:
            yield Panel(title, lines, low=0.0, height=6.0)
    single = (
        ("battery, %", timeline.battery_level), ("battery current, mA", timeline.battery_ma),
        ("load, one minute", timeline.load), ("free memory, GB", timeline.memory_gb),
    )  # fmt: skip
    for number, (title, trace) in enumerate(single):
        if trace is not None:
            yield Panel(title, (_line(trace, divisor, number),), height=4.0)


def _line(trace: Trace, divisor: float, colour: int, form: str = "line") -> Curve:
    return Curve(trace.label, f"d{colour % 8}", tuple(at / divisor for at in trace.times_s), trace.values, form)


def _clocks(clocks: Sequence[Clock], divisor: float, first: int) -> tuple[Curve, ...]:
    return tuple(
        _line(trace, divisor, first + number, form)
        for number, clock in enumerate(clocks)
        for trace, form in ((clock.now, "line"), (clock.cap, "cap"))
        if trace is not None
    )


def _latencies(timeline: Timeline, colours: Mapping[str, str], divisor: float) -> Panel:
    """Return a line of dots for each case, and one of crosses for its unreliable processes."""
    several = len({dot.model for dot in timeline.dots}) > 1
    lines = []
    for model, title, unreliable in dict.fromkeys((dot.model, dot.title, dot.unreliable) for dot in timeline.dots):
        dots = [dot for dot in timeline.dots if (dot.model, dot.title, dot.unreliable) == (model, title, unreliable)]
        at = tuple((dot.start_s + dot.end_s) / 2 / divisor for dot in dots)
        name = f"{clean(model, 26)} {title}" if several else title
        words = tuple(f"{dot.model} {dot.title}: {ms(dot.latency_ms)} ms" for dot in dots)
        values, form = tuple(dot.latency_ms for dot in dots), "crosses" if unreliable else "dots"
        lines.append(Curve(name, colours[title], at, values, form, words=words))
    log = needs_log(dot.latency_ms for dot in timeline.dots)
    return Panel("latency of each process, ms", tuple(lines), height=11.0, low=None if log else 0.0, log=log)


# -- pipelines --------------------------------------------------------------------------------------------------------


def pipeline_charts(report: PipelineReport) -> dict[int, PanelChart]:
    """Return a chart for each variant that has a session, by the number of the variant."""
    shown = [n for n, variant in enumerate(report.variants) if any(whole.shown for whole in variant.wholes)]
    return {
        variant: _pipeline("pipeline" if number == 1 else f"pipeline-{number}", report.variants[variant])
        for number, variant in enumerate(shown[:_MAX_PIPELINES], start=1)
    }


def _pipeline(name: str, variant: Variant) -> PanelChart:
    """Return a chart with the stages of each residency as bars over time, and their memory below."""
    panels: list[Panel] = []
    shown = [(whole, whole.shown) for whole in variant.wholes if whole.shown is not None]
    tallest = 1.12 * max((session.peak_kb or 0 for _, session in shown), default=0) / 1024 or 1.0
    for whole, session in shown:
        panels += [_stages(whole, session), _memory(session, tallest)]
    named = f"{clean(variant.pipeline, 40)} · {clean(variant.title, 40)} on {clean(variant.device.title, 60)}"
    virtual = " (virtual)" if variant.device.virtual and "virtual" not in named.casefold() else ""
    words = [
        f"{whole.residency} {seconds(whole.latency.median)}, peak {megabytes(whole.peak_kb)} MB"
        for whole in variant.wholes
        if whole.latency
    ]
    note = (
        "Solid: inferences; outline: loading, from the start of the process; pale: loaded, waiting or staying; "
        "hatched: inferences while another stage loads. The dashed line is the end of the session."
    )
    return PanelChart(
        name, f"{named}{virtual} · {variant.parameters}",
        "Stages and memory over time by residency: " + "; ".join(words), tuple(panels),
        "seconds since the session began", note, virtual="every" if variant.device.virtual else "",
    )  # fmt: skip


def _stages(whole: Whole, session: Any) -> Panel:
    unreliable = ", unreliable" if session.verdict == "unreliable" else ""
    end = (session.latency_ms or 0) / 1000
    named = _named(session)
    spans = [span for row, stage in enumerate(session.stages) for span in _spans(stage, row, end, *named[row])]
    title = f"{whole.residency}: {seconds(session.latency_ms)}, peak {megabytes(session.peak_kb) or '?'} MB{unreliable}"
    names = tuple(name for name, _ in named)
    return Panel(title, (), (Mark(end, "", "ink"),), tuple(spans), names, 2.0 * len(names))


def _named(session: Any) -> list[tuple[str, str]]:
    """Return the name and colour of each process; those of later images have other names and the same colours."""
    stages = [stage.name for stage in session.stages]
    found = []
    for number, name in enumerate(stages):
        image = 1 + stages[:number].count(name)
        found.append((name if image == 1 else f"{name}, image {image}", f"d{stages.index(name) % 8}"))
    return found


def _spans(stage: Any, row: int, end: float, name: str, colour: str) -> Iterator[Span]:
    """Yield the times at which a stage loaded, waited and ran."""
    turn = stage.go_s if stage.loaded_before else stage.ready_s
    middle = stage.warm_s if stage.warm_s is not None and stage.overlapped_runs else stage.done_s
    stretches = (
        ("loads", "outline", stage.start_s, stage.ready_s),
        ("is loaded and waits", "pale", stage.ready_s if stage.loaded_before else None, turn),
        ("runs", "solid", turn, middle if stage.done_s is not None else None),
        ("runs while the next stage loads", "hatched", middle if turn is not None else None, stage.done_s),
        ("stays loaded", "faint", stage.done_s if stage.held_by and turn is not None else None, end),
    )
    for what, form, start, stop in stretches:
        if start is not None and stop is not None and stop > start:
            words = f"{name} {what}: {seconds(1000 * (stop - start))}"
            text = seconds(stage.wall_ms) if form == "solid" and stage.wall_ms is not None else ""
            yield Span(start, stop, colour, form, row, words, text)


def _memory(session: Any, tallest: float) -> Panel:
    times, series = memory_series(session)
    named = {stage.position: one for stage, one in zip(session.stages, _named(session), strict=True)}
    lines = tuple(
        Curve(*named[position], tuple(times), tuple(kb / 1024 for kb in values), "area")
        for position, values in series.items()
    )
    title = f"{(session.memory_kind or 'memory').upper()}, MB"
    return Panel(title, lines if times else (), height=7.0, low=0.0, high=tallest)
