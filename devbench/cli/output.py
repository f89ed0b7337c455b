"""How the command line speaks: consoles, the one error line, text from devices made harmless."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from devbench.text import clean

if TYPE_CHECKING:
    from rich.console import Console

    from devbench.errors import DevbenchError


def console(*, stderr: bool = False) -> Console:
    """A Rich console that honours NO_COLOR and is wide enough for tables when its output is a file.

    Words between colons are names of devices and models, not of pictures.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, emoji=False, width=None if stream.isatty() else 140)


def plain(text: object, most: int = 400) -> str:
    """`text` on one line without control, ANSI or direction characters, and with Rich markup made inert."""
    from rich.markup import escape

    return escape(clean(text, most))


def print_error(error: DevbenchError) -> None:
    """`error: what` and its hint, on standard error; never wrapped, so that a log keeps it on one line."""
    for one in (error, *error.more):
        hint = f" [dim]→[/dim] {plain(one.hint, 1000)}" if one.hint else ""
        console(stderr=True).print(f"[bold red]error:[/bold red] {plain(one.what, 1000)}{hint}", soft_wrap=True)
