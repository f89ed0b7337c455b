"""`devbench doctor`: whether everything is ready for measuring, and if not, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.output import plain, print_json, say
from devbench.errors import EXIT_FAILED

if TYPE_CHECKING:
    from devbench.host.checks import Check

_EPILOG = "Examples:\n\n  devbench doctor\n\n  devbench doctor --json"
_MARKS = {"ok": "[green]✓[/green]", "warning": "[yellow]![/yellow]", "bad": "[red]✗[/red]"}
app = typer.Typer()


@app.command("doctor", epilog=_EPILOG, rich_help_panel="Prepare")
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: a list, one entry per check.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, max=600, help="Seconds that each device has to answer.")] = 10.0,
) -> None:
    """Check adb, its server, devices, binaries and free space, and say how to fix what is wrong.

    Exit code 1 if something keeps devbench from measuring.
    """
    from devbench.bench.doctor import examine

    show_checks(examine(timeout), as_json=as_json, fix_key="mend")


def show_checks(checks: Sequence[Check], *, as_json: bool, fix_key: str = "fix") -> None:
    """Print the results of checks. `fix_key`: the key for the fix in JSON.

    Raises:
        typer.Exit: a check is bad.
    """
    if as_json:
        print_json(
            [{"subject": one.subject, "grade": one.grade, "words": one.words, fix_key: one.fix} for one in checks]
        )
    for one in [] if as_json else checks:
        fix = f" [dim]→ {plain(one.fix, 600)}[/dim]" if one.fix else ""
        say(f"{_MARKS[one.grade]} [bold]{plain(one.subject)}[/bold] {plain(one.words)}{fix}")
    if any(one.grade == "bad" for one in checks):
        raise typer.Exit(EXIT_FAILED)
