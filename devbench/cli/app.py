"""The `devbench` command: puts the command groups together and turns errors into one line and an exit code.

Command modules import only Typer and the standard library at their top; everything heavy is imported inside the
command that needs it, so that `--help` and tab completion are instant. Where a command is named, only its module is
imported: putting all of them together takes longer than many a command.
"""

from __future__ import annotations

import atexit
import errno
import gc
import importlib
import io
import os
import sys
from collections.abc import Mapping
from contextlib import suppress

import typer

from devbench import __version__
from devbench.cli.encoding import write_in_any_encoding
from devbench.errors import EXIT_INTERRUPTED, EXIT_OK, DevbenchError, EnvironmentProblem

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

# Commands that change nothing in a store, and may be called twice.
_OBJECTS_BETWEEN_COLLECTIONS = 20_000
_OF_OUTPUT = frozenset({errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT})
READING = frozenset({"runs", "show", "report", "chart", "compare", "detect", "export", "devices"})


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
    if sys.stdout is None:  # closed by the caller: `>&-`
        sys.stdout = io.StringIO()
    write_in_any_encoding()
    # Imports make many objects and hardly any garbage: it is looked for less often.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    # What is there at the end of the process is not garbage, and need not be searched for any.
    atexit.register(gc.freeze)
    # The shell asks for completions with the words in its environment.
    completing = "_DEVBENCH_COMPLETE" in os.environ
    command = None if completing else next(iter(sys.argv[1:]), None)
    try:
        _run(command)
    except DevbenchError as error:
        if os.environ.get("DEVBENCH_DEBUG"):
            raise
        from devbench.cli.output import print_error

        print_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except OSError as error:
        _end_of_output(error)


def _run(command: str | None) -> None:
    """Run the command; one that only reads does it once more without the damaged places of a store."""
    try:
        _called(command)
    except Exception as error:
        if command not in READING or isinstance(error, OSError):
            raise
        from devbench.results.salvage import shown_without_damage

        warning = shown_without_damage(error)
        if not warning:
            raise
        from devbench.cli.output import console, plain

        console(stderr=True).print(f"[yellow]warning:[/yellow] {plain(warning, 1000)}", soft_wrap=True)
        _called(command)


def _called(command: str | None) -> None:
    """Run the command and write out what it printed, so that an error of the output is one of the command."""
    from typer.main import get_command

    from devbench.cli.values import read_plainly

    try:
        read_plainly(get_command(application(command)))()
    finally:
        if not isinstance(sys.exc_info()[1], OSError):
            sys.stdout.flush()


def _end_of_output(error: OSError) -> None:
    """The error line where standard output takes nothing more; nothing where its reader (`| head`) has seen enough.

    Raises:
        OSError: it is no error of standard output.
    """
    if error.errno not in _OF_OUTPUT or error.filename is not None:
        raise error
    # What is still in the buffer would be an error once more at the interpreter's end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if isinstance(error, BrokenPipeError):
        sys.exit(EXIT_OK)
    from devbench.cli.output import print_error

    problem = EnvironmentProblem(f"cannot write the output: {error.strerror or error}", hint="is the disk full?")
    with suppress(OSError):
        print_error(problem)
    sys.exit(problem.exit_code)


if __name__ == "__main__":
    main()
