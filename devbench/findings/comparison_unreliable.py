"""Sides of a comparison whose repetitions are all unreliable: no verdict, with the reason; knows no form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from devbench.findings.comparison import CaseOnDevice
from devbench.findings.comparison_sides import SideData
from devbench.findings.comparison_values import Key, Series
from devbench.findings.reasons import reasons_words
from devbench.notices import Effect, Notice, NoticeKind

# The reasons of this number of runs are read, the newest.
_MOST_RUNS = 10
_MOST_REASONS_TEXT = 200
_NEXT_STEP = "measure again on an idle, cool device, or use --unreliable count"


def no_verdicts(
    before: SideData, after: SideData, series: Iterable[Series], subjects: Mapping[Key, CaseOnDevice], *, medians: bool
) -> tuple[dict[Series, str], tuple[Notice, ...]]:
    """Why there is no verdict on a series, and a notice for each case and side that this is about."""
    both = list(series)
    why: dict[Series, list[str]] = {}
    texts: dict[tuple[Key, str], tuple[int, str]] = {}
    for name, side in (("baseline", before), ("candidate", after)):
        concerned = [one for one in both if one in side.unreliable]
        reasons = _reasons(side, {one[:2] for one in concerned})
        for one in concerned:
            n = len(side.values[one].values)
            words = _words(n, name, reasons.get(one[:2], ""), "runs" if medians else "repetitions")
            why.setdefault(one, []).append(words)
            texts[one[:2], name] = max(texts.get((one[:2], name), (0, "")), (n, words))
    notices = [
        Notice(
            NoticeKind.ALL_UNRELIABLE,
            f"{subjects[key].case} on {subjects[key].device}",
            f"no verdict: {words}",
            _NEXT_STEP,
            Effect.UNDECIDED,
            key[0],
        )
        for (key, _), (_, words) in sorted(texts.items())
    ]
    return {one: "; ".join(words) for one, words in why.items()}, tuple(notices)


def _words(n: int, side: str, reasons: str, what: str) -> str:
    """`all 8 repetitions of the candidate are unreliable (other load: 4.0 on 2 CPUs)`."""
    subject = f"the only {what[:-1]} of the {side} is" if n == 1 else f"all {n} {what} of the {side} are"
    return f"{subject} unreliable" + (f" ({reasons})" if reasons else "")


def _reasons(side: SideData, keys: set[Key]) -> dict[Key, str]:
    if not keys:
        return {}
    found: dict[Key, list[str]] = {}
    for one in side.history.unreliable(
        runs=side.runs.run_ids[-_MOST_RUNS:],
        devices=tuple({device for device, _ in keys}),
        cases=tuple({case for _, case in keys}),
    ):
        if (one.device_key, one.case) in keys:
            found.setdefault((one.device_key, one.case), []).extend(one.reasons)
    return {key: reasons_words(reasons, counted=False)[:_MOST_REASONS_TEXT] for key, reasons in found.items()}
