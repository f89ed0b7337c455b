"""What changed over the history, in a terminal; knows no store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from devbench.findings.changes import ChangesReport, Sides
from devbench.findings.run import VIRTUAL_NOTE
from devbench.sections.changes_words import (
    drift_words,
    event_words,
    model_words,
    sides_words,
    summary_words,
    where_words,
)
from devbench.text import clean

if TYPE_CHECKING:
    from rich.console import Console


def print_changes(report: ChangesReport, console: Console) -> None:
    """Print the events of devices, then the changes of models, each with its date and what else changed then."""
    console.print(f"[bold]{_text(summary_words(report))}[/bold]", soft_wrap=True)
    if report.virtual:
        console.print(f"[magenta]{VIRTUAL_NOTE}[/magenta]", soft_wrap=True)
    for drift in report.drifts:
        console.print(f"[cyan]{_text(drift_words(drift))}[/cyan]", soft_wrap=True)
    for event in report.events:
        where = f"the whole device {event.device}"
        _entry(console, event.sides, where, [event_words(event)], worse=event.worse)
    for change in report.models:
        _entry(
            console, change.sides, f"{change.model} {where_words(change)}", [model_words(change)], worse=change.worse
        )


def _entry(console: Console, sides: Sides, what: str, lines: Sequence[str], *, worse: bool) -> None:
    colour = "red" if worse else "green"
    console.print(f"\n[bold {colour}]{sides.at_utc:%Y-%m-%d}[/]  {_text(what)}", soft_wrap=True)
    for line in lines:
        console.print(f"            [{colour}]{_text(line)}[/]", soft_wrap=True)
    for line in sides_words(sides):
        console.print(f"            [dim]{_text(line, 600)}[/dim]", soft_wrap=True)


def _text(text: str, most: int = 300) -> str:
    return escape(clean(text, most))
