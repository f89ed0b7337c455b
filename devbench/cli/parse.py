"""`devbench parse`: a log of the stock tool that people already have, as a table or as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from devbench.tool.measurement import Measurement, Profile

_EPILOG = (
    "Examples:\n\n"
    "  devbench parse benchmark.log\n\n"
    "  adb logcat -d -s tflite | devbench parse - --json\n\n"
    "  devbench parse profile.pb --json | jq '.profile.runs.by_type'"
)
_MOST_ROWS = 15


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("parse", epilog=_EPILOG, rich_help_panel="Results")(parse)


def parse(
    file: Annotated[
        Path, typer.Argument(help="Output, CSV or protobuf profile of benchmark_model; `-` is standard input.")
    ],
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 where the run did not end well.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object (docs/parse.md has its keys).")
    ] = False,
) -> None:
    """Read what a benchmark_model printed: text, logcat, CSV or protobuf of any version.

    Exit code 0 if the file has lines of the tool, whatever their content; 1 if it has none. With --check also 1 when
    the run failed or is incomplete.
    """
    import sys

    from devbench.errors import EXIT_FAILED, DevbenchError
    from devbench.tool.parse import parse_file, parse_stream, to_json

    measured = parse_stream(sys.stdin.buffer) if str(file) == "-" else parse_file(file)
    if not measured.recognised:
        name = "standard input" if str(file) == "-" else str(file)
        raise DevbenchError(f"no line of benchmark_model found in {name}", hint="docs/parse.md lists what can be read")
    if as_json:
        import json

        typer.echo(json.dumps(to_json(measured), indent=2, allow_nan=False))
    else:
        from devbench.cli.output import console

        _print(measured, console())
    if check and measured.status != "ok":
        raise typer.Exit(EXIT_FAILED)


def _print(measured: Measurement, screen: Console) -> None:
    from rich.table import Table

    from devbench.cli.output import plain

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    colour = {"ok": "green", "failed": "red"}.get(measured.status, "yellow")
    table.add_row("status", f"[{colour}]{measured.status}[/{colour}]")
    if measured.failure is not None:
        table.add_row("failure", f"{measured.failure.kind.value}: {plain(measured.failure.message)}")
    for name, value in _facts(measured):
        table.add_row(name, plain(value))
    for use in measured.delegates:
        parts: list[str] = [use.applied or "unknown"]
        if use.nodes_delegated is not None:
            parts.append(f"{use.nodes_delegated} of {use.nodes_total} nodes")
        if use.kernels is not None:
            parts.append(f"{use.kernels} partitions")
        table.add_row("delegate", f"{plain(use.name)}: {', '.join(parts)}")
    for op in measured.unsupported_ops[:_MOST_ROWS]:
        table.add_row("not delegated", f"{plain(op.op)}: {plain(op.reason)}")
    for flag in measured.unknown_flags:
        table.add_row("unknown flag", f"[yellow]{plain(flag)}[/yellow]")
    for warning in measured.warnings[:_MOST_ROWS]:
        table.add_row("warning", f"[yellow]{plain(warning)}[/yellow]")
    screen.print(table)
    for title, profile in (("initialisation", measured.profile_init), ("runs", measured.profile_runs)):
        if profile is not None and profile.by_type:
            screen.print(_by_type(title, profile))


def _facts(measured: Measurement) -> list[tuple[str, str]]:
    facts = [("model", measured.graph or "")]
    times = [
        ("init", measured.init_us),
        ("first inference", measured.first_inference_us),
        ("warm-up (avg)", measured.warmup_avg_us),
        ("inference (avg)", measured.inference_avg_us),
    ]
    facts += [(name, f"{value / 1000:.3f} ms") for name, value in times if value is not None]
    runs = measured.runs
    if runs is not None and runs.count is not None:
        spread = ", ".join(
            f"{name} {value / 1000:.3f}"
            for name, value in (
                ("min", runs.min_us),
                ("median", runs.median_us),
                ("max", runs.max_us),
                ("std", runs.std_us),
            )
            if value is not None
        )
        facts.append(("runs", f"{runs.count}{f' ({spread} ms)' if spread else ''}"))
    memory = measured.memory
    sizes = [("init", memory.init_mb), ("overall", memory.overall_mb), ("peak", memory.peak_mb)]
    words = ", ".join(f"{name} {value:g} MB" for name, value in sizes if value is not None)
    return [pair for pair in [*facts, ("memory", words)] if pair[1]]


def _by_type(title: str, profile: Profile) -> object:
    from rich.table import Table

    from devbench.cli.output import plain

    table = Table(
        title=f"operators of the {title}", box=None, header_style="bold", title_justify="left", pad_edge=False
    )
    table.add_column("type")
    for column in ("count", "avg ms", "share", "called"):
        table.add_column(column, justify="right")
    for row in profile.by_type[:_MOST_ROWS]:
        table.add_row(
            plain(row.type, 60),
            str(row.count),
            "" if row.avg_ms is None else f"{row.avg_ms:.3f}",
            "" if row.pct is None else f"{row.pct:.1f} %",
            "" if row.times_called is None else f"{row.times_called:g}",
        )
    return table
