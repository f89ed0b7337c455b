"""`devbench devices pair`, `quarantine`, `hub` and `reboot`; health and quarantine for the list of devices."""

from __future__ import annotations

import re
import time
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devbench.cli.choices import complete_serials, moment
from devbench.cli.output import plain, print_json, say
from devbench.cli.takes import JsonOption, open_devices, open_store
from devbench.errors import DevbenchError, EnvironmentProblem, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from devbench.adb.server import AdbServer, MdnsService
    from devbench.device.boards import Board
    from devbench.device.quarantine import Quarantine
    from devbench.findings.device_health import DeviceHealth

_DeviceArgument = Annotated[
    str,
    typer.Argument(
        metavar="DEVICE", help="A name from `devbench devices`: serial, key, tag or part of the title.",
        autocompletion=complete_serials,
    ),
]  # fmt: skip
_CODE = re.compile(r"[0-9]{6}")
_CONNECT_S = 10.0
_POLL_S = 0.5
_PAIR = (
    "Examples:\n\n  devbench devices pair --code 482913\n\n  devbench devices pair 192.168.1.20:37099 --code 482913\n\n"
    "On the phone: developer options, wireless debugging, `Pair device with pairing code`."
)
_QUARANTINE = (
    "Examples:\n\n  devbench devices quarantine R5CT1234ABC --why 'cable loose'\n\n"
    "  devbench devices quarantine R5CT1234ABC --end"
)
_HUB = (
    "Examples:\n\n  devbench devices hub R5CT1234ABC\n\n  devbench devices hub R5CT1234ABC 1-4.2\n\n"
    "  devbench devices hub R5CT1234ABC --forget"
)
_REBOOT = "Examples:\n\n  devbench devices reboot R5CT1234ABC\n\n  devbench devices reboot R5CT1234ABC --wait 10m"


@dataclass(frozen=True, slots=True)
class Life:
    """What is known of devices beyond their present state, by their keys."""

    health: Mapping[str, DeviceHealth]
    quarantine: Mapping[str, Quarantine]

    def score(self, key: str) -> str:
        """The health for people; empty for a device that was not measured lately."""
        return f"{self.health[key].score} %" if key in self.health else ""

    def to_json(self, key: str) -> dict[str, Any]:
        """A JSON-ready mapping of two keys, each `None` if there is nothing."""
        from devbench.device import quarantine

        health, out = self.health.get(key), self.quarantine.get(key)
        return {
            "health": {"score": health.score, **asdict(health)} if health else None,
            "quarantine": quarantine.to_json(out) if out else None,
        }


def read_life(found: Sequence[Board]) -> Life:
    """Health from the user's store, if it exists and can be read, and the devices in quarantine."""
    from devbench.device.quarantine import in_quarantine
    from devbench.findings.device_health import device_health

    health: Mapping[str, DeviceHealth] = {}
    if found:
        with suppress(DevbenchError), open_store(None, create=False) as store:
            health = device_health(store, datetime.now(timezone.utc))
    return Life(health, in_quarantine())


app = typer.Typer()


@app.command("pair", epilog=_PAIR)
def pair(
    address: Annotated[
        str,
        typer.Argument(metavar="[HOST:PORT]", help="The address next to the code. Default: the one on this network."),
    ] = "",
    code: Annotated[str, typer.Option(help="The six digits that the device shows. Default: ask.")] = "",
) -> None:
    """Pair with a device over Wi-Fi by the code that it shows, and connect to it.

    A device is paired once; adb then connects to it by itself when both are on the same network.
    """
    from devbench.adb.server import ADDRESS, PAIRING, AdbServer

    server = AdbServer()
    server.ensure_running()
    if address and not ADDRESS.fullmatch(address):
        raise InputError(f"{address!r} is not HOST:PORT", hint="for example 192.168.1.20:37099")
    if not address:
        address = _the_only([one for one in server.mdns_services() if one.kind == PAIRING]).address
    code = code or typer.prompt(f"Pairing code of {address}", err=True)
    if not _CODE.fullmatch(code):
        raise InputError(f"{code[:20]!r} is not a pairing code", hint="give the six digits that the device shows")
    name = server.pair(address, code)
    say(f"{address}: paired")
    serial = _connected(server, address.rpartition(":")[0], name)
    if serial:
        say(f"{plain(serial)}: connected")
    else:
        say("Connect it: `devbench devices connect HOST:PORT` with the address of the page `Wireless debugging`.")


def _the_only(found: list[MdnsService]) -> MdnsService:
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(f"{one.name} at {one.address}" for one in found[:8])
        raise InputError(f"{len(found)} devices wait for a pairing code: {listed}", hint="give the address of one")
    raise EnvironmentProblem(
        "no device on this network waits for a pairing code",
        hint="open `Pair device with pairing code` on it, or give the HOST:PORT that it shows there",
    )


def _connected(server: AdbServer, host: str, name: str) -> str:
    """The serial of the paired device as soon as it is connected; empty if it is not, after a while."""
    from devbench.adb.server import CONNECTING, READY

    end = time.monotonic() + _CONNECT_S
    while time.monotonic() < end:
        for entry in server.list_devices():
            if entry.state == READY and ((name and name in entry.serial) or entry.serial.startswith(f"{host}:")):
                return entry.serial
        try:
            for one in server.mdns_services():
                if one.kind == CONNECTING and name and one.name.startswith(name):
                    server.connect(one.address, timeout_s=_CONNECT_S)
        except DevbenchError:
            # Without mDNS, or the device's debugging service is not up yet.
            pass
        time.sleep(_POLL_S)
    return ""


@app.command("quarantine", epilog=_QUARANTINE)
def quarantine(
    device: _DeviceArgument,
    why: Annotated[str, typer.Option(metavar="TEXT", help="The reason, for others.")] = "",
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="Until this day (included) or time (UTC). Default: until --end.")
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="Use the device again.")] = False,
) -> None:
    """Leave a device out of nights, of `all` and of tags, on this host.

    A device that is lost or hangs three times within a day is left out for a day by itself.
    """
    from devbench.adb.server import AdbServer
    from devbench.device import quarantine as book
    from devbench.device.boards import key_of_word

    known = book.in_quarantine()
    server = AdbServer()
    if device not in known:
        server.ensure_running()
        device = key_of_word(server, device)
    if end:
        done = book.end(device)
        say(f"{plain(device)}: " + ("used again" if done else "was not in quarantine"))
        return
    if not why:
        raise InputError("--why is missing", hint="others need the reason: --why 'battery swollen'")
    until_utc = moment(until, "--until", end=True)
    if until_utc is not None and until_utc <= datetime.now(timezone.utc):
        raise InputError(f"--until {until} is in the past", hint="give a later day")
    book.put(device, why, until_utc)
    say(f"{plain(device)}: {plain(book.in_quarantine()[device].words, 400)}")


@app.command("hub", epilog=_HUB)
def hub(
    device: _DeviceArgument,
    port: Annotated[
        str, typer.Argument(metavar="[PORT]", help="Bus and ports, such as 1-4.2. Default: where it is connected now.")
    ] = "",
    forget: Annotated[bool, typer.Option("--forget", help="Do not switch the power of this device's port.")] = False,
) -> None:
    """Let devbench switch the power of a device's USB port, with uhubctl and a hub that can.

    A run switches it off and on when the device is lost and does not come back; `devbench devices reboot --power` does
    so by hand.
    """
    from devbench.adb.server import AdbServer
    from devbench.device.boards import identify_boards, key_of_word
    from devbench.device.hub import load_ports, set_port

    server = AdbServer()
    server.ensure_running()
    key = device if device in load_ports() else key_of_word(server, device)
    if not port and not forget:
        boards = identify_boards(server, server.list_devices())
        port = next((board.entry.usb for board in boards if board.key == key and board.entry.usb), "")
        if not port:
            raise InputError(f"{device} is not connected by USB", hint="give its port, such as 1-4.2")
    set_port(key, "" if forget else port)
    say(f"{plain(key)}: " + ("its USB port is not switched" if forget else f"USB port {plain(port)}"))


@app.command("reboot", epilog=_REBOOT)
def reboot(
    device: _DeviceArgument,
    wait: Annotated[str, typer.Option(metavar="TIME", help="Wait up to this long until it has booted.")] = "5m",
    power: Annotated[
        bool, typer.Option("--power", help="Switch its USB port off and on instead (see `devbench devices hub`).")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Restart a device and wait until it has booted. A device that a run uses is not restarted.

    With --power, the device is back when it is connected again; a phone with a battery does not restart by that.
    """
    from devbench.bench.care import restart
    from devbench.bench.lease_keeper import holding, parse_wait
    from devbench.device.facts import read_facts

    deadline_s = parse_wait(wait)
    if power:
        _switch_power(device, deadline_s, as_json)
        return
    with open_devices([device]) as opened:
        if len(opened) != 1:
            raise InputError(f"{device!r} means {len(opened)} devices", hint="restart them one by one, by serial")
        (one,) = opened
        with holding(one):
            took_s = restart(one, read_facts(one), deadline_s)
        serial = one.serial
    say(f"{plain(serial)}: restarted in {took_s:.0f} s", stderr=as_json)
    if as_json:
        print_json({"serial": serial, "took_s": round(took_s, 1)})


def _switch_power(word: str, deadline_s: float, as_json: bool) -> None:
    """Switch the power of a device's port, also of one that is not connected; wait until it is connected again."""
    from devbench.adb.device import Device
    from devbench.adb.server import READY, AdbServer
    from devbench.bench.lease_keeper import holding
    from devbench.device.boards import find_board, identify_boards
    from devbench.device.hub import load_ports, power_cycle

    server = AdbServer()
    server.ensure_running()
    board = find_board(word, identify_boards(server, server.list_devices()))
    key = board.key if board is not None else word
    if key not in load_ports():
        raise InputError(f"the USB port of {key} is not known", hint=f"`devbench devices hub {word} PORT` sets it")
    began = time.monotonic()
    ready = board is not None and board.entry.state == READY
    with holding(Device.of(server, board.entry)) if board is not None and ready else nullcontext():
        port = power_cycle(key)
        while not any(one.key == key and one.facts for one in identify_boards(server, server.list_devices())):
            if time.monotonic() - began > deadline_s:
                hint = "look at the device and its cable"
                raise EnvironmentProblem(f"{key} is not back after {deadline_s:.0f} s on USB port {port}", hint=hint)
            time.sleep(_POLL_S)
    took_s = time.monotonic() - began
    say(f"{plain(key)}: power of USB port {port} switched, back after {took_s:.0f} s", stderr=as_json)
    if as_json:
        print_json({"serial": key, "port": port, "took_s": round(took_s, 1)})
