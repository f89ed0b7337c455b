"""`devbench devices pair` and `reboot`: connect a device over Wi-Fi for the first time, restart a device."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.choices import complete_serials
from devbench.cli.output import plain, print_json, say
from devbench.cli.takes import JsonOption, open_devices
from devbench.errors import DevbenchError, EnvironmentProblem, InputError

if TYPE_CHECKING:
    from devbench.adb.server import AdbServer, MdnsService

_CODE = re.compile(r"[0-9]{6}")
_CONNECT_S = 10.0
_POLL_S = 0.5
_PAIR = (
    "Examples:\n\n  devbench devices pair --code 482913\n\n  devbench devices pair 192.168.1.20:37099 --code 482913\n\n"
    "On the phone: developer options, wireless debugging, `Pair device with pairing code`."
)
_REBOOT = "Examples:\n\n  devbench devices reboot R5CT1234ABC\n\n  devbench devices reboot R5CT1234ABC --wait 10m"


def register(group: typer.Typer) -> None:
    """Add the commands to `devbench devices`."""
    group.command("pair", epilog=_PAIR)(pair)
    group.command("reboot", epilog=_REBOOT)(reboot)


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


def reboot(
    device: Annotated[
        str,
        typer.Argument(
            metavar="DEVICE",
            help="A name from `devbench devices`: serial, key, tag or part of the title.",
            autocompletion=complete_serials,
        ),
    ],
    wait: Annotated[str, typer.Option(metavar="TIME", help="Wait up to this long until it has booted.")] = "5m",
    as_json: JsonOption = False,
) -> None:
    """Restart a device and wait until it has booted. A device that a run uses is not restarted."""
    from devbench.bench.lease_keeper import holding, parse_wait
    from devbench.bench.restart import restart
    from devbench.device.facts import read_facts

    deadline_s = parse_wait(wait)
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
