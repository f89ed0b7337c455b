"""`devbench models`: models that devbench builds, what is in a model, and what can be made of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devbench.cli import models_inspect, models_rewrite
from devbench.cli.output import console, plain, print_json, print_table, say, status
from devbench.cli.takes import JsonOption
from devbench.cli.usage import one_of, several_of
from devbench.models.mobile_sd import SUBMODELS
from devbench.sections.tables import Cell, Column

if TYPE_CHECKING:
    from devbench.models.mobile_sd.build import BuildRequest
    from devbench.models.rewrites.apply import Precision

_BUILD = (
    "Examples:\n\n  devbench models build small-unet --out small_unet.tflite\n\n"
    "  devbench models build mobile-sd --scale tiny --variant mobile --out models/\n\n"
    "  devbench models build mobile-sd --scale full --precision fp16 --variant mobile --out sd21/\n\n"
    "  devbench models build mobile-sd --weights stable-diffusion-2-1/ --out sd21/"
)
_PRECISIONS = (
    "Examples:\n\n  devbench models precisions model.tflite\n\n"
    "  devbench models precisions unet.tflite image_decoder.tflite --inputs 3 --json"
)
_CHOICES = {
    "name": ("small-unet", "small-cnn", "mobile-sd"), "--scale": ("full", "small", "tiny"),
    "--precision": ("fp32", "fp16", "w8"), "--variant": ("baseline", "mobile"),
    "--submodel": tuple(SUBMODELS),
}  # fmt: skip
app = typer.Typer(
    name="models",
    help="Look into models, check and rewrite them for a GPU, build models to measure.",
    rich_help_panel="Prepare",
)
app.command("inspect", epilog=models_inspect.INSPECT)(models_inspect.inspect)
app.command("gpu-check", epilog=models_inspect.GPU_CHECK)(models_inspect.gpu_check)
app.command("rewrite", epilog=models_rewrite.EPILOG)(models_rewrite.rewrite)


def _option(option: str, text: str) -> Any:
    """An option that takes some words."""
    words = _CHOICES[option]
    return typer.Option(
        option, metavar="|".join(words), help=text,
        autocompletion=lambda incomplete: [word for word in words if word.startswith(incomplete)],
    )  # fmt: skip


@app.command("build", epilog=_BUILD)
def build(
    name: Annotated[
        str,
        typer.Argument(
            metavar="|".join(_CHOICES["name"]),
            help="Which model.",
            autocompletion=lambda incomplete: [word for word in _CHOICES["name"] if word.startswith(incomplete)],
        ),
    ],
    out: Annotated[Path, typer.Option(help="The .tflite file to write; for mobile-sd the folder.")],
    scale: Annotated[str, _option("--scale", "mobile-sd: the size of the submodels.")] = "full",
    precision: Annotated[str, _option("--precision", "mobile-sd: precision of the weights; w8 is int8.")] = "fp32",
    variant: Annotated[
        str, _option("--variant", "mobile-sd: as converted, or rewritten for GPU delegates.")
    ] = "baseline",
    weights: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="mobile-sd: a diffusers checkpoint. Default: seeded random weights."),
    ] = None,
    submodel: Annotated[
        list[str] | None, _option("--submodel", "mobile-sd: only this submodel; may be given again.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="mobile-sd: U-Net steps in the pipeline's file.")] = 20,
    guidance: Annotated[
        bool, typer.Option("--guidance/--no-guidance", help="mobile-sd: two U-Net runs per step, or one (distilled).")
    ] = False,
    inputs: Annotated[int, typer.Option(min=0, help="mobile-sd: sets of inputs compared after rewriting.")] = 1,
    prune_share: Annotated[
        float,
        typer.Option(
            min=0.0, max=0.95, help="mobile-sd: the share of the U-Net's parameters to remove from its largest layers."
        ),
    ] = 0.0,
) -> None:
    """Build a model with TensorFlow and write it as .tflite (needs the extra `models`).

    mobile-sd writes the text encoder, the image encoder (for image to image), the U-Net and the image decoder of
    Stable Diffusion 2.1 into a folder, and a pipeline's file for `devbench run --pipeline`. At full scale that takes
    minutes and 5 GB of disk.
    """
    if one_of("model", name, _CHOICES["name"]) != "mobile-sd":
        from devbench.models.build import build as build_model

        size_bytes = build_model(name, out)
        typer.echo(f"{out}: {size_bytes / 1e6:.2f} MB")
        return
    for option, value in (("--scale", scale), ("--precision", precision), ("--variant", variant)):
        one_of(option, value, _CHOICES[option])
    from devbench.models.mobile_sd.build import BuildRequest, write_pipelines

    submodels = several_of("--submodel", submodel, _CHOICES["--submodel"])
    wanted = BuildRequest(scale, precision, variant, weights, submodels, inputs, prune_share)
    _build_mobile_sd(wanted, out)
    if not submodels:
        for path in write_pipelines(out, wanted, steps, guidance):
            typer.echo(f"{path}: for `devbench run --pipeline`")


def _build_mobile_sd(wanted: BuildRequest, out: Path) -> None:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from devbench.models.mobile_sd.build import build_mobile_sd

    columns = (TextColumn("{task.fields[submodel]}"), BarColumn(), TextColumn("{task.description}"))
    lines = []
    try:
        with Progress(*columns, TimeElapsedColumn(), console=console(stderr=True), transient=True) as progress:
            task = progress.add_task("", total=1.0, submodel="")

            def tell(submodel: str, what: str, part: float) -> None:
                progress.update(task, submodel=submodel, description=what, completed=part)

            for made in build_mobile_sd(wanted, out, tell):
                error = ""
                if made.relative_error is not None:
                    error = f", outputs within {made.relative_error:.1g} of float32's as converted"
                lines.append(
                    f"{made.path}: {made.size_bytes / 1e6:.1f} MB{error}; "
                    f"{made.took_s:.0f} s, {made.peak_bytes / 1e9:.2f} GB at most"
                )
    finally:
        for line in lines:
            typer.echo(line)


@app.command("precisions", epilog=_PRECISIONS)
def precisions(
    models: Annotated[list[str], typer.Argument(metavar="MODEL", help="The .tflite files, with float32 weights.")],
    inputs: Annotated[int, typer.Option(min=1, max=100, help="Sets of generated inputs to compare.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Compare file size, peak memory and outputs of a model with float32, fp16 and int8 weights on this computer.

    LiteRT's CPU kernels dequantise weight-only int8 (w8) at the start: its file is the smallest, but its process may
    use the most memory. int8 needs the extra `models`.
    """
    from devbench.models.files import model_path
    from devbench.models.rewrites.apply import precisions as rows_of

    found: list[tuple[str, list[Precision]]] = []
    for given in models:
        path = model_path(given)
        with status(path.name) as tell:
            found.append((path.stem, list(rows_of(path, inputs=inputs, tell=tell))))
    if as_json:
        print_json({"format": 1, "models": [_as_json(name, rows) for name, rows in found]})
        return
    _print_precisions(found)


def _as_json(name: str, rows: Sequence[Precision]) -> dict[str, Any]:
    listed = [{**asdict(row), "snr_db": row.snr_db if math.isfinite(row.snr_db) else None} for row in rows]
    return {"model": name, "precisions": listed}


def _print_precisions(found: Sequence[tuple[str, Sequence[Precision]]]) -> None:
    half = {name: next(row for row in rows if row.weights == "fp16") for name, rows in found}

    def larger(row: tuple[str, Precision]) -> bool:
        return row[1].weights == "weight-only int8" and row[1].peak_bytes > half[row[0]].peak_bytes

    columns: tuple[Column[tuple[str, Precision]], ...] = (
        Column("model", lambda row: row[0], role="name"),
        Column("weights", lambda row: row[1].weights, role="name"),
        Column("file MB", lambda row: f"{row[1].size_bytes / 1e6:,.1f}", numeric=True),
        Column(
            "peak MB",
            lambda row: Cell(f"{row[1].peak_bytes / 1e6:,.0f}", kind="warn" if larger(row) else ""),
            numeric=True,
        ),
        Column("start s", lambda row: f"{row[1].init_s:.2f}", numeric=True, hidden=1),
        Column("run s", lambda row: f"{row[1].run_s:.2f}", numeric=True, hidden=2),
        Column("relative error", lambda row: f"{row[1].relative:.1g}", numeric=True),
        Column(
            "from weight-only",
            lambda row: "" if row[1].to_weight_only is None else f"{row[1].to_weight_only:.1g}",
            numeric=True,
        ),
        Column("SNR dB", lambda row: f"{row[1].snr_db:.1f}" if math.isfinite(row[1].snr_db) else "", numeric=True),
    )
    pairs = [(name, row) for name, rows in found for row in rows]
    print_table(columns, pairs)
    for name, row in filter(larger, pairs):
        say(
            f"[yellow]{plain(name, 60)}: weight-only int8 has the smaller file but uses "
            f"{row.peak_bytes / half[name].peak_bytes - 1:.0%} more memory than fp16: LiteRT dequantises it at the "
            "start[/yellow]"
        )
    say("[dim]On this computer's CPU by LiteRT with XNNPACK; peak memory includes Python and LiteRT.[/dim]")
