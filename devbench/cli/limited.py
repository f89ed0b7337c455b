"""Options that are numbers, with the limits that suites have too; knows no command."""

from __future__ import annotations

from typing import Any

import typer

from devbench.bench.limits import LIMITS


def limited(name: str, *declarations: str, text: str, panel: str) -> Any:
    """A Typer option between the limits of `name` in `devbench/bench/limits.py`.

    Args:
        name: of the option, with underscores.
        declarations: its spellings, where they are not only the parameter's name.
        text: what it is for.
        panel: under which heading the help shows it.
    """
    limits = LIMITS[name]
    return typer.Option(*declarations, min=limits.least, max=limits.most, help=text, rich_help_panel=panel)
