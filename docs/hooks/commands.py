"""The reference of commands, made from the command line itself whenever the site is built; nothing of it is committed.

mkdocs calls `on_files`. Tests call `reference`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

PAGE = "reference/commands.md"
_EXIT_CODES = "The exit codes are described in [Environment](../environment.md#exit-codes)."


def on_files(files: Any, config: Any) -> Any:
    """Add the page to the files of the site."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, PAGE, content=reference()))
    return files


def reference() -> str:
    """The page as Markdown: each command with its usage, help, arguments, options and examples."""
    lines = ["# Commands", "", f"All commands of devbench, made from the program. {_EXIT_CODES}", ""]
    for path, command in commands():
        lines += _entry(path, command)
    return "\n".join(lines) + "\n"


def commands() -> Iterator[tuple[str, Any]]:
    """Each command with the words that call it, `devbench` itself first."""
    from typer.main import get_command

    from devbench.cli.app import application
    from devbench.cli.usage import read_plainly

    yield from _below("devbench", read_plainly(get_command(application())))


def _below(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        if not getattr(child, "hidden", False):
            yield from _below(f"{path} {name}", child)


def _entry(path: str, command: Any) -> list[str]:
    context = command.make_context(path, [], resilient_parsing=True)
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    lines = ["#" * (2 if path.count(" ") < 2 else 3) + f" {path}", "", "```text", usage, "```", ""]
    lines += [_prose(command.help), ""]
    records = [record for one in command.get_params(context) if (record := _record(one, context))]
    if records:
        lines += ["| argument or option | meaning |", "|---|---|"]
        lines += [f"| {_code(name)} | {_cell(text)} |" for name, text in records]
        lines.append("")
    below = [name for name, child in getattr(command, "commands", {}).items() if not getattr(child, "hidden", False)]
    if below:
        lines += ["Commands: " + ", ".join(f"[{name}](#{f'{path} {name}'.replace(' ', '-')})" for name in below), ""]
    lines += [_prose(getattr(command, "epilog", None)), ""]
    return lines


def _record(parameter: Any, context: Any) -> tuple[str, str] | None:
    if getattr(parameter, "hidden", False):
        return None
    record = parameter.get_help_record(context)
    if not record:
        return None
    # The help shows `NUMBER` instead of Python's types.
    name = re.sub(r" <[a-z]+( range|\[[a-z]+\])?>", "", str(record[0]))
    word = parameter.display_type_rich(context) if hasattr(parameter, "type_descriptor") else ""
    return f"{name} {word if word not in name else ''}".rstrip(), str(record[1])


def _prose(text: str | None) -> str:
    """Help as Markdown: lines that begin with two blanks are commands, the rest are paragraphs."""
    parts = []
    for paragraph in (text or "").replace("\b", "").split("\n\n"):
        if paragraph.startswith("  "):
            code = "\n".join(line.strip() for line in paragraph.splitlines())
            if parts and parts[-1].endswith("```"):
                parts[-1] = parts[-1][:-3] + code + "\n```"
            else:
                parts.append(f"```sh\n{code}\n```")
        elif paragraph.strip():
            parts.append(_escape(" ".join(paragraph.split())))
    return "\n\n".join(parts)


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def _cell(text: str) -> str:
    return _escape(" ".join(text.split())).replace("|", "\\|")


def _escape(text: str) -> str:
    """What is not in backquotes has no meaning in Markdown or HTML."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else _plain(part) for part in parts)


def _plain(text: str) -> str:
    return re.sub(r"([*_\[\]])", r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))
