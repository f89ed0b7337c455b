"""`devbench parse`: a log of the stock tool that people already have, as a table or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.output import plain, print_facts, print_json, print_table
from devbench.errors import EXIT_FAILED, DevbenchError
from devbench.sections.tables import Column

if TYPE_CHECKING:
    from devbench.tool.measurement import Measurement, OpTypeRow

_EPILOG = (
    "Examples:\n\n"
    "  devbench parse benchmark.log\n\n"
    "  adb logcat -d -s tflite | devbench parse - --json\n\n"
    "  devbench parse profile.pb --json | jq '.profile.runs.by_type'\n\n"
    "Exit codes: 0 the file has lines of benchmark_model; 1 it has none, or with --check the run failed; 2 wrong input."
)
_MAX_ROWS = 15
app = typer.Typer()


@app.command("parse", epilog=_EPILOG, rich_help_panel="Results")
def parse(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Output, CSV or profile of benchmark_model; `-` is standard input."),
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 if the run failed or its output is incomplete.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object (docs/parse.md has its keys).")
    ] = False,
) -> None:
    """Read what benchmark_model printed: text, logcat, CSV or protobuf, of any version of the tool."""
    from devbench.tool.parse import parse_file, parse_stream, to_json

    measured = parse_stream(sys.stdin.buffer) if str(file) == "-" else parse_file(file)
    if not measured.recognised:
        name = "standard input" if str(file) == "-" else str(file)
        raise DevbenchError(f"no line of benchmark_model found in {name}", hint="docs/parse.md lists what can be read")
    if as_json:
        print_json(to_json(measured))
    else:
        print_facts(_facts(measured))
        for title, profile in (("initialisation", measured.profile_init), ("runs", measured.profile_runs)):
            if profile is not None and profile.by_type:
                _print_operators(f"operators of the {title}", profile.by_type[:_MAX_ROWS])
    if check and measured.status != "ok":
        raise typer.Exit(EXIT_FAILED)


def _facts(measured: Measurement) -> Iterator[tuple[str, str]]:
    colour = {"ok": "green", "failed": "red"}.get(measured.status, "yellow")
    yield "status", f"[{colour}]{measured.status}[/{colour}]"
    if measured.failure is not None:
        yield "failure", f"{measured.failure.kind.value}: {plain(measured.failure.message)}"
    yield "model", plain(measured.graph or "")
    for name, value in (
        ("init", measured.init_us), ("first inference", measured.first_inference_us),
        ("warm-up (avg)", measured.warmup_avg_us), ("inference (avg)", measured.inference_avg_us),
    ):  # fmt: skip
        yield name, _ms(value) and f"{_ms(value)} ms"
    runs = measured.runs
    if runs is not None and runs.count is not None:
        times = (("min", runs.min_us), ("median", runs.median_us), ("max", runs.max_us), ("std", runs.std_us))
        spread = ", ".join(f"{name} {_ms(value)}" for name, value in times if value is not None)
        yield "runs", f"{runs.count}{f' ({spread} ms)' if spread else ''}"
    memory = measured.memory
    sizes = (("init", memory.init_mb), ("overall", memory.overall_mb), ("peak", memory.peak_mb))
    yield "memory", ", ".join(f"{name} {value:g} MB" for name, value in sizes if value is not None)
    for use in measured.delegates:
        parts: list[str] = [use.applied or "unknown"]
        if use.nodes_delegated is not None:
            parts.append(f"{use.nodes_delegated} of {use.nodes_total} nodes")
        if use.kernels is not None:
            parts.append(f"{use.kernels} partitions")
        yield "delegate", f"{plain(use.name)}: {', '.join(parts)}"
    for op in measured.unsupported_ops[:_MAX_ROWS]:
        yield "not delegated", f"{plain(op.op)}: {plain(op.reason)}"
    for flag in measured.unknown_flags:
        yield "unknown flag", f"[yellow]{plain(flag)}[/yellow]"
    for warning in measured.warnings[:_MAX_ROWS]:
        yield "warning", f"[yellow]{plain(warning)}[/yellow]"


def _ms(value_us: float | None) -> str:
    return "" if value_us is None else f"{value_us / 1000:.3f}"


def _print_operators(title: str, rows: tuple[OpTypeRow, ...]) -> None:
    columns: tuple[Column[OpTypeRow], ...] = (
        Column("type", lambda row: row.type),
        Column("count", lambda row: str(row.count), numeric=True),
        Column("avg ms", lambda row: "" if row.avg_ms is None else f"{row.avg_ms:.3f}", numeric=True),
        Column("share", lambda row: "" if row.pct is None else f"{row.pct:.1f} %", numeric=True),
        Column("called", lambda row: "" if row.times_called is None else f"{row.times_called:g}", numeric=True),
    )
    print_table(columns, rows, title)
