"""Charts of a report with matplotlib: latency by delegate with intervals, operator types stacked; knows no template.

Each chart is drawn as SVG for the page, light and dark, and as PNG for slides. Texts from models and devices are drawn
as they are: no mathematics, no markup.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devbench.reports.model import JobReport, ReportData
from devbench.reports.words import ms
from devbench.text import clean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart by readers with any kind of colour vision, but for its black.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#8c8c8c")
_LIGHT, _DARK = "#1f2328", "#e6edf3"
_MOST_TYPES = 7
_MOST_BARS = 60
_DPI = 160
_HATCH, _REST = "///", "#bbbbbb"


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn chart. `alt` says in words what it shows."""

    name: str
    title: str
    alt: str
    svg_light: str
    svg_dark: str
    png: bytes


def draw_charts(report: ReportData) -> list[Chart]:
    """All charts for which the run has numbers."""
    charts = []
    if any(job.latency for job in report.jobs):
        charts.append(_draw("latency", "Latency", _latency_words(report), lambda ink: _latency(report, ink)))
    if any(job.by_type for job in report.jobs):
        words = "Where the time of an inference goes, by operator type, for each delegate"
        charts.append(_draw("operators", "Where the time goes", words, lambda ink: _stacked(report, ink)))
    return charts


def _draw(name: str, title: str, alt: str, figure: Callable[[str], Figure]) -> Chart:
    def svg(ink: str) -> str:
        out = io.StringIO()
        figure(ink).savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": "devbench"})
        return out.getvalue()

    png = io.BytesIO()
    figure(_LIGHT).savefig(png, format="png", dpi=_DPI, facecolor="white", metadata={"Software": "devbench"})
    return Chart(name, title, alt, svg(_LIGHT), svg(_DARK), png.getvalue())


def _new_figure(ink: str, width: float, height: float) -> tuple[Figure, Any]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams.update(
        {
            "text.parse_math": False,
            "svg.fonttype": "none",
            "svg.hashsalt": "devbench",
            "font.size": 9,
            "text.color": ink,
            "axes.labelcolor": ink,
            "axes.edgecolor": ink,
            "xtick.color": ink,
            "ytick.color": ink,
        }
    )
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _delegates(report: ReportData) -> dict[str, str]:
    """Delegates and threads in order of appearance, each with its colour."""
    titles = dict.fromkeys(job.title for job in report.jobs)
    return {title: COLOURS[number % len(COLOURS)] for number, title in enumerate(titles)}


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
    figure, axes = _new_figure(ink, 8, 0.9 + 0.36 * (len(rows.bars) + 1.2 * len(rows.heads)) + legend_inches)
    axes.set_yticks([row for row, _ in rows.bars], [clean(job.title, 30) for _, job in rows.bars])
    axes.set_ylim(rows.end - 0.3, -0.5)
    for row, title in rows.heads:
        axes.annotate(title, (0, row), (5, 0), textcoords="offset points", fontweight="bold", va="center")
    axes.set_xlabel(label)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    _mark_virtual(figure, report)
    return figure, axes


def _latency(report: ReportData, ink: str) -> Figure:
    """A bar for each job; whiskers are intervals, dots the single processes."""
    rows = _rows(report, lambda job: job.latency is not None)
    colours = _delegates(report)
    label = "latency, ms (median over processes; whiskers: interval; dots: processes)"
    figure, axes = _frame(report, rows, ink, label)
    for row, job in rows.bars:
        _bar(axes, row, job, colours[job.title], ink)
    axes.set_xlim(left=0)
    axes.margins(x=0.12)
    return figure


def _bar(axes: Any, row: float, job: JobReport, colour: str, ink: str) -> None:
    latency = job.latency
    assert latency is not None
    axes.barh(row, latency.median, height=0.7, color=colour, alpha=0.85, hatch=_HATCH if job.virtual else None)
    if latency.coverage is not None:
        reach = [[latency.median - latency.low], [latency.high - latency.median]]
        axes.errorbar(latency.median, row, xerr=reach, color=ink, capsize=3, linewidth=1.2)
    axes.plot(latency.values, [row] * latency.n, ".", color=ink, markersize=3, alpha=0.6)
    axes.annotate(
        ms(latency.median), (max(latency.high, *latency.values), row), (5, 0),
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
            hatch = _HATCH if job.virtual else None
            axes.barh(row, total, left=left, height=0.66, color=colours.get(kind, _REST), hatch=hatch)
            left += total


def _mark_virtual(figure: Figure, report: ReportData) -> None:
    """Across the chart where all of it is virtual; where a part is, a line says what the hatched bars are."""
    if report.all_virtual:
        figure.text(
            0.5,
            0.5,
            "VIRTUAL DEVICE",
            fontsize=30,
            alpha=0.09,
            ha="center",
            va="center",
            rotation=12,
            fontweight="bold",
        )
    elif report.virtual:
        figure.text(0.99, 0.99, "hatched: virtual device", fontsize=8, ha="right", va="top", style="italic")
