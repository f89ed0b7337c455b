"""`devbench detect`: what changed over the history of the store, or in a column of a plain file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devbench import numbers
from devbench.cli.choices import complete_delegates, complete_metrics, complete_models, metrics, moment
from devbench.cli.output import check_writable, console, open_page, show
from devbench.cli.takes import OpenOption, StoreOption
from devbench.cli.usage import one_of
from devbench.errors import EXIT_FAILED, InputError
from devbench.text import parts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devbench.analysis.changes import ChangeSettings
    from devbench.findings.changes import ChangesReport
    from devbench.findings.csv_column import ColumnChanges

_EPILOG = (
    "Examples:\n\n"
    "  devbench detect --open\n\n"
    "  devbench detect --since 90d --changed-since 7d --metric latency --fail-on worse\n\n"
    "  devbench detect --device 'Pixel 8' --label suite=nightly --json | jq '.events'\n\n"
    "  devbench detect --csv nightly.csv --column latency_ms\n\n"
    "  devbench detect --csv nightly.csv --column latency_ms --json | jq '.change_points'\n\n"
    "  devbench detect --csv nightly.csv --column latency_ms --index date --fail-on up\n\n"
    "  zcat history.csv.gz | devbench detect --csv - --column 3 --smallest 2%\n\n"
    "Exit codes: 0 whatever is found; 1 a change of --fail-on was found; 2 wrong input."
)

_FAIL_ON = ("worse", "up", "down", "any")
_FORMATS = ("text", "md", "json", "html")
_FILE = "A file instead of the history"
app = typer.Typer()


@app.command("detect", epilog=_EPILOG, rich_help_panel="Results")
def detect(
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Metrics, with commas or given again. Default: all but operator_time.", autocompletion=complete_metrics
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only runs from this date on: 2026-11-20, or 90d for 90 days.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Only runs before this date.")] = None,
    changed_since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Report only changes from this date on, such as 7d.")
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option(help="Only devices with this key or part of the title; may be given again.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this model, as results show it, or the end of its name.", autocompletion=complete_models
        ),
    ] = None,
    delegate: Annotated[
        list[str] | None, typer.Option(help="Only this delegate.", autocompletion=complete_delegates)
    ] = None,
    label: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only runs with this label.")] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            metavar="FILE",
            help="A table with a header line, the oldest row first; `-` is standard input.",
            rich_help_panel=_FILE,
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            "--column",
            help="Name or number (from 1) of the column; needed if there are several.",
            rich_help_panel=_FILE,
        ),
    ] = None,
    index: Annotated[
        str | None,
        typer.Option(
            "--index",
            metavar="COLUMN",
            help="Column to show next to each change, such as a date or a commit.",
            rich_help_panel=_FILE,
        ),
    ] = None,
    smallest: Annotated[
        str, typer.Option("--smallest", metavar="PCT", help="The smallest change that counts.")
    ] = "0.5%",
    alpha: Annotated[
        float, typer.Option("--alpha", help="Probability of a false change in a series without changes.")
    ] = 0.001,
    fail_on: Annotated[
        str | None,
        typer.Option("--fail-on", metavar="|".join(_FAIL_ON), help="Exit with 1 if such a change is found."),
    ] = None,
    form: Annotated[str, typer.Option("--format", metavar="|".join(_FORMATS), help="How to show it.")] = "text",
    as_json: Annotated[bool, typer.Option("--json", help="As --format json (docs/detection.md has its keys).")] = False,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of the terminal.")] = None,
    open_it: OpenOption = False,
    store_url: StoreOption = None,
) -> None:
    """Find lasting changes, and when they happened: in the history of the store, or in a file.

    Each metric of each case on each device is a series with one value per run. A shift of most models of a device is
    one event of the device. Outliers, gaps and slow drift are not changes.
    """
    if fail_on is not None:
        one_of("--fail-on", fail_on, _FAIL_ON)
    form = "html" if open_it else "json" if as_json else one_of("--format", form, _FORMATS)
    out = out or (Path("changes.html") if open_it else None)
    check_writable(out)
    rules = _rules(smallest, alpha)
    of_history = {
        "--metric": metric, "--since": since, "--until": until, "--changed-since": changed_since, "--device": device,
        "--model": model, "--delegate": delegate, "--label": label, "--store": store_url,
    }  # fmt: skip
    if csv is None:
        if column is not None or index is not None:
            raise InputError("--column and --index are for a file", hint="add --csv FILE")
        report: ChangesReport | ColumnChanges = _of_history(of_history, rules, form, out)
    else:
        beside = [name for name, value in of_history.items() if value]
        if beside or form in ("md", "html") or fail_on == "worse":
            what = beside[0] if beside else f"--format {form}" if form in ("md", "html") else "--fail-on worse"
            raise InputError(f"{what} with --csv", hint="leave it out, or leave --csv out to look at the history")
        report = _of_file(csv, column, index, rules, form, out)
    open_page(out or "", open_it)
    if fail_on is not None and report.fails(fail_on):
        raise typer.Exit(EXIT_FAILED)


def _of_history(given: Mapping[str, Any], rules: ChangeSettings, form: str, out: Path | None) -> ChangesReport:
    from devbench.bench.planning import parse_labels
    from devbench.findings.changes import ChangesSettings
    from devbench.findings.subject import changes_in
    from devbench.host.garbage import no_cycle_search
    from devbench.sections.changes import changes_document

    since, until, changed = (moment(given[name], name) for name in ("--since", "--until", "--changed-since"))
    settings = ChangesSettings(
        changes=rules,
        metrics=metrics(given["--metric"], ChangesSettings().metrics),
        devices=parts_of(given["--device"]),
        models=tuple(given["--model"] or ()),
        delegates=parts_of(given["--delegate"]),
        labels=parse_labels(given["--label"] or []),
        since=since,
        until=until,
        changed_since=changed,
    )
    with no_cycle_search(), console(stderr=True).status("reading the history"):
        report = changes_in(given["--store"], settings)
    show(lambda shown: changes_document(report, shown), form, out)
    return report


def _of_file(
    csv: Path, column: str | None, index: str | None, rules: ChangeSettings, form: str, out: Path | None
) -> ColumnChanges:
    from devbench.findings.csv_column import changes_of_column
    from devbench.sections.changes import column_document

    found = changes_of_column(csv, column, index, rules)
    show(lambda shown: column_document(found, shown), form, out)
    return found


def _rules(smallest: str, alpha: float) -> ChangeSettings:
    from devbench.analysis.changes import ChangeSettings

    percent = numbers.real(smallest.strip().removesuffix("%"), minimum=0, maximum=1000)
    if percent is None:
        raise InputError(f"--smallest {smallest!r} is not a percentage", hint="for example 2%")
    if not 0 < alpha < 1:
        raise InputError(f"--alpha {alpha:g} is not a probability", hint="give a number between 0 and 1, such as 0.001")
    return ChangeSettings(alpha=alpha, smallest=percent / 100)
