"""What changed over the history, as JSON for other programs; the keys are those of docs/detection.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from devbench.findings.changes import Change, ChangesReport, MeasuredSeries, Sides
from devbench.findings.run import VIRTUAL_NOTE
from devbench.forms.export import plain

FORMAT = "devbench-watch-2"


def changes_to_json(report: ChangesReport) -> dict[str, Any]:
    """The events of devices and the changes of models, JSON-ready; times are ISO 8601 in UTC, sizes are relative."""
    return {
        "format": FORMAT,
        "virtual": report.virtual,
        **({"note": VIRTUAL_NOTE} if report.virtual else {}),
        "runs": report.runs,
        "series": len(report.series),
        "first_utc": plain(report.first_utc),
        "last_utc": plain(report.last_utc),
        "drifts": [plain(asdict(drift)) for drift in report.drifts],
        "events": [
            {
                "device_key": event.device_key,
                "device": event.device,
                "virtual": event.virtual,
                "worse": event.worse,
                **_sides(event.sides),
                "effects": [asdict(effect) for effect in event.effects],
                "members": _members(event.members),
            }
            for event in report.events
        ],
        "models": [
            {
                "model": change.model,
                "virtual": change.virtual,
                "worse": change.worse,
                **_sides(change.sides),
                "shifts": [
                    {**plain(asdict(shift)), "operator_type": shift.operator_type or None} for shift in change.shifts
                ],
                "members": _members(change.members),
            }
            for change in report.models
        ],
    }


def _sides(sides: Sides) -> dict[str, Any]:
    return {
        "at_utc": plain(sides.at_utc),
        "before_utc": plain(sides.before_utc),
        "run_before": sides.run_before,
        "run_after": sides.run_after,
        "labels": {key: {"before": was, "after": now} for key, (was, now) in sides.labels.items()},
        "facts": [plain(asdict(fact)) for fact in sides.facts],
    }


def _members(members: Sequence[tuple[MeasuredSeries, Change]]) -> list[dict[str, Any]]:
    return [
        {
            "device_key": series.device_key,
            "device": series.device,
            "virtual": series.virtual,
            "case": series.case,
            "model": series.model,
            "delegate": series.delegate,
            "threads": series.threads,
            "metric": series.metric,
            "unit": series.unit,
            "operator_type": series.operator_type or None,
            "at_utc": plain(change.sides.at_utc),
            "run_before": change.sides.run_before,
            "run_after": change.sides.run_after,
            "worse": change.worse,
            "own": change.own,
            **asdict(change.point),
        }
        for series, change in members
    ]
