"""A comparison as Markdown, for a pull request or a chat; knows no store. Every text from outside is made inert."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from devbench.analysis.compare import Verdict
from devbench.findings.comparison import ComparedRow, ComparisonReport
from devbench.findings.run import VIRTUAL_NOTE
from devbench.sections.comparison_words import (
    certainty_words,
    change_words,
    drift_words,
    explanation_words,
    failure_words,
    interval_words,
    metric_words,
    needs_words,
    notice_words,
    one_sided_words,
    quantity,
    runs_words,
    sections,
    summary_words,
)
from devbench.text import for_markdown as _text

_MOST_ROWS = 50


def comparison_markdown(report: ComparisonReport, *, everything: bool = False, heading: str = "#") -> str:
    """The comparison; of undecided and unchanged rows all are listed with `everything` only."""
    verdict = "Regressed" if report.regressed else "No verdict" if report.without_verdict else "No regression"
    lines = [f"{heading} {verdict}: {summary_words(report)}", ""]
    lines += [
        f"- baseline: {_text(runs_words(report.baseline))}",
        f"- candidate: {_text(runs_words(report.candidate))}",
    ]
    lines += [f"- {_text(line)}" for line in (*map(drift_words, report.drifts), *report.notes)]
    if report.virtual:
        lines += ["", f"**{VIRTUAL_NOTE.capitalize()}.**"]
    if report.failures or report.fixed or report.notices:
        lines.append("")
    for failure in report.failures:
        where = f"{_text(failure.case)} on {_text(failure.device)}"
        lines.append(f"- ✗ **{where} now fails**: {_text(failure_words(failure))}")
    lines += [f"- ⚠ {_text(notice_words(notice))}" for notice in report.notices[:_MOST_ROWS]]
    if len(report.notices) > _MOST_ROWS:
        lines.append(f"- … and {len(report.notices) - _MOST_ROWS} more notices")
    lines += [f"- ✓ {_text(one.case)} on {_text(one.device)} works again" for one in report.fixed]
    last: dict[Verdict, tuple[str, Callable[[ComparedRow], str]]] = {
        "undecided": ("would decide, or why nothing does", lambda row: needs_words(row, report))
    }
    for name, verdict, rows in sections(report, everything=everything):
        most = None if everything or verdict == "regressed" else _MOST_ROWS
        title, words = last.get(verdict, ("interval", interval_words))
        lines += _section(name, rows, title, words, most, heading)
    lines += [line for words in one_sided_words(report, everything=everything) for line in ("", _text(words))]
    return "\n".join([*lines, ""])


def _section(
    name: str,
    rows: Sequence[ComparedRow],
    title: str,
    words: Callable[[ComparedRow], str],
    most: int | None,
    heading: str,
) -> list[str]:
    if not rows:
        return []
    lines = ["", f"{heading}# {name.capitalize()}", ""]
    lines += [
        f"| device | case | metric | baseline | candidate | change | {title} | certain |",
        "|---|---|---|--:|--:|--:|---|---|",
    ]
    for row in rows[:most]:
        cells = [
            _text(row.device),
            _text(row.case),
            _text(metric_words(row.metric, row.operator_type)),
            quantity(row.comparison.baseline.median, row.metric),
            quantity(row.comparison.candidate.median, row.metric),
            change_words(row),
            _text(words(row)),
            certainty_words(row),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if most is not None and len(rows) > most:
        lines += ["", f"… and {len(rows) - most} more."]
    for row in rows:
        causes = explanation_words(row)
        if causes:
            name = f"{row.case} on {row.device}, {metric_words(row.metric)}"
            lines += ["", f"{_text(name)}:", "", *(f"- {_text(cause)}" for cause in causes)]
    return lines
