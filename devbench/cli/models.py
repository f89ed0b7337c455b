"""`devbench models`: the models that devbench builds itself, and what is in anybody's and can be made of it."""

from __future__ import annotations

import typer

from devbench.cli import models_build, models_inspect, models_precisions, models_rewrite


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Build models to measure, look into them, make them fit for a GPU.")
    group.command("build", epilog=models_build.EPILOG)(models_build.build)
    models_inspect.register(group)
    group.command("rewrite", epilog=models_rewrite.EPILOG)(models_rewrite.rewrite)
    group.command("precisions", epilog=models_precisions.EPILOG)(models_precisions.precisions)
    app.add_typer(group, name="models", rich_help_panel="Prepare")
