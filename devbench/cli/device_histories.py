"""`devbench devices merge` and `split`: correct a wrong identity in the results store."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.choices import moment
from devbench.cli.output import agreed, plain, print_json, say
from devbench.cli.takes import JsonOption, StoreOption, YesOption, open_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devbench.results.histories import Move

_DryOption = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]
_MERGE = "Example:\n\n  devbench devices merge 38071FDJH00ABC-3f9a1c 38071FDJH00ABC-77b0e2 --dry-run"
_SPLIT = (
    "Examples:\n\n  devbench devices split 38071FDJH00ABC-3f9a1c --dry-run\n\n"
    "  devbench devices split 0123456789ABCDEF-3f9a1c rig-2 --since 2026-11-01"
)
app = typer.Typer()


@app.command("merge", epilog=_MERGE)
def merge(
    into: Annotated[str, typer.Argument(metavar="DEVICE", help="The device whose history continues: key or title.")],
    other: Annotated[str, typer.Argument(metavar="OTHER", help="The device whose history becomes part of it.")],
    dry_run: _DryOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    store_url: StoreOption = None,
) -> None:
    """Join the histories of two devices that are one board, for example after a factory reset.

    Later runs of OTHER belong to DEVICE too. No measurement is lost; `devbench devices split` undoes the merge.
    """
    from devbench.results import histories

    with open_store(store_url, create=False) as store:
        with store.database.reading() as connection:
            keys = [histories.find_device(connection, word) for word in (into, other)]
            move = histories.plan_merge(connection, keys[0], keys[1])
        if _confirmed([move], dry_run=dry_run, yes=yes, as_json=as_json):
            with store.database.writing() as connection:
                # Planned again: another process may have written meanwhile.
                histories.merge(connection, histories.plan_merge(connection, keys[0], keys[1]))


@app.command("split", epilog=_SPLIT)
def split(
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="The device whose history is split: key or title.")],
    other: Annotated[
        str | None, typer.Argument(metavar="OTHER", help="The key of the other device. Default: as measured, or new.")
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option("--run", help="A run that belongs to the other device; may be given again."),
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="Runs from this day or time (UTC).")] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="Runs until this day (included) or time (UTC).")
    ] = None,
    dry_run: _DryOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    store_url: StoreOption = None,
) -> None:
    """Split the history of a device in the results store.

    Without --run, --since and --until everything that `merge` joined is separated again. With them, the chosen runs
    become the history of another device; `merge` undoes that.
    """
    from devbench.results import histories
    from devbench.results.selection import Selection, find_runs

    chosen = bool(run) or since is not None or until is not None
    with open_store(store_url, create=False) as store:
        with store.database.reading() as connection:
            key = histories.find_device(connection, device)
            runs = [run_id for text in run or [] for run_id in find_runs(connection, text)]
            selection = Selection(
                runs=tuple(dict.fromkeys(runs)),
                since=moment(since, "--since"),
                until=moment(until, "--until", end=True),
            )
            if chosen:
                moves = [histories.plan_part(connection, key, selection, other or "")]
            else:
                moves = histories.plan_split(connection, key, other or "")
        if not _confirmed(moves, dry_run=dry_run, yes=yes, as_json=as_json):
            return
        with store.database.writing() as connection:
            if chosen:
                histories.apply(connection, histories.plan_part(connection, key, selection, moves[0].target))
            else:
                histories.split(connection, histories.plan_split(connection, key, other or ""))


def _confirmed(moves: Sequence[Move], *, dry_run: bool, yes: bool, as_json: bool) -> bool:
    """Show what would be done; return whether to do it.

    Raises:
        InputError: there is no terminal to ask at.
    """
    for move in moves:
        span = f"{move.first_utc:%Y-%m-%d} to {move.last_utc:%Y-%m-%d}"
        say(
            f"{len(move.runs)} run{'s' * (len(move.runs) != 1)} with {move.jobs} job{'s' * (move.jobs != 1)} ({span}): "
            f"{plain(move.source, 100)} → {plain(move.target, 100)}",
            stderr=as_json,
        )
    if not agreed("Do it?", yes=yes or dry_run, otherwise="nothing was changed"):
        say("Nothing was changed.", stderr=as_json)
        return False
    if as_json:
        done = [asdict(move) | {"first_utc": str(move.first_utc), "last_utc": str(move.last_utc)} for move in moves]
        print_json({"dry_run": dry_run, "moves": done})
    elif dry_run:
        say("Nothing was changed (--dry-run).")
    return not dry_run
