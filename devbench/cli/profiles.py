"""`devbench profiles`: what is known about kinds of devices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.choices import complete_profiles, complete_serials
from devbench.cli.output import plain, print_facts, print_table
from devbench.cli.takes import open_devices
from devbench.errors import system_errors
from devbench.sections.tables import Column

if TYPE_CHECKING:
    from devbench.device.profiles import DeviceProfile

_NEW = "Example:\n\n  devbench profiles new R5CT1234ABC --out ~/.local/share/devbench/device_profiles/rig-7.toml"
app = typer.Typer(
    name="profiles",
    help="Show and write device profiles: what is known about kinds of devices.",
    rich_help_panel="Prepare",
)


@app.command("list", epilog="Example:\n\n  devbench profiles list")
def list_profiles() -> None:
    """List the device profiles: those that devbench ships and your own."""
    from devbench.device.profiles import load_profiles

    def matches(profile: DeviceProfile) -> str:
        return ", ".join(f"{key}={pattern}" for key, pattern in profile.match.items()) or "any device"

    columns: tuple[Column[DeviceProfile], ...] = (
        Column("profile", lambda one: one.name, role="name"),
        Column("devices", lambda one: one.title + (" (virtual)" if one.virtual else "")),
        Column("SoC", lambda one: one.soc),
        Column("matches", matches, hidden=1),
    )
    print_table(columns, sorted(load_profiles(), key=lambda profile: profile.name))


@app.command("show", epilog="Example:\n\n  devbench profiles show galaxy-s23")
def show(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A name from `devbench profiles list`.", autocompletion=complete_profiles),
    ],
) -> None:
    """Show a device profile."""
    from devbench.device.profiles import find_profile

    profile = find_profile(name)
    rows = [("name", profile.name), ("devices", profile.title), ("virtual", "yes" if profile.virtual else "no")]
    rows += [(f"match {key}", pattern) for key, pattern in profile.match.items()]
    rows += [("SoC", profile.soc), ("GPU", profile.gpu)]
    rows += [("cores", " + ".join(f"{cluster.count}x {cluster.core}" for cluster in profile.clusters))]
    rows += [("note", note) for note in profile.notes] + [("source", source) for source in profile.sources]
    rows += [("file", str(profile.origin))]
    print_facts((key, plain(value, 1000)) for key, value in rows)


@app.command("new", epilog=_NEW)
def new(
    device: Annotated[
        str,
        typer.Argument(
            metavar="DEVICE",
            help="A name from `devbench devices`, HOST:PORT, or virtual.",
            autocompletion=complete_serials,
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="The .toml file to write. Default: print it.")] = None,
) -> None:
    """Draft a device profile from a connected device."""
    from devbench.device.facts import read_facts
    from devbench.device.profiles import draft

    with open_devices([device]) as devices:
        text = draft(read_facts(devices[0]))
    if out is None:
        typer.echo(text, nl=False)
        return
    # "x": a profile that somebody wrote is not overwritten.
    with (
        system_errors(f"cannot write {out}", "choose another file"),
        out.expanduser().open("x", encoding="utf-8") as file,
    ):
        file.write(text)
    typer.echo(str(out))
