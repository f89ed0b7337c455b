"""Makes the charts of a subject by their kind, for `devbench chart` and the folder of a report."""

from __future__ import annotations

from typing import Any

from devbench.findings.ablation import ablation_of
from devbench.findings.run import ReportData
from devbench.sections.ablation import ablation_charts
from devbench.sections.charts import Chart
from devbench.sections.row_charts import comparison_charts, waterfalls, whole_chart
from devbench.sections.time_charts import condition_charts, history_charts, pipeline_charts

_MAX_CONDITIONS = 6


def charts_of(kind: str, subject: Any, over: str) -> tuple[Chart, ...]:
    """Return the charts of a kind, the most important first.

    Args:
        kind: one of `charts.CHART_KINDS`.
        subject: a comparison for "comparison" and "waterfall", changes for "history", pipelines for "pipeline" and
            "ablation", else a run; `None` has no charts.
        over: the delegate that a speed-up is compared with.
    """
    if subject is None:
        return ()
    if kind == "ablation":
        found = ablation_of(subject)
        return ablation_charts(found) if found else ()
    if kind == "pipeline":
        return tuple(pipeline_charts(subject).values())
    if kind == "waterfall":
        return waterfalls(subject.of("regressed"))
    several: Any = {"comparison": comparison_charts, "history": history_charts, "conditions": condition_charts}
    if kind in several:
        return tuple(several[kind](subject))
    chart = whole_chart(subject, kind, over)
    return (chart,) if chart else ()


def run_charts(report: ReportData) -> tuple[Chart, ...]:
    """Return the charts of a run for which it has numbers: latency, operators, conditions."""
    found = [chart for kind in ("latency", "operators") for chart in charts_of(kind, report, "cpu")]
    return (*found, *condition_charts(report)[:_MAX_CONDITIONS])
