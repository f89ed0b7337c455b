"""`devbench devices tag` and `untag`: words of a user's own for devices, for `--device tag:NAME` and suites."""

from __future__ import annotations

from typing import Annotated

import typer

_SerialArgument = Annotated[
    str, typer.Argument(metavar="SERIAL", help="A connected device, or the hardware key of one that is not.")
]


def register(group: typer.Typer) -> None:
    """Add the commands to `devbench devices`."""
    group.command("tag", epilog="Example:\n\n  devbench devices tag R5CT1234ABC nightly s23")(tag)
    group.command("untag", epilog="Example:\n\n  devbench devices untag R5CT1234ABC nightly")(untag)


def tag(
    serial: _SerialArgument, tags: Annotated[list[str], typer.Argument(metavar="TAG...", help="One or more words.")]
) -> None:
    """Give a device tags, so that `--device tag:NAME` and suites find it."""
    from devbench.device.tags import add_tags

    key = _key(serial)
    _print(key, add_tags(key, tags))


def untag(
    serial: _SerialArgument,
    tags: Annotated[list[str] | None, typer.Argument(metavar="[TAG...]", help="Default: all that it has.")] = None,
) -> None:
    """Take tags from a device."""
    from devbench.device.tags import remove_tags

    key = _key(serial)
    _print(key, remove_tags(key, tags or []))


def tags_of(key: str, serial: str) -> list[str]:
    """The tags of a device by its hardware key, or by its serial where it did not answer when it was tagged."""
    from devbench.device.tags import load_tags

    book = load_tags()
    return sorted({*book.get(key, ()), *book.get(serial, ())})


def complete(incomplete: str) -> list[str]:
    """`tag:NAME` for the shell's completion."""
    from devbench.device.tags import PREFIX, all_tags, load_tags
    from devbench.errors import DevbenchError

    try:
        return [word for word in (PREFIX + tag for tag in all_tags(load_tags())) if word.startswith(incomplete)]
    except DevbenchError:
        return []


def _key(serial: str) -> str:
    """The device's hardware key: asked of a connected device; of others as typed, where it has tags already."""
    from devbench.adb.errors import NoSuchDevice
    from devbench.adb.server import AdbServer
    from devbench.device.tags import device_key, load_tags

    server = AdbServer()
    server.ensure_running()
    entries = server.list_devices()
    if any(entry.serial == serial and entry.state == "device" for entry in entries):
        key = device_key(server, serial)
        # One that answered nothing when it was tagged keeps its tags.
        return serial if serial in load_tags() else key
    if serial in load_tags() or any(entry.serial == serial for entry in entries):
        return serial
    raise NoSuchDevice(serial, [entry.serial for entry in entries])


def _print(key: str, tags: tuple[str, ...]) -> None:
    from devbench.cli.output import console, plain

    console().print(f"{plain(key, 80)}: {plain(', '.join(tags) or 'no tags', 1000)}", soft_wrap=True)
