"""A run of pipelines in a terminal: stages, residencies, shares, other steps; knows no store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from devbench.findings.pipeline import DRIVER_NOTE, PipelineReport, Variant, Whole
from devbench.findings.run import VIRTUAL_NOTE
from devbench.sections.pipeline_words import (
    contention,
    explanation,
    megabytes,
    notes,
    seconds,
    signed_percent,
    spread,
)
from devbench.sections.words import ms, rough_percent
from devbench.text import clean

if TYPE_CHECKING:
    from rich.console import Console


def print_pipelines(report: PipelineReport, console: Console) -> None:
    """Print what was measured of each pipeline under each delegate on each device."""
    for variant in report.variants:
        title = f"{_text(variant.pipeline, 60)} · {_text(variant.title, 60)} on {_text(variant.device.title, 80)}"
        console.print(f"[bold]{title}[/bold] · {variant.parameters}", soft_wrap=True)
        if variant.device.virtual:
            console.print(f"[magenta]{VIRTUAL_NOTE}[/magenta]")
        console.print()
        if variant.wholes:
            console.print(_wholes(variant))
        for whole in variant.wholes:
            for kind, message, count in whole.failures:
                times = f" ({count} times)" if count > 1 else ""
                console.print(f"[red]✗ {whole.residency}: {kind}{times}[/red] {_text(message, 300)}", soft_wrap=True)
            for words in (explanation(variant, whole), contention(variant, whole)):
                if words:
                    console.print(f"[dim]{escape(words)}[/dim]", soft_wrap=True)
        console.print()
        console.print(_stages(variant))
        if any(whole.fewer for whole in variant.wholes):
            console.print()
            console.print(_fewer(variant))
        for note in notes(variant):
            console.print(f"[dim]{_text(note, 400)}[/dim]", soft_wrap=True)
        console.print()
    if report.variants:
        console.print(f"[dim]{DRIVER_NOTE}[/dim]", soft_wrap=True)


def _table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="bold"
    )  # fmt: skip


def _wholes(variant: Variant) -> Table:
    table = _table("End to end, one session on the device")
    table.add_column("residency", no_wrap=True)
    for name in ("end to end", "sessions", "spread", "composed", "off", "peak MB", "under resident", "a step"):
        table.add_column(name, justify="right", no_wrap=True)
    for whole in variant.wholes:
        if whole.latency is None:
            table.add_row(whole.residency, "[red]failed[/red]")
            continue
        latency = seconds(whole.latency.median)
        table.add_row(
            whole.residency,
            f"[yellow]! {latency}[/yellow]" if whole.all_unreliable else f"[bold]{latency}[/bold]",
            str(whole.latency.n),
            spread(whole),
            seconds(whole.estimate_ms) if whole.composed else "",
            signed_percent(whole.off) if whole.composed else "",
            megabytes(whole.peak_kb),
            rough_percent(variant.saved(whole)) if (variant.saved(whole) or 0) >= 0 else "none",
            _step(variant, whole),
        )
    return table


def _step(variant: Variant, whole: Whole) -> str:
    """What a step takes: all inferences of the stages that are repeated."""
    if whole.shown is None or not variant.steps:
        return ""
    walls = [stage.wall_ms for stage in whole.shown.stages if stage.repeated]
    return seconds(sum(wall or 0.0 for wall in walls) / variant.steps) if walls else ""


def _stages(variant: Variant) -> Table:
    table = _table("Stages: alone, and their share of each session (their load where it is waited for)")
    table.add_column("stage", overflow="fold")
    for name in ("runs", "load ms", "init ms", "first ms", "steady ms", "peak MB"):
        table.add_column(name, justify="right", no_wrap=True)
    shown = [whole for whole in variant.wholes if whole.shown is not None]
    for whole in shown:
        table.add_column(whole.residency, justify="right", no_wrap=True)
    for number, stage in enumerate(variant.stages):
        own = stage.job.delegate if stage.job.delegate != variant.delegate else ""
        alone = stage.alone
        cells = []
        for whole in shown:
            share = next((one for one in whole.shares if one.stage == number), None)
            cells.append("" if share is None else f"{rough_percent(share.share)} [dim]{seconds(share.ms)}[/dim]")
        table.add_row(
            _text(alone.name, 40) + (f" [dim]{_text(own, 30)}[/dim]" if own else ""),
            str(alone.runs),
            ms(alone.load_ms),
            ms(alone.init_ms),
            ms(alone.first_ms),
            ms(alone.steady_ms),
            megabytes(stage.peak_kb),
            *cells,
        )
    return table


def _fewer(variant: Variant) -> Table:
    """Steps down, residencies across, with and without guidance."""
    shown = [whole for whole in variant.wholes if whole.fewer]
    table = _table("With other steps: composed estimates, not measured")
    table.add_column("steps", justify="right")
    table.add_column("guidance")
    for whole in shown:
        table.add_column(whole.residency, justify="right", no_wrap=True)
    for number, first in enumerate(shown[0].fewer):
        cells = [
            f"{seconds(whole.fewer[number].ms)} [dim]{rough_percent(whole.fewer[number].repeated_share)} steps[/dim]"
            for whole in shown
        ]
        own = (first.steps, first.guidance) == (variant.steps, variant.guidance)
        table.add_row(str(first.steps), "with" if first.guidance else "without", *cells, style="bold" if own else "")
    return table


def _text(text: str, most: int = 80) -> str:
    return escape(clean(text, most))
