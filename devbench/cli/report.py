"""`devbench report`: a run as a page, Markdown, charts and files, compared with its baseline and within its history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.choices import complete_metrics, complete_runs
from devbench.host.garbage import no_cycle_search

if TYPE_CHECKING:
    from devbench.forms.files import FileForm

_FORMATS = ("html", "md", "csv", "json", "png", "svg", "pdf")
_DEFAULT = ("html", "md", "png")
# `devbench detect` looks at everything.
_HISTORY = ("latency",)
_EPILOG = (
    "Examples:\n\n"
    "  devbench report                                    # report.html, report.md and charts of the latest run\n\n"
    "  devbench report latest --baseline previous --history --out /tmp/report\n\n"
    "  devbench report latest --history --metric latency,peak_memory\n\n"
    "  devbench report 20261123-2115 --format html,pdf,csv"
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("report", epilog=_EPILOG, rich_help_panel="Results")(report)


def complete_formats(incomplete: str) -> list[str]:
    """Names of formats, for tab completion."""
    return [name for name in _FORMATS if name.startswith(incomplete)]


@no_cycle_search()
def report(
    run: Annotated[
        str, typer.Argument(help="A run's id, its start, or `latest`.", autocompletion=complete_runs)
    ] = "latest",
    form: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            metavar="|".join(_FORMATS),
            help="With commas or given again. Default: html, md and png.",
            autocompletion=complete_formats,
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="RUN", help="Compare with it, on top of the page: as of `compare`.", autocompletion=complete_runs
        ),
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Show the history of its models on its devices, with changes.")
    ] = False,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Of the history: with commas or given again. Default: latency.", autocompletion=complete_metrics
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to. Default: reports/RUN.")] = None,
    store_url: Annotated[str | None, typer.Option("--store", help="URL or file of the results store.")] = None,
) -> None:
    """Write a run's report: one self-contained HTML page, Markdown, charts, CSV, JSON."""
    from devbench.cli.choices import metrics
    from devbench.cli.output import console
    from devbench.findings import sides
    from devbench.findings.raw import readable
    from devbench.findings.run_build import build_report
    from devbench.findings.subject import history_of, pipelines_of
    from devbench.forms.files import write_files
    from devbench.results.history import History
    from devbench.results.run_files import record_writers
    from devbench.sections.subjects import RunSubject

    forms = _forms(form)
    followed = metrics(metric, _HISTORY)
    with History(store_url) as kept:
        view = kept.store.run(run)
        built, pipelines = build_report(view), pipelines_of(kept.store, view)
        compared = sides.compare(baseline, view.run.run_id, store_url) if baseline is not None else None
        changes = history_of(kept, built, pipelines, followed) if history or metric else None
        subject = RunSubject(built, compared, changes, pipelines)
        folder = out or Path("reports") / view.run.run_id
        paths = write_files(subject, folder, forms, readable(kept.store.read_raw), record_writers(view))
    screen = console()
    for path in paths:
        screen.print(str(path), soft_wrap=True, markup=False)


def _forms(texts: list[str] | None) -> tuple[FileForm, ...]:
    from devbench.errors import InputError
    from devbench.forms.files import FILE_FORMS
    from devbench.text import parts_of

    chosen = parts_of(texts) or _DEFAULT
    unknown = [name for name in chosen if name not in FILE_FORMS]
    if unknown:
        raise InputError(f"--format {unknown[0]!r} is unknown", hint=f"give {', '.join(FILE_FORMS)}")
    return tuple(form for form in FILE_FORMS if form in chosen)
