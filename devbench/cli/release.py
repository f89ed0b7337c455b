"""`devbench devices release`: take a device away from a run that has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.run_completion import complete_serials

if TYPE_CHECKING:
    from devbench.device.lease import Holder

_EPILOG = (
    "Examples:\n\n  devbench devices release R5CT1234ABC\n\n"
    '  devbench devices release "Pixel 8" --yes\n\n'
    "Exit codes: 0 released, or nobody had it; 2 no terminal to ask at and no --yes; 3 the device does not answer, or "
    "what runs there cannot be ended."
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
    """Take a device away from the run that has it, and end what the run has started there.

    That run stops on the device with exit code 3, or 1 if other devices go on. What it measured before stays stored;
    a repetition in progress does not count.
    """
    from devbench.bench.targets import open_targets
    from devbench.cli.output import console, plain
    from devbench.device.lease import ROOT, look, revoke
    from devbench.errors import EnvironmentProblem, InputError

    screen = console(stderr=as_json)
    with open_targets([serial]) as devices:
        if len(devices) != 1:
            raise InputError(f"{serial!r} means {len(devices)} devices", hint="release one after the other, by serial")
        device = devices[0]
        holder = look(device, ROOT)
        if holder is None:
            screen.print(f"{plain(device.serial)}: nobody has the device.", soft_wrap=True)
        elif not _agreed(device.serial, holder, yes=yes, as_json=as_json):
            screen.print("Nothing was changed.")
            return
        elif not revoke(device, ROOT, holder):
            raise EnvironmentProblem(
                f"{device.serial}: {holder.who} gave the device back, and another run has it now",
                hint="`devbench devices` shows who",
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
    state = f"has had it for {holder.since}" if holder.active else "had it; the lease is expired"
    if not sys.stdin.isatty():
        raise InputError(
            f"{serial} was not released: {holder.who} {state}, and there is no terminal to ask at",
            hint="--yes releases it",
        )
    console(stderr=as_json).print(f"{plain(serial)}: {plain(holder.who)} {state}.", soft_wrap=True)
    return typer.confirm("End what it runs there and release the device?", err=True)
