"""`devbench chart`: a single chart for a paper or a slide, as PNG, SVG or PDF."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from devbench.cli.choices import complete_metrics, complete_models, complete_runs, metrics, moment
from devbench.cli.takes import StoreOption
from devbench.cli.usage import one_of
from devbench.forms.charts import CHART_FORMS, DPI, WIDTH_IN
from devbench.host.garbage import no_cycle_search
from devbench.sections.charts import CHART_KINDS

_EPILOG = (
    "Examples:\n\n"
    "  devbench chart latency --out latency.pdf\n\n"
    "  devbench chart speedup latest --over cpu --model mobile_unet --width 3.4 --out speedup.pdf\n\n"
    "  devbench chart operators latest --device 'Pixel 8' --delegate gpu --dpi 300 --out operators.png\n\n"
    "  devbench chart history --device 'Pixel 8' --model mobile_unet --delegate gpu --metric latency --out h.svg\n\n"
    "  devbench chart comparison latest --baseline previous --out changes.svg\n\n"
    "  devbench chart waterfall latest --baseline previous --out why.svg"
)
app = typer.Typer()


def complete_kinds(incomplete: str) -> list[str]:
    """Names of charts, for tab completion."""
    return [name for name in CHART_KINDS if name.startswith(incomplete)]


@no_cycle_search()
@app.command("chart", epilog=_EPILOG, rich_help_panel="Results")
def chart(
    kind: Annotated[
        str,
        typer.Argument(metavar="KIND", help=f"Which chart: {', '.join(CHART_KINDS)}.", autocompletion=complete_kinds),
    ],
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run's id, the beginning of it, or `latest`; not used for history.",
            autocompletion=complete_runs,
        ),
    ] = "latest",
    out: Annotated[
        Path | None, typer.Option(help="File to write; its ending is the format: .png, .svg, .pdf. Default: KIND.png.")
    ] = None,
    device: Annotated[list[str] | None, typer.Option(help="A device: its key or a part of its name.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A model as results show it, or the end of its name.", autocompletion=complete_models),
    ] = None,
    delegate: Annotated[list[str] | None, typer.Option(help="A delegate's name.")] = None,
    case: Annotated[list[str] | None, typer.Option(help="For history: a case as `devbench compare` prints it.")] = None,
    metric: Annotated[
        str, typer.Option(help="For history and comparison: the metric.", autocompletion=complete_metrics)
    ] = "latency",
    over: Annotated[str, typer.Option(metavar="DELEGATE", help="For speedup: the delegate to compare with.")] = "cpu",
    baseline: Annotated[
        str,
        typer.Option(
            metavar="RUN",
            help="For comparison and waterfall: the baseline, as for `devbench compare`.",
            autocompletion=complete_runs,
        ),
    ] = "previous",
    since: Annotated[
        str | None, typer.Option(help="For history: runs since a date, or for how long, such as 30d.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="For history: runs until then, in the same form.")] = None,
    title: Annotated[
        str | None, typer.Option(help="Title of the chart. Default: what it shows, with the model.")
    ] = None,
    width: Annotated[
        float, typer.Option(min=2.0, max=40.0, help="Width in inches. The chart is laid out for it; text stays 9 pt.")
    ] = WIDTH_IN,
    dpi: Annotated[int, typer.Option(min=30, max=1200, help="Pixels per inch of a PNG.")] = DPI,
    theme: Annotated[str, typer.Option(metavar="light|dark", help="Colours.")] = "light",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the file, the title and a description as JSON.")
    ] = False,
    store_url: StoreOption = None,
) -> None:
    """Draw one chart into a file. Numbers of a virtual device are marked in the chart itself.

    Exit code 2 if the run or the filters leave nothing to draw.
    """
    from devbench.cli.output import check_writable
    from devbench.errors import InputError
    from devbench.findings.changes import ChangesSettings
    from devbench.findings.subject import charted
    from devbench.forms.charts.files import chart_file
    from devbench.host.whole_files import writing_to
    from devbench.sections.chart_kinds import charts_of
    from devbench.text import parts_of

    one_of("chart", kind, CHART_KINDS)
    one_of("--theme", theme, ("light", "dark"))
    path = out or Path(f"{kind}.png")
    form = next((one for one in CHART_FORMS if path.suffix.casefold() == f".{one}"), None)
    if form is None:
        raise InputError(f"--out {path}: cannot tell the format", hint="end the name with .png, .svg or .pdf")
    check_writable(path)
    settings = ChangesSettings(
        metrics=metrics([metric], ()), devices=parts_of(device), models=tuple(model or ()),
        delegates=parts_of(delegate), cases=parts_of(case),
        since=moment(since, "--since"), until=moment(until, "--until"),
    )  # fmt: skip
    charts = charts_of(kind, charted(kind, run, baseline, store_url, settings), over)
    if not charts:
        raise InputError(f"there is nothing to draw for {kind}", hint="check the filters, see `devbench show`")
    if len(charts) > 1:
        typer.echo(f"first of {len(charts)} charts; choose another with --device, --model or --delegate", err=True)
    first = charts[0]
    data = chart_file(first, form, dpi=dpi, width_in=width, theme="dark" if theme == "dark" else "light", title=title)
    with writing_to(path):
        path.write_bytes(data)
    if as_json:
        import json

        shown = {"file": str(path), "title": title or first.title, "alt": first.alt, "virtual": bool(first.virtual)}
        typer.echo(json.dumps(shown))
        return
    typer.echo(path)
