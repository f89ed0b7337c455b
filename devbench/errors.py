"""The errors that are shown to users; every package may raise them.

Exit codes are part of the interface (README, "Exit codes"): 0 all jobs measured, 1 a job failed or a check did
not pass, 2 the input is wrong, 3 a device, adb or this computer cannot be used, 4 another `devbench nightly` is
running, 130 interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

# The name on PyPI. The package and the command are called devbench, but on PyPI another project has that name.
DISTRIBUTION = "litert-devbench"

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_ENVIRONMENT = 3
EXIT_BUSY = 4
EXIT_INTERRUPTED = 130


class DevbenchError(Exception):
    """An error with a message of one line for the user; `hint` is the next step.

    Attributes:
        what: what is wrong, naming the input or the device.
        hint: what to do about it; may be empty.
        exit_code: the exit code of a command that ends with this error.
        transient: whether trying again may help (a lost connection) or not (a wrong file).
        more: further errors that were found with this one, each a line of its own.
    """

    exit_code = EXIT_FAILED
    transient = False

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.more: tuple[DevbenchError, ...] = ()

    def __str__(self) -> str:
        return f"{self.what} ({self.hint})" if self.hint else self.what


class InputError(DevbenchError):
    """The input is wrong: a missing file, an unknown delegate, a bad option."""

    exit_code = EXIT_BAD_INPUT


@contextmanager
def system_errors(what: str, hint: str = "", kind: type[DevbenchError] = InputError) -> Iterator[None]:
    """Convert an `OSError` within the block to an error of class `kind`, with the message "`what`: reason"."""
    try:
        yield
    except OSError as error:
        raise kind(f"{what}: {error.strerror or error}", hint=hint) from None


class OptionError(InputError):
    """The value of an option is wrong.

    Attributes:
        option: its name in the catalogue; code that reads a file finds the line by it.
        value: the part of the value that is wrong; empty if all of it is.
    """

    def __init__(self, what: str, *, hint: str = "", option: str, value: str = "") -> None:
        super().__init__(what, hint=hint)
        self.option = option
        self.value = value


class EnvironmentProblem(DevbenchError):
    """adb, a device or this computer cannot be used."""

    exit_code = EXIT_ENVIRONMENT


class DeviceBusy(EnvironmentProblem):
    """Another run uses the device."""

    transient = True


def install_hint(extra: str) -> str:
    """Return the command that installs devbench with one of its extras (pyproject.toml)."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"
