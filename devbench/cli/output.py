"""What the command line prints: consoles, errors, tables, documents and JSON; text from devices is made harmless.

Rich and the forms are imported when something is printed.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from devbench.errors import DevbenchError, InputError
from devbench.text import clean

if TYPE_CHECKING:
    from rich.console import Console

    from devbench.sections.document import Document
    from devbench.sections.tables import Column, Form

# The width of tables in a file or a pipe, unless COLUMNS sets another.
_FILE_WIDTH = 140


def console(*, stderr: bool = False) -> Console:
    """A Rich console that honours NO_COLOR and COLUMNS.

    Words between colons are names of devices and models, not of pictures.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else _FILE_WIDTH
    return Console(stderr=stderr, highlight=False, emoji=False, width=width)


def plain(text: object, most: int = 400) -> str:
    """`text` on one line without control, ANSI or direction characters, and with Rich markup made inert."""
    from rich.markup import escape

    return escape(clean(text, most))


def say(text: str, *, stderr: bool = False, markup: bool = True) -> None:
    """Print a text: wrapped at spaces on a terminal, one line in a file or a pipe."""
    screen = console(stderr=stderr)
    screen.print(text, soft_wrap=not screen.is_terminal, markup=markup)


def say_path(words: str, path: object) -> None:
    """Print words and a path; the path is never broken, so that it can be copied."""
    console().print(f"{words}{path}", soft_wrap=True, markup=False)


def print_error(error: DevbenchError) -> None:
    """`error: what → hint` on standard error, one line each."""
    for one in (error, *error.more):
        hint = f" [dim]→[/dim] {plain(one.hint, 1000)}" if one.hint else ""
        say(f"[bold red]error:[/bold red] {plain(one.what, 1000)}{hint}", stderr=True)


def print_json(values: object) -> None:
    """Print JSON; dates are ISO 8601."""
    import json

    typer.echo(json.dumps(values, indent=2, default=lambda value: value.isoformat()))


def print_document(document: Document) -> None:
    from devbench.forms import terminal

    terminal.print_document(document, console())


def print_table(columns: Sequence[Column[Any]], rows: Iterable[Any], title: str = "") -> None:
    """Print a table; if the terminal is too narrow, columns are hidden and named below the table."""
    from devbench.sections.document import Document, Section
    from devbench.sections.tables import table

    print_document(Document("", sections=(Section("table", title, (table("table", "", columns, rows),)),)))


def print_facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names with their values, Rich markup in the values; empty values are left out."""
    from rich.table import Table

    grid = Table(box=None, show_header=False, pad_edge=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if value:
            grid.add_row(name, value)
    console().print(grid)


def show(make: Callable[[Form], Document], form: str, out: Path | None = None) -> None:
    """Print the document as "text", "md", "json" or "html", or write it to a file.

    Raises:
        EnvironmentProblem: the file cannot be written.
    """
    if form == "text" and out is None:
        print_document(make("terminal"))
        return
    if form == "json":
        from devbench.forms.json import json_text

        text = json_text(make("json"))
    elif form == "md":
        from devbench.forms.markdown import markdown

        text = markdown(make("markdown"))
    elif form == "html":
        from devbench.forms.html import html

        text = html(make("html"))
    else:
        from devbench.forms.terminal import terminal_text

        text = terminal_text(make("terminal"))
    if out is None:
        sys.stdout.write(text)
        return
    from devbench.host.whole_files import write_whole

    write_whole(out, lambda file: file.write(text))
    console(stderr=True).print(f"Written to {out}", soft_wrap=True, markup=False)


@contextlib.contextmanager
def status(name: object) -> Iterator[Callable[[str], None]]:
    """A line on standard error with what is being done, as long as it lasts; gives the function that changes it."""
    shown = plain(name)
    with console(stderr=True).status(shown) as line:
        yield lambda doing: line.update(f"{shown}: {plain(doing)}")


def agreed(question: str, *, yes: bool, otherwise: str) -> bool:
    """Ask at the terminal; `yes`: do not ask.

    Raises:
        InputError: there is no terminal to ask at; `otherwise` is its hint.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise InputError(f"{otherwise}: there is no terminal to ask at", hint="use --yes to answer yes")
    return typer.confirm(question, err=True)


def check_writable(*files: Path | None, folder: Path | None = None) -> None:
    """Refuse result files and a folder that cannot be written, before anything is measured."""
    if folder is not None and folder.exists() and not folder.is_dir():
        raise InputError(f"cannot write to {folder}: it is a file", hint="give the name of a folder")
    for file in files:
        if file is None:
            continue
        if not file.absolute().parent.is_dir():
            raise InputError(f"cannot write {file}: its folder does not exist", hint="make the folder first")
        if file.is_dir():
            raise InputError(f"cannot write {file}: it is a folder", hint="give the name of a file")


def open_page(page: Path | str, wanted: bool = True) -> None:
    """Open a page in the browser if that is wanted; without a browser, print that and continue."""
    if not wanted:
        return
    import webbrowser

    address = page if isinstance(page, str) else page.absolute().as_uri()
    opened = False
    with contextlib.suppress(webbrowser.Error, OSError):
        opened = webbrowser.open(address)
    if not opened:
        say(f"[dim]no browser was found; open {plain(address, 1000)}[/dim]", stderr=True)
