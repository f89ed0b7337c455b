"""Charts as pictures of simple shapes (`picture.py`), so that a page needs no plotting library; PNG and PDF do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devbench.forms.charts.picture import Picture
    from devbench.sections.document import Chart


def draw(chart: Chart) -> Picture:
    """The picture of a chart."""
    from devbench.forms.charts import ablation, comparison, conditions, history, jobs, pipelines

    how = {
        "latency": jobs.latency, "speedup": jobs.speedup, "startup": jobs.startup, "memory": jobs.memory,
        "operators": jobs.operators, "conditions": conditions.conditions, "comparison": comparison.changes,
        "history": history.history, "pipeline": pipelines.pipeline, "ablation": ablation.ablation,
    }  # fmt: skip
    picture: Picture = how[chart.kind](chart.data, chart.name)  # type: ignore[operator]
    return picture
