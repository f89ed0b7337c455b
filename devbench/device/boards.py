"""Which boards adb's connections lead to, which of them a user's word means, and tags of devices.

One board may be connected twice (USB and Wi-Fi), two boards may share a serial number, a copied id file gives two
boards one id. Tags, such as `nightly`, are kept as JSON in the data folder, {"KEY": ["tag", …]}, by the device's key,
which is the same over USB and network. Knows no model and no run.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from devbench.adb.device import Device
from devbench.adb.errors import NoSuchDevice
from devbench.adb.server import READY, AdbServer, DeviceEntry
from devbench.device.facts import NAME_COMMAND, DeviceFacts, parse_facts
from devbench.device.identity import renew, same_board
from devbench.errors import DevbenchError, InputError
from devbench.frozen import dataclass
from devbench.host.paths import data_dir
from devbench.host.tables import changing, load

PREFIX = "tag:"
# Commas and colons are not allowed, because tags are used in lists and after `tag:`.
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")

Tags = Mapping[str, tuple[str, ...]]
AnyBoard = TypeVar("AnyBoard", bound="Board")


def tags_file() -> Path:
    return data_dir() / "device_tags.json"


def load_tags() -> Tags:
    """The tags of each device by its key, sorted; empty if nothing was ever tagged.

    Raises:
        InputError: the file is damaged.
    """
    return load(
        tags_file(),
        lambda tags: tuple(sorted({_checked(tag) for tag in tags})),
        "fix it, or delete it and tag again",
    )


def add_tags(key: str, tags: Sequence[str]) -> tuple[str, ...]:
    """Add tags to a device; returns all that it has then.

    Raises:
        InputError: a tag has other letters than tags may have, or the file cannot be written.
    """
    checked = [_checked(tag) for tag in tags]
    with changing(tags_file(), load_tags) as book:
        book[key] = tuple(sorted({*book.get(key, ()), *checked}))
        return book[key]


def remove_tags(key: str, tags: Sequence[str]) -> tuple[str, ...]:
    """Remove tags from a device, all of them if none is named; returns those that are left.

    Raises:
        InputError: it has no such tag, or the file cannot be written.
    """
    with changing(tags_file(), load_tags) as book:
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
    """Keys of the devices that have a tag, including tags that are kept under another name of a device in adb.

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
    """The connected, ready boards that have a tag, each once, and keys of those that have it and are not connected.

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


ANSWER_TIMEOUT_S = 5.0
_MAX_LISTED = 8


@dataclass(frozen=True, slots=True)
class Board:
    """A connection and, if it answers, the board behind it.

    Attributes:
        facts: at least name and identity; `None` if it is not ready or does not answer.
        name: tells it apart from all others that are connected: the adb serial, or its key if others have that serial.
        same_as: the name of an earlier connection to the same board; empty for the first.
        note: what was done about its identity, for a person.
    """

    entry: DeviceEntry
    facts: DeviceFacts | None = None
    name: str = ""
    same_as: str = ""
    note: str = ""

    @property
    def key(self) -> str:
        """Names the board in store and tags; for one that does not answer, adb's name of it."""
        return self.facts.key if self.facts is not None else self.entry.name

    @property
    def label(self) -> str:
        """The title of a device, preceded by its name."""
        return f"{self.name} ({self.facts.name if self.facts is not None else self.entry.state})"

    @property
    def words(self) -> tuple[str, ...]:
        """All the names that people use for it."""
        facts = (self.facts.title, self.facts.hardware_serial) if self.facts is not None else ()
        return (self.name, self.key, self.entry.name, self.entry.serial, *facts)


def identify_boards(
    server: AdbServer, entries: Sequence[DeviceEntry], *, timeout_s: float = ANSWER_TIMEOUT_S
) -> list[Board]:
    """Read the identities of all ready devices at once; in the order given, within `timeout_s`."""
    answers: dict[str, DeviceFacts] = {}

    def ask(entry: DeviceEntry) -> None:
        with contextlib.suppress(DevbenchError):
            answers[entry.name] = _ask(server, entry, timeout_s)

    ask_each(ask, entries, timeout_s)
    return resolve_boards(server, [Board(entry, answers.get(entry.name)) for entry in entries], timeout_s)


def ask_each(ask: Callable[[DeviceEntry], None], entries: Sequence[DeviceEntry], timeout_s: float) -> None:
    """Call `ask` for each device that is ready, each in a thread; those that take too long are left out."""
    deadline = time.monotonic() + timeout_s + 0.5
    threads = [threading.Thread(target=ask, args=(entry,), daemon=True) for entry in entries if entry.state == READY]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def resolve_boards(
    server: AdbServer, boards: Sequence[AnyBoard], timeout_s: float = ANSWER_TIMEOUT_S
) -> list[AnyBoard]:
    """Tell boards apart: names, connections to one board, and a new id for the second of two boards with one id.

    Of two connections to one board that by USB is the first.
    """
    settled: list[AnyBoard] = []
    for board in sorted(boards, key=lambda board: not board.entry.usb):
        twin = next((other for other in settled if not other.same_as and _one_board(board, other)), None)
        if twin is None and any(other.key == board.key for other in settled):
            board = _with_new_id(server, board, timeout_s)
        settled.append(replace(board, same_as=twin.entry.name if twin is not None else ""))
    names = {board.entry.name: _name(board, settled) for board in settled}
    found = {
        board.entry.name: replace(board, name=names[board.entry.name], same_as=names.get(board.same_as, ""))
        for board in settled
    }
    return [found[board.entry.name] for board in boards]


def _one_board(one: Board, other: Board) -> bool:
    if one.facts is None or other.facts is None or not same_board(one.facts.identity, other.facts.identity):
        return False
    return bool(one.facts.identity.written) or one.key == other.key


def _ask(server: AdbServer, entry: DeviceEntry, timeout_s: float) -> DeviceFacts:
    result = Device.of(server, entry).shell(NAME_COMMAND, timeout_s=timeout_s, doing="telling its name")
    return parse_facts(result.stdout.decode("utf-8", "replace"), entry.serial)


def _with_new_id(server: AdbServer, board: AnyBoard, timeout_s: float) -> AnyBoard:
    """The board with a new id, if it can be given one."""
    entry, facts = board.entry, board.facts
    if facts is None or not facts.identity.digits or not facts.key.endswith(facts.identity.digits):
        return board
    try:
        renew(Device.of(server, entry), facts.identity)
        asked = _ask(server, entry, timeout_s)
    except DevbenchError:
        return board
    note = f"another connected board has the same id {facts.key}; this board now has the new id {asked.key}"
    return replace(board, facts=replace(facts, key=asked.key, identity=asked.identity), note=note)


def _name(board: Board, boards: Sequence[Board]) -> str:
    """The unique name of a connection: its adb serial; if others have it too, the board's key, or the transport id."""
    if not board.entry.by_id:
        return board.entry.serial
    keys = Counter(other.key for other in boards if not other.same_as)
    others = {other.entry.serial for other in boards if not other.entry.by_id}
    unique = board.facts is not None and not board.same_as and keys[board.key] == 1 and board.key not in others
    return board.key if unique else board.entry.name


def find_board(word: str, boards: Sequence[Board], tagged: Collection[str] = ()) -> Board | None:
    """The board that a word means: adb serial, hardware serial, key, a tag, or any part of the title or of a serial.

    Args:
        word: as typed.
        boards: all that are connected.
        tagged: keys of the boards that have `word` as a tag.

    Raises:
        InputError: it means several boards, which are listed.
    """
    firsts = [board for board in boards if not board.same_as]
    part = word.casefold()
    for found in (
        # A connection with exactly that name is meant, even if it is the second one to its board.
        [board for board in boards if word in (board.name, board.entry.name)],
        [board for board in firsts if word in board.words],
        [board for board in firsts if board.key in tagged],
        [board for board in firsts if part and any(part in known.casefold() for known in board.words)],
    ):
        if len(found) > 1:
            listed = ", ".join(board.label for board in found[:_MAX_LISTED])
            more = f" and {len(found) - _MAX_LISTED} more" if len(found) > _MAX_LISTED else ""
            hint = f"; tag:{word} means all that have the tag" if all(board.key in tagged for board in found) else ""
            raise InputError(f"{word!r} means {len(found)} devices: {listed}{more}", hint=f"name one of them{hint}")
        if found:
            return found[0]
    return None


def key_of_word(server: AdbServer, word: str) -> str:
    """The key of a connected device by any of its names; for other words the word itself, if it has tags.

    Raises:
        NoSuchDevice: there is neither.
    """
    boards = identify_boards(server, server.list_devices())
    book = load_tags()
    if word in book:
        return word
    board = find_board(word, boards, [key for key, tags in book.items() if word in tags])
    if board is None:
        raise NoSuchDevice(word, [board.name for board in boards])
    # A device that did not answer when it was tagged keeps these tags.
    return board.entry.name if board.entry.name in book else board.key
