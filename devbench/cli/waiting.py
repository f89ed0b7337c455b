"""The option `--wait` of every command that runs the tool on a device."""

from __future__ import annotations

from typing import Annotated

import typer

WaitOption = Annotated[
    str | None,
    typer.Option(
        "--wait",
        metavar="TIME",
        help="Wait up to this long for a device that another run has, such as 90s, 10m or 2h. Default: do not.",
    ),
]
