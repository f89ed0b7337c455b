"""What limits a comparison: notices of the runs on both sides, files that were exchanged, drift, unreliable sides.

Knows no form.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from devbench.analysis.reliability import reasons_words
from devbench.findings.comparison import CaseOnDevice, DriftCorrection
from devbench.findings.comparison_sides import SideData
from devbench.findings.comparison_values import Key
from devbench.metrics import METRICS
from devbench.notices import Effect, Notice, NoticeKind
from devbench.results.counting import unreliable, virtual_device

if TYPE_CHECKING:
    from devbench.findings.comparison import ComparisonSettings


def virtual_notices(subjects: Iterable[CaseOnDevice]) -> list[Notice]:
    """One for each virtual device."""
    return [virtual_device(*one) for one in sorted({(s.device_key, s.device) for s in subjects if s.virtual})]


def stored_notices(before: SideData, after: SideData, settings: ComparisonSettings) -> list[Notice]:
    """Those of the runs that are about the compared cases; what only one side has says so."""
    found: dict[Notice, set[str]] = {}
    for name, side in (("baseline", before), ("candidate", after)):
        devices = {"", *side.jobs["device_key"].unique()}
        names = {name for about in side.names.values() for name in about}
        narrow = bool(settings.models or settings.delegates or settings.cases)
        for run_id, notices in side.notices.items():
            for notice in notices:
                job = (run_id, notice.job_number)
                concerned = job in side.names if notice.job_number is not None else notice.subject in names
                if notice.device_key in devices and (concerned or (notice.job_number is None and not narrow)):
                    found.setdefault(replace(notice, job_number=None), set()).add(name)
    told = [
        one if len(sides) == 2 else replace(one, text=f"{one.text} ({sides.pop()} only)")
        for one, sides in found.items()
    ]
    if settings.unreliable == "count":
        return [replace(one, effect=Effect.INFORMATION) if one.effect is Effect.UNDECIDED else one for one in told]
    return told


def left_out(before: SideData, after: SideData, subjects: Mapping[Key, CaseOnDevice], what: str) -> Iterator[Notice]:
    """Cases of which some observations are unreliable and left out; `what` is one observation."""
    for name, side in (("baseline", before), ("candidate", after)):
        counts = side.left_out if what == "run" else _repetitions_left_out(side)
        for key, (concerned, total, why) in counts.items():
            if key in subjects:
                yield unreliable(subjects[key].case, concerned, total, f"{what} of the {name}", why, key[0])


def _repetitions_left_out(side: SideData) -> dict[Key, tuple[int, int, str]]:
    """The store leaves them out of the samples: of each case how many of how many, and why."""
    reasons: dict[Key, list[Sequence[str]]] = {}
    for one in side.history.unreliable(runs=side.runs.run_ids):
        if one.purpose in ("latency", "session"):
            reasons.setdefault((one.device_key, one.case), []).append(one.reasons)
    if not reasons:
        return {}
    measured = side.jobs.groupby(["device_key", "case"], observed=True)["measured"].sum()
    return {
        key: (len(found), int(measured[key]), reasons_words([why for those in found for why in those], counted=False))
        for key, found in reasons.items()
        if key in measured.index and len(found) < measured[key]
    }


def drift_notices(drifts: Sequence[DriftCorrection]) -> list[Notice]:
    """Drift of a device that was removed from the changes."""
    found = []
    for drift in drifts:
        what = "speed" if drift.metric == "latency" else METRICS[drift.metric].title
        cases = f"{drift.cases} case{'' if drift.cases == 1 else 's'}"
        text = f"{what} drifted by {percent(drift.change)} by the reference {drift.reference}, taken off {cases}"
        found.append(Notice(NoticeKind.DRIFT_REMOVED, drift.device, text, device_key=drift.device_key))
    return found


def reference_not_used(reference: str, why: str, device_key: str = "") -> Notice:
    """Why a reference case corrects nothing."""
    text = f"corrects nothing: {why}"
    return Notice(NoticeKind.REFERENCE_NOT_USED, f"reference {reference}", text, device_key=device_key)


def percent(change: float) -> str:
    """`+8.0 %`, with a true minus."""
    return f"{100 * change:+.1f} %".replace("-", "−")
