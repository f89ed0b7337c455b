"""A run with everything that a report shows with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbench.frozen import dataclass

# Without a comparison, its modules are not imported.
if TYPE_CHECKING:
    from devbench.findings.changes import ChangesReport
    from devbench.findings.comparison import ComparisonReport
    from devbench.findings.pipeline import PipelineReport
    from devbench.findings.run import ReportData


@dataclass(frozen=True, slots=True)
class RunSubject:
    """A run, and what is shown with it.

    Attributes:
        comparison: the run against a baseline.
        changes: the history that it is a part of.
        pipelines: what it measured of pipelines.
        operators: text shows each case with its operators, too.
    """

    report: ReportData
    comparison: ComparisonReport | None = None
    changes: ChangesReport | None = None
    pipelines: PipelineReport | None = None
    operators: bool = False
