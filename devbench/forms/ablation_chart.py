"""The ablation as a chart: composed latency after each rewrite, with the delegated share in words."""

from __future__ import annotations

from collections.abc import Sequence

from devbench.findings.ablation import AblationRow, share_words
from devbench.forms.charts.picture import Picture
from devbench.forms.charts.rows import Bar, Group, Look, Row, draw_rows


def draw_ablation(found: Sequence[AblationRow], title: str, *, virtual: bool) -> Picture:
    """Bars from the baseline down; a row without a latency says so."""
    rows = tuple(_row(row) for row in found)
    alt = "; ".join(_words(row) for row in found)
    note = (
        "Each row is the pipeline with one more rewrite: its stages' latencies, times their runs, and how much of "
        "their operators the delegate took. A stage that failed has no latency."
    )
    look = Look("stages' latencies times their runs, s", every=virtual)
    return draw_rows("ablation", title, alt, (Group("", rows),), look, note)


def _words(row: AblationRow) -> str:
    return f"{row.rewrite or 'baseline'} {_label(row)}"


def _label(row: AblationRow) -> str:
    parts = ["a stage failed" if row.composed_ms is None else f"{row.composed_ms / 1000:.3g} s"]
    if row.delegated_node_share is not None:
        parts.append(f"{share_words(row.delegated_node_share)} delegated")
    if row.partitions is not None:
        parts.append(f"{row.partitions} part{'' if row.partitions == 1 else 's'}")
    return ", ".join(parts)


def _row(row: AblationRow) -> Row:
    name = f"+ {row.rewrite}" if row.rewrite else "baseline"
    if row.composed_ms is None:
        return Row(name, (), _label(row))
    return Row(name, (Bar(row.composed_ms / 1000, "c0", _label(row), _words(row)),))
