"""Which boards are behind the connections that adb lists, and which of them a word of the user's means.

One board may be connected twice (USB and Wi-Fi), two boards may share a serial number, a copied id file gives two
boards one id. Knows no model and no run.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from devbench.adb.device import Device
from devbench.adb.listing import READY
from devbench.device.facts import NAME_COMMAND, DeviceFacts, parse_facts
from devbench.device.identity import renew, same_board
from devbench.errors import DevbenchError, InputError

if TYPE_CHECKING:
    from devbench.adb.listing import DeviceEntry
    from devbench.adb.server import AdbServer

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
        """Names the board in store and tags; of one that does not answer what adb calls it."""
        return self.facts.key if self.facts is not None else self.entry.name

    @property
    def label(self) -> str:
        """Its name, and what it is."""
        return f"{self.name} ({self.facts.name if self.facts is not None else self.entry.state})"

    @property
    def words(self) -> tuple[str, ...]:
        """All by which people know it."""
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
    """Call `ask` for each that is ready, each in a thread; those that take longer are left out."""
    deadline = time.monotonic() + timeout_s + 0.5
    threads = [threading.Thread(target=ask, args=(entry,), daemon=True) for entry in entries if entry.state == READY]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def resolve_boards(server: AdbServer, boards: Sequence[Board], timeout_s: float = ANSWER_TIMEOUT_S) -> list[Board]:
    """Tell boards apart: names, connections to one board, and a new id for the second of two boards with one id.

    Of two connections to one board that by USB is the first.
    """
    settled: list[Board] = []
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


def _with_new_id(server: AdbServer, board: Board, timeout_s: float) -> Board:
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
    """What tells a connection apart: its adb serial; if others have it too, the board's key; else the transport id."""
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
        # The one connection of that name counts, also if it is the second one to its board.
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
