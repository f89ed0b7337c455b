"""`devbench serve`: the history of a store in a browser, on this machine alone."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

_EPILOG = "Examples:\n\n  devbench serve\n\n  devbench serve --port 8123 --store /srv/results.db"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("serve", epilog=_EPILOG, rich_help_panel="Results")(serve)


def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of 127.0.0.1; 0 takes a free one.")] = 8765,
    store_url: Annotated[str | None, typer.Option("--store", help="URL or file of the results store.")] = None,
) -> None:
    """Show runs, comparisons and the history of a store in a browser; read-only, 127.0.0.1 only, until Ctrl-C."""
    from devbench.serve.server import Server

    with Server(store_url, port) as server, contextlib.suppress(KeyboardInterrupt):
        typer.echo(f"{server.url}  (Ctrl-C ends it)")
        server.run()
    typer.echo("ended")
