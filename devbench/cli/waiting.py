"""The option `--wait` of every command that runs the tool on a device and takes no more of the catalogue."""

from __future__ import annotations

from typing import Annotated

from devbench.cli.takes import typer_option
from devbench.options import RunOptions

WaitOption = Annotated[str | None, typer_option(RunOptions, "wait")]
