"""What limits the changes over a history: removed drift, virtual devices, notices of the runs next to a change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from devbench.findings.changes import DeviceChange, DeviceDrift, MeasuredSeries, ModelChange
from devbench.findings.comparison_notices import percent, virtual_notices
from devbench.metrics import METRICS
from devbench.notices import Notice, NoticeKind
from devbench.results.cases import subject_of

if TYPE_CHECKING:
    from devbench.results.history import History


def change_notices(
    history: History,
    series: Sequence[MeasuredSeries],
    drifts: Iterable[DeviceDrift],
    changes: Sequence[DeviceChange | ModelChange],
) -> tuple[Notice, ...]:
    """All of them, each once."""
    found = [_of_drift(drift) for drift in drifts] + virtual_notices(series)
    members = [member for change in changes for member in change.members]
    stored = history.store.notices(
        sorted({run for _, change in members for run in (change.sides.run_before, change.sides.run_after)})
    )
    for one, change in members:
        names = {one.model, one.case, one.device, subject_of(one.model, one.case)}
        for run_id in (change.sides.run_before, change.sides.run_after):
            for notice in stored.get(run_id, ()):
                if notice.device_key in ("", one.device_key) and (notice.job_number is None or notice.subject in names):
                    found.append(replace(notice, text=f"{notice.text} (run {run_id})", job_number=None))
    return tuple(dict.fromkeys(found))


def _of_drift(drift: DeviceDrift) -> Notice:
    span = f"from {drift.from_utc:%Y-%m-%d} to {drift.to_utc:%Y-%m-%d}"
    text = f"{METRICS[drift.metric].title} drifted by {percent(drift.size)} {span}, taken off before the search"
    return Notice(NoticeKind.DRIFT_REMOVED, drift.device, text, device_key=drift.device_key)
