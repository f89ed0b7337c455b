"""`devbench export`, `import`, `merge` and `prune`: moving results, and deleting raw outputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from devbench.cli.choices import complete_runs, moment
from devbench.cli.output import console, plain, print_json, say
from devbench.cli.takes import JsonOption, StoreOption, open_store
from devbench.cli.usage import one_of
from devbench.errors import EXIT_FAILED, InputError

if TYPE_CHECKING:
    from devbench.results.exchange.files import Format
    from devbench.results.exchange.merge import Merged, Progress

_FORMATS = ("jsonl", "parquet")
_EXPORT = (
    "Examples:\n\n  devbench export results/ --since 2026-11-01\n\n"
    "  devbench export results/ --label branch=main --format parquet\n\n  devbench export one/ --run latest --raw\n\n"
    "In Python, devbench.results.open_history() gives pandas frames (docs/results.md)."
)
_MERGE = "Example:\n\n  devbench merge /mnt/lab2/results.db --store results.db"
_PRUNE = (
    "Examples:\n\n  devbench prune --older-than 90d --dry-run\n\n  devbench prune --older-than 1y\n\n"
    "  devbench prune --host lab3 --dry-run"
)
app = typer.Typer()


@app.command("export", epilog=_EXPORT, rich_help_panel="Results")
def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder.")],
    run: Annotated[
        list[str] | None,
        typer.Option(
            "--run",
            autocompletion=complete_runs,
            help="`latest`, an id or its start, key=value, or a date; may be given again. Default: all runs.",
        ),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only runs with this label; may be given again.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only runs from this day or time (UTC), or 30d for 30 days.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only runs until this day (included) or time.")
    ] = None,
    file_format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="|".join(_FORMATS),
            help="JSON lines, or Parquet.",
            autocompletion=lambda incomplete: [one for one in _FORMATS if one.startswith(incomplete)],
        ),
    ] = "jsonl",
    raw: Annotated[bool, typer.Option("--raw", help="Also copy the raw outputs.")] = False,
    as_json: JsonOption = False,
    store_url: StoreOption = None,
) -> None:
    """Write runs to a folder: one file per table, plus a manifest.

    `devbench import` reads the folder into another store; other tools can read its files too.
    """
    from devbench.bench.planning import parse_labels
    from devbench.results.exchange.folder import export_store
    from devbench.results.selection import Selection, find_runs

    chosen = cast("Format", one_of("--format", file_format, _FORMATS))
    labels, times = parse_labels(label or []), (moment(since, "--since"), moment(until, "--until", end=True))
    with open_store(store_url, create=False) as store, _progress() as progress:
        with store.database.reading() as connection:
            runs = tuple(dict.fromkeys(one for text in run or () for one in find_runs(connection, text)))
        selection = Selection(runs=runs, since=times[0], until=times[1], labels=labels)
        done = export_store(store, folder, selection, file_format=chosen, raw=raw, progress=progress)
    if as_json:
        print_json({"folder": str(folder), "rows": done.rows, "raw_outputs": done.raw})
        return
    counts = f"runs: {done.rows['runs']}, jobs: {done.rows['jobs']}, repetitions: {done.rows['repetitions']}"
    say(f"Exported to {plain(folder, 1000)}: {counts}{f', raw outputs: {done.raw}' if raw else ''}")


@app.command("import", epilog="Example:\n\n  devbench import results/", rich_help_panel="Results")
def import_(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder that `devbench export` wrote.")],
    as_json: JsonOption = False,
    store_url: StoreOption = None,
) -> None:
    """Add an export to the store.

    Runs that the store has already stay as they are, so the same folder can be imported twice.
    """
    from devbench.results.exchange.folder import import_folder, open_folder

    opened = open_folder(folder)
    with open_store(store_url) as store, _progress(opened.rows) as progress:
        loaded = import_folder(store, opened, progress)
    _print_merged(loaded, as_json)


@app.command("merge", epilog=_MERGE, rich_help_panel="Results")
def merge(
    other: Annotated[str, typer.Argument(metavar="STORE", help="URL or file of another results store.")],
    as_json: JsonOption = False,
    store_url: StoreOption = None,
) -> None:
    """Add all runs of another store, with their raw outputs.

    Runs that the store has already stay as they are.
    """
    from devbench.results.exchange.folder import merge_store

    with (
        open_store(other, create=False, foreign=True) as source,
        open_store(store_url) as store,
        _progress() as progress,
    ):
        loaded = merge_store(store, source, progress)
    _print_merged(loaded, as_json)


def _print_merged(merged: Merged, as_json: bool) -> None:
    added, conflicts = merged.added, merged.conflicts
    if as_json:
        values = {"added": added, "runs": sorted(merged.runs), "conflicts": conflicts}
        print_json({**values, "raw_outputs": merged.raw})
    else:
        say(
            f"Added runs: {added['runs']}, jobs: {added['jobs']}, repetitions: {added['repetitions']}, "
            f"operators: {added['operators']}, raw outputs: {merged.raw}"
        )
        for conflict in conflicts:
            say(f"[yellow]Left out:[/yellow] run {plain(conflict, 200)}")
    if conflicts:
        raise typer.Exit(EXIT_FAILED)


@app.command("prune", epilog=_PRUNE, rich_help_panel="Results")
def prune(
    older_than: Annotated[str | None, typer.Option(metavar="AGE", help="Age of the runs: 90d, 12w, 6m, 1y.")] = None,
    host: Annotated[
        str | None, typer.Option(metavar="NAME", help="Delete all results that this host measured, with their values.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
    as_json: JsonOption = False,
    store_url: StoreOption = None,
) -> None:
    """Delete the raw outputs of old runs; all measured values stay. With --host: delete the runs of a host.

    On a farm, a run to which the host delivered any result is one of its runs.
    """
    from devbench.results.selection import parse_age

    if (older_than is None) == (host is None):
        problem = "has both --older-than and --host" if host is not None else "needs --older-than or --host"
        raise InputError(f"devbench prune {problem}", hint="for example --older-than 90d, or --host lab3")
    age = None if older_than is None else parse_age(older_than)
    with open_store(store_url, create=False) as store:
        if age is None:
            pruned = store.drop_host(host or "", dry_run=dry_run)
        else:
            pruned = store.prune(age, datetime.now(timezone.utc), dry_run=dry_run)
    if as_json:
        values = {"runs": pruned.runs, "files": pruned.files, "size_bytes": pruned.size_bytes, "dry_run": dry_run}
        print_json(values)
        return
    would = "would free" if dry_run else "freed"
    deleted = "" if age is not None else " would be deleted" if dry_run else " deleted"
    what = f"{len(pruned.runs)} runs{deleted}, {pruned.files} raw outputs"
    say(f"{what}: {would} {pruned.size_bytes / 1e6:.1f} MB.")


@contextmanager
def _progress(totals: dict[str, int] | None = None) -> Iterator[Progress]:
    """Rows of tables on standard error while it lasts; nothing if that is no terminal."""
    from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    screen = console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} rows"),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=screen, transient=True, disable=not screen.is_terminal) as display:
        tasks: dict[str, TaskID] = {}

        def tell(table: str, rows: int) -> None:
            if table not in tasks:
                tasks[table] = display.add_task(table.replace("_", " "), total=(totals or {}).get(table))
            display.update(tasks[table], completed=rows)

        yield tell
