"""`devbench detect`: what changed over the history of the store, or in a column of a plain file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from devbench.cli.chosen import complete_metrics, complete_models

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devbench.analysis.changes import ChangePoint, ChangeSettings
    from devbench.cli.csv_column import Column
    from devbench.findings.changes import ChangesReport

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
            "--index", help="Column to be shown beside each change, such as a date or a commit.", rich_help_panel=_FILE
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
        report = _of_history(of_history, rules, form)
        failed = fail_on is not None and _fails(report, fail_on)
    else:
        beside = [name for name, value in of_history.items() if value]
        if beside or form == "md" or fail_on == "worse":
            what = beside[0] if beside else "--format md" if form == "md" else "--fail-on worse"
            raise InputError(f"{what} is not of a file", hint="leave it out, or leave --csv out to look at the history")
        found = _of_file(csv, column, index, rules, as_json=form == "json")
        failed = fail_on is not None and any(fail_on in ("any", one.direction) for one in found)
    if failed:
        raise typer.Exit(EXIT_FAILED)


def _of_history(given: Mapping[str, Any], rules: ChangeSettings, form: str) -> ChangesReport:
    import devbench.results
    from devbench.bench.planning import parse_labels
    from devbench.cli.chosen import choose_devices, choose_models, many_rows, metrics, moment, words
    from devbench.cli.output import console
    from devbench.errors import InputError
    from devbench.findings.changes import ChangesSettings
    from devbench.findings.changes_build import find_changes
    from devbench.sections.changes import changes_document

    since, until, changed = (moment(given[name], name) for name in ("--since", "--until", "--changed-since"))
    chosen = metrics(given["--metric"], ChangesSettings().metrics)
    labels = parse_labels(given["--label"] or [])
    with many_rows(), devbench.results.open_history(given["--store"]) as history:
        settings = ChangesSettings(
            changes=rules,
            metrics=chosen,
            devices=choose_devices([history], words(given["--device"])),
            models=choose_models([history], given["--model"]),
            delegates=words(given["--delegate"]),
            labels=labels,
            since=since,
            until=until,
            changed_since=changed,
        )
        with console(stderr=True).status("looking at the history"):
            report = find_changes(history, settings)
    if not report.series:
        raise InputError("no run in the store measured that", hint="check the filters against `devbench runs`")
    if form == "json":
        from devbench.forms.json import json_text

        typer.echo(json_text(changes_document(report, "json")), nl=False)
    elif form == "md":
        from devbench.forms.markdown import markdown

        typer.echo(markdown(changes_document(report, "markdown")), nl=False)
    else:
        from devbench.forms.terminal import print_document

        print_document(changes_document(report, "terminal"), console())
    return report


def _fails(report: ChangesReport, fail_on: str) -> bool:
    if fail_on == "worse":
        return any(one.worse for one in report.events) or any(one.worse for one in report.models)
    changes = [change for series in report.series for change in series.changes]
    return any(fail_on in ("any", change.point.direction) for change in changes)


def _of_file(
    csv: Path, column: str | None, index: str | None, rules: ChangeSettings, *, as_json: bool
) -> Sequence[ChangePoint]:
    from devbench.analysis.changes import change_points
    from devbench.cli.csv_column import read_column

    read = read_column(csv, column, index)
    found = change_points(read.values, rules)
    if as_json:
        import json

        typer.echo(json.dumps(to_json(read, found), indent=2, allow_nan=False))
    else:
        _print(read, found)
    return found


def _rules(smallest: str, alpha: float) -> ChangeSettings:
    from devbench import numbers
    from devbench.analysis.changes import ChangeSettings
    from devbench.errors import InputError

    percent = numbers.real(smallest.strip().removesuffix("%"), minimum=0, maximum=1000)
    if percent is None:
        raise InputError(f"--smallest {smallest!r} is not a percentage", hint="give for instance 2%")
    if not 0 < alpha < 1:
        raise InputError(f"--alpha {alpha:g} is not a probability", hint="give a number between 0 and 1, such as 0.001")
    return ChangeSettings(alpha=alpha, smallest=percent / 100)


def to_json(read: Column, found: Sequence[ChangePoint]) -> dict[str, Any]:
    """What `--json` prints; the keys are those of docs/detection.md."""
    return {
        "change_points": [one.index for one in found],
        "changes": [
            {
                "index": one.index,
                "at": read.labels[one.index] if read.labels else None,
                "direction": one.direction,
                "size": one.size,
                "before": one.before,
                "after": one.after,
                "p": one.p,
                "confidence": one.confidence,
                "points_before": one.points_before,
                "points_after": one.points_after,
            }
            for one in found
        ],
        "column": read.name,
        "rows": len(read.values),
        "gaps": read.gaps,
    }


def _print(read: Column, found: Sequence[ChangePoint]) -> None:
    from rich.table import Table

    from devbench.cli.output import console, plain

    screen = console()
    gaps = f", {read.gaps} of them without a number" if read.gaps else ""
    where = f"in {plain(read.name, 60)}: {len(read.values)} rows{gaps}"
    if not found:
        screen.print(f"no change {where}", soft_wrap=True)
        return
    word = "change" if len(found) == 1 else "changes"
    screen.print(f"{len(found)} {word} {where}", soft_wrap=True)
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("index", justify="right")
    if read.labels:
        table.add_column("at", overflow="fold")
    for name in ("change", "before", "after", "p", "points"):
        table.add_column(name, justify="right")
    for one in found:
        at = [plain(read.labels[one.index], 40)] if read.labels else []
        size = f"{100 * one.size:+.2f} %" if one.size is not None else one.direction
        p = f"{one.p:.2g}" if one.p >= 1e-12 else "< 1e-12"
        points = f"{one.points_before} | {one.points_after}"
        table.add_row(str(one.index), *at, size, f"{one.before:.6g}", f"{one.after:.6g}", p, points)
    screen.print(table)
