"""`devbench delegates`: which delegates there are, and which of them a device can run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.choices import complete_serials
from devbench.cli.output import print_json, print_table
from devbench.cli.takes import JsonOption, open_devices, typer_option
from devbench.options import RunOptions
from devbench.sections.tables import Cell, Column

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.tool.case import Delegate

_EPILOG = (
    "Examples:\n\n  devbench delegates\n\n  devbench delegates --device R5CT1234ABC\n\n"
    "  devbench delegates --delegates-file mine.toml --json\n\n"
    "A library of your own (docs/delegates.md):\n\n  devbench run model.tflite -D external:libs/libmine.so"
)
_FORMS = {"accelerator": "[:ACCELERATOR]", "library": ":PATH.so", "": ""}
app = typer.Typer()


@app.command("delegates", epilog=_EPILOG, rich_help_panel="Prepare")
def delegates(
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device", "-d", help="Show which delegates this device can run.", autocompletion=complete_serials
        ),
    ] = None,
    delegates_file: Annotated[Path | None, typer_option(RunOptions, "delegates_file")] = None,
    wait: Annotated[str | None, typer_option(RunOptions, "wait")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the delegates, and with --device which of them can run there and, if not, why."""
    from devbench.bench.lease_keeper import holding, parse_wait
    from devbench.tool.delegates import load_delegates

    known = load_delegates(delegates_file)
    wait_s = parse_wait(wait)
    if not device:
        _show(known, None, as_json)
        return
    with open_devices(device) as devices:
        for found in devices:
            # benchmark_model --help runs on the device.
            with holding(found, wait_s):
                reasons = _reasons(found, known)
            _show(known, reasons, as_json, found.serial)


def _reasons(device: Device, known: dict[str, Delegate]) -> dict[str, list[str]]:
    """Why each delegate cannot run on the device; empty if it can."""
    from devbench.bench.refusals import cannot_run, read_flags
    from devbench.device.facts import read_facts
    from devbench.device.profiles import load_profiles, match_profile
    from devbench.tool.binaries import choose

    facts = read_facts(device)
    binary = choose(facts.abis)
    return cannot_run(
        device,
        list(known.values()),
        facts=facts,
        binary=binary,
        flags=read_flags(device, binary),
        known_failures=match_profile(facts, load_profiles()).fails,
    )


def _show(known: dict[str, Delegate], reasons: dict[str, list[str]] | None, as_json: bool, serial: str = "") -> None:
    if as_json:
        rows = [
            {**asdict(delegate), "reasons": None if reasons is None else reasons[name]}
            for name, delegate in known.items()
        ]
        print_json({"serial": serial or None, "delegates": rows})
        return

    def why_not(name: str) -> str:
        return "; ".join((reasons or {}).get(name, ()))

    columns: tuple[Column[str], ...] = (
        Column(
            "delegate",
            lambda name: Cell(name + _FORMS[known[name].parameter], aside="(default)" if known[name].default else ""),
            role="name",
        ),
        Column("title", lambda name: known[name].title),
        Column("expect", lambda name: known[name].expect, hidden=1),
        Column(
            "can run",
            lambda name: Cell("no", kind="bad") if why_not(name) else Cell("yes", kind="good"),
            role="name",
            only_if=lambda _: reasons is not None,
        ),
        Column("note", lambda name: why_not(name) or known[name].note),
    )
    # Delegates that can run on the device come first.
    print_table(columns, sorted(known, key=lambda name: bool(why_not(name))), serial)
