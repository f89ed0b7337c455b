"""The timeline of a pipeline: for each residency its stages as bars over time, and the memory of each below.

Loads are outlined, a loaded stage that waits is pale, one that stays after its work paler. Knows no template.
"""

from __future__ import annotations

from devbench.analysis.pipeline import memory_over_time
from devbench.findings.pipeline import Variant, Whole
from devbench.forms.charts.picture import SERIES, Canvas, Picture, fitted
from devbench.forms.charts.scale import Scale, tick_text, ticks
from devbench.results.records import PipelineSessionRecord, PipelineStageRecord
from devbench.sections.pipeline_cells import megabytes, seconds
from devbench.text import clean

_WIDTH = 860.0
_NAMES = 110.0
_BAR, _MEMORY, _TITLE = 22.0, 84.0, 22.0
_NOTE = (
    "Solid: inferences; outlined: loading, from the start of the process; pale: loaded, waiting or staying; hatched: "
    "inferences during another stage's load. Time 0 is the start of the end-to-end clock, the dashed line its end. "
    "Below: memory of the stages, one upon the other."
)


def _title(variant: Variant) -> str:
    named = f"{clean(variant.pipeline, 40)} · {clean(variant.title, 40)} on {clean(variant.device.title, 60)}"
    virtual = " (virtual)" if variant.device.virtual and "virtual" not in named.casefold() else ""
    return f"{named}{virtual} · {variant.parameters}"


def _words(variant: Variant) -> str:
    parts = [
        f"{whole.residency} {seconds(whole.latency.median)}, peak {megabytes(whole.peak_kb)} MB"
        for whole in variant.wholes
        if whole.latency
    ]
    return "Stages and memory over time by residency: " + "; ".join(parts)


def pipeline(variant: Variant, name: str) -> Picture:
    """The chart of one variant."""
    canvas = Canvas()
    shown = [(whole, whole.shown) for whole in variant.wholes if whole.shown is not None]
    starts = [stage.start_s for _, session in shown for stage in session.stages if stage.start_s is not None]
    low, high = min([0.0, *starts]), max([0.001, *((session.latency_ms or 0) / 1000 for _, session in shown)])
    margin = 0.015 * (high - low)
    across = Scale(low - margin, high + 5 * margin, _NAMES, _WIDTH - 40)
    tallest = max((session.peak_kb or 0 for _, session in shown), default=0) / 1024
    y = 0.0
    for whole, session in shown:
        y = _session(canvas, whole, session, across, tallest, y)
    for value in ticks(low, high, 9):
        canvas.text(across(value), y + 4, tick_text(value), size=10.5, anchor="middle", colour="soft")
    canvas.text(_NAMES, y + 20, "seconds since the start of the end-to-end clock", size=11, colour="soft")
    height = y + 28
    canvas.watermark(_WIDTH, height, every=variant.device.virtual, some=False)
    return Picture(
        name, _title(variant), _words(variant), _WIDTH, height, tuple(canvas.parts), _NOTE, variant.device.virtual
    )


def _session(
    canvas: Canvas, whole: Whole, session: PipelineSessionRecord, across: Scale, tallest: float, top: float
) -> float:
    unreliable = " ! unreliable" if session.verdict == "unreliable" else ""
    peak = megabytes(session.peak_kb) or "?"
    canvas.text(
        _NAMES, top + 14, f"{whole.residency}: {seconds(session.latency_ms)}, peak {peak} MB{unreliable}", bold=True
    )
    begin = top + _TITLE
    bars_end = begin + _BAR * len(session.stages)
    bottom = bars_end + 8 + _MEMORY
    for value in ticks(across.low, across.high, 9):
        canvas.line([(across(value), begin), (across(value), bottom)], "line")
    for row, stage in enumerate(session.stages):
        _stage(canvas, stage, (session.latency_ms or 0) / 1000, across, begin + row * _BAR)
    _memory(canvas, session, across, Scale(0.0, 1.12 * tallest or 1.0, bottom, bars_end + 8))
    end = across((session.latency_ms or 0) / 1000)
    canvas.line([(across(0.0), begin), (across(0.0), bottom)], "soft")
    canvas.line([(end, begin), (end, bottom)], "ink", dash=True)
    return bottom + 14


def _stage(canvas: Canvas, stage: PipelineStageRecord, end: float, across: Scale, top: float) -> None:
    colour = SERIES[stage.position % len(SERIES)]
    canvas.text(_NAMES - 8, top + 14, fitted(stage.name, 12, _NAMES - 10), anchor="end")
    for start, stop, how in _spans(stage, end):
        x, width = across(start), across(stop) - across(start)
        tip = f"{stage.name}: {how}, {seconds(1000 * (stop - start))}"
        if how == "load":
            canvas.rect(x, top + 4, width, _BAR - 8, colour, opacity=0.25, tip=tip)
            canvas.rect(x, top + 4, width, _BAR - 8, "", stroke=colour)
        else:
            opacity = {"held": 0.28, "kept": 0.14}.get(how, 1.0)
            canvas.rect(x, top + 3, width, _BAR - 6, colour, opacity=opacity, hatch=how == "beside", tip=tip)
    if stage.wall_ms is not None and stage.done_s is not None:
        canvas.text(across(stage.done_s) + 5, top + 15, seconds(stage.wall_ms), size=10.5)


def _spans(stage: PipelineStageRecord, end: float) -> list[tuple[float, float, str]]:
    """What a stage did when: load, held, run, beside, kept."""
    spans: list[tuple[float, float, str]] = []
    if stage.start_s is not None and stage.ready_s is not None:
        spans.append((stage.start_s, stage.ready_s, "load"))
    turn = stage.go_s if stage.loaded_before else stage.ready_s
    if stage.loaded_before and stage.ready_s is not None and turn is not None:
        spans.append((stage.ready_s, turn, "held"))
    if turn is not None and stage.done_s is not None:
        middle = stage.warm_s if stage.warm_s is not None else stage.done_s
        spans += [(turn, middle, "run"), (middle, stage.done_s, "beside")]
        if stage.held_by:
            spans.append((stage.done_s, end, "kept"))
    return [span for span in spans if span[1] > span[0]]


def _memory(canvas: Canvas, session: PipelineSessionRecord, across: Scale, up: Scale) -> None:
    for value in ticks(up.low, up.high, 3):
        canvas.line([(across.start, up(value)), (across.end, up(value))], "line")
        canvas.text(across.start - 6, up(value) + 4, tick_text(value), size=10.5, anchor="end", colour="soft")
    canvas.text(0, up.end + 10, f"{(session.memory_kind or 'memory').upper()}, MB", size=10.5, colour="soft")
    times, series = memory_series(session)
    if not times:
        return
    xs = [across(at) for at in times]
    below = [0.0] * len(times)
    for position, values in series.items():
        above = [low + kb / 1024 for low, kb in zip(below, values, strict=True)]
        edge = [(x, up(value)) for x, value in zip(xs, above, strict=True)]
        floor = [(x, up(value)) for x, value in zip(xs, below, strict=True)]
        canvas.line([*edge, *reversed(floor)], SERIES[position % len(SERIES)], fill=True, opacity=0.55)
        below = above
    canvas.line([(x, up(value)) for x, value in zip(xs, below, strict=True)], "ink", width=1.1)


def memory_series(session: PipelineSessionRecord) -> tuple[list[float], dict[int, list[int]]]:
    """Times in seconds and, for each stage by its position, as many values in kB."""
    pairs: dict[int, tuple[dict[int, int], dict[int, int]]] = {}
    times: dict[int, float] = {}
    for sample in sorted(session.samples, key=lambda sample: sample.number):
        times[sample.number] = sample.t_s
        for into, kb in zip(pairs.setdefault(sample.number, ({}, {})), (sample.pss_kb, sample.rss_kb), strict=True):
            if kb is not None:
                into[sample.position] = kb
    moments = memory_over_time(list(pairs.values()))
    series = {s.position: [moment.get(s.position, 0) for moment in moments] for s in session.stages}
    return list(times.values()), series
