"""`devbench binaries`: the benchmark_model binaries on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.waiting import WaitOption

if TYPE_CHECKING:
    from devbench.tool.manifest import Offer

_ADD_EPILOG = (
    "Examples:\n\n  devbench binaries add bazel-bin/benchmark_model --version 2.20-mine\n\n"
    "  devbench binaries add android_aarch64_benchmark_model.apk"
)
_FLAGS_EPILOG = "Example:\n\n  devbench binaries flags tflite-android-arm64 --device R5CT1234ABC"
_FETCH_EPILOG = (
    "Examples:\n\n  devbench binaries fetch --abi arm64-v8a\n\n  devbench binaries fetch litert-2.2.0-android-arm64\n\n"
    "  devbench binaries fetch tflite-android-arm64 --repin"
)


def _offer_names(incomplete: str) -> list[str]:
    from devbench.tool.manifest import offers

    return [offer.name for offer in offers() if offer.name.startswith(incomplete)]


def _names(incomplete: str) -> list[str]:
    from devbench.tool.binaries import installed

    return [binary.name for binary in installed() if binary.name.startswith(incomplete)]


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Fetch, add and check benchmark_model binaries.")
    group.command("list")(list_binaries)
    group.command("fetch", epilog=_FETCH_EPILOG)(fetch)
    group.command("add", epilog=_ADD_EPILOG)(add)
    group.command("flags", epilog=_FLAGS_EPILOG)(flags)
    group.command("verify")(verify)
    group.command("remove")(remove)
    app.add_typer(group, name="binaries", rich_help_panel="Prepare")


def list_binaries(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: what is here and what can be fetched.")] = False,
) -> None:
    """List the binaries on this machine, then those that can be fetched."""
    from dataclasses import asdict

    from devbench.tool.binaries import installed, to_json
    from devbench.tool.manifest import offers

    here, on_offer = installed(), offers()
    if as_json:
        import json

        values = {"installed": [to_json(binary) for binary in here], "offers": [asdict(offer) for offer in on_offer]}
        typer.echo(json.dumps(values, indent=2))
        return
    from rich.table import Table

    from devbench.cli.output import console, plain

    columns = ("name", "tool", "version", "ABI", "flavour")
    table = Table(
        *columns,
        "size",
        "SHA-256",
        box=None,
        pad_edge=False,
        header_style="bold",
        title="On this machine",
        title_justify="left",
    )
    for binary in here:
        size = f"{binary.size_bytes / 1e6:.1f} MB" if binary.size_bytes >= 1e5 else f"{binary.size_bytes} B"
        words = (binary.name, binary.tool, binary.version, binary.abi, binary.flavour, size, f"{binary.sha256[:12]}…")
        table.add_row(*(plain(word, 80) for word in words))
    screen = console()
    screen.print(table)
    names = {binary.name for binary in here}
    table = Table(
        *columns, box=None, pad_edge=False, header_style="bold", title="\nTo be fetched", title_justify="left"
    )
    for offer in on_offer:
        if offer.name not in names:
            shown = (offer.name, offer.tool, offer.version, offer.abi, offer.flavour)
            table.add_row(*(plain(word, 80) for word in shown))
    screen.print(table)


def fetch(
    name: Annotated[str | None, typer.Argument(autocompletion=_offer_names, help="A name of `binaries list`.")] = None,
    abi: Annotated[str | None, typer.Option(help="The default binary for this ABI instead, such as arm64-v8a.")] = None,
    repin: Annotated[bool, typer.Option(help="Accept new bytes from an address that moves.")] = False,
) -> None:
    """Download a binary of the manifest, check its SHA-256 and keep it."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from devbench.cli.output import console, plain
    from devbench.tool.binaries import fetch as fetch_binary

    offer = _offer(name, abi)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(plain(offer.name), total=None)
        binary = fetch_binary(
            offer, repin=repin, progress=lambda done, total: bar.update(task, completed=done, total=total or None)
        )
    pinned = "" if offer.sha256 else " (pinned from now on)"
    console().print(f"{plain(binary.name)}: SHA-256 {binary.sha256}{pinned}", soft_wrap=True)


def _offer(name: str | None, abi: str | None) -> Offer:
    from devbench.errors import InputError
    from devbench.tool.manifest import offers

    known = offers()
    if (name is None) == (abi is None):
        raise InputError("binaries fetch needs a name or --abi", hint="see `devbench binaries list`")
    for offer in known:
        if offer.name == name or (abi is not None and offer.abi == abi and offer.flavour == "default"):
            return offer
    what = f"no binary {name!r} in the manifest" if name else f"no binary for the ABI {abi!r} in the manifest"
    raise InputError(what, hint="see `devbench binaries list`; `devbench binaries add FILE` takes one that you have")


def add(
    file: Annotated[Path, typer.Argument(help="A benchmark_model for a device, or its APK.")],
    name: Annotated[str, typer.Option(help="What to call it. Default: from tool, version and ABI.")] = "",
    version: Annotated[str, typer.Option(help="Its version. Default: the start of its hash.")] = "",
    flavour: Annotated[str, typer.Option(help="default, flex, or a word of yours; an APK is apk.")] = "default",
) -> None:
    """Take a binary that you have (built, downloaded) for use on devices of its ABI."""
    from devbench.cli.output import console, plain
    from devbench.tool.binaries import add as add_binary

    binary = add_binary(file, name=name, version=version, flavour=flavour)
    console().print(f"{plain(binary.name)}: {binary.abi}, {binary.tool}, SHA-256 {binary.sha256}", soft_wrap=True)


def flags(
    name: Annotated[str, typer.Argument(autocompletion=_names, help="Name or hash.")],
    device: Annotated[list[str] | None, typer.Option("--device", "-d", help="Where to ask it, the first time.")] = None,
    wait: WaitOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the flags that a binary takes, from its own --help on a device; remembered by its hash."""
    from devbench.bench.lease_keeper import holding, parse_wait
    from devbench.bench.refusals import read_flags, remembered_flags
    from devbench.bench.targets import open_targets
    from devbench.cli.output import console, plain
    from devbench.device.facts import read_facts
    from devbench.errors import InputError
    from devbench.tool.binaries import choose, find

    binary = find(name)
    if binary.is_apk:
        raise InputError(f"{binary.name} is an APK, which has no --help", hint="ask the binary of the same version")
    known = remembered_flags(binary)
    wait_s = parse_wait(wait)
    if known is None:
        with open_targets(device or []) as devices, holding(devices[0], wait_s):
            binary = choose(read_facts(devices[0]).abis, name=binary.sha256)
            known = read_flags(devices[0], binary)
    if as_json:
        import json

        typer.echo(json.dumps({"name": binary.name, "sha256": binary.sha256, "flags": sorted(known)}, indent=2))
        return
    if not known:
        raise InputError(
            f"{binary.name} does not say which flags it takes", hint="nothing is refused before a run then"
        )
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", title=plain(binary.name, 80), title_justify="left")
    table.add_column("flag", no_wrap=True)
    for flag in sorted(known):
        table.add_row(plain(f"--{flag}"))
    console().print(table)


def verify(
    names: Annotated[list[str] | None, typer.Argument(autocompletion=_names, help="Default: all.")] = None,
) -> None:
    """Read binaries in full and compare their hashes. Exit code 1 where one is damaged."""
    from devbench.cli.output import console, plain
    from devbench.errors import EXIT_FAILED
    from devbench.tool.binaries import find, installed
    from devbench.tool.binaries import verify as verify_binary

    bad = 0
    for binary in [find(name) for name in names] if names else installed():
        right = verify_binary(binary)
        bad += not right
        mark = "[green]✓[/green]" if right else "[red]✗ damaged: remove it and fetch it again[/red]"
        console().print(f"{plain(binary.name)} {binary.sha256[:16]}… {mark}", soft_wrap=True)
    if bad:
        raise typer.Exit(EXIT_FAILED)


def remove(name: Annotated[str, typer.Argument(autocompletion=_names, help="Name or hash.")]) -> None:
    """Delete a binary from this machine."""
    from devbench.cli.output import console, plain
    from devbench.tool.binaries import remove as remove_binary

    console().print(f"removed {plain(remove_binary(name).name)}", soft_wrap=True)
