"""A comparison as JSON for other programs; the keys are those of docs/compare.md. Knows no form for people."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from devbench.analysis.compare import Sample
from devbench.analysis.explain import Explanation
from devbench.findings.comparison import ComparedRow, ComparisonReport
from devbench.findings.run import VIRTUAL_NOTE
from devbench.forms.export import plain

FORMAT = "devbench-comparison-3"


def comparison_to_json(report: ComparisonReport) -> dict[str, Any]:
    """The whole report, JSON-ready; times are ISO 8601 in UTC, changes are relative (0.03 is 3 %)."""
    return {
        "format": FORMAT,
        "virtual": report.virtual,
        **({"note": VIRTUAL_NOTE} if report.virtual else {}),
        "regressed": report.regressed,
        "counts": {
            **report.counts,
            "small_changes": len(report.small),
            "unreliable": len(report.without_verdict),
            "failures": len(report.failures),
            "fixed": len(report.fixed),
            "one_sided": len(report.one_sided),
        },
        "observations": "runs" if report.medians else "repetitions",
        "baseline": plain(asdict(report.baseline)),
        "candidate": plain(asdict(report.candidate)),
        "rows": [_row(row) for row in report.rows],
        **{
            name: [plain(asdict(one)) for one in getattr(report, name)]
            for name in ("failures", "fixed", "one_sided", "drifts")
        },
        "notes": list(report.notes),
        "notices": [plain(asdict(notice)) for notice in report.notices],
    }


def _row(row: ComparedRow) -> dict[str, Any]:
    found = row.comparison
    return {
        "device_key": row.device_key,
        "device": row.device,
        "virtual": row.virtual,
        "case": row.case,
        "model": row.model,
        "delegate": row.delegate,
        "threads": row.threads,
        "metric": row.metric,
        "unit": row.unit,
        "operator_type": row.operator_type or None,
        "verdict": found.verdict,
        "reason": found.reason or None,
        "direction": found.direction,
        "threshold": found.smallest_effect,
        "beyond_threshold": found.beyond,
        "change": found.change,
        "interval": None if found.interval is None else list(found.interval),
        "p": found.p,
        "q": found.q,
        "more_repetitions": found.more_repetitions,
        "drift": found.drift,
        "baseline": _sample(found.baseline),
        "candidate": _sample(found.candidate),
        "explanation": None if row.explanation is None else _explanation(row.explanation),
    }


def _sample(sample: Sample) -> dict[str, Any]:
    return {"median": sample.median, "n": sample.n, "values": list(sample.values)}


def _explanation(explanation: Explanation) -> dict[str, Any]:
    found: dict[str, Any] = plain(asdict(explanation))
    return found
