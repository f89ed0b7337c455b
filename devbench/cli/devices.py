"""`devbench devices` and `devbench profiles`: what is connected, and what is known about kinds of devices."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from devbench.adb.server import AdbServer, DeviceEntry
    from devbench.device.overview import DeviceOverview
    from devbench.device.profiles import DeviceProfile

_NO_DEVICE = (
    "No device is connected. Connect a phone by USB and allow USB debugging in its developer options, or "
    "`adb connect HOST:PORT`; without a phone, try `devbench run MODEL.tflite --device virtual`."
)

profiles_app = typer.Typer(no_args_is_help=True, help="Show what is known about kinds of devices.")


def register(app: typer.Typer) -> None:
    """Add the commands of this file to the application."""
    from devbench.cli import device_histories, release, tags

    group = typer.Typer(invoke_without_command=True)
    group.callback()(devices)
    tags.register(group)
    release.register(group)
    device_histories.register(group)
    app.add_typer(group, name="devices", rich_help_panel="Prepare")
    app.add_typer(profiles_app, name="profiles", rich_help_panel="Prepare")


def devices(
    context: typer.Context,
    as_json: bool = typer.Option(False, "--json", help="Print JSON: a list, empty where nothing is connected."),
    watch: bool = typer.Option(False, "--watch", help="Print again whenever a device comes or goes, until Ctrl-C."),
    timeout: float = typer.Option(5.0, "--timeout", min=0.1, max=600, help="Seconds that each device has to answer."),
) -> None:
    """List connected devices: state, model, SoC, Android, ABI, battery, temperature, profile, current user.

    Devices that cannot be used are listed with what to do about them.

    [bold]Examples[/bold]

      devbench devices

      devbench devices tag R5CT1234ABC nightly

      devbench devices release R5CT1234ABC

      devbench devices --json | jq -r '.[] | select(.ready) | .name'

      ANDROID_ADB_SERVER_PORT=5038 devbench devices
    """
    from devbench.adb.server import AdbServer
    from devbench.cli.output import console
    from devbench.device.profiles import load_profiles

    if context.invoked_subcommand is not None:
        return
    profiles = load_profiles()
    server = AdbServer()
    server.ensure_running()
    if not watch:
        _print(server, server.list_devices(), profiles, timeout, as_json, console())
        return
    # Ctrl-C is the only way to end it, so it is no interruption.
    with contextlib.suppress(KeyboardInterrupt):
        for entries in server.track():
            _print(server, entries, profiles, timeout, as_json, console())


@profiles_app.command("list")
def profiles_list() -> None:
    """List the device profiles, shipped ones and your own.

    [bold]Example[/bold]

      devbench profiles list
    """
    from rich.table import Table

    from devbench.cli.output import console, plain
    from devbench.device.profiles import load_profiles

    table = Table("profile", "devices", "SoC", "matches", box=None, pad_edge=False, header_style="bold")
    for profile in sorted(load_profiles(), key=lambda profile: profile.name):
        matches = ", ".join(f"{key}={pattern.pattern}" for key, pattern in profile.match.items())
        title = profile.title + (" (virtual)" if profile.virtual else "")
        table.add_row(plain(profile.name), plain(title), plain(profile.soc), plain(matches or "any device"))
    console().print(table)


@profiles_app.command("new")
def profiles_new(
    serial: Annotated[
        str, typer.Argument(help="The device: a name that `devbench devices` shows, host:port, or virtual.")
    ],
    out: Annotated[Path | None, typer.Option(help="The .toml file to write. Default: print it.")] = None,
) -> None:
    """Draft a profile from a live device.

    [bold]Example[/bold]

      devbench profiles new R5CT1234ABC --out ~/.local/share/devbench/device_profiles/rig-7.toml
    """
    from devbench.bench.targets import open_targets
    from devbench.device.facts import read_facts
    from devbench.device.profiles import draft
    from devbench.errors import InputError

    with open_targets([serial]) as devices:
        text = draft(read_facts(devices[0]))
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        # "x": a profile that somebody wrote is not overwritten.
        with out.expanduser().open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}", hint="choose another file") from None
    typer.echo(str(out))


@profiles_app.command("show")
def profiles_show(name: str = typer.Argument(..., help="A name from `devbench profiles list`.")) -> None:
    """Show one device profile.

    [bold]Example[/bold]

      devbench profiles show galaxy-s23
    """
    from devbench.cli.output import console, plain
    from devbench.device.profiles import load_profiles
    from devbench.errors import InputError

    found = {profile.name: profile for profile in load_profiles()}
    if name not in found:
        raise InputError(f"no device profile {name!r}", hint=f"there are {', '.join(sorted(found))}")
    profile = found[name]
    rows = [("name", profile.name), ("devices", profile.title), ("virtual", "yes" if profile.virtual else "no")]
    rows += [(f"match {key}", pattern.pattern) for key, pattern in profile.match.items()]
    rows += [("SoC", profile.soc), ("GPU", profile.gpu)]
    rows += [("cores", " + ".join(f"{cluster.count}x {cluster.core}" for cluster in profile.clusters))]
    rows += [("note", note) for note in profile.notes] + [("source", source) for source in profile.sources]
    rows += [("file", str(profile.origin))]
    for key, value in rows:
        if value:
            console().print(f"[bold]{plain(key):<24}[/bold] {plain(value, 1000)}", soft_wrap=True)


def _print(
    server: AdbServer,
    entries: Sequence[DeviceEntry],
    profiles: Sequence[DeviceProfile],
    timeout_s: float,
    as_json: bool,
    out: Console,
) -> None:
    from devbench.device.overview import survey, to_json

    found = survey(server, entries, profiles, timeout_s=timeout_s)
    if as_json:
        typer.echo(json.dumps([{**to_json(overview), "tags": _tags(overview)} for overview in found], indent=2))
    elif not found:
        out.print(_NO_DEVICE, soft_wrap=True)
    else:
        out.print(_table(found))
        _print_advice(found, out)


def _table(found: Sequence[DeviceOverview]) -> Table:
    from rich.table import Table

    from devbench.cli.output import plain

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("serial", "state"):
        table.add_column(column, no_wrap=True, overflow="fold")
    for column in ("device", "SoC", "Android", "ABI", "battery", "temperature", "profile"):
        table.add_column(column, overflow="fold")
    more = {
        "in use by": [_user(overview, plain) for overview in found],
        "tags": [plain(", ".join(_tags(overview)), 200) for overview in found],
    }
    more = {heading: cells for heading, cells in more.items() if any(cells)}
    for heading in more:
        table.add_column(heading, overflow="fold")
    for number, overview in enumerate(found):
        table.add_row(*_cells(overview, plain), *(cells[number] for cells in more.values()))
    return table


def _user(overview: DeviceOverview, plain: _Plain) -> str:
    """Who has the device and since when, as Rich markup; an expired lease does not block others."""
    lease = overview.lease
    if lease is None:
        return ""
    if not lease.active:
        return f"[dim]{plain(lease.who, 160)} (expired)[/dim]"
    return f"[yellow]{plain(lease.who, 160)}, for {lease.since}[/yellow]"


def _tags(overview: DeviceOverview) -> list[str]:
    from devbench.device.boards import load_tags

    book = load_tags()
    names = (overview.facts.key if overview.facts else "", overview.entry.name)
    return sorted({tag for name in names for tag in book.get(name, ())})


def _cells(overview: DeviceOverview, plain: _Plain) -> list[str]:
    """The cells of a device's row as Rich markup."""
    entry, facts, now = overview.entry, overview.facts, overview.conditions
    if facts is None or now is None:
        state = entry.state if entry.state != "device" else "no answer"
        return [plain(overview.name, 100), f"[red]{plain(state, 40)}[/red]", plain(entry.model, 80), *[""] * 6]
    state = f"[dim]same board as {plain(overview.same_as, 100)}[/dim]" if overview.same_as else "[green]ready[/green]"
    title = facts.name if overview.name == facts.key else facts.title.removesuffix(" (virtual)")
    kind = f"{plain(facts.emulation, 40)}, virtual" if facts.emulation else "virtual"
    name = plain(title, 160) + (f" [magenta]({kind})[/magenta]" if overview.virtual else "")
    battery = "" if now.battery_level is None else f"{now.battery_level} %"
    if now.battery_charging:
        battery += " charging"
    temperature = "" if now.battery_temperature_c is None else f"{now.battery_temperature_c:.1f} °C battery"
    if now.temperatures_c:
        sensor = max(now.temperatures_c, key=lambda sensor: now.temperatures_c[sensor])
        temperature += f"{', ' if temperature else ''}{now.temperatures_c[sensor]:.1f} °C {plain(sensor, 30)}"
    if now.thermal_status_problem:
        temperature += f"{', ' if temperature else ''}[yellow]thermal status unknown[/yellow]"
    if now.throttled:
        temperature += f" [red]throttled: {now.thermal_status_name}[/red]"
    android = facts.android + (f" (API {facts.sdk})" if facts.sdk else "")
    profile = overview.profile.name if overview.profile else ""
    return [
        plain(overview.name, 100),
        state,
        name,
        plain(facts.soc, 60),
        plain(android, 40),
        plain(facts.abis[0] if facts.abis else "", 40),
        battery,
        temperature,
        plain(profile, 40),
    ]


def _print_advice(found: Sequence[DeviceOverview], out: Console) -> None:
    from devbench.cli.output import plain

    for overview in found:
        if overview.problem:
            what, then = plain(overview.problem, 300), plain(overview.advice, 400)
            serial = "" if overview.name in overview.problem else f"{plain(overview.name, 100)}: "
            out.print(f"[yellow]![/yellow] {serial}{what} [dim]→[/dim] {then}", soft_wrap=True)
        if overview.note:
            out.print(f"[yellow]![/yellow] {plain(overview.name, 100)}: {plain(overview.note, 400)}", soft_wrap=True)


if TYPE_CHECKING:
    from typing import Protocol

    class _Plain(Protocol):
        def __call__(self, text: object, most: int = 400) -> str: ...
