"""The ablation as a chart: composed latency and delegated share after each rewrite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from devbench.reports.ablation import AblationRow, share_words
from devbench.reports.drawing import COLOURS, Chart, draw, mark_virtual, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH_IN, _ROW_IN, _FRAME_IN = 9.5, 0.36, 1.2


def draw_ablation(found: Sequence[AblationRow], title: str, *, virtual: bool) -> Chart:
    """Bars from the baseline down; a row without a latency says so."""
    return draw(
        "ablation",
        title,
        "; ".join(_words(row) for row in found),
        lambda ink: _figure(found, title, ink, virtual),
        "Each row is the pipeline with one more rewrite. Left: its stages' latencies, times their runs; right: "
        "operators on the delegate. A stage that failed has no latency.",
    )


def _words(row: AblationRow) -> str:
    latency = "not measured" if row.composed_ms is None else f"{row.composed_ms / 1000:.3g} s"
    share = "" if row.delegated_share is None else f", {100 * row.delegated_share:.0f} % delegated"
    return f"{row.rewrite or 'baseline'} {latency}{share}"


def _figure(found: Sequence[AblationRow], title: str, ink: str, virtual: bool) -> Figure:
    figure = new_figure(ink, _WIDTH_IN, _FRAME_IN + _ROW_IN * len(found))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    places = range(len(found))
    names = [f"+ {row.rewrite}" if row.rewrite else "baseline" for row in found]
    seconds = [0.0 if row.composed_ms is None else row.composed_ms / 1000 for row in found]
    left.barh(places, seconds, color=COLOURS[0], height=0.65)
    widest = max(seconds) or 1.0
    for place, row in zip(places, found, strict=True):
        text = "a stage failed" if row.composed_ms is None else f"{row.composed_ms / 1000:.3g} s"
        left.text(seconds[place] + widest * 0.01, place, text, va="center", color=ink, fontsize=8)
    left.set_xlim(0, widest * 1.18)
    left.set_yticks(places, names)
    left.invert_yaxis()
    left.set_xlabel("stages' latencies times their runs, s")
    shares = [0.0 if row.delegated_share is None else 100 * row.delegated_share for row in found]
    right.barh(places, shares, color=COLOURS[1], height=0.65)
    for place, row in zip(places, found, strict=True):
        share = "not known" if row.delegated_share is None else share_words(row.delegated_share)
        parts = "" if row.partitions is None else f", {row.partitions} part{'' if row.partitions == 1 else 's'}"
        right.text(min(shares[place], 62) + 1, place, share + parts, va="center", color=ink, fontsize=8)
    right.set_xlim(0, 100)
    right.set_xlabel("operators on the delegate, %")
    figure.suptitle(title, color=ink, fontsize=10)
    mark_virtual(figure, every=virtual, some=virtual)
    return figure
