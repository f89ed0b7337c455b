"""Charts of a report with matplotlib: latency by delegate with intervals, operator types stacked; knows no template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devbench.reports.drawing import (
    COLOURS,
    HATCH,
    Chart,
    delegate_colours,
    draw,
    mark_processes,
    mark_virtual,
    new_figure,
)
from devbench.reports.model import JobReport, ReportData
from devbench.reports.words import ms
from devbench.text import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_TYPES = 7
_MOST_BARS = 60
_REST = "#bbbbbb"


def draw_charts(report: ReportData) -> list[Chart]:
    """All charts for which the run has numbers."""
    from devbench.reports.conditions_chart import draw_conditions

    charts = []
    if any(job.latency for job in report.jobs):
        words, note = _latency_words(report), _latency_note(report)
        charts.append(draw("latency", "Latency", words, lambda ink: _latency(report, ink), note))
    if any(job.by_type for job in report.jobs):
        words = "Where the time of an inference goes, by operator type, for each delegate"
        charts.append(draw("operators", "Where the time goes", words, lambda ink: _stacked(report, ink)))
    return charts + draw_conditions(report)


def _latency_words(report: ReportData) -> str:
    parts = [
        f"{clean(job.job.model.name, 40)} {clean(job.title, 40)} {ms(job.latency.median)} ms"
        for job in report.jobs[:20]
        if job.latency
    ]
    return "Latency by model, device and delegate, with intervals: " + "; ".join(parts)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Where each job's bar stands, under headings of model and device."""

    bars: tuple[tuple[float, JobReport], ...]
    heads: tuple[tuple[float, str], ...]
    end: float


def _rows(report: ReportData, wanted: Callable[[JobReport], bool]) -> _Rows:
    bars: list[tuple[float, JobReport]] = []
    heads: list[tuple[float, str]] = []
    row = 0.0
    for model, device, jobs in report.groups:
        shown = [job for job in jobs if wanted(job)][: _MOST_BARS - len(bars)]
        if shown:
            row += 0.5 if bars else 0.0
            heads.append((row, f"{clean(model, 40)} · {clean(device.title, 60)}"))
            bars += [(row + 0.9 + number, job) for number, job in enumerate(shown)]
            row = bars[-1][0] + 1.0
    return _Rows(tuple(bars), tuple(heads), row)


def _frame(report: ReportData, rows: _Rows, ink: str, label: str, legend_inches: float = 0.0) -> tuple[Figure, Any]:
    """A figure with its rows and headings, still without bars."""
    figure = new_figure(ink, 8, 0.9 + 0.36 * (len(rows.bars) + 1.2 * len(rows.heads)) + legend_inches)
    axes = figure.add_subplot()
    axes.set_yticks([row for row, _ in rows.bars], [clean(job.title, 30) for _, job in rows.bars])
    axes.set_ylim(rows.end - 0.3, -0.5)
    for row, title in rows.heads:
        head = axes.annotate(title, (0, row), (5, 0), textcoords="offset points", fontweight="bold", va="center")
        # A long name is cut at the edge; made room for, it would leave none for the bars.
        head.set_in_layout(False)
    axes.set_xlabel(label)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    mark_virtual(figure, every=report.all_virtual, some=report.virtual)
    return figure, axes


def _latency_note(report: ReportData) -> str:
    """What the marks mean, of those that are there."""
    parts = ["Bars: median over processes; whiskers: interval; dots: single processes"]
    processes = [process for job in report.jobs for process in job.processes]
    if any(process.outlier for process in processes):
        parts.append("hollow dots: far from the others, counted all the same")
    if any(process.suspect and not process.counts for process in processes):
        parts.append("crosses: suspect, left out")
    if any(job.all_suspect for job in report.jobs):
        parts.append("pale bars: every process suspect, not to be compared with the others")
    return "; ".join(parts) + "."


def _latency(report: ReportData, ink: str) -> Figure:
    """A bar for each job; whiskers are intervals, dots the single processes."""
    rows = _rows(report, lambda job: job.latency is not None)
    colours = delegate_colours(report)
    figure, axes = _frame(report, rows, ink, "latency, ms")
    for row, job in rows.bars:
        _bar(axes, row, job, colours[job.title], ink)
    axes.set_xlim(left=0)
    axes.margins(x=0.12)
    return figure


def _bar(axes: Any, row: float, job: JobReport, colour: str, ink: str) -> None:
    latency = job.latency
    assert latency is not None
    pale = job.all_suspect
    axes.barh(
        row, latency.median, height=0.7, color=colour, alpha=0.3 if pale else 0.85,
        edgecolor=ink if pale else None, linestyle="--" if pale else None, hatch=HATCH if job.virtual else None,
    )  # fmt: skip
    if latency.coverage is not None:
        reach = [[latency.median - latency.low], [latency.high - latency.median]]
        axes.errorbar(latency.median, row, xerr=reach, color=ink, capsize=3, linewidth=1.2)
    mark_processes(axes, [(p.latency_ms, row, p.outlier, not p.counts) for p in job.processes], ink, 3)
    farthest = max([latency.high, *(process.latency_ms for process in job.processes)])
    axes.annotate(
        f"{ms(latency.median)} ! suspect" if pale else ms(latency.median), (farthest, row), (7, 0),
        textcoords="offset points", va="center", fontsize=8,
    )  # fmt: skip


def _stacked(report: ReportData, ink: str) -> Figure:
    """A bar for each profiled job, split by operator type; the rarest types together."""
    rows = _rows(report, lambda job: bool(job.by_type))
    totals: dict[str, float] = {}
    for _, job in rows.bars:
        for kind in job.by_type:
            totals[kind.type] = max(totals.get(kind.type, 0.0), kind.share)
    shown = sorted(totals, key=lambda kind: -totals[kind])[:_MOST_TYPES]
    colours = dict(zip(shown, COLOURS, strict=False))
    figure, axes = _frame(report, rows, ink, "ms an inference, profiled processes", legend_inches=0.7)
    for row, job in rows.bars:
        _stack(axes, row, job, shown, colours)
    handles = [axes.barh(rows.bars[0][0], 0, color=colours[kind], label=clean(kind, 34)) for kind in shown]
    if len(totals) > len(shown):
        rest = f"{len(totals) - len(shown)} more types"
        handles.append(axes.barh(rows.bars[0][0], 0, color=_REST, label=rest))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return figure


def _stack(axes: Any, row: float, job: JobReport, shown: Sequence[str], colours: dict[str, str]) -> None:
    left = 0.0
    sums = {kind: sum(t.total_ms for t in job.by_type if t.type == kind) for kind in shown}
    sums["…"] = sum(t.total_ms for t in job.by_type if t.type not in sums)
    for kind, total in sums.items():
        if total:
            hatch = HATCH if job.virtual else None
            axes.barh(row, total, left=left, height=0.66, color=colours.get(kind, _REST), hatch=hatch)
            left += total
