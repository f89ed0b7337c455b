"""`devbench compare`: baseline against candidate, as a table, Markdown or JSON, and as an exit code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from devbench.cli.choices import complete_metrics, complete_models, complete_runs
from devbench.cli.show import show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from devbench.analysis.compare import CompareSettings
    from devbench.metrics import Metric

_EPILOG = (
    "Examples:\n\n"
    "  devbench compare                                   # the latest run with the one before\n\n"
    "  devbench compare 20261120-2115 latest\n\n"
    "  devbench compare branch=main commit=4f2a91b --metric latency,peak_memory --threshold latency=2%\n\n"
    "  devbench compare 2026-11-01..2026-11-14 2026-11-20 --device 'Pixel 8' --format md --out comparison.md\n\n"
    "  devbench compare baseline.json latest --fail-on regressed,undecided --json | jq '.counts'"
)
_FAIL_ON = ("regressed", "improved", "undecided", "missing", "never")
_FORMATS = ("text", "md", "json")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("compare", epilog=_EPILOG, rich_help_panel="Results")(compare)


def compare(
    baseline: Annotated[
        str,
        typer.Argument(
            help="A run's id or its start, `latest`, `previous`, a label key=value, a date or FROM..TO, a file "
            "of `devbench run --json`, or a folder of `devbench export`.",
            autocompletion=complete_runs,
        ),
    ] = "previous",
    candidate: Annotated[str, typer.Argument(help="The same.", autocompletion=complete_runs)] = "latest",
    metric: Annotated[
        list[str] | None,
        typer.Option(help="With commas or given again. Default: all.", autocompletion=complete_metrics),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC=PCT", help="The smallest change that matters, such as latency=2%."),
    ] = None,
    alpha: Annotated[
        float, typer.Option(help="Significance level: the accepted share of false changes (q for several pairs).")
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
        typer.Option(help="Model or case whose change is the device's drift, or `none`. Default: the suite's."),
    ] = None,
    device: Annotated[list[str] | None, typer.Option(help="Key or part of the title.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A model as results show it, or the end of it.", autocompletion=complete_models),
    ] = None,
    delegate: Annotated[list[str] | None, typer.Option(help="A delegate's name.")] = None,
    fail_on: Annotated[
        str, typer.Option(metavar="|".join(_FAIL_ON), help="What ends with exit code 1; several with commas.")
    ] = "regressed",
    everything: Annotated[bool, typer.Option("--all", help="List what is unchanged or undecided, too.")] = False,
    form: Annotated[str, typer.Option("--format", metavar="|".join(_FORMATS), help="How to show it.")] = "text",
    as_json: Annotated[bool, typer.Option("--json", help="As --format json (docs/compare.md has its keys).")] = False,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead.")] = None,
    store_url: Annotated[str | None, typer.Option("--store", help="URL or file of the results store.")] = None,
) -> None:
    """Compare a baseline with a candidate: what improved, what regressed and why, what is not decided yet.

    The same cases on the same device are compared. Exit code 1 if something regressed or now fails (--fail-on), 0
    otherwise, 2 if a side names no run or an option is wrong.
    """
    from devbench.cli.choices import metrics
    from devbench.cli.outcome import check_writable
    from devbench.errors import EXIT_FAILED, InputError
    from devbench.findings import sides
    from devbench.findings.comparison import UNRELIABLE, ComparisonSettings
    from devbench.host.garbage import no_cycle_search
    from devbench.sections.comparison import comparison_document
    from devbench.text import parts_of

    reasons = _reasons(fail_on)
    form = "json" if as_json else form
    if form not in _FORMATS:
        raise InputError(f"--format {form!r} is unknown", hint=f"give {', '.join(_FORMATS)}")
    check_writable(out)
    if unreliable not in UNRELIABLE:
        raise InputError(f"--unreliable {unreliable!r} is unknown", hint=f"give {' or '.join(UNRELIABLE)}")
    settings = ComparisonSettings(
        compare=_rules(alpha, threshold),
        metrics=metrics(metric, ComparisonSettings().metrics),
        devices=parts_of(device),
        models=tuple(model or ()),
        delegates=parts_of(delegate),
        reference=reference,
        unreliable=unreliable,
    )
    with no_cycle_search():
        report = sides.compare(baseline, candidate, store_url, settings)
    show(lambda shown: comparison_document(report, shown, everything=everything), form, out)
    if report.fails(reasons):
        raise typer.Exit(EXIT_FAILED)


def _reasons(text: str) -> frozenset[str]:
    from devbench.errors import InputError
    from devbench.text import parts_of

    found = parts_of([text])
    unknown = [word for word in found if word not in _FAIL_ON]
    if unknown or not found or ("never" in found and len(found) > 1):
        raise InputError(f"--fail-on {text!r} makes no sense", hint=f"give some of {', '.join(_FAIL_ON)}")
    return frozenset(found)


def _rules(alpha: float, thresholds: Sequence[str] | None) -> CompareSettings:
    from devbench.analysis.compare import CompareSettings
    from devbench.errors import InputError
    from devbench.metrics import METRICS

    if not 0 < alpha < 1:
        raise InputError(f"--alpha {alpha:g} is not a probability", hint="give a number between 0 and 1, such as 0.05")
    return CompareSettings(alpha=alpha, metrics=_thresholds(METRICS, thresholds or ()))


def _thresholds(known: Mapping[str, Metric], texts: Sequence[str]) -> Mapping[str, Metric]:
    from dataclasses import replace

    from devbench import numbers
    from devbench.cli.choices import metrics
    from devbench.errors import InputError

    found = dict(known)
    for text in texts:
        name, equals, value = text.partition("=")
        (metric,) = metrics([name], ("",))
        share = numbers.real(value.strip().removesuffix("%"), minimum=0, maximum=1000)
        if not equals or not metric or not value.strip().endswith("%") or share is None:
            raise InputError(f"--threshold {text!r} is not METRIC=PCT", hint="for example latency=2%")
        found[metric] = replace(found[metric], smallest_effect=share / 100)
    return found
