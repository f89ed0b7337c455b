"""The largest changes of a comparison with their intervals, by metric; knows no test and no store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbench.forms.charts.picture import Picture
from devbench.forms.charts.rows import Axis, Bar, Group, Row, draw_rows
from devbench.metrics import METRICS
from devbench.text import clean

if TYPE_CHECKING:
    from devbench.findings.comparison import ComparedRow
    from devbench.sections.charts import ChartedMetric

_COLOURS = {"regressed": "c5", "improved": "c2", "undecided": "c1", "unchanged": "c7"}


def changes(of: ChartedMetric, name: str) -> Picture:
    """The chart of one metric."""
    metric = of.metric
    rows = sorted(of.rows, key=lambda row: -(row.comparison.change or 0.0))
    every = all(row.virtual for row in rows)
    mixed = any(row.virtual for row in rows) and not every
    devices: dict[str, list[Row]] = {}
    for row in rows:
        devices.setdefault(row.device, []).append(_row(row, mixed))
    groups = [Group(clean(device, 70), tuple(those)) for device, those in devices.items()]
    points = METRICS[metric].absolute
    verdicts = dict.fromkeys(row.comparison.verdict for row in rows)
    axis = Axis(
        f"change against the baseline, {'points' if points else '%'}",
        tuple((_COLOURS[verdict], verdict) for verdict in verdicts),
        every=every,
        some=mixed,
    )
    title = f"Changes of {METRICS[metric].title} against {clean(of.baseline, 60)}"
    named = ", ".join(f"{clean(row.case, 60)} {100 * (row.comparison.change or 0.0):+.1f} %" for row in rows[:8])
    note = f"The {len(rows)} largest changes of {of.of}; whiskers: 95 % interval."
    return draw_rows(name, title, f"{title}: {named}", groups, axis, note)


def _row(row: ComparedRow, mixed: bool) -> Row:
    found = row.comparison
    change = 100 * (found.change or 0.0)
    low, high = (100 * end for end in found.interval) if found.interval else (None, None)
    name = row.case + (f" · {row.operator_type}" if row.operator_type else "")
    tip = f"{name}: {change:+.1f} %, {found.verdict}"
    bar = Bar(change, _COLOURS[found.verdict], f"{change:+.1f}", tip, low, high, hatch=mixed and row.virtual)
    return Row(clean(name, 80), (bar,))
