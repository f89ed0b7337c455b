"""Spells a document in the form that a command was asked for: a terminal, Markdown or JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devbench.sections.document import Document
    from devbench.sections.tables import Form


def show(make: Callable[[Form], Document], form: str, out: Path | None = None) -> None:
    """Print the document, or write it to a file.

    Args:
        make: makes the document for a form.
        form: "text", "md" or "json".

    Raises:
        EnvironmentProblem: the file cannot be written.
    """
    import sys

    from devbench.cli.output import console

    if form == "text" and out is None:
        from devbench.forms.terminal import print_document

        print_document(make("terminal"), console())
        return
    text = _text(make, form)
    if out is None:
        sys.stdout.write(text)
        return
    from devbench.host.whole_files import write_whole

    write_whole(out, lambda file: file.write(text))
    console(stderr=True).print(f"Written to {out}", soft_wrap=True, markup=False)


def _text(make: Callable[[Form], Document], form: str) -> str:
    if form == "json":
        from devbench.forms.json import json_text

        return json_text(make("json"))
    if form == "md":
        from devbench.forms.markdown import markdown

        return markdown(make("markdown"))
    from devbench.forms.terminal import terminal_text

    return terminal_text(make("terminal"))
