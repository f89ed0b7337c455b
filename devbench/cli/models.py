"""`devbench models`: the models that devbench builds itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Build models to measure.")
    group.command("build", epilog="Example:\n\n  devbench models build small-unet --out small_unet.tflite")(build)
    app.add_typer(group, name="models", rich_help_panel="Prepare")


def build(
    name: Annotated[str, typer.Argument(help="The model: small-unet or small-cnn.")],
    out: Annotated[Path, typer.Option(help="The .tflite file to write.")],
) -> None:
    """Build a model with TensorFlow and write it as .tflite (needs the extra `models`)."""
    from devbench.models.build import build as build_model

    size_bytes = build_model(name, out)
    typer.echo(f"{out}: {size_bytes / 1e6:.2f} MB")
