"""`devbench devices tag` and `untag`: words of a user's own for devices, for `--device tag:NAME` and suites."""

from __future__ import annotations

from typing import Annotated

import typer

_SerialArgument = Annotated[
    str, typer.Argument(metavar="DEVICE", help="Any name of a connected device, or the key of one that is not.")
]


def register(group: typer.Typer) -> None:
    """Add the commands to `devbench devices`."""
    group.command("tag", epilog="Example:\n\n  devbench devices tag R5CT1234ABC nightly s23")(tag)
    group.command("untag", epilog="Example:\n\n  devbench devices untag R5CT1234ABC nightly")(untag)


def tag(
    serial: _SerialArgument, tags: Annotated[list[str], typer.Argument(metavar="TAG...", help="One or more words.")]
) -> None:
    """Give a device tags, so that `--device tag:NAME` and suites find it."""
    from devbench.device.boards import add_tags

    key = _key(serial)
    _print(key, add_tags(key, tags))


def untag(
    serial: _SerialArgument,
    tags: Annotated[list[str] | None, typer.Argument(metavar="[TAG...]", help="Default: all that it has.")] = None,
) -> None:
    """Take tags from a device."""
    from devbench.device.boards import remove_tags

    key = _key(serial)
    _print(key, remove_tags(key, tags or []))


def complete(incomplete: str) -> list[str]:
    """`tag:NAME` for the shell's completion."""
    from devbench.device.boards import PREFIX, all_tags, load_tags
    from devbench.errors import DevbenchError

    try:
        return [word for word in (PREFIX + tag for tag in all_tags(load_tags())) if word.startswith(incomplete)]
    except DevbenchError:
        return []


def _key(word: str) -> str:
    """The device's key: of a connected device by any of its names; of others as typed, where it has tags already."""
    from devbench.adb.errors import NoSuchDevice
    from devbench.adb.server import AdbServer
    from devbench.device.boards import find_board, identify_boards, load_tags

    server = AdbServer()
    server.ensure_running()
    boards = identify_boards(server, server.list_devices())
    book = load_tags()
    if word in book:
        return word
    board = find_board(word, boards, [key for key, tags in book.items() if word in tags])
    if board is None:
        raise NoSuchDevice(word, [board.name for board in boards])
    # One that answered nothing when it was tagged keeps its tags.
    return board.entry.name if board.entry.name in book else board.key


def _print(key: str, tags: tuple[str, ...]) -> None:
    from devbench.cli.output import console, plain

    console().print(f"{plain(key, 80)}: {plain(', '.join(tags) or 'no tags', 1000)}", soft_wrap=True)
