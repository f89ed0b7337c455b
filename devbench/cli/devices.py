"""`devbench devices` and `devbench virtual`: connected devices, their tags, who uses them; virtual devices."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli import device_histories, device_life
from devbench.cli.choices import complete_serials
from devbench.cli.output import agreed, console, plain, print_json, print_table, say
from devbench.cli.takes import JsonOption, YesOption, open_devices
from devbench.errors import EnvironmentProblem, InputError
from devbench.sections.tables import Cell, Column
from devbench.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devbench.adb.server import AdbServer, DeviceEntry
    from devbench.device.overview import DeviceOverview
    from devbench.device.profiles import DeviceProfile
_NO_DEVICE = (
    "No device is connected. Connect a phone by USB and allow USB debugging in its developer options, or use "
    "`devbench devices connect HOST:PORT`. Without a phone: `devbench run demo --device virtual`."
)
_ADDRESS = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}")
_CONNECT_S = 10.0
_MAX_VIRTUAL = 64
_LIST = (
    "Examples:\n\n  devbench devices\n\n  devbench devices connect 192.168.1.20:5555\n\n"
    "  devbench devices tag R5CT1234ABC nightly\n\n  devbench devices release R5CT1234ABC\n\n"
    "  devbench devices --json | jq -r '.[] | select(.ready) | .name'\n\n"
    "  ANDROID_ADB_SERVER_PORT=5038 devbench devices"
)
_RELEASE = (
    'Examples:\n\n  devbench devices release R5CT1234ABC\n\n  devbench devices release "Pixel 8" --yes\n\n'
    "Exit codes: 0 released, or not in use; 2 no terminal to ask at and no --yes; 3 the device does not answer, or a "
    "process on it cannot be ended."
)
_VIRTUAL = (
    "Examples:\n\n  devbench virtual\n\n  devbench virtual --count 4 --fault slow=1000000\n\n"
    "then, in another terminal:\n\n  devbench run demo --device 127.0.0.1:PORT"
)
_DeviceArgument = Annotated[
    str,
    typer.Argument(
        metavar="DEVICE", help="A name from `devbench devices`: serial, key, tag or part of the title.",
        autocompletion=complete_serials,
    ),
]  # fmt: skip
_AddressArgument = Annotated[
    str, typer.Argument(metavar="HOST:PORT", help="The address that the device shows under wireless debugging.")
]
app = typer.Typer()
group = typer.Typer(name="devices", invoke_without_command=True)
app.add_typer(group, rich_help_panel="Prepare")
group.add_typer(device_life.app)
group.add_typer(device_histories.app)


@group.callback(epilog=_LIST)
def devices(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: a list, one entry per device.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Print again whenever a device comes or goes, until Ctrl-C.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0.1, max=600, help="Seconds that each device has to answer.")] = 5.0,
) -> None:
    """List connected devices, and what to do about those that cannot be used.

    Shows state, model, SoC, Android version, ABI, battery, temperature, health (30 days of results), device profile,
    and who uses a device. The commands below connect, tag and release devices.
    """
    from devbench.device.profiles import load_profiles

    if context.invoked_subcommand is not None:
        return
    profiles = load_profiles()
    server = _ready_server()
    if not watch:
        _print(server, server.list_devices(), profiles, timeout, as_json)
        return
    # The usual way to end it, so the exit code is 0.
    with contextlib.suppress(KeyboardInterrupt):
        for entries in server.track():
            _print(server, entries, profiles, timeout, as_json)


def _print(
    server: AdbServer,
    entries: Sequence[DeviceEntry],
    profiles: Sequence[DeviceProfile],
    timeout_s: float,
    as_json: bool,
) -> None:
    from devbench.device.overview import survey, to_json

    found = survey(server, entries, profiles, timeout_s=timeout_s)
    life = device_life.read_life(found)
    if as_json:
        print_json([{**to_json(one), "tags": _tags(one), **life.to_json(_key(one))} for one in found])
    elif not found:
        say(_NO_DEVICE)
    else:
        _print_table(found, life)
    for overview in [] if as_json else found:
        name = plain(overview.name, 100)
        if overview.problem:
            subject = "" if overview.name in overview.problem else f"{name}: "
            advice = plain(overview.advice, 400)
            say(f"[yellow]![/yellow] {subject}{plain(overview.problem, 300)} [dim]→[/dim] {advice}")
        if out := life.quarantine.get(_key(overview)):
            hint = f"`devbench devices quarantine {plain(_key(overview), 100)} --end` ends it"
            say(f"[yellow]![/yellow] {name}: {plain(out.words, 400)} [dim]→[/dim] {hint}")
        if overview.note:
            say(f"[yellow]![/yellow] {name}: {plain(overview.note, 400)}")


def _key(one: DeviceOverview) -> str:
    return one.facts.key if one.facts else one.entry.name


def _print_table(found: Sequence[DeviceOverview], life: device_life.Life) -> None:
    columns: tuple[Column[DeviceOverview], ...] = (
        Column("device", lambda one: one.name, role="name"),
        Column("state", _state, role="name"),
        Column("model", _title),
        Column("SoC", lambda one: one.facts.soc if one.facts else "", hidden=2),
        Column("Android", _android, hidden=5),
        Column("ABI", lambda one: one.facts.abis[0] if one.facts and one.facts.abis else "", hidden=3),
        Column("battery", _battery, hidden=6),
        Column("temperature", _temperature, hidden=4),
        Column("health", lambda one: life.score(_key(one)), only_if=lambda one: life.score(_key(one))),
        Column("profile", lambda one: one.profile.name if one.facts and one.profile else "", hidden=1),
        Column("in use by", _user, only_if=lambda one: one.lease),
        Column("tags", lambda one: ", ".join(_tags(one)), only_if=_tags),
    )
    print_table(columns, found)


def _state(one: DeviceOverview) -> Cell:
    if one.facts is None:
        return Cell(one.entry.state if one.entry.state != "device" else "no answer", kind="bad")
    return Cell(f"same board as {one.same_as}", kind="soft") if one.same_as else Cell("ready", kind="good")


def _title(one: DeviceOverview) -> str:
    facts = one.facts
    if facts is None:
        return one.entry.model
    title = facts.name if one.name == facts.key else facts.title.removesuffix(" (virtual)")
    kind = f"{facts.emulation}, virtual" if facts.emulation else "virtual"
    return f"{title} ({kind})" if one.virtual else title


def _android(one: DeviceOverview) -> str:
    if one.facts is None:
        return ""
    return one.facts.android + (f" (API {one.facts.sdk})" if one.facts.sdk else "")


def _battery(one: DeviceOverview) -> str:
    now = one.conditions
    level = "" if now is None or now.battery_level is None else f"{now.battery_level} %"
    return f"{level} charging" if now is not None and now.battery_charging else level


def _temperature(one: DeviceOverview) -> Cell:
    now = one.conditions
    if now is None:
        return Cell("")
    parts = [] if now.battery_temperature_c is None else [f"{now.battery_temperature_c:.1f} °C battery"]
    if now.temperatures_c:
        sensor = max(now.temperatures_c, key=lambda sensor: now.temperatures_c[sensor])
        parts.append(f"{now.temperatures_c[sensor]:.1f} °C {sensor}")
    if now.thermal_status_problem:
        parts.append("thermal status unknown")
    if now.throttled:
        parts.append(f"throttled: {now.thermal_status_name}")
    return Cell(", ".join(parts), kind="bad" if now.throttled else "warn" if now.thermal_status_problem else "")


def _user(one: DeviceOverview) -> Cell:
    """Who has the device and since when; an expired lease does not block others."""
    lease = one.lease
    if lease is None:
        return Cell("")
    return (
        Cell(f"{lease.who}, for {lease.since}", kind="warn")
        if lease.active
        else Cell(f"{lease.who} (expired)", kind="soft")
    )


def _tags(one: DeviceOverview) -> list[str]:
    from devbench.device.boards import load_tags

    book = load_tags()
    names = (one.facts.key if one.facts else "", one.entry.name)
    return sorted({tag for name in names for tag in book.get(name, ())})


# -- connecting, tags, releasing -------------------------------------------------------------------------------------


@group.command("connect", epilog="Example:\n\n  devbench devices connect 192.168.1.20:5555")
def connect(address: _AddressArgument) -> None:
    """Connect to a device over the network.

    The device must have wireless debugging switched on. `devbench run --device HOST:PORT` connects by itself.
    """
    server = _ready_server()
    server.connect(_checked(address), timeout_s=_CONNECT_S)
    server.wait_for(address, timeout_s=_CONNECT_S)
    say(f"{address}: connected")


@group.command("disconnect", epilog="Example:\n\n  devbench devices disconnect 192.168.1.20:5555")
def disconnect(address: _AddressArgument) -> None:
    """End the connection to a device over the network."""
    _ready_server().disconnect(_checked(address))
    say(f"{address}: disconnected")


def _checked(address: str) -> str:
    if not _ADDRESS.fullmatch(address):
        raise InputError(f"{address!r} is not HOST:PORT", hint="for example 192.168.1.20:5555")
    return address


def _ready_server() -> AdbServer:
    from devbench.adb.server import AdbServer

    server = AdbServer()
    server.ensure_running()
    return server


@group.command("tag", epilog="Example:\n\n  devbench devices tag R5CT1234ABC nightly s23")
def tag(
    device: _DeviceArgument,
    tags: Annotated[list[str], typer.Argument(metavar="TAG", help="One or more words.")],
) -> None:
    """Give a device tags, for `--device tag:NAME` and suites."""
    from devbench.device.boards import add_tags, key_of_word

    key = key_of_word(_ready_server(), device)
    _print_tags(key, add_tags(key, tags))


@group.command("untag", epilog="Example:\n\n  devbench devices untag R5CT1234ABC nightly")
def untag(
    device: _DeviceArgument,
    tags: Annotated[list[str] | None, typer.Argument(metavar="TAG", help="The tags to remove. Default: all.")] = None,
) -> None:
    """Remove tags from a device."""
    from devbench.device.boards import key_of_word, remove_tags

    key = key_of_word(_ready_server(), device)
    _print_tags(key, remove_tags(key, tags or []))


def _print_tags(key: str, tags: tuple[str, ...]) -> None:
    say(f"{plain(key, 80)}: {plain(', '.join(tags) or 'no tags', 1000)}")


@group.command("release", epilog=_RELEASE)
def release(device: _DeviceArgument, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Release a device from the run that uses it, and end the processes of that run on the device.

    That run stops on the device with exit code 3, or 1 if other devices continue. Its earlier results stay stored;
    a repetition in progress does not count.
    """
    from devbench.device.lease import ROOT, read_holder, revoke, to_json

    with open_devices([device]) as opened:
        if len(opened) != 1:
            raise InputError(f"{device!r} means {len(opened)} devices", hint="release them one by one, by serial")
        serial = opened[0].serial
        holder = read_holder(opened[0], ROOT)
        if holder is None:
            say(f"{plain(serial)}: the device is not in use.", stderr=as_json)
        else:
            state = f"has used it for {holder.since}" if holder.active else "used it; the lease is expired"
            user = f"{clean(holder.who)} {state}"
            question = f"{clean(serial)}: {user}. End its processes on the device and release it?"
            if not agreed(question, yes=yes, otherwise=f"{serial} was not released: {user}"):
                say("Nothing was changed.", stderr=as_json)
                return
            if not revoke(opened[0], ROOT, holder):
                what = f"{serial}: {holder.who} released the device, and another run uses it now"
                raise EnvironmentProblem(what, hint="`devbench devices` shows which")
            say(f"{plain(serial)}: released from {plain(holder.who)}.", stderr=as_json)
    if as_json:
        print_json({"serial": serial, "released": to_json(holder) if holder else None})


@app.command("virtual", epilog=_VIRTUAL, rich_help_panel="Prepare")
def virtual(
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=_MAX_VIRTUAL, help="How many devices.")] = 1,
    fault: Annotated[
        str,
        typer.Option(metavar="NAME=VALUE", help="How they misbehave, separated by commas (docs/virtual.md lists all)."),
    ] = "",
) -> None:
    """Start virtual devices and keep them until Ctrl-C, for other programs and for several runs.

    A virtual device runs models on this computer's CPU. `devbench run --device virtual` starts one by itself.
    """

    # The only way to end it, so the exit code is 0.
    with contextlib.suppress(KeyboardInterrupt), open_devices([f"virtual:{count}"], fault) as opened:
        for device in opened:
            console().print(device.serial, markup=False)
        say("[dim]Ctrl-C ends them[/dim]", stderr=True)
        while True:
            time.sleep(3600)
