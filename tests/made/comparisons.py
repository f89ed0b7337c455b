"""Verdicts and comparisons from a few arguments, for tests of later steps. Nothing here was really compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from devbench.analysis.compare import Comparison, Sample, Verdict
from devbench.findings.comparison import (
    CaseFailure,
    CaseOnDevice,
    ComparedRow,
    ComparedRuns,
    ComparisonReport,
    OneSided,
)
from devbench.metrics import METRICS
from tests.made.samples import NOW


def on_device(case: str = "unet · gpu", device: str = "KEY") -> CaseOnDevice:
    model, delegate = case.split(" · ")[:2]
    return CaseOnDevice(device, f"Phone ({device})", False, case, model, delegate, None)


def row(
    verdict: Verdict,
    case: str = "unet · gpu",
    metric: str = "latency",
    device: str = "KEY",
    sides: tuple[Sequence[float], Sequence[float]] = ((1.0,) * 5, (1.0,) * 5),
    **of: Any,
) -> ComparedRow:
    """A row with this verdict; `of` are further fields of the comparison."""
    samples = [Sample(tuple(values)) for values in sides]
    values = {"change": None, "interval": None, "p": None, "q": None, "more_repetitions": None}
    found = replace(Comparison("key", metric, *samples, **values, verdict=verdict), **of)  # type: ignore[arg-type]
    return ComparedRow(*on_device(case, device).case_fields, metric, METRICS[metric].unit, "", found)


def failure(case: str, device: str = "KEY") -> CaseFailure:
    return CaseFailure(*on_device(case, device).case_fields, "crash", "boom", 3, 3)


def comparison(*rows: ComparedRow, **of: Any) -> ComparisonReport:
    """A report with these rows; `of` are its other fields."""
    runs = ComparedRuns("run", ("r",), NOW, NOW, {})
    values: dict[str, Any] = {
        "failures": (),
        "fixed": (),
        "one_sided": (),
        "drifts": (),
        "medians": False,
        "virtual": False,
    }
    return ComparisonReport(runs, runs, rows, **{**values, **of})


def missing(case: str, side: str = "baseline") -> OneSided:
    return OneSided(*on_device(case).case_fields, side)  # type: ignore[arg-type]
