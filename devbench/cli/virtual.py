"""`devbench virtual`: virtual devices that stay until Ctrl-C, for other programs and for several runs."""

from __future__ import annotations

from typing import Annotated

import typer

_EPILOG = (
    "Examples:\n\n  devbench virtual\n\n  devbench virtual --count 4 --fault slow=1000000\n\n"
    "then, in another terminal:\n\n  devbench run demo --device 127.0.0.1:PORT"
)
_MOST = 64


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("virtual", epilog=_EPILOG, rich_help_panel="Prepare")(virtual)


def virtual(
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=_MOST, help="How many.")] = 1,
    fault: Annotated[
        str, typer.Option(help="How they misbehave: name=value, separated by commas (docs/virtual.md).")
    ] = "",
) -> None:
    """Start virtual devices, connect the adb server to them, and keep them until Ctrl-C."""
    import time

    from devbench.bench.targets import open_targets
    from devbench.cli.output import console

    try:
        with open_targets([f"virtual:{count}"], fault) as devices:
            for device in devices:
                console().print(device.serial, markup=False)
            console(stderr=True).print("[dim]Ctrl-C ends them[/dim]")
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        # The only way to end it, so it is no interruption.
        return
