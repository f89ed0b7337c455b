"""The timeline of a pipeline: for each residency its stages as bars over time, and the memory of each below.

Loads are hatched, a loaded stage that waits is pale, one that stays after its work paler. Knows no template.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devbench.reports.drawing import COLOURS, HATCH, Chart, draw, mark_virtual, new_figure
from devbench.reports.pipeline import PipelineReport, Variant, Whole
from devbench.reports.pipeline_words import megabytes, seconds
from devbench.results.records import PipelineSessionRecord, PipelineStageRecord
from devbench.text import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH_IN = 9.5
_BARS_IN, _MEMORY_IN = 0.34, 1.0
_MOST_CHARTS = 24


def draw_pipelines(report: PipelineReport) -> list[Chart]:
    """A chart for each variant that has a session."""
    shown = [variant for variant in report.variants if any(whole.shown for whole in variant.wholes)][:_MOST_CHARTS]
    charts = []
    for number, variant in enumerate(shown):
        charts.append(
            draw(
                "pipeline" if number == 0 else f"pipeline-{number + 1}",
                _title(variant),
                _words(variant),
                lambda ink, variant=variant: _figure(variant, ink),  # type: ignore[misc]
                "Solid: inferences; hatched: loading, from the start of the process; pale: loaded, waiting or staying; "
                "dotted: inferences beside another stage's load. Time 0 is the start of the end-to-end clock, the "
                "dashed line its end. Below: memory of the stages, one upon the other.",
            )
        )
    return charts


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


def _figure(variant: Variant, ink: str) -> Figure:
    wholes = [whole for whole in variant.wholes if whole.shown is not None]
    heights = []
    for whole in wholes:
        assert whole.shown is not None
        heights += [0.25 + _BARS_IN * len(whole.shown.stages), _MEMORY_IN]
    figure = new_figure(ink, _WIDTH_IN, 0.8 + sum(heights))
    grid = figure.subplots(len(heights), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    tallest = max((whole.shown.peak_kb or 0 for whole in wholes if whole.shown), default=0) / 1024
    for number, whole in enumerate(wholes):
        assert whole.shown is not None
        bars, memory = grid[2 * number], grid[2 * number + 1]
        _bars(bars, whole, whole.shown, ink)
        _memory(memory, whole.shown, tallest, ink)
        for axes in (bars, memory):
            axes.axvline(0, color=ink, linewidth=0.8, alpha=0.5)
            axes.axvline((whole.shown.latency_ms or 0) / 1000, color=ink, linewidth=0.9, linestyle="--", alpha=0.8)
            axes.tick_params(labelsize=7.5)
            axes.grid(axis="x", alpha=0.2, linewidth=0.6)
            axes.set_axisbelow(True)
    starts = [s.start_s for w in wholes if w.shown for s in w.shown.stages if s.start_s is not None]
    ends = [(whole.shown.latency_ms or 0) / 1000 for whole in wholes if whole.shown]
    low, high = min([0.0, *starts]), max([*ends, 0.001])
    margin = 0.015 * (high - low)
    grid[-1].set_xlim(low - margin, high + 4 * margin)
    grid[-1].set_xlabel("seconds since the start of the end-to-end clock", fontsize=8)
    figure.suptitle(_title(variant), fontsize=9)
    mark_virtual(figure, every=variant.device.virtual, some=False)
    return figure


def _bars(axes: Any, whole: Whole, session: PipelineSessionRecord, ink: str) -> None:
    end = (session.latency_ms or 0) / 1000
    names = []
    for row, stage in enumerate(session.stages):
        colour = COLOURS[stage.position % len(COLOURS)]
        names.append(clean(stage.name, 24))
        for start, stop, how in _spans(stage, end):
            width = max(0.0, stop - start)
            style: dict[str, Any] = {"color": colour, "height": 0.66}
            if how == "load":
                style = {"facecolor": "none", "edgecolor": colour, "hatch": HATCH, "height": 0.66, "linewidth": 0.8}
            elif how == "beside":
                style = {**style, "alpha": 0.6, "hatch": "..", "edgecolor": ink, "linewidth": 0}
            elif how in ("held", "kept"):
                style = {**style, "alpha": 0.28 if how == "held" else 0.14, "linewidth": 0}
            axes.barh(row, width, left=start, **style)
        if stage.wall_ms is not None and stage.done_s is not None:
            axes.annotate(
                seconds(stage.wall_ms), (stage.done_s, row), (4, 0), textcoords="offset points", va="center",
                fontsize=7, color=ink,
            )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    latency = seconds(session.latency_ms)
    suspect = " ! suspect" if session.verdict == "suspect" else ""
    title = f"{whole.residency}: {latency}, peak {megabytes(session.peak_kb) or '?'} MB{suspect}"
    axes.set_title(title, loc="left", fontsize=8.5, pad=3, fontweight="bold")


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


def _memory(axes: Any, session: PipelineSessionRecord, tallest: float, ink: str) -> None:
    times, series = memory_series(session)
    if times:
        labels = {stage.position: stage.name for stage in session.stages}
        stacked = [[kb / 1024 for kb in series[position]] for position in labels]
        colours = [COLOURS[position % len(COLOURS)] for position in labels]
        axes.stackplot(times, *stacked, colors=colours, alpha=0.55, step=None)
        sums = [sum(values) for values in zip(*stacked, strict=True)]
        axes.plot(times, sums, color=ink, linewidth=0.9, marker="." if len(times) < 40 else "", markersize=3)
    axes.set_ylim(0, 1.12 * tallest or 1.0)
    axes.locator_params(axis="y", nbins=4)
    axes.set_ylabel(f"{(session.memory_kind or 'memory').upper()}, MB", fontsize=7.5)


def memory_series(session: PipelineSessionRecord) -> tuple[list[float], dict[int, list[int]]]:
    """Times in seconds and, for each stage by its position, as many values in kB."""
    rss = session.memory_kind == "rss"
    moments: dict[int, dict[int, int]] = {}
    times: dict[int, float] = {}
    for sample in session.samples:
        kb = sample.rss_kb if rss else sample.pss_kb
        times[sample.number] = sample.t_s
        moments.setdefault(sample.number, {})
        if kb is not None:
            moments[sample.number][sample.position] = kb
    numbers = sorted(number for number in moments if moments[number])
    series = {s.position: [moments[number].get(s.position, 0) for number in numbers] for s in session.stages}
    return [times[number] for number in numbers], series
