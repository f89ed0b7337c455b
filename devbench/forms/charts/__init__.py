"""Charts as pictures of simple shapes (`picture.py`), so that a page needs no plotting library; PNG and PDF do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devbench.findings.run import ReportData
    from devbench.forms.charts.picture import Picture

# A folder with a picture for each of many devices is looked through by nobody; the page has them all.
_MOST_DEVICES = 6


def draw_charts(report: ReportData) -> list[Picture]:
    """The charts of a run for which it has numbers, as a folder holds them: latency, operators, conditions."""
    from devbench.forms.charts.conditions import conditions
    from devbench.forms.charts.jobs import all_jobs, latency, operators

    timed = all_jobs(report, lambda job: job.latency is not None)
    profiled = all_jobs(report, lambda job: bool(job.by_type))
    drawn = [latency(timed)] if timed.jobs else []
    drawn += [operators(profiled)] if profiled.jobs else []
    return drawn + [draw() for draw in conditions(report)[:_MOST_DEVICES]]
