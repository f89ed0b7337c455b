"""The texts of a comparison, the same in every form; knows no form. A form makes them harmless."""

from __future__ import annotations

from collections.abc import Mapping

from devbench.analysis.explain import Cause, DelegatedNodes, Explanation
from devbench.findings.comparison import (
    CaseFailure,
    ComparedRow,
    ComparedRuns,
    ComparisonReport,
    OneSided,
)
from devbench.metrics import METRICS
from devbench.sections.figures import ms

_BEYOND: Mapping[bool | None, str] = {True: "certain", False: "certainly not", None: "not certain"}
_MOST_CAUSES = 5
_MOST_NAMED = 4
# Of the latency's change: less is not worth a line.
_LEAST_UNEXPLAINED = 0.1


def metric_words(metric: str, operator_type: str = "") -> str:
    """`first inference`; `operator CONV_2D`."""
    return f"operator {operator_type}" if operator_type else METRICS[metric].title


def quantity(value: float | None, metric: str) -> str:
    """A value with its unit: `27.7 ms`, `93.2 MB`, `1,234,567 B`, `83 %` for a share."""
    of = METRICS[metric]
    if value is None:
        return "–"
    if not of.unit:
        return f"{100 * value:.4g} %"
    number = ms(value) if of.decimals is None else f"{value:,.{of.decimals}f}"
    return f"{number} {'B' if of.unit == 'bytes' else of.unit}"


def signed(change: float | None, unit: str = "ms") -> str:
    """A relative change in percent, one of a share in points: `+5.2 %`, `−12 points`, `+0.04 %`."""
    if change is None:
        return "–"
    size = 100 * abs(change)
    digits = 0 if size >= 99.5 else 1 if size >= 1 else 2
    sign = "+" if change > 0 else "−" if change < 0 else ""
    return f"{sign}{size:.{digits}f} {'%' if unit else 'points'}"


def change_words(row: ComparedRow) -> str:
    """The change; if it is undecided its interval, since the number alone would say more than is known."""
    if row.comparison.reason:
        return "–"
    if row.comparison.verdict == "undecided" and row.comparison.interval is not None:
        return interval_words(row)
    return signed(row.comparison.change, row.unit)


def certainty_words(row: ComparedRow) -> str:
    """Both answers: `slower: certain; by more than 1 %: not certain`; empty if there is none or the metric is exact."""
    found = row.comparison
    if found.interval is None or found.interval[0] == found.interval[1]:
        return ""
    worse, better = METRICS[row.metric].worse_word, METRICS[row.metric].better_word
    more_than = f"by more than {_threshold(row)}: {_BEYOND[found.beyond]}"
    if found.direction is None:
        return f"changed {more_than}" if found.beyond is False else f"{worse} or {better}: not certain"
    return f"{worse if found.direction == 'worse' else better}: certain; {more_than}"


def _threshold(row: ComparedRow) -> str:
    return f"{100 * row.comparison.smallest_effect:g} {'%' if row.unit else 'points'}"


def interval_words(row: ComparedRow) -> str:
    """`+4.1 to +6.3 %`; nothing where there is none, or the metric is exact."""
    interval = row.comparison.interval
    if interval is None or interval[0] == interval[1]:
        return ""
    low, high = (signed(end, row.unit) for end in interval)
    return f"{low.rsplit(' ', 1)[0]} to {high}"


def needs_words(row: ComparedRow, report: ComparisonReport) -> str:
    """What would decide an undecided row: `about 12 more repetitions per side`; runs, if each run has one value.

    If nothing would, the reason why there is no verdict.
    """
    found = row.comparison
    if found.reason:
        return found.reason
    more = found.more_repetitions
    of_runs = found.baseline.n <= len(report.baseline.run_ids) and found.candidate.n <= len(report.candidate.run_ids)
    what = "runs" if report.medians or (of_runs and METRICS[row.metric].once_a_run) else "repetitions"
    if more is None:
        return f"over 1,000 more {what} per side"
    return f"about {more} more {what[:-1] if more == 1 else what} per side"


def undecided_words(row: ComparedRow, report: ComparisonReport) -> str:
    """What would decide an undecided row, or why nothing does, as a statement."""
    words = needs_words(row, report)
    return words if row.comparison.reason else f"{words} would decide"


def row_words(row: ComparedRow) -> str:
    """`latency 2.77 ms → 3.05 ms (+10.1 %, +9.2 to +11.0 %; slower: certain; by more than 1 %: certain)`."""
    found = row.comparison
    before, after = (quantity(side.median, row.metric) for side in (found.baseline, found.candidate))
    sizes = "" if found.reason else ", ".join(filter(None, (signed(found.change, row.unit), interval_words(row))))
    evidence = "; ".join(filter(None, (sizes, certainty_words(row) if found.direction else "")))
    words = f"{metric_words(row.metric, row.operator_type)} {before} → {after}"
    return f"{words} ({evidence})" if evidence else words


def open_words(row: ComparedRow, report: ComparisonReport) -> str:
    """What is not known of a row of the comparison, and what would tell."""
    return f"undecided: {row_words(row)}; {undecided_words(row, report)}"


def small_words(row: ComparedRow) -> str:
    """A change that is certain, and certainly smaller than matters."""
    return f"changed by less than the threshold: {row_words(row)}"


def summary_words(report: ComparisonReport) -> str:
    """`2 regressed, 1 now failing, 3 undecided (1 unreliable), 2 changed by less than the threshold, 38 unchanged`."""
    counts = report.counts
    parts = [(counts["regressed"], "regressed"), (len(report.failures), "now failing"), (len(report.fixed), "fixed")]
    unreliable, small = len(report.without_verdict), len(report.small)
    parts += [
        (counts["improved"], "improved"),
        (counts["undecided"], "undecided" + (f" ({unreliable} unreliable)" if unreliable else "")),
        (small, "changed by less than the threshold"),
        (counts["unchanged"] - small, "unchanged"),
    ]
    return ", ".join(f"{count} {what}" for count, what in parts if count) or "nothing to compare"


def runs_words(runs: ComparedRuns) -> str:
    """`latest: 20261120-211503-4f2a, 2026-11-20 21:15 UTC, build=124`."""
    ids = runs.run_ids
    which = ids[0] if len(ids) == 1 else f"{len(ids)} runs"
    when = f"{runs.first_utc:%Y-%m-%d %H:%M}"
    if len(ids) > 1:
        when += f" to {runs.last_utc:%Y-%m-%d %H:%M}"
    title = "" if runs.title in (which, "") else f"{runs.title}: "
    labels = "".join(f", {key}={value}" for key, value in runs.labels.items() if f"{key}={value}" != runs.title)
    return f"{title}{which}, {when} UTC{labels}"


def failure_words(failure: CaseFailure) -> str:
    """`crash (5 of 5 repetitions): message`."""
    times = f" ({failure.failed} of {failure.of} repetitions)"
    return f"{failure.kind or 'failed'}{times}" + (f": {failure.message}" if failure.message else "")


def one_sided_words(report: ComparisonReport, *, everything: bool = False) -> list[str]:
    """`only in the baseline, on DEVICE: CASE, CASE`, a line a side and device; many cases by their number."""
    found: dict[tuple[str, str], list[OneSided]] = {}
    for one in report.one_sided:
        found.setdefault((one.side, one.device), []).append(one)
    lines = []
    for (side, device), ones in found.items():
        names = ", ".join(one.case for one in ones)
        cases = names if everything or len(ones) <= _MOST_NAMED else f"{len(ones)} cases"
        lines.append(f"only in the {side}, on {device}: {cases}")
    return lines


# -- explanations -----------------------------------------------------------------------------------------------------


def explanation_words(row: ComparedRow) -> list[str]:
    """What explains a regression, one line per cause; nothing if it is not known."""
    explanation = row.explanation
    if explanation is None:
        return []
    causes = explanation.causes
    if METRICS[row.metric].better == "higher":
        # Not the time: what the delegate took, and what is on the CPU for it.
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
    was, now = row.comparison.baseline.median, row.comparison.candidate.median
    left = explanation.unexplained_ms
    if was is None or now is None:
        return []
    if left is None:
        return ["no operator profile on both sides"] if not explanation.causes else []
    if abs(left) < _LEAST_UNEXPLAINED * abs(now - was):
        return []
    return [f"not seen in the profile: {_change_ms(left)} of {_change_ms(now - was)}"]


def cause_words(cause: Cause) -> str:
    """`CONV_2D slower: 12.1 → 12.6 ms (+0.50 ms), 12 → 13 operators`."""
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
