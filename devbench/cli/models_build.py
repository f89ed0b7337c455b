"""`devbench models build`: models that devbench makes itself, Stable Diffusion's three submodels among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from devbench.models.mobile_sd.build import BuildRequest

EPILOG = (
    "Examples:\n\n  devbench models build small-unet --out small_unet.tflite\n\n"
    "  devbench models build mobile-sd --scale tiny --variant mobile --out models/\n\n"
    "  devbench models build mobile-sd --scale full --precision fp16 --variant mobile --out sd21/\n\n"
    "  devbench models build mobile-sd --weights stable-diffusion-2-1/ --out sd21/"
)
_NAMES = ("small-unet", "small-cnn", "mobile-sd")
_SCALES = ("full", "small", "tiny")
_PRECISIONS = ("fp32", "fp16", "w8")
_VARIANTS = ("baseline", "mobile")


def _complete(words: tuple[str, ...]) -> Callable[[str], list[str]]:
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


def build(
    name: Annotated[str, typer.Argument(help="small-unet, small-cnn, or mobile-sd.", autocompletion=_complete(_NAMES))],
    out: Annotated[Path, typer.Option(help="The .tflite file to write; of mobile-sd the folder.")],
    scale: Annotated[
        str, typer.Option(help="mobile-sd: full, small or tiny.", autocompletion=_complete(_SCALES))
    ] = "full",
    precision: Annotated[
        str, typer.Option(help="mobile-sd: fp32, fp16 or w8 (int8 weights).", autocompletion=_complete(_PRECISIONS))
    ] = "fp32",
    variant: Annotated[
        str,
        typer.Option(
            help="mobile-sd: baseline, as converted, or mobile, rewritten for GPU delegates.",
            autocompletion=_complete(_VARIANTS),
        ),
    ] = "baseline",
    weights: Annotated[
        Path | None, typer.Option(help="mobile-sd: a diffusers checkpoint's folder. Default: seeded random weights.")
    ] = None,
    submodel: Annotated[
        list[str] | None, typer.Option(help="mobile-sd: only text_encoder, unet or image_decoder; may be given again.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="mobile-sd: U-Net steps of the pipeline written beside.")] = 20,
    guidance: Annotated[
        bool, typer.Option("--guidance/--no-guidance", help="mobile-sd: two U-Net runs a step, or one (distilled).")
    ] = False,
    inputs: Annotated[int, typer.Option(min=0, help="mobile-sd: sets of inputs compared after rewriting.")] = 1,
) -> None:
    """Build a model with TensorFlow and write it as .tflite (needs the extra `models`).

    mobile-sd writes the text encoder, the U-Net and the image decoder of Stable Diffusion 2.1 into a folder, and a
    pipeline file beside them for `devbench run --pipeline`. At full scale that takes minutes and 5 GB of disk.
    """
    from devbench.errors import InputError

    if name != "mobile-sd":
        from devbench.models.build import build as build_model

        size_bytes = build_model(name, out)
        typer.echo(f"{out}: {size_bytes / 1e6:.2f} MB")
        return
    for option, value, known in (
        ("--scale", scale, _SCALES), ("--precision", precision, _PRECISIONS), ("--variant", variant, _VARIANTS),
    ):  # fmt: skip
        if value not in known:
            raise InputError(f"{option} {value}: there is none such", hint=", ".join(known))
    from devbench.models.mobile_sd.build import BuildRequest, write_pipeline

    wanted = BuildRequest(scale, precision, variant, weights, tuple(submodel or ()), inputs)
    _build_mobile_sd(wanted, out)
    if not submodel:
        typer.echo(f"{write_pipeline(out, wanted, steps, guidance)}: for `devbench run --pipeline`")


def _build_mobile_sd(wanted: BuildRequest, out: Path) -> None:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from devbench.cli.output import console
    from devbench.models.mobile_sd.build import build_mobile_sd

    columns = (TextColumn("{task.fields[submodel]}"), BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, TimeElapsedColumn(), console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=1.0, submodel="")

        def tell(submodel: str, what: str, part: float) -> None:
            progress.update(task, submodel=submodel, description=what, completed=part)

        lines = []
        try:
            for made in build_mobile_sd(wanted, out, tell):
                error = ""
                if made.relative_error is not None:
                    error = f", outputs within {made.relative_error:.1g} of float32's as converted"
                lines.append(
                    f"{made.path}: {made.size_bytes / 1e6:.1f} MB{error}; "
                    f"{made.took_s:.0f} s, {made.peak_bytes / 1e9:.2f} GB at most"
                )
        finally:
            progress.stop()
            for line in lines:
                typer.echo(line)
