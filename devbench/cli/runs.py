"""`devbench runs` and `show`: what was measured, again."""

from __future__ import annotations

from typing import Annotated

import typer

_StoreOption = Annotated[str | None, typer.Option("--store", help="URL or file of the results store.")]


def run_ids(incomplete: str) -> list[str]:
    """Completion: `latest` and the newest runs."""
    from devbench.errors import DevbenchError
    from devbench.results.store import Store

    try:
        with Store() as store:
            known = [summary.run_id for summary in store.runs(50)]
    except DevbenchError:
        known = []
    return [name for name in ["latest", *known] if name.startswith(incomplete)]


_RunArgument = Annotated[
    str,
    typer.Argument(
        help="A run's id, its start, or `latest`, the newest that measured something.",
        autocompletion=run_ids,
        show_default=True,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    panel = "Results"
    app.command("runs", epilog="Example:\n\n  devbench runs --limit 50 --json", rich_help_panel=panel)(runs)
    app.command(
        "show",
        epilog="Examples:\n\n  devbench show latest\n\n  devbench show 20261123-2115 --json",
        rich_help_panel=panel,
    )(show)


def runs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, the newest first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    store_url: _StoreOption = None,
) -> None:
    """List the runs in the store."""
    from devbench.cli.output import console
    from devbench.results.store import Store

    with Store(store_url) as store:
        found = store.runs(limit)
    if as_json:
        import json
        from dataclasses import asdict

        typer.echo(json.dumps([asdict(run) for run in found], indent=2, default=lambda value: value.isoformat()))
        return
    if not found:
        console().print("No run is stored yet. Try `devbench run demo --device virtual`.")
        return
    from devbench.forms.terminal import print_document
    from devbench.results.ending import end_words
    from devbench.sections.runs import runs_document

    ends = [end_words(run.run_id, run.status, run.end_reason, run.host, pipeline=run.pipeline) for run in found]
    print_document(runs_document(list(zip(found, ends, strict=True)), "terminal"), console())


def show(
    run: _RunArgument = "latest",
    as_json: Annotated[bool, typer.Option("--json", help="Print everything stored about it as JSON.")] = False,
    store_url: _StoreOption = None,
) -> None:
    """Print a run: latencies, failures, operators."""
    from devbench.cli.output import console, plain
    from devbench.findings.subject import pipelines_of
    from devbench.results.store import LATEST, Store

    with Store(store_url) as store:
        view = store.run(run)
        pipelines = pipelines_of(store, view)
        newest = store.newest_run_id() if run == LATEST else None
    if as_json:
        import json

        from devbench.results.run_files import run_to_json
        from devbench.sections.pipeline import pipeline_data

        values = run_to_json(view) if pipelines is None else pipeline_data(pipelines)
        typer.echo(json.dumps(values, indent=2))
        return
    from devbench.findings.run_build import build_report
    from devbench.forms.terminal import print_document
    from devbench.results.ending import end_words
    from devbench.sections.pipeline import pipeline_document
    from devbench.sections.run import run_document
    from devbench.sections.subjects import RunSubject

    screen = console()
    if newest not in (None, view.run.run_id):
        words = f"the newest run, {newest}, has measured nothing: devbench show {newest}"
        screen.print(f"[dim]{words}[/dim]", soft_wrap=True)
    of_pipelines = pipelines is not None
    ended = end_words(view.run.run_id, view.status, view.end_reason, view.run.host, pipeline=of_pipelines)
    screen.print(
        f"[bold]{view.run.run_id}[/bold] · {view.run.started_utc:%Y-%m-%d %H:%M:%S} UTC · {plain(ended, 600)}",
        soft_wrap=True,
    )
    screen.print(f"[dim]{plain(view.run.command, 1000)}[/dim]\n", soft_wrap=True)
    if pipelines is not None:
        # Its stages are jobs too, but what is asked of a pipeline is the whole.
        print_document(pipeline_document(pipelines, "terminal"), screen)
    else:
        print_document(run_document(RunSubject(build_report(view)), "terminal"), screen)
