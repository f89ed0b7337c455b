"""The `devbench` command: puts the command groups together and turns errors into one line and an exit code.

Command modules import only Typer and the standard library at their top; everything heavy is imported inside the
command that needs it, so that `--help` and tab completion are instant.
"""

from __future__ import annotations

import os
import sys

import typer

from devbench import __version__
from devbench.cli import (
    accuracy,
    binaries,
    chart,
    compare,
    delegates,
    detect,
    devices,
    doctor,
    models,
    nightly,
    parse,
    pipeline,
    report,
    run,
    runs,
    serve,
    store,
    suite,
    virtual,
)
from devbench.errors import EXIT_INTERRUPTED, DevbenchError

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


def _version(value: bool) -> None:
    if value:
        typer.echo(f"devbench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Measure TensorFlow Lite / LiteRT models on Android devices over ADB."""


for _group in (
    run,
    accuracy,
    suite,
    nightly,
    pipeline,
    runs,
    report,
    chart,
    serve,
    compare,
    store,
    detect,
    parse,
    devices,
    doctor,
    delegates,
    binaries,
    models,
    virtual,
):
    _group.register(app)


def main() -> None:
    """Entry point of the console script; never shows a traceback unless `DEVBENCH_DEBUG` is set."""
    try:
        app()
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
