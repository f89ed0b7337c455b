"""Values of options that are read without Typer's readers: the same values, one line for wrong ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.main import get_command

from devbench.cli.usage import UsageError, explained, read_plainly
from devbench.errors import InputError


def call(arguments: list[str], *, plainly: bool = True) -> dict[str, Any]:
    """The values of a command with each kind of option."""
    found: dict[str, Any] = {}
    app = typer.Typer()

    @app.command()
    def command(
        words: Annotated[list[str] | None, typer.Argument()] = None,
        text: str | None = None,
        count: Annotated[int, typer.Option(min=-5, max=10)] = 1,
        share: Annotated[float, typer.Option(max=2.5)] = 1,
        file: Path | None = None,
        many: list[str] | None = None,
        on: bool = False,
        choice: bool | None = None,
    ) -> None:
        found.update(locals())

    made = get_command(app)
    root = read_plainly(made) if plainly else made
    try:
        root.main(arguments, prog_name="devbench", standalone_mode=False)
    except UsageError as error:
        raise explained(error, root, arguments) from None
    return {name: value for name, value in found.items() if name != "found"}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a", "b"],
        ["--text", "x", "--count", "3", "--share", "0.5", "--file", "f.txt", "--on"],
        ["--text", "", "--count", "-3", "--share", "2", "--many", "1", "--many", "2"],
        ["--share", "1e-1", "--choice"],
    ],
    ids=" ".join,
)
def test_values_are_those_of_typer(arguments: list[str]) -> None:
    plain, usual = call(arguments), call(arguments, plainly=False)
    assert plain == usual
    assert {name: type(value) for name, value in plain.items()} == {name: type(value) for name, value in usual.items()}


@pytest.mark.parametrize(
    ("arguments", "what", "hint"),
    [
        (["--count", "x"], "--count 'x' is not a whole number", "from -5 to 10"),
        (["--count", "11"], "--count 11 is out of range", "from -5 to 10"),
        (["--count", "1_0"], "--count '1_0' is not a whole number", "from -5 to 10"),
        (["--count", "\u00b2"], "--count '\u00b2' is not a whole number", "from -5 to 10"),
        (["--share", "nan"], "--share 'nan' is not a number", "to 2.5"),
        (["--share", "9"], "--share 9 is out of range", "to 2.5"),
        (["--counts", "1"], "unknown option --counts", "did you mean --count?"),
        (["--zzz"], "unknown option --zzz", "devbench --help"),
        (["--text"], "--text needs a value", ""),
        (["--on=1"], "--on takes no value", "devbench --help"),
    ],
)
def test_a_wrong_value_is_one_line_with_the_next_step(arguments: list[str], what: str, hint: str) -> None:
    with pytest.raises(InputError) as refused:
        call(arguments)
    assert what in refused.value.what
    assert hint in refused.value.hint


def test_a_command_with_values_imports_no_pydantic() -> None:
    code = (
        "import sys; sys.argv = ['devbench', 'run', 'gone.tflite', '-r', '3', '--timeout', '5', '-D', 'cpu,xnnpack']\n"
        "from devbench.cli.app import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 2, end.code\n"
        "assert 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
