"""The `devbench` command: puts the command groups together and turns errors into one line and an exit code.

Command modules import only Typer, small modules and the standard library at their top; everything heavy is imported in
the command that needs it, so that `--help` and tab completion are fast. If a command is named, only its module is
imported.
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
from devbench.cli.output import plain, print_error, say
from devbench.cli.usage import UsageError, explained, read_plainly
from devbench.errors import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_OK, DevbenchError, EnvironmentProblem, InputError

# The modules in the order in which the help shows their commands, each with the commands of its `app`.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "run": ("run",),
    "accuracy": ("accuracy",),
    "nightly": ("nightly",),
    "suite": ("suite",),
    "farm": ("farm",),
    "pipeline": ("pipeline",),
    "runs": ("runs", "show"),
    "report": ("report", "serve", "publish"),
    "chart": ("chart",),
    "compare": ("compare",),
    "detect": ("detect",),
    "store": ("export", "import", "merge", "prune"),
    "parse": ("parse",),
    "devices": ("virtual", "devices"),
    "profiles": ("profiles",),
    "doctor": ("doctor",),
    "delegates": ("delegates",),
    "binaries": ("binaries",),
    "models": ("models",),
}

_OBJECTS_BETWEEN_COLLECTIONS = 20_000
_OF_OUTPUT = frozenset({errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT})
# Commands that change nothing in a store, and may be called twice.
READING = frozenset({"runs", "show", "report", "chart", "compare", "detect", "export", "devices", "publish"})
_EPILOG = (
    "Examples:\n\n  devbench run model.tflite\n\n  devbench run demo --device virtual\n\n"
    "  devbench compare previous latest\n\n"
    "Exit codes: 0 everything was measured, or the check passed; 1 a job failed, or a check did not pass; 2 wrong "
    "input; 3 a device or this computer cannot be used; 4 another `devbench nightly` is running; 130 interrupted. "
    "NO_COLOR=1 switches colours off."
)


def application(command: str | None = None) -> typer.Typer:
    """The command line: all of it, or only the module of one command if there is one of that name."""
    app = typer.Typer(
        name="devbench",
        no_args_is_help=True,
        add_completion=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog=_EPILOG,
    )
    app.callback()(_root)
    needed = [module for module, names in COMMANDS.items() if command in names]
    for module in needed or COMMANDS:
        part: typer.Typer = importlib.import_module(f"devbench.cli.{module}").app
        # Typer does not read the heading of a group from the group itself.
        app.add_typer(part, rich_help_panel=part.rich_help_panel)
    return app


def _version(value: bool) -> None:
    if value:
        typer.echo(f"devbench {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(
        False, "--version", "-V", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Measure TensorFlow Lite / LiteRT models on Android devices over ADB: latency, operators, memory, accuracy."""


def main() -> None:
    """Entry point of the console script; never shows a traceback unless `DEVBENCH_DEBUG` is set."""
    if sys.stdout is None:  # closed by the caller: `>&-`
        sys.stdout = io.StringIO()
    write_in_any_encoding()
    # Imports make many objects and hardly any garbage, so Python searches for it less often.
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    # Skip Python's last search for garbage at the end of the process: it would find nothing.
    atexit.register(gc.freeze)
    # The shell asks for completions with the words in its environment.
    completing = "_DEVBENCH_COMPLETE" in os.environ
    try:
        sys.exit(_run(None if completing else next(iter(sys.argv[1:]), None)))
    except (DevbenchError, OSError) as error:
        if os.environ.get("DEVBENCH_DEBUG"):
            raise
        problem = error if isinstance(error, DevbenchError) else _problem_of(error)
        with suppress(OSError):
            print_error(problem)
        sys.exit(problem.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(EXIT_INTERRUPTED)


def _run(command: str | None) -> int:
    """Run the command. If a store is damaged, a command that only reads is run again without the damaged places."""
    try:
        return _called(command)
    except Exception as error:
        if command not in READING or isinstance(error, OSError):
            raise
        from devbench.results.salvage import shown_without_damage

        warning = shown_without_damage(error)
        if not warning:
            raise
        say(f"[yellow]warning:[/yellow] {plain(warning, 1000)}", stderr=True)
        return _called(command)


def _called(command: str | None) -> int:
    """Run the command and write out what it printed, so that an error of the output is one of the command."""
    from typer.main import get_command

    root = read_plainly(get_command(application(command)))
    try:
        return root.main(prog_name="devbench", standalone_mode=False) or EXIT_OK
    except UsageError as error:
        if type(error).__name__ != "NoArgsIsHelpError":
            raise explained(error, root, sys.argv[1:]) from None
        return EXIT_BAD_INPUT
    finally:
        if not isinstance(sys.exc_info()[1], OSError):
            sys.stdout.flush()


def _problem_of(error: OSError) -> DevbenchError:
    """The error line for a file that cannot be used, or for standard output if it takes nothing more.

    If the reader of standard output (`| head`) has seen enough, the process ends here.

    Raises:
        OSError: it is an error of neither.
    """
    if error.filename is not None:
        wrong = InputError if error.errno == errno.ENAMETOOLONG else EnvironmentProblem
        return wrong(f"cannot use {error.filename}: {error.strerror}", hint="check the path")
    if error.errno not in _OF_OUTPUT:
        raise error
    # Writing the rest of the buffer at the interpreter's end would fail again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if isinstance(error, BrokenPipeError):
        sys.exit(EXIT_OK)
    return EnvironmentProblem(f"cannot write the output: {error.strerror or error}", hint="is the disk full?")


if __name__ == "__main__":
    main()
