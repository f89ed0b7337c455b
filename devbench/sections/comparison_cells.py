"""The texts of a comparison, the same in every form; knows no form. A form makes them harmless."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from devbench.analysis.explain import Cause, DelegatedNodes, Explanation
from devbench.findings.choice import MOST_MORE
from devbench.findings.comparison import (
    CaseFailure,
    CaseOnDevice,
    ComparedRow,
    ComparedRuns,
    ComparisonReport,
)
from devbench.grouped import grouped
from devbench.metrics import METRICS
from devbench.sections.answer import short_titles
from devbench.sections.figures import delegate_words, metric_words, ms

_MOST_CAUSES = 5
_MOST_NAMED = 4
# The smallest unexplained share of the latency's change that is shown.
_LEAST_UNEXPLAINED = 0.1


def quantity(value: float | None, metric: str) -> str:
    """Return a value with its unit: `27.7 ms`, `93.2 MB`, `1,234,567 B`, `83 %` for a share."""
    of = METRICS[metric]
    if value is None:
        return "–"
    if not of.unit:
        return f"{100 * value:.4g} %"
    number = ms(value) if of.decimals is None else f"{value:,.{of.decimals}f}"
    return f"{number} {'B' if of.unit == 'bytes' else of.unit}"


def signed(change: float | None, unit: str = "ms") -> str:
    """Return a relative change in percent, one of a share in points: `+5.2 %`, `−12 points`, `+0.04 %`."""
    if change is None:
        return "–"
    size = 100 * abs(change)
    digits = 0 if size >= 99.5 else 1 if size >= 1 else 2
    sign = "+" if change > 0 else "−" if change < 0 else ""
    return f"{sign}{size:,.{digits}f} {'%' if unit else 'points'}"


def interval_words(row: ComparedRow) -> str:
    """Return the interval of a change: `+4.1 to +6.3 %`; empty without an interval or for an exact metric."""
    interval = row.comparison.interval
    if interval is None or interval[0] == interval[1]:
        return ""
    low, high = (signed(end, row.unit) for end in interval)
    return f"{low.rsplit(' ', 1)[0]} to {high}"


def needs_words(row: ComparedRow, report: ComparisonReport) -> str:
    """Return what would decide a row: `about 12 more repetitions per side`; or runs, if each run has one value.

    If no small number would, return the reason why there is no verdict.
    """
    found = row.comparison
    if found.reason:
        return found.reason
    if found.more_repetitions is None or found.more_repetitions > MOST_MORE:
        return "too noisy for so small a change"
    of_runs = found.baseline.n <= len(report.baseline.run_ids) and found.candidate.n <= len(report.candidate.run_ids)
    what = "run" if report.medians or (of_runs and METRICS[row.metric].once_a_run) else "repetition"
    return f"about {found.more_repetitions} more {what}{'' if found.more_repetitions == 1 else 's'} per side"


def case_words(one: CaseOnDevice, titles: Mapping[str, str]) -> str:
    """Return `portrait_unet with GPU on Pixel 8`, `portrait_unet with CPU · 4 threads on Pixel 8`."""
    case = one.case.removeprefix(f"{one.model} · ").removeprefix(one.delegate)
    return f"{one.model} with {delegate_words(one.delegate)}{case} on {titles[one.device]}"


def row_words(row: ComparedRow) -> str:
    """Return `latency 2.77 ms → 3.05 ms, +10.1 % (+9.2 to +11.0 %)`."""
    found = row.comparison
    before, after = (quantity(side.median, row.metric) for side in (found.baseline, found.candidate))
    words = f"{metric_words(row.metric, row.operator_type)} {before} → {after}"
    between = f" ({interval_words(row)})" if interval_words(row) else ""
    return words if found.reason else f"{words}, {signed(found.change, row.unit)}{between}"


def open_words(row: ComparedRow, report: ComparisonReport) -> str:
    """Return why a row has no verdict, or how many further repetitions would decide it."""
    return f"no verdict: {row_words(row)}; {needs_words(row, report)}"


def sentence(report: ComparisonReport) -> str:
    """Return the comparison in one sentence, with which every form begins; not made harmless."""
    counts, titles = report.outcomes, short_titles(dict.fromkeys(report.device_titles.values()))
    known = sum(counts.values())
    if not known:
        return "Nothing to compare"
    left = f"; {_cases(counts['not judged'])} not judged" if counts["not judged"] else ""
    if counts["regressed"]:
        number, failing = counts["regressed"], len(report.failures)
        also = f" ({failing} now failing)" if failing and number > failing else ""
        noun = f"{number:,} regression{'' if number == 1 else 's'}{also}"
        return _first(noun, number, report.of("regressed"), report.failures, "now fails", titles) + left
    if counts["improved"]:
        number = counts["improved"]
        noun = f"{number:,} improvement{'' if number == 1 else 's'}"
        return _first(noun, number, report.of("improved"), report.fixed, "works again", titles) + left
    if not counts["unchanged"]:
        reasons = [row.comparison.reason for row in report.without_verdict]
        why = reasons[0] if reasons else "too few processes" if counts["not judged"] else "too noisy to call"
        return f"No verdict on {'the only case' if known == 1 else f'any of {known:,} cases'}: {why}"
    noisy = f", {counts['too noisy to call']:,} too noisy to call" if counts["too noisy to call"] else ""
    if left:
        return f"No regressions in {known - counts['not judged']:,} of {_cases(known)}{noisy}{left}"
    return f"No regressions against {report.baseline.title} ({_cases(known)}{noisy})"


def _cases(number: int) -> str:
    return f"{number:,} case{'' if number == 1 else 's'}"


def _first(noun: str, number: int, rows: Sequence[ComparedRow], failures: Sequence[CaseFailure], what: str,
           titles: Mapping[str, str]) -> str:  # fmt: skip
    """Return the number of changes, and the largest one in words; a change of latency is preferred."""
    if rows:
        worst = max(rows, key=lambda row: (row.metric == "latency", abs(row.comparison.change or 0.0)))
        return f"{noun}{', the largest' if number > 1 else ''}: {_changed(worst, titles)}"
    kind = f": {failures[0].kind or 'failed'}" if what == "now fails" else ""
    return f"{noun}{', the first' if number > 1 else ''}: {case_words(failures[0], titles)} {what}{kind}"


def _changed(row: ComparedRow, titles: Mapping[str, str]) -> str:
    """Return `portrait_unet with GPU on Pixel 8 takes 11.9 ms instead of 8.12 ms (+47 %)`."""
    was, now = (quantity(side.median, row.metric) for side in (row.comparison.baseline, row.comparison.candidate))
    case, change = case_words(row, titles), row.comparison.change
    what = f"{case} takes" if row.metric == "latency" else f"{metric_words(row.metric, row.operator_type)} of {case} is"
    size = ""
    if change is not None:
        whole = abs(100 * change) >= 0.95
        size = f" ({'+' if change > 0 else '−'}{abs(100 * change):.0f} {'%' if row.unit else 'points'})" if whole else (
            f" ({signed(change, row.unit)})")  # fmt: skip
    return f"{what} {now} instead of {was}{size}"


def runs_words(runs: ComparedRuns) -> str:
    """Return `latest: 20261120-211503-4f2a, 2026-11-20 21:15 UTC, build=124`."""
    ids = runs.run_ids
    which = ids[0] if len(ids) == 1 else f"{len(ids)} runs"
    when = f"{runs.first_utc:%Y-%m-%d %H:%M}"
    if len(ids) > 1:
        when += f" to {runs.last_utc:%Y-%m-%d %H:%M}"
    title = "" if runs.title in (which, "") else f"{runs.title}: "
    labels = "".join(f", {key}={value}" for key, value in runs.labels.items() if f"{key}={value}" != runs.title)
    return f"{title}{which}, {when} UTC{labels}"


def failure_words(failure: CaseFailure) -> str:
    """Return `crash (5 of 5 repetitions): message`."""
    times = f" ({failure.failed} of {failure.of} repetitions)"
    return f"{failure.kind or 'failed'}{times}" + (f": {failure.message}" if failure.message else "")


def one_sided_words(report: ComparisonReport, *, everything: bool = False) -> list[str]:
    """Return a line per side and device, `only in the baseline, on DEVICE: CASE, CASE`; many cases are only counted."""
    found = grouped(((one.side, one.device), one) for one in report.one_sided)
    lines = []
    for (side, device), ones in found.items():
        names = ", ".join(one.case for one in ones)
        cases = names if everything or len(ones) <= _MOST_NAMED else f"{len(ones)} cases"
        lines.append(f"only in the {side}, on {device}: {cases}")
    return lines


# -- explanations -----------------------------------------------------------------------------------------------------


def explanation_words(row: ComparedRow) -> list[str]:
    """Return the causes of a regression, one per line; nothing if they are not known."""
    explanation = row.explanation
    if explanation is None:
        return []
    causes = explanation.causes
    if METRICS[row.metric].better == "higher":
        # A cause without times is the delegation: what the delegate runs, and what runs on the CPU instead.
        causes = tuple(one for one in causes if one.kind in ("delegation", "moved to cpu", "new"))
        causes = tuple(sorted(causes, key=lambda one: one.kind != "delegation"))
    lines = [cause_words(cause) for cause in causes[:_MOST_CAUSES]]
    rest = causes[_MOST_CAUSES:]
    if rest:
        lines.append(f"{len(rest)} more: {_change_ms(sum(one.change_ms for one in rest))}")
    if row.metric == "latency":
        lines += _unexplained(row, explanation)
    return lines


def _unexplained(row: ComparedRow, explanation: Explanation) -> list[str]:
    """Return how much of the latency's change the profile does not explain, or by how much it exceeds the change."""
    was, now = row.comparison.baseline.median, row.comparison.candidate.median
    left = explanation.unexplained_ms
    if was is None or now is None:
        return []
    if left is None:
        return ["no operator profile on both sides"] if not explanation.causes else []
    if abs(left) < _LEAST_UNEXPLAINED * abs(now - was):
        return []
    if (left < 0) == (now > was):
        return [f"the profile over-explains the change by {ms(abs(left))} ms"]
    return [f"not explained by the profile: {_change_ms(left)} of {_change_ms(now - was)}"]


def cause_words(cause: Cause) -> str:
    """Return `CONV_2D slower: 12.1 → 12.6 ms (+0.50 ms), 12 → 13 operators`."""
    if cause.kind == "delegation" and cause.baseline and cause.candidate:
        words = f"delegation: {_taken(cause.baseline)} → {_taken(cause.candidate)}"
        return words + (f" ({_change_ms(cause.change_ms)})" if cause.baseline_ms is not None else "")
    words = f"{cause.name} {cause.kind}: {_times(cause)} ({_change_ms(cause.change_ms)})"
    if cause.counts and cause.counts[0] != cause.counts[1]:
        known = [str(count) for count in cause.counts if count]
        words += f", {' → '.join(known)} operator{'' if known == ['1'] else 's'}"
    return words


def _times(cause: Cause) -> str:
    if cause.baseline_ms is None:
        return f"{ms(cause.candidate_ms)} ms"
    if cause.candidate_ms is None:
        return f"{ms(cause.baseline_ms)} ms"
    return f"{ms(cause.baseline_ms)} → {ms(cause.candidate_ms)} ms"


def _taken(delegation: DelegatedNodes) -> str:
    parts = []
    if delegation.nodes_delegated is not None:
        total = "" if delegation.nodes_total is None else f" of {delegation.nodes_total}"
        parts.append(f"{delegation.nodes_delegated}{total} nodes")
    elif delegation.whole:
        parts.append("all nodes")
    if delegation.partitions is not None:
        parts.append(f"{delegation.partitions} partition{'' if delegation.partitions == 1 else 's'}")
    return " in ".join(parts) or "unknown"


def _change_ms(value: float) -> str:
    return f"{'−' if value < 0 else '+'}{ms(abs(value))} ms"
