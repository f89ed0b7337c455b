"""`devbench detect`: change points in a column of a plain file, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from devbench.analysis.changes import ChangePoint, ChangeSettings
    from devbench.cli.csv_column import Column

_EPILOG = (
    "Examples:\n\n"
    "  devbench detect --csv nightly.csv --column latency_ms\n\n"
    "  devbench detect --csv nightly.csv --column latency_ms --json | jq '.change_points'\n\n"
    "  devbench detect --csv nightly.csv --column latency_ms --index date --fail-on up\n\n"
    "  zcat history.csv.gz | devbench detect --csv - --column 3 --smallest 2%"
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("detect", epilog=_EPILOG, rich_help_panel="Results")(detect)


def detect(
    csv: Annotated[
        Path | None,
        typer.Option("--csv", help="A table with a line of names, the oldest row first; `-` is standard input."),
    ] = None,
    column: Annotated[
        str | None, typer.Option("--column", help="Name or number (from 1) of the column; needed where there are more.")
    ] = None,
    index: Annotated[
        str | None, typer.Option("--index", help="Column to be shown beside each change, such as a date or a commit.")
    ] = None,
    smallest: Annotated[
        str, typer.Option("--smallest", metavar="PCT", help="The smallest change that counts.")
    ] = "0.5%",
    alpha: Annotated[
        float, typer.Option("--alpha", help="Probability of a change anywhere in a series that has none.")
    ] = 0.001,
    fail_on: Annotated[
        str | None, typer.Option("--fail-on", metavar="up|down|any", help="Exit with 1 where there is such a change.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object (docs/detection.md has its keys).")
    ] = False,
) -> None:
    """Find where a series changed its level for good.

    Outliers, gaps (empty cells, NaN) and slow drift are no change. Exit code 0 whatever is found; with --fail-on 1
    where such a change is among them; 2 where the file, the column or an option is wrong.
    """
    from devbench.errors import EXIT_FAILED, InputError

    if fail_on not in (None, "up", "down", "any"):
        raise InputError(f"--fail-on {fail_on!r} is unknown", hint="give up, down or any")
    rules = _rules(smallest, alpha)
    if csv is None:
        raise InputError("nothing to look at", hint="give --csv FILE and --column NAME")
    found = _of_file(csv, column, index, rules, as_json=as_json)
    if fail_on is not None and any(fail_on in ("any", one.direction) for one in found):
        raise typer.Exit(EXIT_FAILED)


def _of_file(
    csv: Path, column: str | None, index: str | None, rules: ChangeSettings, *, as_json: bool
) -> Sequence[ChangePoint]:
    from devbench.analysis.changes import change_points
    from devbench.cli.csv_column import read_column

    read = read_column(csv, column, index)
    found = change_points(read.values, rules)
    if as_json:
        import json

        typer.echo(json.dumps(to_json(read, found), indent=2, allow_nan=False))
    else:
        _print(read, found)
    return found


def _rules(smallest: str, alpha: float) -> ChangeSettings:
    from devbench.analysis.changes import ChangeSettings
    from devbench.errors import InputError

    try:
        share = float(smallest.strip().removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 10:
        raise InputError(f"--smallest {smallest!r} is not a percentage", hint="give for instance 2%")
    if not 0 < alpha < 1:
        raise InputError(f"--alpha {alpha:g} is not a probability", hint="give a number between 0 and 1, such as 0.001")
    return ChangeSettings(alpha=alpha, smallest=share)


def to_json(read: Column, found: Sequence[ChangePoint]) -> dict[str, Any]:
    """What `--json` prints; the keys are those of docs/detection.md."""
    return {
        "change_points": [one.index for one in found],
        "changes": [
            {
                "index": one.index,
                "at": read.labels[one.index] if read.labels else None,
                "direction": one.direction,
                "size": one.size,
                "before": one.before,
                "after": one.after,
                "p": one.p,
                "confidence": one.confidence,
                "points_before": one.points_before,
                "points_after": one.points_after,
            }
            for one in found
        ],
        "column": read.name,
        "rows": len(read.values),
        "gaps": read.gaps,
    }


def _print(read: Column, found: Sequence[ChangePoint]) -> None:
    from rich.table import Table

    from devbench.cli.output import console, plain

    screen = console()
    gaps = f", {read.gaps} of them without a number" if read.gaps else ""
    where = f"in {plain(read.name, 60)}: {len(read.values)} rows{gaps}"
    if not found:
        screen.print(f"no change {where}", soft_wrap=True)
        return
    word = "change" if len(found) == 1 else "changes"
    screen.print(f"{len(found)} {word} {where}", soft_wrap=True)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("index", justify="right")
    if read.labels:
        table.add_column("at", overflow="fold")
    for name in ("change", "before", "after", "p", "points"):
        table.add_column(name, justify="right")
    for one in found:
        at = [plain(read.labels[one.index], 40)] if read.labels else []
        size = f"{100 * one.size:+.2f} %" if one.size is not None else one.direction
        p = f"{one.p:.2g}" if one.p >= 1e-12 else "< 1e-12"
        points = f"{one.points_before} | {one.points_after}"
        table.add_row(str(one.index), *at, size, f"{one.before:.6g}", f"{one.after:.6g}", p, points)
    screen.print(table)
