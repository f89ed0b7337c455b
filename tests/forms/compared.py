"""Comparisons of runs of a store, one of their rows, and their text on a terminal."""

from __future__ import annotations

import io

from rich.console import Console

import devbench.results
from devbench.findings.comparison import ComparedRow, ComparisonReport, ComparisonSettings
from devbench.findings.comparison_build import build_comparison
from devbench.forms.comparison_terminal import print_comparison
from devbench.results.store import Store

EVIL = "<script>\x1b[31m\u202e|*x*[red]"


def compared(store: Store, before: str | tuple[str, ...], after: str, **settings: object) -> ComparisonReport:
    baseline = (before,) if isinstance(before, str) else before
    with devbench.results.open(store.database.shown) as history:
        return build_comparison(history, baseline, (after,), ComparisonSettings(**settings))  # type: ignore[arg-type]


def row(report: ComparisonReport, metric: str, case: str = "unet · gpu") -> ComparedRow:
    return next(one for one in report.rows if (one.metric, one.case) == (metric, case))


def terminal(report: ComparisonReport, width: int = 80, **options: bool) -> str:
    file = io.StringIO()
    print_comparison(report, Console(file=file, width=width, color_system=None), **options)
    return file.getvalue()
