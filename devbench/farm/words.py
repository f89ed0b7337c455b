"""A night's findings as single lines of text, for JUnit, Markdown and chat alike; nothing here is made harmless."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbench.analysis.compare import METRICS
from devbench.reports.words import ms

if TYPE_CHECKING:
    from devbench.analysis.explain import Cause, Explanation
    from devbench.reports.comparison import ComparedRow
    from devbench.reports.watch import Change, Sides, WatchedEvent, WatchedSeries

_MOST_CAUSES = 5


def metric_words(row: ComparedRow | WatchedSeries) -> str:
    """`latency`, `peak memory`, `operator time of CONV_2D`."""
    words = row.metric.replace("_", " ")
    return f"{words} of {row.operator_type}" if row.operator_type else words


def row_words(row: ComparedRow) -> str:
    """`latency 2.77 → 3.05 ms (+10.1 %, 9.2 to 11.0 %)`."""
    found = row.comparison
    before, after = found.baseline.median, found.candidate.median
    words = f"{metric_words(row)} {_value(before)} → {_value(after)} {row.unit}".rstrip()
    if found.change is None:
        return words
    change = _change(found.change, row.metric)
    if found.interval is None or found.interval[0] == found.interval[1]:
        return f"{words} ({change})"
    low, high = (_change(bound, row.metric) for bound in found.interval)
    return f"{words} ({change}, {low} to {high})"


def undecided_words(row: ComparedRow) -> str:
    """What is not known of a row, and what would tell."""
    more = row.comparison.more_repetitions
    plural = "" if more == 1 else "s"
    need = f"{more} more repetition{plural} a side would decide" if more is not None else "too noisy to decide"
    return f"undecided: {row_words(row)}; {need}"


def explanation_lines(found: Explanation | None) -> list[str]:
    """The causes, those that cost most first; nothing where nothing explains it."""
    if found is None:
        return []
    lines = [_cause(cause) for cause in found.causes[:_MOST_CAUSES]]
    rest = len(found.causes) - _MOST_CAUSES
    if rest > 0:
        lines.append(f"{rest} more")
    if found.unexplained_ms is not None and abs(found.unexplained_ms) >= 0.001:
        lines.append(f"not in the operators: {_signed_ms(found.unexplained_ms)}")
    return lines


def change_words(series: WatchedSeries, change: Change) -> str:
    """`latency from 2026-11-20: 2.77 → 3.05 ms (+10.1 %); commit 4f2a → 91bc`."""
    point, sides = change.point, change.sides
    size = "" if point.size is None else f" ({_change(point.size, series.metric)})"
    values = f"{_value(point.before)} → {_value(point.after)} {series.unit}".rstrip()
    words = f"{metric_words(series)} from {sides.at_utc:%Y-%m-%d}: {values}{size}"
    return "; ".join([words, *_sides(sides)])


def event_words(event: WatchedEvent) -> str:
    """`from 2026-11-20: latency up 3.1 % in 7 of 8 models; build: A → B`."""
    effects = [
        f"{effect.metric.replace('_', ' ')} {effect.direction}"
        + ("" if effect.size is None else f" {100 * abs(effect.size):.1f} %")
        + f" in {effect.models} of {effect.of} models"
        for effect in event.effects
    ]
    return "; ".join([f"from {event.sides.at_utc:%Y-%m-%d}: {', '.join(effects)}", *_sides(event.sides)])


def _sides(sides: Sides) -> list[str]:
    """What became another one with a change; the night's own name is another one every night."""
    labels = [f"{key} {was or '–'} → {now or '–'}" for key, (was, now) in sides.labels.items() if key != "night"]
    return [*labels, *(f"{fact.fact}: {fact.before} → {fact.after}" for fact in sides.facts)]


def _cause(cause: Cause) -> str:
    what = f"{cause.name}: {cause.kind}" if cause.name else cause.kind
    if cause.baseline_ms is not None and cause.candidate_ms is not None:
        what += f", {ms(cause.baseline_ms)} → {ms(cause.candidate_ms)} ms"
    if cause.baseline is not None and cause.candidate is not None:
        before, after = cause.baseline, cause.candidate
        what += f" {before.nodes_delegated}/{before.nodes_total} → {after.nodes_delegated}/{after.nodes_total} nodes"
        what += f", {before.partitions} → {after.partitions} partitions"
    return f"{what}, {_signed_ms(cause.change_ms)}"


def _signed_ms(value: float) -> str:
    return f"{'−' if value < 0 else '+'}{ms(abs(value))} ms"


def _value(value: float | None) -> str:
    return "–" if value is None else ms(value) if value < 1e6 else f"{value:,.0f}"


def _change(change: float, metric: str) -> str:
    """In percent; in points of a percent for a metric that is a share itself."""
    points = metric in METRICS and METRICS[metric].absolute
    return f"{100 * change:+.1f} {'points' if points else '%'}".replace("-", "−")
