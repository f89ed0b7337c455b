"""Which devices a run is for: from what the user typed to connected devices, virtual ones started on the way."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from devbench.adb.server import AdbServer
from devbench.device.tags import PREFIX, serials_with_tag
from devbench.errors import DevbenchError, EnvironmentProblem, InputError

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.adb.server import DeviceEntry

_VIRTUAL = re.compile(r"virtual(?::(\d+))?")
_ADDRESS = re.compile(r"[A-Za-z0-9._-]+:\d{1,5}|\[[0-9A-Fa-f:]+\]:\d{1,5}")
_MOST_VIRTUAL = 64
_CONNECT_TIMEOUT_S = 10.0


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
    names = list(dict.fromkeys(part.strip() for word in wanted for part in word.split(",") if part.strip()))
    virtual = sum(_virtual_count(name) for name in names)
    real = [name for name in names if not _virtual_count(name)]
    server = AdbServer()
    server.ensure_running()
    with _virtual_phones(server, virtual, faults) as addresses:
        serials = _real_serials(server, real, alone=not virtual)
        yield [server.device(serial) for serial in dict.fromkeys([*serials, *addresses])]


def _virtual_count(name: str) -> int:
    match = _VIRTUAL.fullmatch(name)
    if match is None:
        return 0
    count = int(match.group(1) or 1)
    if not 1 <= count <= _MOST_VIRTUAL:
        raise InputError(f"--device {name}: {count} virtual devices", hint=f"ask for 1 to {_MOST_VIRTUAL}")
    return count


@contextlib.contextmanager
def _virtual_phones(server: AdbServer, count: int, faults: str) -> Iterator[list[str]]:
    if not count:
        yield []
        return
    from concurrent.futures import ThreadPoolExecutor

    from devbench.virtual.faults import parse_faults
    from devbench.virtual.phone import VirtualPhone

    phones = [VirtualPhone(f"virtual-{n + 1}", faults=parse_faults(faults)) for n in range(count)]
    with contextlib.ExitStack() as stack:
        for phone in phones:
            stack.enter_context(phone)
        addresses = [phone.address for phone in phones]
        for address in addresses:
            stack.callback(_forget, server, address)
        with ThreadPoolExecutor(max_workers=count) as pool:
            list(pool.map(lambda address: server.connect(address, timeout_s=_CONNECT_TIMEOUT_S), addresses))
            list(pool.map(lambda address: server.wait_for(address, timeout_s=_CONNECT_TIMEOUT_S), addresses))
        yield addresses


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
