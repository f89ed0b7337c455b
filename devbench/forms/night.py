"""A night in a few lines: Markdown for a CI's page, and text for a chat. Knows no store and no network.

Everything from outside is made inert: in Markdown by a backslash, in the chat by `text.for_chat`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from devbench.forms.notices import chat_notices, line_notices, summary_notices
from devbench.sections.changes_words import changes_lines
from devbench.sections.comparison_words import (
    explanation_words,
    failure_words,
    row_words,
    summary_words,
)
from devbench.sections.notices import notice_lines
from devbench.text import clean, for_chat, for_markdown

if TYPE_CHECKING:
    from devbench.findings.comparison import CaseOnDevice
    from devbench.findings.night import NightResult

_MOST_ROWS = 50
_MOST_IN_CHAT = 8


def render_summary(result: NightResult) -> str:
    """The night as Markdown."""
    lines = [f"## devbench nightly · {for_markdown(result.suite)} · {result.night}: {result.headline}", ""]
    report = result.report
    if report is not None:
        lines += [f"Run `{report.run_id}` on {for_markdown(', '.join(device.title for device in report.devices))}.", ""]
    if result.comparison is not None:
        baseline = for_markdown(result.comparison.baseline.title)
        lines += [f"Compared with {baseline}: {summary_words(result.comparison)}.", ""]
    lines += summary_notices(notice_lines(result))
    for title, found in _sections(result, for_markdown):
        lines += [f"### {title}", "", *(f"- {line}" for line in found[:_MOST_ROWS])]
        if len(found) > _MOST_ROWS:
            lines.append(f"- {len(found) - _MOST_ROWS} more in the report")
        lines.append("")
    return "\n".join(lines)


def render_message(result: NightResult, where: str = "") -> str:
    """The night as a chat shows it; `where` is a link to the report, as a CI knows it."""
    sign = "❌" if result.exit_code else "⚠️" if result.undecided else "✅"
    lines = [f"{sign} *devbench nightly* {for_chat(result.suite)} {result.night}: {result.headline}"]
    lines += chat_notices(notice_lines(result))
    for title, found in _sections(result, for_chat):
        lines += [f"*{title}*", *(f"• {line}" for line in found[:_MOST_IN_CHAT])]
        if len(found) > _MOST_IN_CHAT:
            lines.append(f"• {len(found) - _MOST_IN_CHAT} more in the report")
    if where:
        lines.append(f"Report: {for_chat(where)}")
    return "\n".join(lines)


def render_lines(result: NightResult) -> list[str]:
    """The night as lines of a terminal, the verdict first."""
    lines = [f"{clean(result.suite)} · {result.night}: {result.headline}"]
    lines += line_notices(notice_lines(result))
    for title, found in _sections(result, clean):
        lines += [title, *(f"  {line}" for line in found)]
    return lines


def _sections(result: NightResult, harmless: Callable[[str], str]) -> list[tuple[str, list[str]]]:
    """What a reader has to know, each with its lines; what is empty is left out."""

    def where(case: CaseOnDevice) -> str:
        return harmless(f"{case.device} · {case.case}")

    regressed = [
        "; ".join([f"{where(row)}: {harmless(row_words(row))}", *map(harmless, explanation_words(row))])
        for row in result.regressed
    ]
    failed = []
    for job in result.failed:
        why = "; ".join(f"{kind} ({count}×): {message}" for kind, message, count in job.failures) or "not run"
        failed.append(f"{harmless(f'{job.job.device.title} · {job.subject} · {job.title}')}: {harmless(why)}")
    absent = {name: f"{harmless(name)}: {harmless(str(error))}" for name, error in result.absent.items()}
    missing = [line for name, line in absent.items() if name not in result.busy]
    busy = [line for name, line in absent.items() if name in result.busy]
    sections = [("Regressions", regressed), ("Failed jobs", failed), ("Missing devices", missing)]
    sections.append(("Busy devices", busy))
    if result.comparison is not None:
        broken = [f"{where(one)}: {harmless(failure_words(one))}" for one in result.comparison.failures]
        improved = [f"{where(row)}: {harmless(row_words(row))}" for row in result.comparison.of("improved")]
        small = [f"{where(row)}: {harmless(row_words(row))}" for row in result.comparison.small]
        sections += [("Worked before", broken), ("Improved", improved), ("Changed by less than the threshold", small)]
    if result.changes is not None:
        sections.append(("Changes over the nights", [harmless(line) for line in changes_lines(result.changes)]))
    return [(title, lines) for title, lines in sections if lines]
