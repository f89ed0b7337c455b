"""A comparison in a terminal, readable from 60 columns on; knows no store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.text import Text

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
from devbench.text import clean

if TYPE_CHECKING:
    from rich.console import Console

_COLOURS: dict[Verdict, str] = {"regressed": "red", "improved": "green", "undecided": "yellow", "unchanged": "dim"}
_MOST_ROWS = 20
_LEAST_WIDTH = 60
_GAP = "  "


def print_comparison(report: ComparisonReport, console: Console, *, everything: bool = False) -> None:
    """Print the verdicts, worst first; of undecided and unchanged rows all are listed with `everything` only."""
    for name, runs in (("baseline", report.baseline), ("candidate", report.candidate)):
        console.print(f"{name:9} {_text(runs_words(runs))}", soft_wrap=True)
    if report.virtual:
        console.print(f"[magenta]{VIRTUAL_NOTE}[/magenta]", soft_wrap=True)
    if report.medians:
        console.print("[dim]a side has many runs: what is compared are the medians of runs[/dim]", soft_wrap=True)
    for line in (*map(drift_words, report.drifts), *report.notes):
        console.print(f"[cyan]{_text(line)}[/cyan]", soft_wrap=True)
    bad = report.regressed
    console.print(f"\n[bold {'red' if bad else 'green'}]{summary_words(report)}[/]", soft_wrap=True)
    for failure in report.failures:
        where = f"{_text(failure.case)} on {_text(failure.device)}"
        console.print(f"[red]✗ {where} now fails:[/red] {_text(failure_words(failure))}", soft_wrap=True)
    for failure in report.fixed:
        console.print(f"[green]✓ {_text(failure.case)} on {_text(failure.device)} works again[/green]", soft_wrap=True)
    for notice in report.notices[: None if everything else _MOST_ROWS]:
        console.print(f"[yellow]! {_text(notice_words(notice), 500)}[/yellow]", soft_wrap=True)
    if len(report.notices) > _MOST_ROWS and not everything:
        console.print(f"[dim]… and {len(report.notices) - _MOST_ROWS} more notices: --all lists them[/dim]")
    last: dict[Verdict, Callable[[ComparedRow], str]] = {"undecided": lambda row: needs_words(row, report)}
    for name, verdict, rows in sections(report, everything=everything):
        most = None if everything or verdict == "regressed" else _MOST_ROWS
        _section(console, name, verdict, rows, last.get(verdict, interval_words), most)
    for line in one_sided_words(report, everything=everything):
        console.print(f"[dim]{_text(line, 2000)}[/dim]", soft_wrap=True)


def _section(
    console: Console,
    name: str,
    verdict: Verdict,
    rows: Sequence[ComparedRow],
    last: Callable[[ComparedRow], str],
    most: int | None,
) -> None:
    shown = sorted(rows[:most], key=lambda row: row.device)
    for device, of in groupby(shown, key=lambda row: row.device):
        console.print(f"\n[bold]{name} on {_text(device)}[/bold]", soft_wrap=True)
        _rows(console, verdict, list(of), last)
    left = len(rows) - len(shown)
    if left:
        console.print(f"[dim]… and {left} more: --all lists them[/dim]")


def _rows(console: Console, verdict: Verdict, rows: Sequence[ComparedRow], last: Callable[[ComparedRow], str]) -> None:
    """Each row's numbers under each other; its name beside them where there is room, else above."""
    table = [
        (
            quantity(row.comparison.baseline.median, row.metric),
            "→",
            quantity(row.comparison.candidate.median, row.metric),
            change_words(row),
            last(row),
        )
        for row in rows
    ]
    widths = [max(len(cells[k]) for cells in table) for k in range(5)]
    width = max(console.width, _LEAST_WIDTH)
    names = [clean(f"{row.case} · {metric_words(row.metric, row.operator_type)}", 300) for row in rows]
    room = min(width - sum(widths) - len(_GAP) * 6, max(map(len, names)))
    for row, name, cells in zip(rows, names, table, strict=True):
        numbers = Text(_GAP.join(f"{cell:>{widths[k]}}" if k < 4 else cell for k, cell in enumerate(cells)).rstrip())
        numbers.stylize(_COLOURS[verdict], len(_GAP.join(" " * w for w in widths[:3])))
        line = Text(f"{_GAP}{name}")
        if len(name) > room:
            console.print(line, soft_wrap=True)
            line = Text(_GAP)
            name = ""
        line.append(" " * (max(room, 0) - len(name)) + _GAP)
        line.append_text(numbers)
        console.print(line, soft_wrap=True)
        certainty = certainty_words(row) if row.comparison.direction else ""
        for words in (*([certainty] if certainty else []), *explanation_words(row)):
            console.print(f"      [dim]{_text(words)}[/dim]", soft_wrap=True)


def _text(text: str, most: int = 300) -> str:
    return escape(clean(text, most))
