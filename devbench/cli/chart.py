"""`devbench chart`: a single chart for a paper or a slide, as PNG, SVG or PDF."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.chosen import complete_metrics, complete_models, complete_runs, many_rows

if TYPE_CHECKING:
    from datetime import datetime

    from devbench.findings.run import ReportData
    from devbench.forms.charts.files import ChartForm
    from devbench.forms.charts.picture import Theme
    from devbench.results.history import History
    from devbench.sections.document import Chart

_OF_JOBS = ("latency", "speedup", "operators", "startup", "memory", "conditions")
_KINDS = (*_OF_JOBS, "pipeline", "comparison", "history")
_EPILOG = (
    "Examples:\n\n"
    "  devbench chart latency --out latency.pdf\n\n"
    "  devbench chart speedup latest --over cpu --model mobile_unet --width 3.4 --out speedup.pdf\n\n"
    "  devbench chart operators latest --device 'Pixel 8' --delegate gpu --dpi 300 --out operators.png\n\n"
    "  devbench chart history --device 'Pixel 8' --model mobile_unet --delegate gpu --metric latency --out h.svg\n\n"
    "  devbench chart comparison latest --baseline previous --out changes.svg"
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("chart", epilog=_EPILOG, rich_help_panel="Results")(chart)


def complete_kinds(incomplete: str) -> list[str]:
    """Names of charts, for tab completion."""
    return [name for name in _KINDS if name.startswith(incomplete)]


@many_rows()
def chart(
    kind: Annotated[str, typer.Argument(metavar="|".join(_KINDS), help="Which chart.", autocompletion=complete_kinds)],
    run: Annotated[
        str, typer.Argument(help="A run's id, its start, or `latest`; not for history.", autocompletion=complete_runs)
    ] = "latest",
    out: Annotated[
        Path | None, typer.Option(help="File to write; its ending is the format: .png, .svg, .pdf. Default: KIND.png.")
    ] = None,
    device: Annotated[list[str] | None, typer.Option(help="Key or part of the title.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A model as results show it, or the end of it.", autocompletion=complete_models),
    ] = None,
    delegate: Annotated[list[str] | None, typer.Option(help="A delegate's name.")] = None,
    case: Annotated[list[str] | None, typer.Option(help="For history: as `devbench compare` prints it.")] = None,
    metric: Annotated[
        str, typer.Option(help="For history and comparison.", autocompletion=complete_metrics)
    ] = "latency",
    over: Annotated[str, typer.Option(metavar="DELEGATE", help="For speedup: the one to be compared with.")] = "cpu",
    baseline: Annotated[
        str, typer.Option(metavar="RUN", help="For comparison: as of `compare`.", autocompletion=complete_runs)
    ] = "previous",
    since: Annotated[str | None, typer.Option(help="For history: a date, or how long ago, such as 30d.")] = None,
    until: Annotated[str | None, typer.Option(help="For history: the same.")] = None,
    width: Annotated[float | None, typer.Option(min=1.0, max=40.0, help="Inches wide (PNG and PDF).")] = None,
    dpi: Annotated[int, typer.Option(min=30, max=1200, help="Dots an inch of a PNG.")] = 160,
    theme: Annotated[str, typer.Option(metavar="light|dark", help="Colours.")] = "light",
    as_json: Annotated[bool, typer.Option("--json", help="Print what was drawn as JSON.")] = False,
    store_url: Annotated[str | None, typer.Option("--store", help="URL or file of the results store.")] = None,
) -> None:
    """Draw one chart into a file. Numbers of a virtual device are marked in the chart itself.

    Exit code 2 where the run or the filters leave nothing to draw.
    """
    from devbench.cli.chosen import choose_devices, choose_models, metrics, moment, words
    from devbench.cli.outcome import check_writable
    from devbench.errors import InputError
    from devbench.findings.run_build import build_report
    from devbench.forms.charts import draw
    from devbench.forms.charts.files import chart_file
    from devbench.results.history import History
    from devbench.whole_files import writing_to

    if kind not in _KINDS:
        raise InputError(f"there is no chart {kind!r}", hint=f"give one of {', '.join(_KINDS)}")
    if theme not in ("light", "dark"):
        raise InputError(f"--theme {theme!r} is unknown", hint="give light or dark")
    path = out or Path(f"{kind}.png")
    form = _form(path)
    check_writable(path)
    with History(store_url) as history:
        devices = choose_devices([history], words(device)) if device else ()
        chosen = _Chosen(devices, choose_models([history], model), words(delegate), words(case))
        if kind == "history":
            spans = (moment(since, "--since"), moment(until, "--until"))
            charts = _history(history, chosen, metrics([metric], ()), spans)
        elif kind == "comparison":
            charts = _comparison(baseline, run, metrics([metric], ()), chosen, store_url)
        elif kind == "pipeline":
            charts = _pipelines(history, run, chosen)
        else:
            charts = _of_jobs(kind, chosen.of(build_report(history.store.run(run))), over)
    if not charts:
        raise InputError(f"there is nothing to draw for {kind}", hint="check the filters, see `devbench show`")
    if len(charts) > 1:
        typer.echo(f"the first of {len(charts)} charts; choose another with --device, --model, --delegate", err=True)
    picture = draw(charts[0])
    data = chart_file(picture, form, dpi=dpi, width_in=width, theme=_theme(theme))
    with writing_to(path):
        path.write_bytes(data)
    if as_json:
        import json

        shown = {"file": str(path), "title": picture.title, "alt": picture.alt, "virtual": picture.virtual}
        typer.echo(json.dumps(shown))
        return
    typer.echo(path)


@dataclass(frozen=True)
class _Chosen:
    """The filters; an empty one is everything."""

    devices: tuple[str, ...]
    models: tuple[str, ...]
    delegates: tuple[str, ...]
    cases: tuple[str, ...]

    def of(self, report: ReportData) -> ReportData:
        """The report with those of its jobs alone, and their devices."""
        from dataclasses import replace

        jobs = tuple(
            job
            for job in report.jobs
            if (not self.devices or job.job.device.key in self.devices)
            and (not self.models or job.job.model.name in self.models)
            and (not self.delegates or job.job.delegate in self.delegates)
        )
        keys = {job.job.device.key for job in jobs}
        timelines = tuple(one for one in report.timelines if one.device.key in keys)
        return replace(report, jobs=jobs, timelines=timelines)


def _form(path: Path) -> ChartForm:
    from devbench.errors import InputError
    from devbench.forms.charts.files import CHART_FORMS

    for form in CHART_FORMS:
        if path.suffix.casefold() == f".{form}":
            return form
    raise InputError(f"--out {path}: cannot tell the format", hint="end the name with .png, .svg or .pdf")


def _theme(name: str) -> Theme:
    return "dark" if name == "dark" else "light"


def _of_jobs(kind: str, report: ReportData, over: str) -> tuple[Chart, ...]:
    from devbench.sections.charts import WANTED, all_jobs, condition_charts
    from devbench.sections.document import Chart

    if kind == "conditions":
        return condition_charts(report)
    shown = all_jobs(report, WANTED[kind])
    data = (shown, over) if kind == "speedup" else shown
    return (Chart(kind, data, kind),) if shown.jobs else ()


def _pipelines(history: History, run: str, chosen: _Chosen) -> tuple[Chart, ...]:
    from devbench.findings.subject import pipelines_of
    from devbench.sections.charts import pipeline_charts

    report = pipelines_of(history.store, history.store.run(run))
    return tuple(
        chart
        for chart in (pipeline_charts(report) if report else ())
        if (not chosen.devices or chart.data.device.key in chosen.devices)
        and (not chosen.delegates or chart.data.delegate in chosen.delegates)
    )


def _comparison(
    baseline: str, run: str, metrics: tuple[str, ...], chosen: _Chosen, store_url: str | None
) -> tuple[Chart, ...]:
    from devbench.cli.chosen import choose_sides
    from devbench.findings.comparison import ComparisonSettings
    from devbench.findings.comparison_build import build_comparison
    from devbench.sections.charts import comparison_charts

    with choose_sides(baseline, run, store_url) as (before, after):
        settings = ComparisonSettings(
            metrics=metrics, devices=chosen.devices, models=chosen.models, delegates=chosen.delegates
        )
        report = build_comparison(
            before.history,
            before.run_ids,
            after.run_ids,
            settings,
            titles=(before.title, after.title),
            candidate_history=after.history,
        )
    return comparison_charts(report)


def _history(
    history: History, chosen: _Chosen, metrics: tuple[str, ...], spans: tuple[datetime | None, datetime | None]
) -> tuple[Chart, ...]:
    from devbench.findings.changes import ChangesSettings
    from devbench.findings.changes_build import find_changes
    from devbench.sections.charts import history_charts

    settings = ChangesSettings(
        metrics=metrics,
        devices=chosen.devices,
        models=chosen.models,
        delegates=chosen.delegates,
        cases=chosen.cases,
        since=spans[0],
        until=spans[1],
    )
    return history_charts(find_changes(history, settings))
