"""`devbench delegates`: which delegates there are, and which of them a device can run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.waiting import WaitOption

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.tool.case import Delegate

_EPILOG = (
    "Examples:\n\n  devbench delegates\n\n  devbench delegates --device R5CT1234ABC\n\n"
    "  devbench delegates --delegates-file mine.toml --json"
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("delegates", epilog=_EPILOG, rich_help_panel="Prepare")(delegates)


def delegates(
    device: Annotated[
        list[str] | None, typer.Option("--device", "-d", help="Say which of them this device can run.")
    ] = None,
    delegates_file: Annotated[Path | None, typer.Option(help="A TOML file with delegates of your own.")] = None,
    wait: WaitOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the delegates, and with --device which of them can run there and, if not, why."""
    from devbench.bench.lease_keeper import holding, parse_wait
    from devbench.bench.targets import open_targets
    from devbench.tool.delegates import load_delegates

    known = load_delegates(delegates_file)
    wait_s = parse_wait(wait)
    if not device:
        _show(known, None, as_json)
        return
    with open_targets(device) as devices:
        for found in devices:
            # The tool is asked for its flags there.
            with holding(found, wait_s):
                reasons = _verdicts(found, known)
            _show(known, reasons, as_json, found.serial)


def _verdicts(device: Device, known: dict[str, Delegate]) -> dict[str, list[str]]:
    """Why each delegate cannot run on the device; empty where nothing speaks against it."""
    from devbench.bench.refusals import cannot_run, read_flags
    from devbench.device.facts import read_facts
    from devbench.device.profiles import load_profiles, match_profile
    from devbench.tool.binaries import choose

    facts = read_facts(device)
    profile = match_profile(facts, load_profiles())
    binary = choose(facts.abis)
    return cannot_run(
        device,
        list(known.values()),
        facts=facts,
        binary=binary,
        flags=read_flags(device, binary),
        known_failures=profile.fails,
    )


def _show(known: dict[str, Delegate], reasons: dict[str, list[str]] | None, as_json: bool, serial: str = "") -> None:
    if as_json:
        import json
        from dataclasses import asdict

        rows = [
            {**asdict(delegate), "reasons": None if reasons is None else reasons[name]}
            for name, delegate in known.items()
        ]
        typer.echo(json.dumps({"serial": serial or None, "delegates": rows}, indent=2))
        return
    from rich.table import Table

    from devbench.cli.output import console, plain

    table = Table(box=None, pad_edge=False, header_style="bold", title=plain(serial) or None, title_justify="left")
    table.add_column("delegate", no_wrap=True)
    table.add_column("title")
    table.add_column("expect", no_wrap=True)
    if reasons is not None:
        table.add_column("here", no_wrap=True)
    table.add_column("note" if reasons is None else "why not, or what to know", overflow="fold")
    for name, delegate in known.items():
        form = {"accelerator": "[:ACCELERATOR]", "library": ":PATH.so", "": ""}[delegate.parameter]
        word = plain(name + form) + (" [dim](default)[/dim]" if delegate.default else "")
        cells = [word, plain(delegate.title), delegate.expect]
        if reasons is not None:
            cells.append("[red]no[/red]" if reasons[name] else "[green]yes[/green]")
        why = "; ".join(reasons[name]) if reasons is not None else ""
        table.add_row(*cells, plain(why or delegate.note, 300))
    console().print(table)
