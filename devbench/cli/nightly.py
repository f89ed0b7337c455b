"""`devbench nightly`: what is due tonight, for cron, systemd or CI; ends with the exit code of the night."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.choices import RUN_COMPLETION, complete_runs
from devbench.cli.output import console, plain, print_document, print_error, print_json, say, say_path
from devbench.cli.takes import Taken, is_typed, open_store, takes
from devbench.declare import options_of
from devbench.errors import EXIT_FAILED, DevbenchError, InputError
from devbench.options import NightlyOptions, RunOptions

if TYPE_CHECKING:
    from devbench.findings.night import NightResult
    from devbench.nightly.night import Asked
    from devbench.results.store import Store

_EPILOG = (
    "Examples:\n\n"
    "  devbench nightly nightly.toml\n\n"
    "  devbench nightly camera.toml audio.toml --device tag:lab\n\n"
    "  devbench nightly nightly.toml --junit junit.xml --webhook https://hooks.slack.com/services/...\n\n"
    "  devbench nightly nightly.toml --force --baseline branch=main\n\n"
    "  DEVBENCH_FARM=postgresql://ana:...@db/devbench devbench nightly nightly.toml --farm --device 'soc=SM8650*'\n\n"
    "Exit codes: 0 nothing got worse, or nothing was due; 1 a regression or a failed job; 2 wrong input; 3 a device is "
    "missing, or this computer cannot measure; 4 another `devbench nightly` is running; 130 interrupted: the next call "
    "resumes."
)
_OF_RUN = ("device", "label", "store_url", "fault", "quiet")
_TEXTS = {"device": "As for `devbench run`; replaces the suites' devices. Missing devices do not stop the run."}
app = typer.Typer()


@app.command("nightly", epilog=_EPILOG, rich_help_panel="Measure")
@takes(
    night=Taken(NightlyOptions, complete={"baseline": complete_runs}),
    run=Taken(RunOptions, _OF_RUN, complete=RUN_COMPLETION, texts=_TEXTS),
)
def nightly(
    context: typer.Context,
    suites: Annotated[
        list[Path], typer.Argument(metavar="SUITE", help="TOML files that say what to measure (docs/suites.md).")
    ],
    run: RunOptions,
    night: NightlyOptions,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON (docs/nightly.md).")] = False,
) -> None:
    """Measure suites once a night, compare with earlier nights, and report.

    Only what is due is measured: devices that were measured tonight are skipped, and a night that was interrupted is
    resumed. Two calls never run at the same time.
    """
    from devbench.nightly.night import only_nightly
    from devbench.nightly.webhook import check_url

    # systemd and CI stop a service with SIGTERM: it ends as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if night.webhook:
        check_url(night.webhook)
    if night.junit is not None and len(suites) > 1:
        raise InputError("--junit is one file, for one suite", hint="set junit in each suite's [nightly]")
    typed = {one.name for one in options_of(NightlyOptions) if is_typed(context, one.name)}
    asked = [_asked(file, run, night, typed) for file in suites]
    codes, results = [], []
    address = run.store_url
    if night.farm:
        from devbench.farm.database import farm_url, store_url

        address = address or store_url(farm_url(None))
    with only_nightly(night.wait), open_store(address) as store:
        for one, file in zip(asked, suites, strict=True):
            try:
                result = _night(one, store, address, run.quiet, file if night.farm else None, night.farm_wait)
            except DevbenchError as error:
                # The other suites are measured anyway.
                print_error(error)
                codes.append(error.exit_code)
                continue
            codes.append(result.exit_code)
            results.append(result)
            if not as_json:
                _show(result)
    if as_json:
        from devbench.forms.json import json_ready
        from devbench.sections.night import night_document

        print_json([json_ready(night_document(result, "json")) for result in results])
    # A regression is more important than a missing device.
    code = EXIT_FAILED if EXIT_FAILED in codes else max(codes)
    if code:
        raise typer.Exit(code)


def _asked(file: Path, run: RunOptions, night: NightlyOptions, typed: Collection[str]) -> Asked:
    """The settings of a suite's night; wrong input is found before anything is measured."""
    from devbench.bench.planning import parse_labels
    from devbench.bench.suite import read_suite, suite_plan
    from devbench.cli.outcome import fitted
    from devbench.nightly.due import night_settings
    from devbench.nightly.night import Asked
    from devbench.results.ci_labels import ci_labels

    suite = read_suite(file)
    wanted = run.device or (() if night.farm else suite.devices)
    return Asked(
        suite=suite.name,
        plan=fitted(suite_plan(suite), wanted, chosen=bool(suite.options.get("delegate"))),
        devices=tuple(wanted),
        settings=night_settings(suite, night, typed),
        labels={**ci_labels(os.environ), **suite.labels, **parse_labels(run.label)},
        fault=run.fault,
    )


def _night(
    asked: Asked, store: Store, store_url: str | None, quiet: bool, farm_suite: Path | None, farm_wait: str | None
) -> NightResult:
    """Do one suite's night, on the devices of this host or, with `farm_suite`, on the farm."""
    from devbench import results
    from devbench.cli.live import RunDisplay
    from devbench.nightly.night import Screen, run_night

    def tell(line: str) -> None:
        if not quiet:
            say(f"[dim]{plain(asked.suite)}: {plain(line)}[/dim]", stderr=True)

    screen = Screen(lambda serials: RunDisplay(None if quiet else console(stderr=True), serials), tell)
    if farm_suite is not None:
        from devbench.bench.lease_keeper import parse_wait
        from devbench.bench.suite import read_suite
        from devbench.farm.database import farm_url
        from devbench.farm.night import run_farm_night
        from devbench.farm.submit import wanted_of

        wait_s = parse_wait(farm_wait or "8h", "--farm-wait")
        suite, wanted = read_suite(farm_suite), wanted_of(asked.devices)
        return run_farm_night(
            asked, suite, wanted, farm_url(None), store, lambda: results.open_history(store_url), screen, wait_s
        )
    return run_night(asked, store, lambda: results.open_history(store_url), screen)


def _show(result: NightResult) -> None:
    from devbench.sections.night import night_document

    if not result.due:
        words = "already measured" if not result.absent else "connected devices are already measured"
        say(f"{plain(result.suite)}: nothing is due; {words} for the night of {result.night}")
        if not result.absent:
            return
    print_document(night_document(result, "terminal"))
    if result.folder is not None:
        say_path("Report: ", result.folder / "report.html")
