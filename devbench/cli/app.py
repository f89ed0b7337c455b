"""The `devbench` command: puts the command groups together and turns errors into one line and an exit code.

Command modules import only Typer and the standard library at their top; everything heavy is imported inside the
command that needs it, so that `--help` and tab completion are instant. Where a command is named, only its module is
imported: putting all of them together takes longer than many a command.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping

import typer

from devbench import __version__
from devbench.cli.encoding import write_in_any_encoding
from devbench.errors import EXIT_INTERRUPTED, DevbenchError

# The modules in the order in which the help shows their commands, each with what it registers.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "run": ("run",),
    "accuracy": ("accuracy",),
    "suite": ("suite",),
    "nightly": ("nightly",),
    "pipeline": ("pipeline",),
    "runs": ("runs", "show"),
    "report": ("report",),
    "chart": ("chart",),
    "serve": ("serve",),
    "compare": ("compare",),
    "store": ("export", "import", "merge", "prune"),
    "detect": ("detect",),
    "parse": ("parse",),
    "devices": ("devices", "profiles"),
    "doctor": ("doctor",),
    "delegates": ("delegates",),
    "binaries": ("binaries",),
    "models": ("models",),
    "virtual": ("virtual",),
}


def application(command: str | None = None) -> typer.Typer:
    """The command line: all of it, or what is needed for one command, where there is one of that name."""
    app = typer.Typer(
        name="devbench",
        no_args_is_help=True,
        add_completion=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Measure TensorFlow Lite / LiteRT models on Android devices over ADB.",
        epilog="Exit codes: 0 measured, 1 a job failed or a check did not pass, 2 wrong input, "
        "3 no fit device or environment, 130 interrupted. Colours go off with NO_COLOR=1.",
    )
    app.callback()(_root)
    needed = [module for module, names in COMMANDS.items() if command in names]
    for module in needed or COMMANDS:
        importlib.import_module(f"devbench.cli.{module}").register(app)
    return app


def _version(value: bool) -> None:
    if value:
        typer.echo(f"devbench {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Measure TensorFlow Lite / LiteRT models on Android devices over ADB."""


def main() -> None:
    """Entry point of the console script; never shows a traceback unless `DEVBENCH_DEBUG` is set."""
    write_in_any_encoding()
    try:
        # The shell asks for completions with the words in its environment.
        completing = "_DEVBENCH_COMPLETE" in os.environ
        application(None if completing else next(iter(sys.argv[1:]), None))()
    except DevbenchError as error:
        if os.environ.get("DEVBENCH_DEBUG"):
            raise
        from devbench.cli.output import print_error

        print_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of a pipe (`| head`) has seen enough; say nothing, also not at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


if __name__ == "__main__":
    main()
