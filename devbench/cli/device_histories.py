"""`devbench devices merge` and `split`: correct a wrong identity in the results store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devbench.results.histories import Move

_DryOption = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]
_YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
_JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_StoreOption = Annotated[str | None, typer.Option("--store", help="URL or file of the results store.")]


def register(group: typer.Typer) -> None:
    """Add the commands to `devbench devices`."""
    group.command(
        "merge", epilog="Example:\n\n  devbench devices merge 38071FDJH00ABC-3f9a1c 38071FDJH00ABC-77b0e2 --dry-run"
    )(merge)
    group.command(
        "split",
        epilog="Examples:\n\n  devbench devices split 38071FDJH00ABC-3f9a1c --dry-run\n\n"
        "  devbench devices split 0123456789ABCDEF-3f9a1c rig-2 --since 2026-11-01",
    )(split)


def merge(
    into: Annotated[str, typer.Argument(metavar="DEVICE", help="The device whose history continues: key or title.")],
    other: Annotated[str, typer.Argument(metavar="OTHER", help="The device whose history becomes part of it.")],
    dry_run: _DryOption = False,
    yes: _YesOption = False,
    as_json: _JsonOption = False,
    store_url: _StoreOption = None,
) -> None:
    """Join the histories of two devices in the store that are one board, for example after a factory reset.

    Later runs of OTHER belong to DEVICE too. No measurement is lost; `devbench devices split` undoes the merge.
    """
    from devbench.results import histories
    from devbench.results.store import Store

    with Store(store_url, create=False) as store:
        with store.database.reading() as connection:
            keys = [histories.find_device(connection, word) for word in (into, other)]
            move = histories.plan_merge(connection, keys[0], keys[1])
        if not _agreed([move], dry_run=dry_run, yes=yes, as_json=as_json):
            return
        with store.transaction() as connection:
            # Planned again: another process may have written meanwhile.
            histories.merge(connection, histories.plan_merge(connection, keys[0], keys[1]))


def split(
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="The device whose history is split: key or title.")],
    other: Annotated[
        str | None, typer.Argument(metavar="[OTHER]", help="The key of the other device. Default: as measured, or new.")
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(
            "--run", help="A run that belongs to the other device, as in `devbench runs`; may be given again."
        ),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Runs from this day or time (UTC).")] = None,
    until: Annotated[str | None, typer.Option(help="Runs until this day (included) or time (UTC).")] = None,
    dry_run: _DryOption = False,
    yes: _YesOption = False,
    as_json: _JsonOption = False,
    store_url: _StoreOption = None,
) -> None:
    """Split the history of a device in the store.

    Without --run, --since and --until everything that `merge` joined is separated again. With them, the chosen runs
    become the history of another device; `merge` undoes that.
    """
    from devbench.results import histories
    from devbench.results.selection import Selection, find_runs, moment
    from devbench.results.store import Store

    with Store(store_url, create=False) as store:
        with store.database.reading() as connection:
            key = histories.find_device(connection, device)
            runs = [run_id for text in run or [] for run_id in find_runs(connection, text)]
            selection = Selection(
                runs=tuple(dict.fromkeys(runs)),
                since=None if since is None else moment(since)[0],
                until=None if until is None else moment(until)[1],
            )
            chosen = bool(run) or since is not None or until is not None
            if chosen:
                moves = [histories.plan_part(connection, key, selection, other or "")]
            else:
                moves = histories.plan_split(connection, key, other or "")
        if not _agreed(moves, dry_run=dry_run, yes=yes, as_json=as_json):
            return
        with store.transaction() as connection:
            if chosen:
                histories.apply(connection, histories.plan_part(connection, key, selection, moves[0].target))
            else:
                histories.split(connection, histories.plan_split(connection, key, other or ""))


def _agreed(moves: Sequence[Move], *, dry_run: bool, yes: bool, as_json: bool) -> bool:
    """Show what would be done; return whether to do it.

    Raises:
        InputError: there is nobody to ask.
    """
    import json
    import sys
    from dataclasses import asdict

    from devbench.cli.output import console, plain
    from devbench.errors import InputError

    screen = console(stderr=as_json)
    for move in moves:
        span = f"{move.first_utc:%Y-%m-%d} to {move.last_utc:%Y-%m-%d}"
        screen.print(
            f"{len(move.runs)} run{'s' * (len(move.runs) != 1)} with {move.jobs} job{'s' * (move.jobs != 1)} ({span}): "
            f"{plain(move.source, 100)} → {plain(move.target, 100)}",
            soft_wrap=True,
        )
    if not dry_run and not yes:
        if not sys.stdin.isatty():
            raise InputError(
                "nothing was changed: there is no terminal for the question",
                hint="use --yes to do it, --dry-run to show it",
            )
        if not typer.confirm("Do it?", err=True):
            screen.print("Nothing was changed.")
            return False
    if as_json:
        done = [asdict(move) | {"first_utc": str(move.first_utc), "last_utc": str(move.last_utc)} for move in moves]
        typer.echo(json.dumps({"dry_run": dry_run, "moves": done}, indent=2))
    elif dry_run:
        screen.print("Nothing was changed (--dry-run).")
    return not dry_run
