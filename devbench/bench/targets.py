"""Which devices a run is for: from what the user typed to connected devices, virtual ones started on the way."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devbench.adb.server import AdbServer
from devbench.device.tags import PREFIX, serials_with_tag, sort_by_tag
from devbench.errors import DevbenchError, EnvironmentProblem, InputError

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.adb.server import DeviceEntry

_VIRTUAL = re.compile(r"virtual(?::(\d+))?")
_VIRTUAL_NAME = re.compile(r"virtual-\d+")
_ADDRESS = re.compile(r"[A-Za-z0-9._-]+:\d{1,5}|\[[0-9A-Fa-f:]+\]:\d{1,5}")
_MOST_VIRTUAL = 64
_CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Present:
    """The devices that are wanted, by whether they are there.

    Attributes:
        names: adb serials, and `virtual-1`, … for virtual devices, which are started when they are opened.
        absent: for each device that is not there, by the name that is known of it, why.
    """

    names: tuple[str, ...]
    absent: Mapping[str, DevbenchError]


@contextlib.contextmanager
def open_targets(wanted: Sequence[str], faults: str = "") -> Iterator[list[Device]]:
    """Connected devices for what the user asked for; virtual devices live as long as the context.

    Args:
        wanted: serials, `host:port` addresses (connected if need be), `tag:NAME` for connected devices with that tag,
            `virtual`, `virtual:N` or `all`; empty means ANDROID_SERIAL or the only device there is.
        faults: how virtual devices shall misbehave, for trying things out; see `devbench.virtual.faults`.

    Raises:
        InputError: two devices and no choice, or a number of virtual devices that makes no sense.
        EnvironmentProblem: no device, an unknown serial, none with a tag, a device that is offline or unauthorized.
    """
    real, virtual = _words(wanted)
    server = AdbServer()
    server.ensure_running()
    serials = _real_serials(server, real, alone=not virtual)
    with open_names([*serials, *virtual], faults) as devices:
        yield list(devices.values())


def find_present(wanted: Sequence[str]) -> Present:
    """Which of the devices are there, for whom the others are no reason to give up; arguments as in `open_targets`.

    Raises:
        InputError: two devices and no choice, a tag that no device was ever given, too many virtual devices.
        EnvironmentProblem: there is no adb server.
    """
    real, virtual = _words(wanted)
    server = AdbServer()
    server.ensure_running()
    found: list[str] = []
    absent: dict[str, DevbenchError] = {}
    for name in real or ([] if virtual else [""]):
        try:
            if name.startswith(PREFIX):
                serials, away = sort_by_tag(server, server.list_devices(), name.removeprefix(PREFIX))
                found += serials
                absent |= {key: EnvironmentProblem(f"{key}, which has {name}, is not connected") for key in away}
            else:
                found += _real_serials(server, [name] if name else [], alone=True)
        except EnvironmentProblem as problem:
            absent[name or "the only device"] = problem
    return Present(tuple(dict.fromkeys([*found, *virtual])), absent)


@contextlib.contextmanager
def open_names(names: Sequence[str], faults: str = "") -> Iterator[dict[str, Device]]:
    """Connected devices by the names that `find_present` gave; virtual ones live as long as the context."""
    server = AdbServer()
    virtual = [name for name in names if _VIRTUAL_NAME.fullmatch(name)]
    with _virtual_phones(server, virtual, faults) as addresses:
        serials = {name: addresses.get(name, name) for name in dict.fromkeys(names)}
        yield {name: server.device(serial) for name, serial in serials.items()}


def _words(wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """What was asked for as names of real devices and of virtual ones."""
    names = list(dict.fromkeys(part.strip() for word in wanted for part in word.split(",") if part.strip()))
    count = sum(_virtual_count(name) for name in names)
    return [name for name in names if not _virtual_count(name)], [f"virtual-{n + 1}" for n in range(count)]


def _virtual_count(name: str) -> int:
    match = _VIRTUAL.fullmatch(name)
    if match is None:
        return 0
    count = int(match.group(1) or 1)
    if not 1 <= count <= _MOST_VIRTUAL:
        raise InputError(f"--device {name}: {count} virtual devices", hint=f"ask for 1 to {_MOST_VIRTUAL}")
    return count


@contextlib.contextmanager
def _virtual_phones(server: AdbServer, names: Sequence[str], faults: str) -> Iterator[dict[str, str]]:
    """Virtual devices of these names, started and connected: the address of each."""
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
            stack.callback(_forget, server, address)
        with ThreadPoolExecutor(max_workers=len(phones)) as pool:
            list(pool.map(lambda address: server.connect(address, timeout_s=_CONNECT_TIMEOUT_S), addresses))
            list(pool.map(lambda address: server.wait_for(address, timeout_s=_CONNECT_TIMEOUT_S), addresses))
        yield dict(zip(names, addresses, strict=True))


def _forget(server: AdbServer, address: str) -> None:
    with contextlib.suppress(DevbenchError):
        server.disconnect(address)


def _real_serials(server: AdbServer, names: Sequence[str], *, alone: bool) -> list[str]:
    if not names and not alone:
        return []
    known = server.list_devices()
    if not names:
        return [_only_one(known)]
    if "all" in names:
        ready = [entry.serial for entry in known if entry.state == "device"]
        if not ready:
            raise _no_device(known)
        return ready
    serials: list[str] = []
    for name in names:
        if name.startswith(PREFIX):
            serials += serials_with_tag(server, known, name.removeprefix(PREFIX))
        else:
            serials.append(_fit(server, name, known))
    return serials


def _only_one(known: Sequence[DeviceEntry]) -> str:
    named = os.environ.get("ANDROID_SERIAL")
    if named:
        return _state_checked(named, known)
    ready = [entry.serial for entry in known if entry.state == "device"]
    if not ready:
        raise _no_device(known)
    if len(ready) > 1:
        raise InputError(
            f"{len(ready)} devices are connected ({', '.join(ready[:8])})",
            hint="choose with --device SERIAL, or take every one with --device all",
        )
    return ready[0]


def _no_device(known: Sequence[DeviceEntry]) -> EnvironmentProblem:
    if known:
        states = ", ".join(f"{entry.serial} is {entry.state}" for entry in known[:8])
        return EnvironmentProblem(f"no device is ready: {states}", hint="`devbench devices` says what to do about each")
    return EnvironmentProblem(
        "no device is connected", hint="connect one and allow USB debugging, or try --device virtual"
    )


def _fit(server: AdbServer, name: str, known: Sequence[DeviceEntry]) -> str:
    """`name` as a serial that is ready, connected first where it is a network address."""
    listed = next((entry for entry in known if entry.serial == name), None)
    if _ADDRESS.fullmatch(name) and (listed is None or listed.state != "device"):
        with contextlib.suppress(DevbenchError):
            server.connect(name, timeout_s=_CONNECT_TIMEOUT_S)
            server.wait_for(name, timeout_s=_CONNECT_TIMEOUT_S)
        known = server.list_devices()
    return _state_checked(name, known)


def _state_checked(name: str, known: Sequence[DeviceEntry]) -> str:
    from devbench.adb.errors import DeviceOffline, DeviceUnauthorized, NoSuchDevice

    listed = next((entry for entry in known if entry.serial == name), None)
    if listed is None:
        raise NoSuchDevice(name, [entry.serial for entry in known])
    if listed.state == "unauthorized":
        raise DeviceUnauthorized(name)
    if listed.state != "device":
        raise DeviceOffline(name)
    return name
