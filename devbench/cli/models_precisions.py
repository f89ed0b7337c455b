"""`devbench models precisions`: what smaller weights bring and cost, size beside peak memory beside output error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from devbench.models.rewrites.steps import Precision

EPILOG = (
    "Examples:\n\n  devbench models precisions model.tflite\n\n"
    "  devbench models precisions unet.tflite image_decoder.tflite --inputs 3 --json"
)


def precisions(
    models: Annotated[list[str], typer.Argument(help="The .tflite files, with float32 weights.")],
    inputs: Annotated[int, typer.Option(min=1, max=100, help="Sets of generated inputs that are compared.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare a model's file, peak memory and outputs with float32, fp16 and int8 weights on this machine.

    Weight-only int8 (w8) is dequantised at the start by LiteRT's CPU kernels: its file is the smallest, its process
    may be the largest. Needs the extra `models` for int8.
    """
    from devbench.cli.output import console, plain
    from devbench.models.files import model_path
    from devbench.models.rewrites.steps import precisions as rows_of

    found: list[tuple[str, list[Precision]]] = []
    for given in models:
        path = model_path(given)
        with console(stderr=True).status(plain(path.name)) as status:
            name = plain(path.name)
            made = rows_of(path, inputs=inputs, tell=lambda what, name=name: status.update(f"{name}: {what}"))  # type: ignore[misc]
            found.append((path.stem, list(made)))
    if as_json:
        import json

        typer.echo(json.dumps({"format": 1, "models": [_as_json(name, rows) for name, rows in found]}, indent=2))
        return
    _print(found)


def _as_json(name: str, rows: Sequence[Precision]) -> dict[str, Any]:
    listed = [{**asdict(row), "snr_db": row.snr_db if math.isfinite(row.snr_db) else None} for row in rows]
    return {"model": name, "precisions": listed}


def _more(row: Precision, other: Precision) -> str:
    return f"{row.peak_bytes / other.peak_bytes - 1:.0%}"


def _print(found: Sequence[tuple[str, Sequence[Precision]]]) -> None:
    from rich.table import Table

    from devbench.cli.output import console, plain

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("model", "weights"):
        table.add_column(column)
    for column in ("file MB", "peak MB", "start s", "a run s", "relative error", "SNR dB"):
        table.add_column(column, justify="right")
    show = console()
    notes = []
    for name, rows in found:
        half = next(row for row in rows if row.weights == "fp16")
        for row in rows:
            larger = row.weights == "weight-only int8" and row.peak_bytes > half.peak_bytes
            peak = f"{row.peak_bytes / 1e6:,.0f}"
            peak = f"[yellow]{peak}[/yellow]" if larger else peak
            table.add_row(
                plain(name, 60), row.weights, f"{row.size_bytes / 1e6:,.1f}", peak,
                f"{row.init_s:.2f}", f"{row.run_s:.2f}", f"{row.relative:.1g}",
                f"{row.snr_db:.1f}" if math.isfinite(row.snr_db) else "",
            )  # fmt: skip
            if larger:
                notes.append(
                    f"{plain(name, 60)}: weight-only int8 has the smaller file and takes {_more(row, half)} more "
                    "memory than fp16: LiteRT dequantises it at the start"
                )
    show.print(table)
    for note in notes:
        show.print(f"[yellow]{note}[/yellow]")
    show.print("[dim]On this machine's CPU by LiteRT with XNNPACK; peaks hold Python and LiteRT themselves.[/dim]")
