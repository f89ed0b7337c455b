"""Sides of a comparison whose repetitions are all unreliable: no verdict, with the reason; knows no form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from devbench.analysis.reliability import reasons_words
from devbench.findings.comparison import CaseOnDevice
from devbench.findings.comparison_sides import SideData
from devbench.findings.comparison_values import Key, Series
from devbench.notices import Effect, Notice, NoticeKind, Tally

# The reasons of this number of runs are read, the newest.
_MOST_RUNS = 10
_MOST_REASONS_TEXT = 200
_NEXT_STEP = "measure again on an idle, cool device, or use --unreliable count"


def no_verdicts(
    before: SideData, after: SideData, series: Iterable[Series], subjects: Mapping[Key, CaseOnDevice], what: str
) -> tuple[dict[Series, str], list[Notice]]:
    """Why there is no verdict on a series, and a notice for each case and side that this is about.

    `what` is one observation: a repetition or a run.
    """
    both = list(series)
    why: dict[Series, list[str]] = {}
    notices: dict[tuple[Key, str], Notice] = {}
    for name, side in (("baseline", before), ("candidate", after)):
        concerned = [one for one in both if one in side.unreliable]
        reasons = _reasons(side, {one[:2] for one in concerned})
        for one in concerned:
            if stored := side.undecided.get(one[:2]):
                # It is a notice already.
                why.setdefault(one, []).append(f"{'; '.join(dict.fromkeys(stored))} (in the {name})")
                continue
            n = len(side.values[one].values)
            because = f" ({reasons[one[:2]]})" if reasons.get(one[:2]) else ""
            tally = Tally(n, n, f"{what} of the {name}", f"unreliable{because}")
            why.setdefault(one, []).append(tally.text)
            known = notices.get((one[:2], name))
            if known is None or known.tally is None or known.tally.total < n:
                notices[one[:2], name] = Notice(
                    NoticeKind.ALL_UNRELIABLE, subjects[one[:2]].case, tally.text, _NEXT_STEP, Effect.UNDECIDED, one[0],
                    tally=tally,
                )  # fmt: skip
    return {one: "; ".join(words) for one, words in why.items()}, [notices[key] for key in sorted(notices)]


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
