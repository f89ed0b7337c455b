"""Track the phones that are connected to this host; independent of the queue.

Only new connections are asked for their identity, so that a phone that is being measured is not disturbed.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from devbench.adb.server import READY, AdbServer, DeviceEntry
from devbench.device.boards import Board, identify_boards, resolve_boards
from devbench.errors import DevbenchError

# Seconds until a phone that did not answer is asked for its identity again. After a fifth, retry the adb server.
_AGAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Phone:
    """A connected phone: its key, its name in adb, and short facts by which a submission can select it."""

    device: str
    name: str
    facts: Mapping[str, Any]


class Phones:
    """Track the phones of the adb server in background threads; call `wake` after each change."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._server = AdbServer()
        self._entries: list[DeviceEntry] = []
        self._changed = threading.Event()
        self._boards: dict[tuple[str, int | None], Board] = {}
        self._phones: tuple[Phone, ...] = ()
        for work in (self._follow, self._identify):
            threading.Thread(target=work, daemon=True).start()

    @property
    def present(self) -> tuple[Phone, ...]:
        """The phones that are ready. A phone with several connections is listed once."""
        return self._phones

    def _follow(self) -> None:
        pause = threading.Event()
        while True:
            try:
                self._server.ensure_running()
                for entries in self._server.track():
                    self._entries = entries
                    self._changed.set()
            except DevbenchError:
                pass
            # Without the adb server there are no phones. Current runs detect the lost connection themselves.
            self._entries = []
            self._changed.set()
            pause.wait(_AGAIN_S / 5)

    def _identify(self) -> None:
        unknown = False
        while True:
            self._changed.wait(_AGAIN_S if unknown else None)
            self._changed.clear()
            ready = [entry for entry in self._entries if entry.state == READY]
            new = [entry for entry in ready if self._known(entry) is None]
            try:
                found = identify_boards(self._server, new) if new else []
                self._boards = {
                    (entry.name, entry.transport_id): board
                    for entry in ready
                    if (board := self._known(entry) or _of(entry, found)) is not None and board.facts is not None
                }
                boards = resolve_boards(self._server, list(self._boards.values()))
            except DevbenchError:
                unknown = True
                continue
            unknown = len(self._boards) < len(ready)
            phones = tuple(_phone(board) for board in boards if not board.same_as)
            if phones != self._phones:
                self._phones = phones
                self._wake()

    def _known(self, entry: DeviceEntry) -> Board | None:
        return self._boards.get((entry.name, entry.transport_id))


def _of(entry: DeviceEntry, boards: list[Board]) -> Board | None:
    return next((board for board in boards if board.entry == entry), None)


def _phone(board: Board) -> Phone:
    facts = board.facts
    assert facts is not None
    words: dict[str, Any] = {
        "title": facts.title, "model": facts.model, "soc": facts.soc_model or facts.board, "android": facts.android,
        "sdk": facts.sdk, "abi": ",".join(facts.abis), "virtual": facts.virtual,
    }  # fmt: skip
    return Phone(facts.key[:80], board.name, {key: value for key, value in words.items() if value})


class Waker:
    """A pipe through which another thread or a signal handler ends a wait."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        os.set_blocking(self.reader, False)
        os.set_blocking(self._writer, False)

    def wake(self) -> None:
        # A full pipe also ends the wait.
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"w")

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self.reader, 1024):
                pass
