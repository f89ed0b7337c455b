"""Finds the devices that the user requested among the connected ones, and starts virtual devices."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence

from devbench.adb.device import Device
from devbench.adb.server import ADDRESS, READY, AdbServer, DeviceEntry
from devbench.device.boards import PREFIX, Board, find_board, identify_boards, load_tags, sort_by_tag
from devbench.device.quarantine import Quarantine, Quarantined, in_quarantine
from devbench.errors import DevbenchError, EnvironmentProblem, InputError
from devbench.frozen import dataclass

_VIRTUAL = re.compile(r"virtual(?::([0-9]{1,4}))?")
_VIRTUAL_NAME = re.compile(r"virtual-\d+")
# Characters at which a shell or a list with commas would split.
_UNTYPED = re.compile(r"[^A-Za-z0-9._:@%+#/\[\]-]")
_MAX_VIRTUAL = 64
_CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Present:
    """The requested devices: those that are there, and those that are not.

    Attributes:
        names: the names of connected boards (the adb serial, or the key if a serial is not unique), and `virtual-1`, …
            for virtual devices, which are started when they are opened.
        absent: the reason for each device that is not there, by its name.
    """

    names: tuple[str, ...]
    absent: Mapping[str, DevbenchError]


@contextlib.contextmanager
def open_targets(wanted: Sequence[str], faults: str = "") -> Iterator[list[Device]]:
    """Give the connected devices that the user requested; virtual devices exist until the block ends.

    Args:
        wanted: adb serials, hardware serials, tags or unique parts of a title; `host:port` addresses (connected if need
            be), `tag:NAME` for every connected device with that tag, `virtual`, `virtual:N` or `all`; empty means
            ANDROID_SERIAL or the only device there is. A board that is named or connected twice is given once.
        faults: how virtual devices misbehave, for tests; see `devbench.virtual.faults`.

    Raises:
        InputError: two devices and no choice, a word that means several devices, or an invalid number of virtual
            devices.
        EnvironmentProblem: no device, an unknown serial, none with a tag, a device that is offline or unauthorized.
    """
    connected, boards, virtual = _find(wanted, None)
    with open_names(virtual, faults) as started:
        yield [*(Device.of(connected.server, board.entry, board.name) for board in boards), *started.values()]


def find_present(wanted: Sequence[str]) -> Present:
    """Find the requested devices; a missing one is no error. Arguments as in `open_targets`.

    Raises:
        InputError: two devices and no choice, a tag that no device was ever given, too many virtual devices.
        EnvironmentProblem: there is no adb server.
    """
    absent: dict[str, DevbenchError] = {}
    connected, boards, virtual = _find(wanted, absent)
    out = in_quarantine()
    if out:
        # A device that was found by its serial has no key yet, so the keys of all connected boards are read.
        keys = {board.entry.name: board.key for board in connected.boards()}
        left_out = {board.name: found for board in boards if (found := out.get(keys.get(board.entry.name, board.key)))}
        absent |= {name: Quarantined(name, found) for name, found in left_out.items()}
        boards = [board for board in boards if board.name not in left_out]
    return Present(tuple(dict.fromkeys([*(board.name for board in boards), *virtual])), absent)


@contextlib.contextmanager
def open_names(names: Sequence[str], faults: str = "") -> Iterator[dict[str, Device]]:
    """Give devices by the names that `find_present` returned; virtual devices exist until the block ends."""
    server = AdbServer()
    virtual = [name for name in names if _VIRTUAL_NAME.fullmatch(name)]
    real = [name for name in names if name not in virtual]
    connected = _Connected(server, server.list_devices() if real else ())
    with _virtual_phones(server, virtual, faults) as addresses:
        yield {
            name: Device(server, addresses[name]) if name in addresses else _device(connected, name)
            for name in dict.fromkeys(names)
        }


def _device(connected: _Connected, name: str) -> Device:
    """Return the device with a name that `find_present` returned.

    If the device is not connected any more, using it raises an error.
    """
    try:
        board = _find_one(connected, name)
    except EnvironmentProblem:
        return Device(connected.server, name)
    return Device.of(connected.server, board.entry, board.name)


def typed_names(server: AdbServer, timeout_s: float) -> list[str]:
    """Return for each connection a name that can be typed as one word, for completion.

    Devices are asked only if a serial is not such a name.

    Raises:
        ServerUnavailable: there is no server that answers in time.
    """
    entries = server.list_devices(timeout_s)
    if not any(entry.by_id or _UNTYPED.search(entry.serial) for entry in entries):
        return [entry.serial for entry in entries]
    boards = identify_boards(server, entries, timeout_s=timeout_s)
    return [board.key if _UNTYPED.search(board.name) else board.name for board in boards]


class _Connected:
    """The devices that adb lists; their identities are read only if needed, and at most once."""

    def __init__(self, server: AdbServer, entries: Sequence[DeviceEntry]) -> None:
        self.server, self.entries = server, entries
        self._boards: list[Board] | None = None

    def boards(self) -> list[Board]:
        if self._boards is None:
            self._boards = identify_boards(self.server, self.entries)
        return self._boards

    def list_again(self) -> None:
        self.entries, self._boards = self.server.list_devices(), None

    def ready(self) -> list[Board]:
        """Return the boards that are ready, each once."""
        return [board for board in self.boards() if board.entry.state == READY and not board.same_as]


def _find(wanted: Sequence[str], absent: dict[str, DevbenchError] | None) -> tuple[_Connected, list[Board], list[str]]:
    """Return all connected devices, the wanted boards among them, each once, and the names of virtual devices.

    `absent` gets the error for each wanted device that is missing; if it is `None`, the first such error is raised.
    """
    server = AdbServer()
    server.ensure_running()
    connected = _Connected(server, server.list_devices())
    words = dict.fromkeys(part for word in map(str.strip, wanted) for part in _parts(connected, word) if part)
    count = sum(map(virtual_count, words))
    found: list[Board] = []
    # An empty word selects the only connected device.
    for word in [word for word in words if not virtual_count(word)] if words else [""]:
        try:
            found += _boards(connected, word, absent)
        except EnvironmentProblem as problem:
            if absent is None:
                raise
            absent[word or "the only device"] = problem
    return connected, _distinct(connected, found), [f"virtual-{n + 1}" for n in range(count)]


def _parts(connected: _Connected, word: str) -> list[str]:
    """Split a list at its commas; a serial or a title that contains a comma stays one word."""
    parts = [part.strip() for part in word.split(",")]
    if len(parts) > 1:
        plain = {entry.serial for entry in connected.entries} | {"", "all"}
        if not all(part in plain or virtual_count(part) or part.startswith(PREFIX) for part in parts):
            whole = {known for board in connected.boards() for known in board.words}
            return [word] if word in whole else parts
    return parts


def _distinct(connected: _Connected, boards: Sequence[Board]) -> list[Board]:
    """Return each board once, even if the user named it twice or it has several connections."""
    if len(boards) < 2:
        return list(boards)
    known = {board.entry.name: board for board in connected.boards()}
    found: dict[str, Board] = {}
    for board in boards:
        board = known.get(board.entry.name, board)
        found.setdefault(board.same_as or board.name, board)
    return list(found.values())


def virtual_count(name: str) -> int:
    """Return how many virtual devices a word means; 0 if it does not mean virtual devices.

    Raises:
        InputError: an invalid number of devices.
    """
    match = _VIRTUAL.fullmatch(name)
    if match is None:
        return 0
    count = int(match.group(1) or 1)
    if not 1 <= count <= _MAX_VIRTUAL:
        raise InputError(f"--device {name}: {count} virtual devices", hint=f"ask for 1 to {_MAX_VIRTUAL}")
    return count


@contextlib.contextmanager
def _virtual_phones(server: AdbServer, names: Sequence[str], faults: str) -> Iterator[dict[str, str]]:
    """Start and connect virtual devices with these names; give the address of each."""
    if not names:
        yield {}
        return
    from concurrent.futures import ThreadPoolExecutor

    from devbench.virtual.faults import parse_faults
    from devbench.virtual.phone import VirtualPhone

    phones = [VirtualPhone(name, faults=parse_faults(faults)) for name in names]
    with contextlib.ExitStack() as stack:
        for phone in phones:
            stack.enter_context(phone)
        addresses = [phone.address for phone in phones]
        for address in addresses:
            stack.callback(_disconnect, server, address)
        with ThreadPoolExecutor(max_workers=len(phones)) as pool:
            list(pool.map(lambda address: server.connect(address, timeout_s=_CONNECT_TIMEOUT_S), addresses))
            list(pool.map(lambda address: server.wait_for(address, timeout_s=_CONNECT_TIMEOUT_S), addresses))
        yield dict(zip(names, addresses, strict=True))


def _disconnect(server: AdbServer, address: str) -> None:
    with contextlib.suppress(DevbenchError):
        server.disconnect(address)


def _boards(connected: _Connected, name: str, absent: dict[str, DevbenchError] | None) -> list[Board]:
    """Return the ready boards that a word means; `absent` gets boards that have the tag but are not connected.

    A word for several boards (`all` or a tag) leaves out boards in quarantine; a board named by itself is used anyway.
    """
    out = in_quarantine()
    if not name:
        return [_only_one(connected)]
    if name == "all":
        ready = connected.ready()
        if not ready:
            raise _no_device(connected.entries)
        return _in_use(ready, out, absent)
    if not name.startswith(PREFIX):
        return [_find_one(connected, name)]
    found, away = sort_by_tag(connected.boards(), name.removeprefix(PREFIX))
    if absent is not None:
        absent |= {key: EnvironmentProblem(f"{key}, which has {name}, is not connected") for key in away}
    elif not found:
        raise EnvironmentProblem(
            f"no device with the tag {name.removeprefix(PREFIX)!r} is connected and ready",
            hint=f"{', '.join(away[:8])} {'has' if len(away) == 1 else 'have'} it; see `devbench devices`",
        )
    return _in_use(found, out, absent)


def _in_use(boards: list[Board], out: Mapping[str, Quarantine], absent: dict[str, DevbenchError] | None) -> list[Board]:
    """Return the boards that are not in quarantine.

    With `absent`, return all of them: `find_present` leaves out those in quarantine and reports them.
    """
    left = [board for board in boards if absent is not None or board.key not in out]
    if boards and not left:
        raise Quarantined(boards[0].name, out[boards[0].key])
    return left


def _only_one(connected: _Connected) -> Board:
    named = os.environ.get("ANDROID_SERIAL")
    if named:
        return _find_one(connected, named)
    ready = [entry for entry in connected.entries if entry.state == READY]
    if not ready:
        raise _no_device(connected.entries)
    if len(ready) == 1:
        return Board(ready[0], name=ready[0].name)
    boards = connected.ready()
    if len(boards) > 1:
        raise InputError(
            f"{len(boards)} devices are connected ({', '.join(board.name for board in boards[:8])})",
            hint="choose with --device SERIAL, or take every one with --device all",
        )
    return boards[0]


def _no_device(known: Sequence[DeviceEntry]) -> EnvironmentProblem:
    if known:
        states = ", ".join(f"{entry.name} is {entry.state}" for entry in known[:8])
        return EnvironmentProblem(f"no device is ready: {states}", hint="`devbench devices` says what to do about each")
    return EnvironmentProblem(
        "no device is connected", hint="connect one and allow USB debugging, or try --device virtual"
    )


def _find_one(connected: _Connected, name: str) -> Board:
    """Return the board that a word means, which must be ready; connect to a network address first."""
    server = connected.server
    listed = [entry for entry in connected.entries if entry.serial == name]
    problem: DevbenchError | None = None
    if ADDRESS.fullmatch(name) and not any(entry.state == READY for entry in listed):
        try:
            server.connect(name, timeout_s=_CONNECT_TIMEOUT_S)
            server.wait_for(name, timeout_s=_CONNECT_TIMEOUT_S)
        except DevbenchError as error:
            problem = error
        connected.list_again()
        listed = [entry for entry in connected.entries if entry.serial == name]
    if len(listed) == 1 and not listed[0].by_id:
        # The serial is enough, so no identity is read from a device.
        return _ready(Board(listed[0], name=name))
    boards = connected.boards()
    board = find_board(name, boards, [key for key, tags in load_tags().items() if name in tags])
    if board is None:
        from devbench.adb.errors import NoSuchDevice

        raise problem or NoSuchDevice(name, [board.name for board in boards])
    return _ready(board)


def _ready(board: Board) -> Board:
    from devbench.adb.errors import DeviceOffline, DeviceUnauthorized

    if board.entry.state == "unauthorized":
        raise DeviceUnauthorized(board.name)
    if board.entry.state != READY:
        raise DeviceOffline(board.name)
    return board
