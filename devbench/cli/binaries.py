"""`devbench binaries`: the benchmark_model binaries on this computer."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.choices import complete_binaries, complete_offers, complete_serials
from devbench.cli.output import console, plain, print_json, print_table, say
from devbench.cli.takes import JsonOption, open_devices, typer_option
from devbench.errors import EXIT_FAILED, InputError
from devbench.options import RunOptions
from devbench.sections.tables import Column
from devbench.text import near

if TYPE_CHECKING:
    from devbench.tool.binaries import Binary
    from devbench.tool.manifest import Offer

_ADD = (
    "Examples:\n\n  devbench binaries add bazel-bin/benchmark_model --version 2.20-mine\n\n"
    "  devbench binaries add android_aarch64_benchmark_model.apk"
)
_FETCH = (
    "Examples:\n\n  devbench binaries fetch --abi arm64-v8a\n\n  devbench binaries fetch litert-2.2.0-android-arm64\n\n"
    "  devbench binaries fetch tflite-android-arm64 --repin"
)
_FLAGS = "Example:\n\n  devbench binaries flags tflite-android-arm64 --device R5CT1234ABC"
_NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="A name from `devbench binaries list`, or a hash.", autocompletion=complete_binaries
    ),
]
app = typer.Typer(name="binaries", help="Fetch, add and check benchmark_model binaries.", rich_help_panel="Prepare")


@app.command("list", epilog="Example:\n\n  devbench binaries list")
def list_binaries(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: `installed` and `offers`.")] = False,
) -> None:
    """List the binaries on this computer, then those that can be fetched."""
    from devbench.tool.binaries import installed, to_json
    from devbench.tool.manifest import offers

    here, on_offer = installed(), offers()
    if as_json:
        print_json({"installed": [to_json(one) for one in here], "offers": [asdict(offer) for offer in on_offer]})
        return
    columns: tuple[Column[Binary | Offer], ...] = (
        Column("name", lambda one: one.name, role="name"),
        Column("tool", lambda one: one.tool, hidden=3),
        Column("version", lambda one: one.version, hidden=4),
        Column("ABI", lambda one: one.abi, role="name"),
        Column("flavour", lambda one: one.flavour, hidden=5),
    )
    more: tuple[Column[Binary], ...] = (
        Column("size", _size, numeric=True, hidden=2),
        Column("SHA-256", lambda one: f"{one.sha256[:12]}…", hidden=1),
    )
    print_table((*columns, *more), here, "On this computer")
    names = {one.name for one in here}
    say("")
    print_table(columns, [offer for offer in on_offer if offer.name not in names], "Can be fetched")


def _size(one: Binary) -> str:
    return f"{one.size_bytes / 1e6:.1f} MB" if one.size_bytes >= 1e5 else f"{one.size_bytes} B"


@app.command("fetch", epilog=_FETCH)
def fetch(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", autocompletion=complete_offers, help="A name from `devbench binaries list`."),
    ] = None,
    abi: Annotated[
        str | None, typer.Option(help="Instead of a name: the default binary for this ABI, such as arm64-v8a.")
    ] = None,
    repin: Annotated[
        bool, typer.Option(help="Accept a file that has changed since the first fetch from the same address.")
    ] = False,
) -> None:
    """Download a binary of the manifest, check its SHA-256 and keep it."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from devbench.tool.binaries import fetch as fetch_binary

    offer = _offer(name, abi)
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(plain(offer.name), total=None)
        binary = fetch_binary(
            offer, repin=repin, progress=lambda done, total: bar.update(task, completed=done, total=total or None)
        )
    pinned = "" if offer.sha256 else " (pinned from now on)"
    say(f"{plain(binary.name)}: SHA-256 {binary.sha256}{pinned}")


def _offer(name: str | None, abi: str | None) -> Offer:
    from devbench.tool.manifest import offers

    known = offers()
    if (name is None) == (abi is None):
        raise InputError(
            "devbench binaries fetch needs a name or --abi", hint="for example --abi arm64-v8a; devbench binaries list"
        )
    for offer in known:
        if offer.name == name or (abi is not None and offer.abi == abi and offer.flavour == "default"):
            return offer
    otherwise = "see `devbench binaries list`; `devbench binaries add FILE` takes a binary that you have"
    if name is not None:
        raise InputError(
            f"no binary {name!r} in the manifest", hint=near(name, [offer.name for offer in known], otherwise)
        )
    abis = [offer.abi for offer in known]
    raise InputError(f"no binary for the ABI {abi!r} in the manifest", hint=near(str(abi), abis, otherwise))


@app.command("add", epilog=_ADD)
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A benchmark_model for a device, or its APK.")],
    name: Annotated[str, typer.Option(help="What to call it. Default: from tool, version and ABI.")] = "",
    version: Annotated[str, typer.Option(help="Its version. Default: the start of its hash.")] = "",
    flavour: Annotated[str, typer.Option(help="default, flex, or a word of yours; an APK is apk.")] = "default",
) -> None:
    """Add a binary that you built or downloaded, for devices of its ABI."""
    from devbench.tool.binaries import add as add_binary

    binary = add_binary(file, name=name, version=version, flavour=flavour)
    say(f"{plain(binary.name)}: {binary.abi}, {binary.tool}, SHA-256 {binary.sha256}")


@app.command("flags", epilog=_FLAGS)
def flags(
    name: _NameArgument,
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            "-d",
            help="The device to run `benchmark_model --help` on, the first time.",
            autocompletion=complete_serials,
        ),
    ] = None,
    wait: Annotated[str | None, typer_option(RunOptions, "wait")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the flags that a binary takes.

    They come from the binary's own --help on a device, and are remembered by the binary's hash.
    """
    from devbench.bench.lease_keeper import holding, parse_wait
    from devbench.bench.refusals import read_flags, remembered_flags
    from devbench.device.facts import read_facts
    from devbench.tool.binaries import choose, find

    binary = find(name)
    if binary.is_apk:
        raise InputError(f"{binary.name} is an APK, which has no --help", hint="ask the binary of the same version")
    known = remembered_flags(binary)
    wait_s = parse_wait(wait)
    if known is None:
        with open_devices(device or []) as devices, holding(devices[0], wait_s):
            binary = choose(read_facts(devices[0]).abis, name=binary.sha256)
            known = read_flags(devices[0], binary)
    if as_json:
        print_json({"name": binary.name, "sha256": binary.sha256, "flags": sorted(known)})
        return
    if not known:
        raise InputError(
            f"the help of {binary.name} lists no flags", hint="its flags are not checked before a run; no action needed"
        )
    say(f"[bold]{plain(binary.name, 80)}[/bold]")
    for flag in sorted(known):
        say(plain(f"--{flag}"))


@app.command("verify", epilog="Example:\n\n  devbench binaries verify")
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", autocompletion=complete_binaries, help="Which binaries. Default: all."),
    ] = None,
) -> None:
    """Read binaries in full and compare their hashes; exit code 1 if one is damaged."""
    from devbench.tool.binaries import find, installed
    from devbench.tool.binaries import verify as verify_binary

    bad = 0
    for binary in [find(name) for name in names] if names else installed():
        right = verify_binary(binary)
        bad += not right
        mark = "[green]✓[/green]" if right else "[red]✗ damaged: remove it and fetch it again[/red]"
        say(f"{plain(binary.name)} {binary.sha256[:16]}… {mark}")
    if bad:
        raise typer.Exit(EXIT_FAILED)


@app.command("remove", epilog="Example:\n\n  devbench binaries remove 2.20-mine")
def remove(name: _NameArgument) -> None:
    """Delete a binary from this computer."""
    from devbench.tool.binaries import remove as remove_binary

    say(f"removed {plain(remove_binary(name).name)}")
