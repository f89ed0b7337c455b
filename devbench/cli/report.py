"""`devbench report`, `serve` and `publish`: results as pages, Markdown, charts and files, in a browser, as a site."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.choices import complete, complete_metrics, complete_run_ids, complete_runs, metrics
from devbench.cli.output import check_writable, open_page, print_json, say_path
from devbench.cli.takes import JsonOption, OpenOption, StoreOption
from devbench.cli.usage import several_of
from devbench.errors import InputError
from devbench.host.garbage import no_cycle_search

if TYPE_CHECKING:
    from devbench.forms.files import FileForm

_FORMATS = ("html", "md", "csv", "json", "png", "svg", "pdf")
_DEFAULT = ("html", "md", "png")
# The metric of a report's history without `--metric`; `devbench detect` covers all metrics.
_HISTORY = ("latency",)
_REPORT = (
    "Examples:\n\n"
    "  devbench report --open                             # report.html, report.md and charts of the latest run\n\n"
    "  devbench report latest --baseline previous --history --out /tmp/report\n\n"
    "  devbench report latest --history --metric latency,peak_memory\n\n"
    "  devbench report 20261123-2115 --format html,pdf,csv"
)
_SERVE = "Examples:\n\n  devbench serve --open\n\n  devbench serve --port 8123 --store /srv/results.db"

_PUBLISH = "Examples:\n\n  devbench publish site/\n\n  devbench publish site/ --metric latency --store /srv/results.db"
app = typer.Typer()


@no_cycle_search()
@app.command("report", epilog=_REPORT, rich_help_panel="Results")
def report(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="An id from `devbench runs`, the start of one, or `latest`.",
            autocompletion=complete_run_ids,
        ),
    ] = "latest",
    form: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="|".join(_FORMATS),
            help="Formats, with commas or given again. Default: html, md and png.",
            autocompletion=complete(lambda: _FORMATS),
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="RUN", help="Compare with this run, named as for `devbench compare`.", autocompletion=complete_runs
        ),
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Add the history of its models on its devices, with change points.")
    ] = False,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Metrics of the history, with commas or given again. Default: latency.",
            autocompletion=complete_metrics,
        ),
    ] = None,
    operators: Annotated[bool, typer.Option("--operators", help="Show operators in the Markdown, too.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder to write to. Default: reports/RUN.")] = None,
    open_it: OpenOption = False,
    store_url: StoreOption = None,
) -> None:
    """Write the report of a run: one self-contained HTML page, Markdown, charts, CSV, JSON."""
    from devbench.findings import sides
    from devbench.findings.run_build import build_report
    from devbench.findings.subject import history_of, pipelines_of, readable
    from devbench.forms.files import write_files
    from devbench.results.history import History
    from devbench.results.run_files import record_writers
    from devbench.sections.subjects import RunSubject

    check_writable(folder=out)
    forms = _forms(form, open_it)
    followed = metrics(metric, _HISTORY)
    with History(store_url) as kept:
        view = kept.store.run(run)
        built, pipelines = build_report(view), pipelines_of(kept.store, view)
        compared = sides.compare(baseline, view.run.run_id, store_url) if baseline is not None else None
        changes = history_of(kept, built, pipelines, followed) if history or metric else None
        subject = RunSubject(built, compared, changes, pipelines, operators)
        folder = out or Path("reports") / view.run.run_id
        paths = write_files(subject, folder, forms, readable(kept.store.artifacts.read), record_writers(view))
    for path in paths:
        say_path("", path)
    open_page(next((path for path in paths if path.suffix == ".html"), ""), open_it)


def _forms(texts: list[str] | None, open_it: bool) -> tuple[FileForm, ...]:
    from devbench.forms.files import FILE_FORMS

    chosen = several_of("--format", texts, FILE_FORMS) or _DEFAULT
    if open_it and "html" not in chosen:
        raise InputError("--open needs the format html", hint=f"--format html,{','.join(chosen)}")
    return tuple(form for form in FILE_FORMS if form in chosen)


@app.command("serve", epilog=_SERVE, rich_help_panel="Results")
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port on 127.0.0.1; 0 takes a free one.")] = 8765,
    open_it: OpenOption = False,
    store_url: StoreOption = None,
) -> None:
    """Show the results store in a browser: runs, comparisons, the history.

    Read-only, on this computer alone (127.0.0.1), until Ctrl-C.
    """
    from devbench.serve.server import Server

    with Server(store_url, port) as server, contextlib.suppress(KeyboardInterrupt):
        typer.echo(f"{server.url}  (Ctrl-C ends it)")
        open_page(server.url, open_it)
        server.run()
    typer.echo("ended")


@no_cycle_search()
@app.command("publish", epilog=_PUBLISH, rich_help_panel="Results")
def publish(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the site; made if it does not exist.")],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these metrics, with commas or given again. Default: all but times by type of operator.",
            autocompletion=complete_metrics,
        ),
    ] = None,
    as_json: JsonOption = False,
    store_url: StoreOption = None,
) -> None:
    """Write the history of the store as a static site: an index, and pages of models, devices and changes.

    Called again, it writes only the pages whose data changed. For GitHub Pages, a bucket, or a folder on disk.
    """
    from devbench.findings.changes import ChangesSettings
    from devbench.findings.subject import changes_in
    from devbench.metrics import stored
    from devbench.serve.publish import publish as write

    check_writable(folder=folder)
    done = write(changes_in(store_url, ChangesSettings(metrics=metrics(metric, stored()))), folder)
    if as_json:
        print_json({"folder": str(folder), **asdict(done)})
        return
    removed = f", {done.removed} removed" if done.removed else ""
    say_path(f"{done.written} pages written, {done.unchanged} unchanged{removed}: ", folder / "index.html")
