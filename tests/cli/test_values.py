"""Values of options that are read without Typer's readers: the same values, and Typer's messages for wrong ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from devbench.cli.values import read_plainly

ARGUMENTS = [
    [],
    ["a", "b"],
    ["--text", "x", "--count", "3", "--share", "0.5", "--file", "f.txt", "--on"],
    ["--text", "", "--count", "-3", "--share", "2", "--many", "1", "--many", "2"],
    ["--count", "x"],
    ["--count", "11"],
    ["--count", "1_0"],
    ["--share", "nan"],
    ["--share", "1e-1"],
    ["--share", "9"],
    ["--kept", "gone.txt"],
    ["--wrong"],
    ["--text"],
]


def seen(arguments: list[str], *, plainly: bool) -> tuple[int, str, dict[str, Any]]:
    """Exit code, output and values of a command with each kind of option."""
    found: dict[str, Any] = {}
    app = typer.Typer()

    @app.command()
    def command(
        words: Annotated[list[str] | None, typer.Argument()] = None,
        text: str | None = None,
        count: Annotated[int, typer.Option(min=-5, max=10)] = 1,
        share: Annotated[float, typer.Option(max=2.5)] = 1,
        file: Path | None = None,
        kept: Annotated[Path | None, typer.Option(exists=True)] = None,
        many: list[str] | None = None,
        on: bool = False,
        choice: bool | None = None,
    ) -> None:
        found.update(locals())

    made = get_command(app)
    result = CliRunner().invoke(
        app if not plainly else _Given(read_plainly(made)), arguments, env={"NO_COLOR": "1", "TERM": "dumb"}
    )
    return result.exit_code, result.output, {name: value for name, value in found.items() if name != "found"}


class _Given:
    """What Typer's runner takes for an application."""

    def __init__(self, made: Any) -> None:
        self.made = made


@pytest.fixture(autouse=True)
def given_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    import typer.testing

    real = typer.testing._get_command
    monkeypatch.setattr(typer.testing, "_get_command", lambda app: app.made if isinstance(app, _Given) else real(app))


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=" ".join)
def test_values_and_messages_are_those_of_typer(arguments: list[str]) -> None:
    usual, plain = seen(arguments, plainly=False), seen(arguments, plainly=True)
    assert plain == usual
    assert {name: type(value) for name, value in plain[2].items()} == {
        name: type(value) for name, value in usual[2].items()
    }


def test_a_command_with_values_imports_no_pydantic() -> None:
    code = (
        "import sys; sys.argv = ['devbench', 'run', 'gone.tflite', '-r', '3', '--timeout', '5', '-D', 'cpu,xnnpack']\n"
        "from devbench.cli.app import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 2, end.code\n"
        "assert 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
