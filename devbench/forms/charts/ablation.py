"""The ablation as a chart: composed latency after each rewrite, with the delegated share in words."""

from __future__ import annotations

from devbench.findings.ablation import Ablation, AblationRow
from devbench.forms.charts.picture import Picture
from devbench.forms.charts.rows import Axis, Bar, Group, Row, draw_rows
from devbench.sections.ablation import share_words


def ablation(of: Ablation, name: str) -> Picture:
    """Bars from the baseline down; a row without a latency says so."""
    rows = tuple(_row(row) for row in of.rows)
    alt = "; ".join(_words(row) for row in of.rows)
    note = (
        "Each row is the pipeline with one more rewrite: its stages' latencies, times their runs, and how much of "
        "their operators the delegate took. A stage that failed has no latency."
    )
    axis = Axis("stages' latencies times their runs, s", every=bool(of.virtual_note))
    return draw_rows(name, of.title, alt, (Group("", rows),), axis, note)


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
