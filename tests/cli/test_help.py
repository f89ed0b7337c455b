"""The help of every command: what it does, an example with options that exist, a text for every option."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from devbench.cli.app import application

ROOT = get_command(application())


def commands(command: Any = ROOT, path: str = "devbench") -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}")


COMMANDS = dict(commands())
LEAVES = [path for path, command in COMMANDS.items() if not hasattr(command, "commands")]


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_says_what_it_does_and_what_its_options_are_for(path: str) -> None:
    command = COMMANDS[path]
    assert re.match(r"[A-Z][^\n]+", command.help)
    without = [one.name for one in command.params if not one.help and not getattr(one, "hidden", False)]
    assert without == []


@pytest.mark.parametrize("path", LEAVES)
def test_a_command_has_an_example(path: str) -> None:
    assert re.search(rf"^ *([A-Z_]+=\S+ |[^|]*\| )?{path}\b", COMMANDS[path].epilog or "", re.MULTILINE)


def examples() -> list[str]:
    lines = (line.strip() for command in COMMANDS.values() for line in (command.epilog or "").splitlines())
    return sorted({line for line in lines if re.match(r"([A-Z_]+=\S+ )?devbench ", line)})


@pytest.mark.parametrize("example", examples())
def test_an_example_has_options_that_exist(example: str) -> None:
    words = shlex.split(re.split(r" [|#>] ?", example)[0])
    command: Any = ROOT
    for word in words[words.index("devbench") + 1 :]:
        command = getattr(command, "commands", {}).get(word, command)
        if word.startswith("-") and word != "-":
            assert word in [name for one in command.params for name in (*one.opts, *one.secondary_opts)], word
    assert not hasattr(command, "commands") or command is COMMANDS["devbench devices"]
