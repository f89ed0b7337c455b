"""Chooses the best delegate for a model on a device, or says why none can be chosen. Knows no form of output.

A winner needs at least three reliable processes, and an interval that does not overlap with that of another delegate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from devbench.analysis.stats import Estimate, estimate
from devbench.findings.run import JobReport, ReportData
from devbench.frozen import dataclass
from devbench.notices import LEAST_PROCESSES, Effect, NoticeKind
from devbench.results.cases import subject_of
from devbench.results.records import DeviceRecord

if TYPE_CHECKING:
    from devbench.findings.comparison import ComparedRow, ComparisonReport

MOST_MORE = 30
"""If more than this number of further processes would be needed, the noise is too large for the difference."""

Reason = Literal["", "only", "alone", "few", "excluded", "unreliable", "overlap", "rival", "failed"]


@dataclass(frozen=True, slots=True)
class Choice:
    """The choice of a delegate for a model on a device, with the jobs that it is made from.

    Attributes:
        model: the model, with its inputs.
        jobs: all of them, in the order of the plan.
        measured: the jobs with a latency and correct outputs, the fastest first.
        winner: the best delegate; `None` if none can be chosen.
        rival: the second-best delegate, or the one that prevents a winner.
        ratio: how many times as fast the winner is as the next one, with half the width of its interval; `None` if
            nothing can be compared.
        reason: why there is no winner. "few": too few processes; "unreliable": only unreliable ones; "excluded": a
            notice excludes all delegates; "overlap": intervals overlap; "rival": another delegate cannot be compared;
            "alone": only one delegate was measured; "failed": all failed. "only": there is a winner because all others
            failed.
        more: about how many further processes of each delegate would separate the intervals; `None` if more than 30.
        text: the text of the notice that prevents a choice.
        before: the best delegate in the baseline, if it differs from the winner.
    """

    model: str
    device: DeviceRecord
    jobs: tuple[JobReport, ...]
    measured: tuple[JobReport, ...]
    winner: JobReport | None = None
    rival: JobReport | None = None
    ratio: tuple[float, float] | None = None
    reason: Reason = ""
    more: int | None = None
    text: str = ""
    before: str = ""

    @property
    def best(self) -> JobReport | None:
        """Return the winner, else the job with the lowest latency."""
        return self.winner or (self.measured[0] if self.measured else None)


def choices(report: ReportData, comparison: ComparisonReport | None = None) -> tuple[Choice, ...]:
    """Make a choice for each model on each device; `comparison` adds the best delegate of the baseline."""
    known = {} if comparison is None else _winners_before(comparison)
    found = []
    for one in (choice(*group) for group in report.groups):
        before = known.get((one.device.key, one.model))
        changed = before is not None and one.winner is not None and before.case != one.winner.case
        found.append(replace(one, before=before.delegate) if changed and before else one)
    return tuple(found)


def _winners_before(comparison: ComparisonReport) -> Mapping[tuple[str, str], ComparedRow]:
    """Return the best case of the baseline by device and model, chosen among the compared cases."""
    timed: dict[tuple[str, str], list[tuple[Estimate, ComparedRow]]] = {}
    for row in comparison.rows:
        found = estimate(row.comparison.baseline.values) if row.metric == "latency" else None
        if found is not None and found.n >= LEAST_PROCESSES and not row.comparison.reason:
            timed.setdefault((row.device_key, subject_of(row.model, row.case)), []).append((found, row))
    winners = {}
    for key, rows in timed.items():
        (best, row), *others = sorted(rows, key=lambda one: one[0].median)
        if others and all(one.low > best.high for one, _ in others):
            winners[key] = row
    return winners


def winner_of(jobs: Sequence[JobReport]) -> JobReport | None:
    """Return the best of the jobs of one model on one device; `None` if none can be chosen."""
    return choice(jobs[0].subject, jobs[0].job.device, jobs).winner if jobs else None


def choice(model: str, device: DeviceRecord, jobs: Sequence[JobReport]) -> Choice:
    """Choose among the jobs of one model on one device."""
    known = [(job, job.latency) for job in jobs if job.latency and job.output_verdict != "wrong"]
    known.sort(key=lambda one: one[1].median)
    fit = [one for one in known if not one[0].excluded and one[1].n >= LEAST_PROCESSES]
    measured = tuple(job for job, _ in known)

    def made(reason: Reason, winner: JobReport | None = None, rival: JobReport | None = None, text: str = "",
             ratio: tuple[float, float] | None = None, more: int | None = None) -> Choice:  # fmt: skip
        return Choice(model, device, tuple(jobs), measured, winner, rival, ratio, reason, more, text)

    if not known:
        return made("failed", text=", ".join(dict.fromkeys(kind for job in jobs for kind, _, _ in job.failures)))
    if not fit:
        limits = [one for job in measured for one in job.limits]
        limits.sort(key=lambda one: one.effect is not Effect.UNDECIDED)
        reason: Reason = "unreliable" if limits and limits[0].effect is Effect.UNDECIDED else "excluded"
        if not limits or (reason == "excluded" and limits[0].kind is NoticeKind.TOO_FEW_PROCESSES):
            reason = "few"
        return made(reason, text=limits[0].text if limits else "too few processes")
    best, latency = fit[0]
    if len(known) == 1:
        return made("alone") if len(jobs) == 1 else made("only", best)
    overlapping = next((one for one in fit[1:] if one[1].low <= latency.high), None)
    if overlapping is not None:
        return made("overlap", rival=overlapping[0], more=_more(latency, overlapping[1]))
    against = next((job for job, of in known if job.excluded and (of.low <= latency.high or len(fit) == 1)), None)
    if against is not None:
        return made("rival", rival=against, text=against.limits[0].text)
    following = fit[1]
    return made("", best, following[0], ratio=_ratio(latency, following[1]))


def _ratio(winner: Estimate, other: Estimate) -> tuple[float, float] | None:
    """Return the ratio of the medians and its half-width:

    the half-widths of both intervals add as independent errors.
    """
    if not winner.median:
        return None
    ratio = other.median / winner.median
    return ratio, ratio * math.hypot(winner.half_width_pct or 0.0, other.half_width_pct or 0.0) / 100


def _more(one: Estimate, other: Estimate) -> int | None:
    """Return how many further processes per delegate would separate two intervals, whose widths fall with √n."""
    gap = other.median - one.median
    widths = (one.high - one.low + other.high - other.low) / 2
    n = min(one.n, other.n)
    if gap <= 0 or n * (widths / gap) ** 2 - n > MOST_MORE:
        return None
    return max(1, math.ceil(n * (widths / gap) ** 2 - n))
