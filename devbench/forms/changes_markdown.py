"""What changed over the history, as Markdown; knows no store. Every text from outside is made inert."""

from __future__ import annotations

from devbench.findings.changes import ChangesReport
from devbench.findings.run import VIRTUAL_NOTE
from devbench.sections.changes_words import (
    drift_words,
    event_words,
    model_words,
    sides_words,
    summary_words,
    where_words,
)
from devbench.text import for_markdown as _text


def changes_markdown(report: ChangesReport, *, heading: str = "#") -> str:
    """A table of the events of devices and of the changes of models."""
    lines = [f"{heading} {_text(summary_words(report)).capitalize()}", ""]
    if report.virtual:
        lines += [f"**{VIRTUAL_NOTE.capitalize()}.**", ""]
    lines += [line for drift in report.drifts for line in (_text(drift_words(drift)), "")]
    rows = [(one.sides, f"the whole device {one.device}", event_words(one), one.worse) for one in report.events]
    rows += [(one.sides, f"{one.model} {where_words(one)}", model_words(one), one.worse) for one in report.models]
    if rows:
        lines += ["| date | what | change | | what else changed |", "|---|---|---|---|---|"]
    for sides, what, words, worse in rows:
        with_it = "; ".join(_text(line, 600) for line in sides_words(sides))
        verdict = "worse" if worse else "better"
        lines.append(f"| {sides.at_utc:%Y-%m-%d} | {_text(what)} | {_text(words)} | {verdict} | {with_it} |")
    return "\n".join([*lines, ""])
