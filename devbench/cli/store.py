"""`devbench export`, `import`, `merge` and `prune`: results that travel, and raw outputs that go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from devbench.results.exchange.merge import Merged, Progress

_PANEL = "Results"
_StoreOption = Annotated[str | None, typer.Option("--store", help="URL or file of the results store.")]
_JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _formats(incomplete: str) -> list[str]:
    return [name for name in ("jsonl", "parquet") if name.startswith(incomplete)]


def _selectors(incomplete: str) -> list[str]:
    from devbench.cli.runs import run_ids

    return run_ids(incomplete)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(
        "export",
        epilog="Examples:\n\n  devbench export results/ --since 2026-11-01\n\n"
        "  devbench export results/ --label branch=main --format parquet\n\n  devbench export one/ --run latest --raw",
        rich_help_panel=_PANEL,
    )(export)
    app.command("import", epilog="Example:\n\n  devbench import results/", rich_help_panel=_PANEL)(import_)
    app.command(
        "merge", epilog="Example:\n\n  devbench merge /mnt/lab2/results.db --store results.db", rich_help_panel=_PANEL
    )(merge)
    app.command(
        "prune",
        epilog="Examples:\n\n  devbench prune --older-than 90d --dry-run\n\n  devbench prune --older-than 1y",
        rich_help_panel=_PANEL,
    )(prune)


def export(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    run: Annotated[
        list[str] | None,
        typer.Option(
            "--run",
            autocompletion=_selectors,
            help="`latest`, an id or its start, key=value, or a date; may be given again. Default: all runs.",
        ),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Runs with this label, as key=value; may be given again.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Runs from this day or time on (UTC).")] = None,
    until: Annotated[str | None, typer.Option(help="Runs until this day (which is in) or time.")] = None,
    file_format: Annotated[
        str, typer.Option("--format", autocompletion=_formats, help="`jsonl` (JSON lines) or `parquet`.")
    ] = "jsonl",
    raw: Annotated[bool, typer.Option("--raw", help="Also copy the raw outputs.")] = False,
    as_json: _JsonOption = False,
    store_url: _StoreOption = None,
) -> None:
    """Write runs to a folder: a file a table and a manifest.

    `devbench import` reads it into another store; the files are for any tool that reads tables, too.
    """
    from devbench.bench.planning import parse_labels
    from devbench.cli.output import console
    from devbench.errors import InputError
    from devbench.results.exchange.files import FORMATS
    from devbench.results.exchange.folder import export_store
    from devbench.results.selection import Selection
    from devbench.results.store import Store

    chosen = next((name for name in FORMATS if name == file_format), None)
    if chosen is None:
        raise InputError(f"--format {file_format}: not known", hint=f"one of {', '.join(FORMATS)}")
    with Store(store_url, create=False) as store, _progress() as progress:
        selection = Selection(
            runs=_runs(store, run or []),
            since=None if since is None else _time(since, 0),
            until=None if until is None else _time(until, 1),
            labels=parse_labels(label or []),
        )
        done = export_store(store, folder, selection, file_format=chosen, raw=raw, progress=progress)
    if as_json:
        _print_json({"folder": str(folder), "rows": done.rows, "raw_outputs": done.raw})
        return
    words = f", {done.raw} raw outputs" if raw else ""
    console().print(
        f"{done.rows['runs']} runs, {done.rows['jobs']} jobs, {done.rows['repetitions']} repetitions{words}: {folder}",
        soft_wrap=True, markup=False,
    )  # fmt: skip


def _runs(store: Any, selectors: list[str]) -> tuple[str, ...]:
    from devbench.results.selection import find_runs

    with store.database.reading() as connection:
        found = [run_id for text in selectors for run_id in find_runs(connection, text)]
    return tuple(dict.fromkeys(found))


def _time(text: str, end: int) -> datetime:
    """The beginning (0) or the end (1) of what `text` names."""
    from devbench.results.selection import moment

    return moment(text)[end]


def import_(
    folder: Annotated[Path, typer.Argument(help="What `devbench export` wrote.")],
    as_json: _JsonOption = False,
    store_url: _StoreOption = None,
) -> None:
    """Add an export to the store; what is there already stays as it is, so that it may be done twice."""
    from devbench.results.exchange.folder import import_folder, open_folder
    from devbench.results.store import Store

    opened = open_folder(folder)
    with Store(store_url) as store, _progress(opened.rows) as progress:
        loaded = import_folder(store, opened, progress)
    _print_merged(loaded, as_json)


def merge(
    other: Annotated[str, typer.Argument(help="URL or file of another results store.")],
    as_json: _JsonOption = False,
    store_url: _StoreOption = None,
) -> None:
    """Add all runs of another store, with their raw outputs; what is there already stays as it is."""
    from devbench.results.exchange.folder import merge_store
    from devbench.results.store import Store

    with Store(other, create=False, foreign=True) as source, Store(store_url) as store, _progress() as progress:
        loaded = merge_store(store, source, progress)
    _print_merged(loaded, as_json)


def _print_merged(merged: Merged, as_json: bool) -> None:
    from devbench.cli.output import console, plain
    from devbench.errors import EXIT_FAILED

    if as_json:
        values = {"added": merged.added, "runs": sorted(merged.runs), "conflicts": merged.conflicts}
        _print_json({**values, "raw_outputs": merged.raw})
    else:
        added = merged.added
        screen = console()
        screen.print(
            f"New: {added['runs']} runs, {added['jobs']} jobs, {added['repetitions']} repetitions, "
            f"{added['operators']} operators, {merged.raw} raw outputs.",
            soft_wrap=True,
        )
        for conflict in merged.conflicts:
            screen.print(f"[yellow]Left out:[/yellow] run {plain(conflict, 200)}", soft_wrap=True)
    if merged.conflicts:
        raise typer.Exit(EXIT_FAILED)


def prune(
    older_than: Annotated[str, typer.Option(help="Age of the runs: 90d, 12w, 6m, 1y.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: _JsonOption = False,
    store_url: _StoreOption = None,
) -> None:
    """Drop the raw outputs of old runs; everything that was measured stays."""
    from datetime import datetime, timezone

    from devbench.cli.output import console
    from devbench.results.prune import parse_age, prune
    from devbench.results.store import Store

    age = parse_age(older_than)
    with Store(store_url, create=False) as store:
        pruned = prune(store, age, datetime.now(timezone.utc), dry_run=dry_run)
    if as_json:
        values = {"runs": pruned.runs, "files": pruned.files, "size_bytes": pruned.size_bytes, "dry_run": dry_run}
        _print_json(values)
        return
    would = "would free" if dry_run else "freed"
    console().print(f"{len(pruned.runs)} runs, {pruned.files} raw outputs: {would} {pruned.size_bytes / 1e6:.1f} MB.")


def _print_json(values: dict[str, Any]) -> None:
    import json

    typer.echo(json.dumps(values, indent=2))


@contextmanager
def _progress(totals: dict[str, int] | None = None) -> Iterator[Progress]:
    """Tells rows of tables on standard error while it lasts; nothing where that is no terminal."""
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    from devbench.cli.output import console

    screen = console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} rows"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as display:
        tasks: dict[str, TaskID] = {}

        def told(table: str, rows: int) -> None:
            if table not in tasks:
                tasks[table] = display.add_task(table.replace("_", " "), total=(totals or {}).get(table))
            display.update(tasks[table], completed=rows)

        yield told
