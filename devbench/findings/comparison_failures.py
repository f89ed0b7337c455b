"""What works on one side of a comparison and fails on the other; knows no form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devbench.findings.comparison import CaseFailure, CaseOnDevice
from devbench.findings.grouping import groups

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class _Outcome:
    ok: int
    failed: int
    kind: str
    message: str


def failures(
    before: pd.DataFrame, after: pd.DataFrame, subjects: Mapping[tuple[str, str], CaseOnDevice], alpha: float
) -> tuple[tuple[CaseFailure, ...], tuple[CaseFailure, ...]]:
    """What fails in the candidate but worked in the baseline, and what works again.

    A case fails if no repetition of it ended well, or more failed than chance explains, compared with the other side
    (Fisher's exact test, one-sided, p ≤ alpha; R. A. Fisher, Statistical Methods for Research Workers, 21.02).

    Args:
        before, after: of `History.jobs`.
        subjects: what is known of each case.
        alpha: the largest p that counts.
    """
    timed = bool(before["measured"].any() or after["measured"].any())
    was, now = (_outcomes(jobs, "measured" if timed else "ok") for jobs in (before, after))
    both = sorted(was.keys() & now.keys())
    new = [_failure(subjects[key], now[key]) for key in both if _fails(now[key], was[key], alpha)]
    fixed = [_failure(subjects[key], was[key]) for key in both if _fails(was[key], now[key], alpha)]
    return tuple(new), tuple(fixed)


def _outcomes(jobs: pd.DataFrame, ok: str) -> dict[tuple[str, str], _Outcome]:
    """Of each case; `ok` is the column that counts what ended well: that outputs were right is no latency."""
    found = {}
    good, failed = jobs[ok].to_numpy(), jobs["failed"].to_numpy()
    for key, rows in groups(jobs, ["device_key", "case"]):
        bad = rows[failed[rows] > 0]
        last = jobs[["failure_kind", "failure_message"]].iloc[bad[-1]].tolist() if len(bad) else ["", ""]
        found[key[0], key[1]] = _Outcome(int(good[rows].sum()), int(failed[rows].sum()), *map(_text, last))
    return found


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _fails(one: _Outcome, other: _Outcome, alpha: float) -> bool:
    """Whether `one` fails where `other` does not."""
    if not one.failed or not other.ok:
        return False
    if not one.ok:
        return True
    from scipy.stats import fisher_exact

    table = [[one.failed, one.ok], [other.failed, other.ok]]
    return bool(fisher_exact(table, alternative="greater").pvalue <= alpha)


def _failure(subject: CaseOnDevice, outcome: _Outcome) -> CaseFailure:
    return CaseFailure(*subject.case_fields, outcome.kind, outcome.message, outcome.failed, outcome.ok + outcome.failed)
