"""`devbench devices release`: release a device from the run that uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.run_completion import complete_serials

if TYPE_CHECKING:
    from devbench.device.lease import Holder

_EPILOG = (
    "Examples:\n\n  devbench devices release R5CT1234ABC\n\n"
    '  devbench devices release "Pixel 8" --yes\n\n'
    "Exit codes: 0 released, or not in use; 2 no terminal for the question and no --yes; 3 the device does not answer, "
    "or a process there cannot be ended."
)


def register(group: typer.Typer) -> None:
    """Add the command to `devbench devices`."""
    group.command("release", epilog=_EPILOG)(release)


def release(
    serial: Annotated[
        str,
        typer.Argument(
            metavar="DEVICE", help="Any name that `devbench devices` shows.", autocompletion=complete_serials
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Release a device from the run that uses it, and end the processes of that run on the device.

    That run stops on the device with exit code 3, or 1 if other devices continue. Its earlier results stay stored;
    a repetition in progress does not count.
    """
    from devbench.bench.targets import open_targets
    from devbench.cli.output import console, plain
    from devbench.device.lease import ROOT, read_holder, revoke
    from devbench.errors import EnvironmentProblem, InputError

    screen = console(stderr=as_json)
    with open_targets([serial]) as devices:
        if len(devices) != 1:
            raise InputError(f"{serial!r} means {len(devices)} devices", hint="release them one by one, by serial")
        device = devices[0]
        holder = read_holder(device, ROOT)
        if holder is None:
            screen.print(f"{plain(device.serial)}: the device is not in use.", soft_wrap=True)
        elif not _agreed(device.serial, holder, yes=yes, as_json=as_json):
            screen.print("Nothing was changed.")
            return
        elif not revoke(device, ROOT, holder):
            raise EnvironmentProblem(
                f"{device.serial}: {holder.who} gave the device back, and another run has it now",
                hint="`devbench devices` shows which",
            )
        else:
            screen.print(f"{plain(device.serial)}: released from {plain(holder.who)}.", soft_wrap=True)
    if as_json:
        import json

        from devbench.device.lease import to_json

        typer.echo(json.dumps({"serial": device.serial, "released": to_json(holder) if holder else None}, indent=2))


def _agreed(serial: str, holder: Holder, *, yes: bool, as_json: bool) -> bool:
    """Ask at the terminal.

    Raises:
        InputError: there is nobody to ask.
    """
    import sys

    from devbench.cli.output import console, plain
    from devbench.errors import InputError

    if yes:
        return True
    state = f"has used it for {holder.since}" if holder.active else "used it; the lease is expired"
    if not sys.stdin.isatty():
        raise InputError(
            f"{serial} was not released: {holder.who} {state}, and there is no terminal for the question",
            hint="use --yes to release it",
        )
    console(stderr=as_json).print(f"{plain(serial)}: {plain(holder.who)} {state}.", soft_wrap=True)
    return typer.confirm("End its processes on the device and release it?", err=True)
