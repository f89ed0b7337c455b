"""A report in a terminal: latencies, failures, operators side by side; knows no store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from devbench.findings.run import MEMORY_NOTE, VIRTUAL_NOTE, JobReport, ReportData, fastest
from devbench.metrics import METRICS
from devbench.sections.words import (
    coverage_note,
    fallback_words,
    figure,
    interval,
    job_figures,
    limits_words,
    ms,
    spread_words,
    startup_words,
)
from devbench.text import clean

if TYPE_CHECKING:
    from rich.console import Console

_MOST_TYPES = 10


def print_report(report: ReportData, console: Console, *, operators: bool = True) -> None:
    """Print a run: a table of its jobs, what failed and why, and operator types by time per delegate."""
    for model, device, jobs in report.groups:
        title = f"{_text(model, 120)} on {_text(device.title, 80)}"
        columns, left_out = _fitting(_columns(jobs), console.width)
        console.print(_latencies(title, columns))
        if left_out:
            console.print(f"[dim]left out for want of width: {', '.join(left_out)}[/dim]", soft_wrap=True)
        for note in startup_words(jobs):
            console.print(f"[dim]{escape(note)}[/dim]", soft_wrap=True)
        for job in jobs:
            for kind, message, count in job.failures:
                times = f" ({count} times)" if count > 1 else ""
                console.print(f"[red]✗ {_text(job.title)}: {kind}{times}[/red] {_text(message, 300)}", soft_wrap=True)
            if job.unreliable:
                console.print(f"[yellow]! {_text(job.title)}: {_text(job.unreliable, 300)}[/yellow]", soft_wrap=True)
            if words := spread_words(job):
                console.print(f"[dim]{_text(job.title)}: {words}[/dim]", soft_wrap=True)
            if words := fallback_words(job):
                console.print(f"[dim]{_text(job.title)}: {_text(words, 600)}[/dim]", soft_wrap=True)
        if device.virtual:
            console.print(f"[magenta]{VIRTUAL_NOTE}[/magenta]")
        for note in device.facts.get("notes") or []:
            console.print(f"[dim]{_text(str(note), 400)}[/dim]", soft_wrap=True)
        profiled = [job for job in jobs if job.by_type]
        if operators and profiled:
            console.print()
            console.print(_operators(profiled))
        console.print()
    for notice in report.notices:
        next_step = f" ({_text(notice.next_step, 200)})" if notice.next_step else ""
        console.print(
            f"[yellow]! {_text(notice.subject, 120)}: {_text(notice.text, 400)}[/yellow][dim]{next_step}[/dim]",
            soft_wrap=True,
        )
    if report.jobs:
        console.print(f"[dim]{coverage_note([job.latency for job in report.jobs])} {MEMORY_NOTE}[/dim]")


def print_outputs(report: ReportData, console: Console) -> None:
    """Print how far each delegate's outputs are from this machine's CPU and from the device's own."""
    for model, device, jobs in report.groups:
        title = f"{_text(model, 120)} on {_text(device.title, 80)}"
        table = Table(
            title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="bold"
        )
        for column in ("delegate", "output", "against"):
            table.add_column(column, overflow="fold")
        for column in ("largest difference", "relative", "cosine", "SNR dB"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("verdict")
        for job in jobs:
            for row in job.outputs:
                table.add_row(
                    _text(job.title),
                    _text(str(row.get("name")), 60),
                    _text(str(row.get("against"))),
                    *_output_cells(row),
                )
            for kind, message, _ in job.failures:
                table.add_row(_text(job.title), f"[red]{kind}[/red]", _text(message, 200))
        console.print(table)
        if device.virtual:
            console.print(f"[magenta]{VIRTUAL_NOTE}[/magenta]")


def _output_cells(row: Mapping[str, Any]) -> list[str]:
    def number(key: str, form: str) -> str:
        return "" if row.get(key) is None else format(row[key], form)

    faults = [f"{row[key]} {title}" for key, title in (("nan", "NaN"), ("inf", "Inf")) if row.get(key)]
    faults += [title for key, title in (("all_zero", "all zero"), ("wrong_size", "wrong size")) if row.get(key)]
    good = "ok" if row.get("against") == "host" else ""
    verdict = f"[red]{', '.join(faults) or 'wrong'}[/red]" if row.get("wrong") else f"[green]{good}[/green]"
    if good and not row.get("wrong") and row.get("deterministic") is False:
        verdict = "[yellow]not deterministic[/yellow]"
    snr = number("snr_db", ".1f") or ("equal" if row.get("max_abs") == 0 else "")
    if limits := limits_words(row.get("limits")):
        verdict += f" [dim]({_text(limits)})[/dim]"
    return [number("max_abs", ".3g"), number("max_rel", ".2g"), number("cosine", ".6f"), snr, verdict]


@dataclass(frozen=True, slots=True)
class _Column:
    """A column with its cells, one for each job. `left_out` is its place in the order in which columns give way."""

    name: str
    cells: list[str]
    justify: Literal["left", "right"] = "right"
    left_out: int | None = None

    @property
    def width(self) -> int:
        return max([len(self.name), *(Text.from_markup(cell).cell_len for cell in self.cells)])


def _columns(jobs: Sequence[JobReport]) -> list[_Column]:
    best = fastest(jobs)

    def cells(form: Callable[[JobReport], str]) -> list[str]:
        return [form(job) for job in jobs]

    columns = [_Column("delegate", cells(lambda job: _text(job.job.delegate_title, 28)), "left")]
    if any(job.threads for job in jobs):
        columns.append(_Column("threads", cells(lambda job: job.threads or "default"), left_out=None))
    columns += [
        _Column("latency ms", cells(lambda job: _latency(job, best))),
        _Column("interval", cells(lambda job: interval(job.latency)), left_out=5),
    ]
    if any(job.cold for job in jobs):
        columns.append(
            _Column(
                "cold init",
                cells(lambda job: ms(job.cold.init.median) if job.cold and job.cold.init else ""),
                left_out=4,
            )
        )
    for name in job_figures():
        shown = [figure(job.figures.get(name), name) for job in jobs]
        if any(shown):
            columns.append(_Column(METRICS[name].heading, shown, left_out=METRICS[name].hidden))
    if any(job.nodes for job in jobs):
        columns.append(_Column("nodes", cells(lambda job: _text(job.nodes, 24)), "left", left_out=3))
    if any(job.output_verdict for job in jobs):
        columns.append(_Column("outputs", cells(_verdict), "left"))
    return [*columns, _Column("status", cells(_status), "left")]


def _fitting(columns: list[_Column], width: int) -> tuple[list[_Column], list[str]]:
    """As many columns as fit beside each other, and the names of the others."""
    left_out: list[_Column] = []
    for column in sorted((c for c in columns if c.left_out is not None), key=lambda c: c.left_out or 0):
        shown = [c for c in columns if c not in left_out]
        if sum(c.width for c in shown) + 2 * (len(shown) - 1) <= width:
            break
        left_out.append(column)
    return [c for c in columns if c not in left_out], [c.name for c in columns if c in left_out]


def _latencies(title: str, columns: list[_Column]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.name, justify=column.justify, no_wrap=column.name not in ("delegate", "status"))
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*cells)
    return table


def _latency(job: JobReport, best: JobReport | None) -> str:
    """The median; behind a `!` where it rests on unreliable processes only."""
    if job.latency is None:
        return "–"
    latency = ms(job.latency.median)
    if job.all_unreliable:
        return f"[yellow]! {latency}[/yellow]"
    return f"[bold green]{latency}[/bold green]" if job is best else latency


def _verdict(job: JobReport) -> str:
    colour = "red" if job.output_verdict == "wrong" else "green"
    return f"[{colour}]{job.output_verdict}[/{colour}]" if job.output_verdict else ""


def _status(job: JobReport) -> str:
    if job.status == "ok":
        return "[green]ok[/green]"
    kinds = ", ".join(dict.fromkeys(kind for kind, _, _ in job.failures))
    return f"[red]{kinds or job.status}[/red]" if job.status == "failed" else f"[yellow]{job.status}: {kinds}[/yellow]"


def _operators(jobs: list[JobReport]) -> Table:
    """Operator types down, delegates across; the dearest first by their highest share under any delegate."""
    shares: dict[str, float] = {}
    cells: dict[tuple[str, int], tuple[float, int]] = {}
    for number, job in enumerate(jobs):
        for kind in job.by_type:
            shares[kind.type] = max(shares.get(kind.type, 0.0), kind.share)
            total, count = cells.get((kind.type, number), (0.0, 0))
            cells[kind.type, number] = (total + kind.total_ms, count + kind.count)
    table = Table(
        title="Operators by time, ms an inference (profiled processes)",
        title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="bold",
    )  # fmt: skip
    table.add_column("operator type", overflow="fold")
    for job in jobs:
        table.add_column(_text(job.title, 30), justify="right")
    order = sorted(shares, key=lambda kind: -shares[kind])
    for name in order[:_MOST_TYPES]:
        row = [cells.get((name, number)) for number in range(len(jobs))]
        table.add_row(_text(name, 60), *(f"{ms(cell[0])} [dim]×{cell[1]}[/dim]" if cell else "" for cell in row))
    if len(order) > _MOST_TYPES:
        rest = [sum(k.total_ms for k in job.by_type if k.type in order[_MOST_TYPES:]) for job in jobs]
        table.add_row(
            f"[dim]{len(order) - _MOST_TYPES} more types[/dim]", *(f"[dim]{ms(value)}[/dim]" for value in rest)
        )
    return table


def _text(text: str, most: int = 80) -> str:
    return escape(clean(text, most))
