"""A night's findings as single lines of text, for JUnit, Markdown and chat alike; nothing here is made harmless."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbench.sections.changes_words import event_words, model_words, sides_words, where_words
from devbench.sections.comparison_words import (
    certainty_words,
    interval_words,
    metric_words,
    quantity,
    signed,
    undecided_words,
)

if TYPE_CHECKING:
    from devbench.findings.changes import ChangesReport, Sides
    from devbench.findings.comparison import ComparedRow, ComparisonReport


def row_words(row: ComparedRow) -> str:
    """`latency 2.77 ms → 3.05 ms (+10.1 %, +9.2 to +11.0 %; slower: certain; by more than 1 %: certain)`."""
    found = row.comparison
    before, after = (quantity(side.median, row.unit) for side in (found.baseline, found.candidate))
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


def changes_lines(report: ChangesReport) -> list[str]:
    """What changed over the nights: `2026-11-20 unet on Pixel 8: 3 cases: latency +9.1 %; commit 4f2a → 91bc`."""
    found = [(one.sides, f"the whole device {one.device}", event_words(one)) for one in report.events]
    found += [(one.sides, f"{one.model} {where_words(one)}", model_words(one)) for one in report.models]
    found.sort(key=lambda one: one[0].at_utc)
    return [_line(sides, f"{what}: {words}") for sides, what, words in found]


def _line(sides: Sides, words: str) -> str:
    return "; ".join([f"{sides.at_utc:%Y-%m-%d} {words}", *sides_words(sides)])
