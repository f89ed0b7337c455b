"""`devbench detect`: what changed over the history of the store, or in a column of a plain file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devbench.cli.choices import complete_metrics, complete_models
from devbench.cli.show import show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devbench.analysis.confirmation import ChangeSettings
    from devbench.findings.changes import ChangesReport
    from devbench.findings.column_changes import ColumnChanges

_EPILOG = (
    "Examples:\n\n"
    "  devbench detect\n\n"
    "  devbench detect --since 90d --changed-since 7d --metric latency --fail-on worse\n\n"
    "  devbench detect --device 'Pixel 8' --label suite=nightly --json | jq '.events'\n\n"
    "  devbench detect --csv nightly.csv --column latency_ms\n\n"
    "  devbench detect --csv nightly.csv --column latency_ms --json | jq '.change_points'\n\n"
    "  devbench detect --csv nightly.csv --column latency_ms --index date --fail-on up\n\n"
    "  zcat history.csv.gz | devbench detect --csv - --column 3 --smallest 2%"
)

_FAIL_ON = ("worse", "up", "down", "any")
_FORMATS = ("text", "md", "json")
_FILE = "A file in place of the history"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("detect", epilog=_EPILOG, rich_help_panel="Results")(detect)


def detect(
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="With commas or given again. Default: all but operator_time.", autocompletion=complete_metrics
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Look at runs from then on: 2026-11-20, or 90d for 90 days.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Look at runs before then.")] = None,
    changed_since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Report only what changed from then on, such as 7d.")
    ] = None,
    device: Annotated[list[str] | None, typer.Option(help="Key or part of the title.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A model as results show it, or the end of it.", autocompletion=complete_models),
    ] = None,
    delegate: Annotated[list[str] | None, typer.Option(help="A delegate's name.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Only runs with this key=value.")] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            "--csv",
            help="A table with a line of names, the oldest row first; `-` is standard input.",
            rich_help_panel=_FILE,
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            "--column",
            help="Name or number (from 1) of the column; needed where there are more.",
            rich_help_panel=_FILE,
        ),
    ] = None,
    index: Annotated[
        str | None,
        typer.Option(
            "--index", help="Column to show next to each change, such as a date or a commit.", rich_help_panel=_FILE
        ),
    ] = None,
    smallest: Annotated[
        str, typer.Option("--smallest", metavar="PCT", help="The smallest change that counts.")
    ] = "0.5%",
    alpha: Annotated[
        float, typer.Option("--alpha", help="Probability of a change anywhere in a series that has none.")
    ] = 0.001,
    fail_on: Annotated[
        str | None,
        typer.Option("--fail-on", metavar="|".join(_FAIL_ON), help="Exit with 1 where there is such a change."),
    ] = None,
    form: Annotated[str, typer.Option("--format", metavar="|".join(_FORMATS), help="How to show it.")] = "text",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object (docs/detection.md has its keys).")
    ] = False,
    store_url: Annotated[str | None, typer.Option("--store", help="URL or file of the results store.")] = None,
) -> None:
    """Find what changed for good, and when: in the history of the store, or in a file.

    Each metric of each case on each device is a series of one value a run. What shifts most models of a device is one
    event of the device. Outliers, gaps and slow drift are no change. Exit code 0 whatever is found; with --fail-on 1
    where such a change is among them; 2 where an option, the store or the file is wrong.
    """
    from devbench.errors import EXIT_FAILED, InputError

    if fail_on not in (None, *_FAIL_ON):
        raise InputError(f"--fail-on {fail_on!r} is unknown", hint=f"give {', '.join(_FAIL_ON)}")
    form = "json" if as_json else form
    if form not in _FORMATS:
        raise InputError(f"--format {form!r} is unknown", hint=f"give {', '.join(_FORMATS)}")
    rules = _rules(smallest, alpha)
    of_history = {
        "--metric": metric, "--since": since, "--until": until, "--changed-since": changed_since, "--device": device,
        "--model": model, "--delegate": delegate, "--label": label, "--store": store_url,
    }  # fmt: skip
    if csv is None:
        if column is not None or index is not None:
            raise InputError("--column and --index are of a file", hint="add --csv FILE")
        report: ChangesReport | ColumnChanges = _of_history(of_history, rules, form)
    else:
        beside = [name for name, value in of_history.items() if value]
        if beside or form == "md" or fail_on == "worse":
            what = beside[0] if beside else "--format md" if form == "md" else "--fail-on worse"
            raise InputError(f"{what} is not of a file", hint="leave it out, or leave --csv out to look at the history")
        report = _of_file(csv, column, index, rules, form)
    if fail_on is not None and report.fails(fail_on):
        raise typer.Exit(EXIT_FAILED)


def _of_history(given: Mapping[str, Any], rules: ChangeSettings, form: str) -> ChangesReport:
    from devbench.bench.planning import parse_labels
    from devbench.cli.choices import metrics, moment
    from devbench.cli.output import console
    from devbench.findings.changes import ChangesSettings
    from devbench.findings.subject import changes_in
    from devbench.host.garbage import no_cycle_search
    from devbench.sections.changes import changes_document
    from devbench.text import parts_of

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
    with no_cycle_search(), console(stderr=True).status("looking at the history"):
        report = changes_in(given["--store"], settings)
    show(lambda shown: changes_document(report, shown), form)
    return report


def _of_file(csv: Path, column: str | None, index: str | None, rules: ChangeSettings, form: str) -> ColumnChanges:
    from devbench.findings.column_changes import changes_of_column
    from devbench.sections.column_changes import column_document

    found = changes_of_column(csv, column, index, rules)
    show(lambda shown: column_document(found, shown), form)
    return found


def _rules(smallest: str, alpha: float) -> ChangeSettings:
    from devbench import numbers
    from devbench.analysis.confirmation import ChangeSettings
    from devbench.errors import InputError

    percent = numbers.real(smallest.strip().removesuffix("%"), minimum=0, maximum=1000)
    if percent is None:
        raise InputError(f"--smallest {smallest!r} is not a percentage", hint="give for instance 2%")
    if not 0 < alpha < 1:
        raise InputError(f"--alpha {alpha:g} is not a probability", hint="give a number between 0 and 1, such as 0.001")
    return ChangeSettings(alpha=alpha, smallest=percent / 100)
