"""A user's tags for devices, such as `nightly`, and which connected devices have one; knows no model and no run.

Kept as JSON in the data folder, {"KEY": ["tag", …]}, by the device's key: the same over USB and network.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from devbench.adb.listing import READY
from devbench.errors import InputError
from devbench.host.paths import data_dir

if TYPE_CHECKING:
    from devbench.device.boards import Board

PREFIX = "tag:"
# No comma and no colon: tags stand in lists and behind `tag:`.
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_MAX_BYTES = 1 << 20
_LOCK_TIMEOUT_S = 10.0

Tags = Mapping[str, tuple[str, ...]]


def tags_file() -> Path:
    return data_dir() / "device_tags.json"


def load_tags() -> Tags:
    """The tags of each device by its key, sorted; empty where nothing was ever tagged.

    Raises:
        InputError: the file is damaged.
    """
    file = tags_file()
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ValueError("it is too large")
        read = json.loads(file.read_text("utf-8"))
        if not isinstance(read, dict):
            raise ValueError("it is no table")
        return {str(key): tuple(sorted({_checked(tag) for tag in tags})) for key, tags in read.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, RecursionError, InputError) as error:
        raise InputError(f"{file}: cannot be used: {error}", hint="mend it, or delete it and tag again") from None


def add_tags(key: str, tags: Sequence[str]) -> tuple[str, ...]:
    """Give a device tags; gives all that it has then.

    Raises:
        InputError: a tag has other letters than tags may have, or the file cannot be written.
    """
    checked = [_checked(tag) for tag in tags]
    with _changing() as book:
        book[key] = tuple(sorted({*book.get(key, ()), *checked}))
        return book[key]


def remove_tags(key: str, tags: Sequence[str]) -> tuple[str, ...]:
    """Take tags from a device, all where none are named; gives those that stay.

    Raises:
        InputError: it has no such tag, or the file cannot be written.
    """
    with _changing() as book:
        has = book.get(key, ())
        for tag in tags:
            if tag not in has:
                raise InputError(f"{key} has no tag {tag!r}", hint=f"it has {', '.join(has) or 'none'}")
        left = tuple(tag for tag in has if tags and tag not in tags)
        book.pop(key, None)
        if left:
            book[key] = left
        return left


def all_tags(book: Tags) -> list[str]:
    """Every tag that any device has."""
    return sorted({tag for tags in book.values() for tag in tags})


def keys_with_tag(tag: str) -> set[str]:
    """Keys of the devices that have a tag; what is kept under another name that adb has for a device counts too.

    Raises:
        InputError: no device has ever been given that tag.
    """
    book = load_tags()
    keys = {key for key, tags in book.items() if tag in tags}
    if not keys:
        known = ", ".join(all_tags(book))
        raise InputError(
            f"no device has the tag {tag!r}",
            hint=f"tags are {known}" if known else f"give it: devbench devices tag SERIAL {tag}",
        )
    return keys


def sort_by_tag(boards: Sequence[Board], tag: str) -> tuple[list[Board], list[str]]:
    """The connected, ready boards that have a tag, each once, and keys of those that have it and are away.

    Raises:
        InputError: no device has ever been given that tag.
    """
    keys = keys_with_tag(tag)
    found = [board for board in boards if board.entry.state == READY and not board.same_as and tag_keys(board) & keys]
    return found, sorted(keys - {key for board in found for key in tag_keys(board)})


def tag_keys(board: Board) -> set[str]:
    """The names under which tags of a board may be kept: its key, or what adb calls it if it did not answer then."""
    return {board.key, board.entry.name}


def _checked(tag: object) -> str:
    if not isinstance(tag, str) or not _TAG.fullmatch(tag):
        raise InputError(f"{tag!r} is not a tag", hint="letters, digits, '.', '_' and '-', at most 40")
    return tag


@contextmanager
def _changing() -> Iterator[dict[str, tuple[str, ...]]]:
    """The tags, written back where the block ends well; one process at a time."""
    from filelock import FileLock, Timeout

    file = tags_file()
    fresh = file.with_suffix(".new")
    try:
        with FileLock(str(file) + ".lock", timeout=_LOCK_TIMEOUT_S):
            book = dict(load_tags())
            yield book
            fresh.write_text(json.dumps(book, indent=1, sort_keys=True) + "\n", "utf-8")
            # In one step: a reader sees the old tags or the new ones.
            fresh.replace(file)
    except (OSError, Timeout) as error:
        raise InputError(f"{file}: cannot be written: {error}", hint="make it writable, or set DEVBENCH_HOME") from None
