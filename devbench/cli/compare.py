"""`devbench compare`: baseline against candidate, as a table, Markdown or JSON, and as an exit code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbench import numbers
from devbench.cli.choices import complete_delegates, complete_metrics, complete_models, complete_runs, metrics
from devbench.cli.output import check_writable, open_page, show
from devbench.cli.takes import OpenOption, StoreOption
from devbench.cli.usage import one_of, several_of
from devbench.errors import EXIT_FAILED, InputError
from devbench.metrics import METRICS, Metric
from devbench.text import parts_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from devbench.analysis.compare import CompareSettings

_EPILOG = (
    "Examples:\n\n"
    "  devbench compare                                   # the latest run with the one before\n\n"
    "  devbench compare 20261120-2115 latest --open\n\n"
    "  devbench compare branch=main commit=4f2a91b --metric latency,peak_memory --threshold latency=2%\n\n"
    "  devbench compare 2026-11-01..2026-11-14 2026-11-20 --device 'Pixel 8' --format md --out comparison.md\n\n"
    "  devbench compare baseline.json latest --fail-on regressed,undecided --json | jq '.counts'\n\n"
    "Exit codes: 0 nothing of --fail-on was found; 1 something regressed or now fails; 2 wrong input."
)
_FAIL_ON = ("regressed", "improved", "undecided", "missing", "never")
_FORMATS = ("text", "md", "json", "html")
app = typer.Typer()


@app.command("compare", epilog=_EPILOG, rich_help_panel="Results")
def compare(
    baseline: Annotated[
        str,
        typer.Argument(
            metavar="BASELINE",
            help="A run's id or its start, `latest`, `previous`, a label key=value, a date or FROM..TO, a file "
            "of `devbench run --json`, or a folder of `devbench export`.",
            autocompletion=complete_runs,
        ),
    ] = "previous",
    candidate: Annotated[
        str, typer.Argument(metavar="CANDIDATE", help="The same.", autocompletion=complete_runs)
    ] = "latest",
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Metrics to compare, with commas or given again. Default: all.", autocompletion=complete_metrics
        ),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC=PCT", help="The smallest change that matters, such as latency=2%."),
    ] = None,
    alpha: Annotated[
        float, typer.Option(help="Significance level: the expected share of false changes among those reported.")
    ] = 0.05,
    unreliable: Annotated[
        str,
        typer.Option(
            metavar="undecided|count",
            help="If all repetitions of a side are unreliable: no verdict, or count them as reliable.",
        ),
    ] = "undecided",
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL|none",
            help="Model or case that never changes: its change is the device's drift. Default: the suite's.",
        ),
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option(help="Only devices with this key or part of the title; may be given again.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this model, as results show it, or the end of its name.", autocompletion=complete_models
        ),
    ] = None,
    delegate: Annotated[
        list[str] | None, typer.Option(help="Only this delegate.", autocompletion=complete_delegates)
    ] = None,
    fail_on: Annotated[
        str, typer.Option(metavar="|".join(_FAIL_ON), help="What ends with exit code 1; several with commas.")
    ] = "regressed",
    everything: Annotated[bool, typer.Option("--all", help="Also list what is unchanged or undecided.")] = False,
    form: Annotated[str, typer.Option("--format", metavar="|".join(_FORMATS), help="How to show it.")] = "text",
    as_json: Annotated[bool, typer.Option("--json", help="As --format json (docs/compare.md has its keys).")] = False,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of the terminal.")] = None,
    open_it: OpenOption = False,
    store_url: StoreOption = None,
) -> None:
    """Compare a baseline with a candidate: what regressed and why, what improved, what cannot be decided.

    The same cases on the same device are compared.
    """
    from devbench.findings import sides
    from devbench.findings.comparison import UNRELIABLE, ComparisonSettings
    from devbench.host.garbage import no_cycle_search
    from devbench.sections.comparison import comparison_document

    reasons = frozenset(several_of("--fail-on", [fail_on], _FAIL_ON))
    if not reasons or ("never" in reasons and len(reasons) > 1):
        raise InputError(f"--fail-on {fail_on!r} makes no sense", hint=f"use some of {', '.join(_FAIL_ON)}")
    form = "html" if open_it else "json" if as_json else one_of("--format", form, _FORMATS)
    out = out or (Path("comparison.html") if open_it else None)
    check_writable(out)
    settings = ComparisonSettings(
        compare=_rules(alpha, threshold),
        metrics=metrics(metric, ComparisonSettings().metrics),
        devices=parts_of(device),
        models=tuple(model or ()),
        delegates=parts_of(delegate),
        reference=reference,
        unreliable=one_of("--unreliable", unreliable, UNRELIABLE),
    )
    with no_cycle_search():
        report = sides.compare(baseline, candidate, store_url, settings)
    show(lambda shown: comparison_document(report, shown, everything=everything), form, out)
    open_page(out or "", open_it)
    if report.fails(reasons):
        raise typer.Exit(EXIT_FAILED)


def _rules(alpha: float, thresholds: Sequence[str] | None) -> CompareSettings:
    from devbench.analysis.compare import CompareSettings

    if not 0 < alpha < 1:
        raise InputError(f"--alpha {alpha:g} is not a probability", hint="give a number between 0 and 1, such as 0.05")
    return CompareSettings(alpha=alpha, metrics=_thresholds(thresholds or ()))


def _thresholds(texts: Sequence[str]) -> Mapping[str, Metric]:
    found = dict(METRICS)
    for text in texts:
        name, equals, value = text.partition("=")
        (metric,) = metrics([name], ("",))
        share = numbers.real(value.strip().removesuffix("%"), minimum=0, maximum=1000)
        if not equals or not metric or not value.strip().endswith("%") or share is None:
            raise InputError(f"--threshold {text!r} is not METRIC=PCT", hint="for example latency=2%")
        found[metric] = replace(found[metric], smallest_effect=share / 100)
    return found
