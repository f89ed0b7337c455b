"""A night as JSON for other programs; knows no store and no form for people. `docs/nightly.md` has the keys."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from devbench.jsonready import plain
from devbench.results.cases import case_text
from devbench.sections.changes import changes_data
from devbench.sections.comparison import comparison_data

if TYPE_CHECKING:
    from devbench.findings.night import NightResult


def result_to_json(result: NightResult) -> dict[str, Any]:
    """Everything that a night came to, JSON-ready; what was measured stands in the store under `run_id`."""
    report = result.report
    return {
        "suite": result.suite,
        "night": result.night,
        "due": result.due,
        "exit_code": result.exit_code,
        "headline": result.headline,
        "run_id": None if report is None else report.run_id,
        "virtual": report is not None and report.virtual,
        "report": None if result.folder is None else str(result.folder / "report.html"),
        "notices": [plain(asdict(notice)) for notice in result.notices],
        "missing": {name: str(error) for name, error in result.absent.items()},
        "failed": [
            {
                "device_key": job.job.device.key,
                "device": job.job.device.title,
                "model": job.job.model.name,
                "case": case_text(job.job.model.name, job.job.delegate, job.job.threads, job.job.options),
                "delegate": job.job.delegate,
                "threads": job.job.threads,
                "failures": [{"kind": kind, "message": text, "count": count} for kind, text, count in job.failures],
            }
            for job in result.failed
        ],
        "comparison": None if result.comparison is None else comparison_data(result.comparison),
        "changes": None if result.changes is None else changes_data(result.changes),
    }
