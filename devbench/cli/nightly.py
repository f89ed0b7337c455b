"""`devbench nightly`: what is due tonight, for cron, systemd or CI; ends with the exit code that the night deserves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.chosen import complete_runs
from devbench.cli.run_completion import complete_serials

if TYPE_CHECKING:
    from devbench.findings.night import NightResult
    from devbench.nightly.night import Asked
    from devbench.results.store import Store

_EPILOG = (
    "Examples:\n\n"
    "  devbench nightly nightly.toml\n\n"
    "  devbench nightly camera.toml audio.toml --device tag:lab --junit junit.xml\n\n"
    "  devbench nightly nightly.toml --force --baseline branch=main\n\n"
    "Exit codes: 0 all well, or nothing was due; 1 a regression or a failed job; 2 wrong input; 3 a device that is "
    "missing, or no fit environment; 4 another nightly is at it; 130 stopped, the next call goes on."
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("nightly", epilog=_EPILOG, rich_help_panel="Measure")(nightly)


def nightly(
    suites: Annotated[list[Path], typer.Argument(help="TOML files that say what to measure (docs/suites.md).")],
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            "-d",
            autocompletion=complete_serials,
            help="As of `devbench run`, in place of the suites'. Who is not there is no reason to give up.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Measure also what was measured tonight, as a further night.")
    ] = False,
    wait: Annotated[
        float,
        typer.Option(
            min=0.0, max=604_800.0, metavar="SECONDS", help="Wait up to this long for another nightly to end."
        ),
    ] = 0.0,
    period: Annotated[
        str | None, typer.Option(help="How often it is due: night (noon to noon), or a time such as 12h or 7d.")
    ] = None,
    baseline_nights: Annotated[
        int | None, typer.Option(min=0, max=1000, help="Number of latest nightly runs to compare with. Default: 7.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="Compare with these runs instead: an id, key=value, a date or FROM..TO.", autocompletion=complete_runs
        ),
    ] = None,
    unreliable: Annotated[
        str | None,
        typer.Option(
            metavar="undecided|count",
            help="If all repetitions of a side are unreliable: no verdict (default), or count them as reliable.",
        ),
    ] = None,
    reports: Annotated[Path | None, typer.Option(help="Folder of the reports. Default: reports.")] = None,
    junit: Annotated[Path | None, typer.Option(help="A further copy of the JUnit XML.")] = None,
    device_wait: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Wait up to this long for a device that another run has. Default: 10m."),
    ] = None,
    keep_raw_days: Annotated[
        int | None,
        typer.Option(min=0, max=36_500, help="At the end, delete raw outputs that are older than this number of days."),
    ] = None,
    webhook: Annotated[
        str,
        typer.Option(
            envvar="DEVBENCH_WEBHOOK",
            show_envvar=True,
            metavar="URL",
            help="Post the result there, as Slack takes it. A secret: better in the environment.",
        ),
    ] = "",
    label: Annotated[
        list[str] | None, typer.Option(help="Kept with the run, as key=value; may be given again.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON (docs/nightly.md).")] = False,
    store_url: Annotated[str | None, typer.Option("--store", help="URL of the results store.")] = None,
    fault: Annotated[str, typer.Option(help="How virtual devices misbehave, for tests.", hidden=True)] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")] = False,
) -> None:
    """Measure what is due on the devices that are there, compare, detect, report.

    Takes a lock, goes on where an earlier call was stopped or killed, and leaves out what was measured tonight.
    """
    import signal

    from devbench.cli.output import print_error
    from devbench.errors import EXIT_FAILED, DevbenchError, InputError
    from devbench.nightly.night import only_nightly
    from devbench.nightly.webhook import check_url
    from devbench.results.store import Store

    # systemd and CI stop a service with SIGTERM: the same tidy end as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if webhook:
        check_url(webhook)
    if junit is not None and len(suites) > 1:
        raise InputError("--junit is one file, for one suite", hint="name it in each suite's [nightly]")
    changes = {
        "period": period,
        "baseline_nights": baseline_nights,
        "baseline": baseline,
        "unreliable": unreliable,
        "reports": reports,
        "junit": junit,
        "device_wait": device_wait,
        "keep_raw_days": keep_raw_days,
    }
    asked = [_asked(file, changes, device or [], label or [], force, webhook, fault) for file in suites]
    codes, results = [], []
    with only_nightly(wait), Store(store_url) as store:
        for one in asked:
            try:
                result = _night(one, store, store_url, quiet)
            except DevbenchError as error:
                # What keeps one suite from being measured is no reason to leave out the next.
                print_error(error)
                codes.append(error.exit_code)
                continue
            codes.append(result.exit_code)
            results.append(result)
            if not as_json:
                _show(result)
    if as_json:
        import json

        from devbench.forms.night_export import result_to_json

        typer.echo(json.dumps([result_to_json(result) for result in results], indent=2))
    # A regression counts for more than a device that is missing.
    code = EXIT_FAILED if EXIT_FAILED in codes else max(codes)
    if code:
        raise typer.Exit(code)


def _asked(
    file: Path,
    changes: Mapping[str, object],
    devices: list[str],
    labels: list[str],
    force: bool,
    webhook: str,
    fault: str,
) -> Asked:
    """What a suite's night is to be: all that can be wrong is found before anything is measured."""
    import os

    from devbench.bench.suite import read_suite
    from devbench.cli.run_input import make_plan, parse_labels, virtual_without_gpu
    from devbench.cli.suite import suite_input
    from devbench.nightly.night import Asked
    from devbench.nightly.settings import NightlySettings
    from devbench.results.ci_labels import ci_labels

    suite = read_suite(file)
    given = suite_input(suite)
    wanted = devices or list(suite.devices)
    return Asked(
        suite=suite.name,
        plan=virtual_without_gpu(make_plan(given), wanted, chosen=bool(given.delegates)),
        devices=tuple(wanted),
        settings=NightlySettings().changed(suite.nightly).changed(changes),
        labels={**ci_labels(os.environ), **suite.labels, **parse_labels(labels)},
        force=force,
        webhook=webhook,
        fault=fault,
    )


def _night(asked: Asked, store: Store, store_url: str | None, quiet: bool) -> NightResult:
    """Do one suite's night under the live display."""
    import devbench.results as results
    from devbench.cli.live import RunDisplay
    from devbench.cli.output import console, plain
    from devbench.nightly.night import Screen, run_night

    aside = console(stderr=True)

    def tell(line: str) -> None:
        if not quiet:
            aside.print(f"[dim]{plain(asked.suite)}: {plain(line)}[/dim]", soft_wrap=True)

    screen = Screen(lambda serials: RunDisplay(aside, serials, quiet=quiet), tell)
    return run_night(asked, store, lambda: results.open(store_url), screen)


def _show(result: NightResult) -> None:
    from devbench.cli.output import console, plain
    from devbench.forms.night import render_lines

    screen = console()
    if not result.due:
        words = "all was measured" if not result.absent else "what is there was measured"
        screen.print(f"{plain(result.suite)}: nothing is due, {words} in the night of {result.night}")
        if not result.absent:
            return
    verdict, *lines = render_lines(result)
    colour = "green" if result.exit_code == 0 else "red"
    screen.print(f"[bold {colour}]{plain(verdict, 1000)}[/bold {colour}]", soft_wrap=True)
    for line in lines:
        screen.print(line, soft_wrap=True, markup=False)
    if result.folder is not None:
        screen.print(f"Report: {result.folder / 'report.html'}", soft_wrap=True, markup=False)
