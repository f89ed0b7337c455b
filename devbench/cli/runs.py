"""`devbench runs` and `show`: what was measured earlier."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from devbench.cli.choices import complete_run_ids
from devbench.cli.output import plain, print_document, print_json, say
from devbench.cli.takes import JsonOption, StoreOption, open_store

_RUNS = "Examples:\n\n  devbench runs\n\n  devbench runs --limit 50 --json"
_SHOW = "Examples:\n\n  devbench show latest\n\n  devbench show 20261123-2115 --json"
app = typer.Typer()


@app.command("runs", epilog=_RUNS, rich_help_panel="Results")
def runs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many runs to list.")] = 20,
    as_json: JsonOption = False,
    store_url: StoreOption = None,
) -> None:
    """List the runs in the results store, the newest first."""

    with open_store(store_url, create=store_url is None) as store:
        found = store.runs(limit)
    if as_json:
        print_json([asdict(run) for run in found])
        return
    if not found:
        say("No run is stored yet. Try: devbench run demo --device virtual")
        return
    from devbench.sections.runs import runs_document

    print_document(runs_document(found, "terminal"))


@app.command("show", epilog=_SHOW, rich_help_panel="Results")
def show(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="An id from `devbench runs`, the start of one, or `latest`: the newest run with results.",
            autocompletion=complete_run_ids,
        ),
    ] = "latest",
    operators: Annotated[bool, typer.Option("--operators", help="Show every case with its operators.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything stored about the run as JSON.")] = False,
    store_url: StoreOption = None,
) -> None:
    """Show a run again: the best delegate, latencies, failures."""
    from devbench.findings.subject import pipelines_of
    from devbench.results.counting import LATEST

    with open_store(store_url, create=store_url is None) as store:
        view = store.run(run)
        pipelines = pipelines_of(store, view)
        newest = store.newest_run_id() if run == LATEST else None
    if as_json:
        from devbench.results.run_files import run_to_json
        from devbench.sections.pipeline import pipeline_data

        print_json(run_to_json(view) if pipelines is None else pipeline_data(pipelines))
        return
    from devbench.findings.run_build import build_report
    from devbench.results.ending import end_text
    from devbench.sections.pipeline import pipeline_document
    from devbench.sections.run import run_document
    from devbench.sections.subjects import RunSubject

    if pipelines is not None:
        print_document(pipeline_document(pipelines, "terminal"))
    else:
        print_document(run_document(RunSubject(build_report(view), operators=operators), "terminal"))
    if newest not in (None, view.run.run_id):
        say(f"[dim]the newest run, {newest}, has no results: devbench show {newest}[/dim]")
    ended = plain(
        end_text(view.run.run_id, view.status, view.end_reason, view.run.host, pipeline=pipelines is not None), 600
    )
    say(f"\n[bold]{view.run.run_id}[/bold] · {view.run.started_utc:%Y-%m-%d %H:%M:%S} UTC · {ended}")
    say(f"[dim]{plain(view.run.command, 1000)}[/dim]")
