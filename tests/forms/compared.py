"""Comparisons of runs of a store, one of their rows, and their text on a terminal."""

from __future__ import annotations

import devbench.results
from devbench.findings.comparison import ComparedRow, ComparisonReport, ComparisonSettings
from devbench.findings.comparison_build import build_comparison
from devbench.forms.terminal import terminal_text
from devbench.notices import Notice, NoticeKind
from devbench.results.store import Store
from devbench.sections.comparison import comparison_document

EVIL = "<script>\x1b[31m\u202e|*x*[red]"


def compared(store: Store, before: str | tuple[str, ...], after: str, **settings: object) -> ComparisonReport:
    baseline = (before,) if isinstance(before, str) else before
    with devbench.results.open_history(store.database.shown) as history:
        return build_comparison(history, baseline, (after,), ComparisonSettings(**settings))  # type: ignore[arg-type]


def limits(report: ComparisonReport) -> list[Notice]:
    """Its notices, without the one that no outputs were checked."""
    return [one for one in report.notices if one.kind is not NoticeKind.OUTPUTS_NOT_CHECKED]


def row(report: ComparisonReport, metric: str, case: str = "unet · gpu") -> ComparedRow:
    return next(one for one in report.rows if (one.metric, one.case) == (metric, case))


def terminal(report: ComparisonReport, width: int = 80, **options: bool) -> str:
    return terminal_text(comparison_document(report, "terminal", **options), width)
