"""A report in a terminal: latencies, failures, operators side by side; knows no store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from devbench.reports.model import MEMORY_NOTE, VIRTUAL_NOTE, JobReport, ReportData
from devbench.reports.words import coverage_note, interval, mb, ms
from devbench.text import clean

if TYPE_CHECKING:
    from rich.console import Console

_MOST_TYPES = 10


def print_report(report: ReportData, console: Console, *, operators: bool = True) -> None:
    """Print a run: a table of its jobs, what failed and why, and operator types by time per delegate."""
    for model, device, jobs in report.groups:
        title = f"{_text(model, 60)} on {_text(device.title, 80)}"
        console.print(_latencies(title, jobs))
        for job in jobs:
            for kind, message, count in job.failures:
                times = f" ({count} times)" if count > 1 else ""
                console.print(f"[red]✗ {_text(job.title)}: {kind}{times}[/red] {_text(message, 300)}", soft_wrap=True)
            if job.suspect:
                console.print(f"[yellow]! {_text(job.title)}: {_text(job.suspect, 300)}[/yellow]", soft_wrap=True)
            if job.unsupported:
                console.print(f"[dim]{_text(job.title)} does not take: {_refused(job)}[/dim]", soft_wrap=True)
        if device.virtual:
            console.print(f"[magenta]{VIRTUAL_NOTE}[/magenta]")
        for note in device.facts.get("notes") or []:
            console.print(f"[dim]{_text(str(note), 400)}[/dim]", soft_wrap=True)
        profiled = [job for job in jobs if job.by_type]
        if operators and profiled:
            console.print()
            console.print(_operators(profiled))
        console.print()
    if report.jobs:
        console.print(f"[dim]{coverage_note([job.latency for job in report.jobs])} {MEMORY_NOTE}[/dim]")


def print_outputs(report: ReportData, console: Console) -> None:
    """Print how far each delegate's outputs are from this machine's CPU and from the device's own."""
    for model, device, jobs in report.groups:
        title = f"{_text(model, 60)} on {_text(device.title, 80)}"
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
                table.add_row(_text(job.title), _text(str(row["name"]), 60), str(row["against"]), *_output_cells(row))
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
    snr = number("snr_db", ".1f") or ("equal" if row.get("max_abs") == 0 else "")
    return [number("max_abs", ".3g"), number("max_rel", ".2g"), number("cosine", ".6f"), snr, verdict]


def _latencies(title: str, jobs: list[JobReport]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="bold")
    table.add_column("delegate", no_wrap=True)
    if any(job.threads for job in jobs):
        table.add_column("threads", justify="right")
    for column in ("latency ms", "interval", "init ms", "first ms", "peak MB"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("delegation")
    checked = any(job.output_verdict for job in jobs)
    if checked:
        table.add_column("outputs", no_wrap=True)
    table.add_column("status")
    fastest = min((job.latency.median for job in jobs if job.latency), default=None)
    for job in jobs:
        latency = ms(job.latency.median) if job.latency else "–"
        if job.latency and len(jobs) > 1 and job.latency.median == fastest:
            latency = f"[bold green]{latency}[/bold green]"
        cells = [_text(job.job.delegate_title, 40)]
        if any(other.threads for other in jobs):
            cells.append(job.threads or "default")
        cells += [
            latency,
            interval(job.latency),
            ms(job.init.median) if job.init else "",
            ms(job.first_inference.median) if job.first_inference else "",
            mb(job.peak_memory_mb),
            _text(job.delegation, 60),
            *([_verdict(job)] if checked else []),
            _status(job),
        ]
        table.add_row(*cells)
    return table


def _verdict(job: JobReport) -> str:
    colour = "red" if job.output_verdict == "wrong" else "green"
    return f"[{colour}]{job.output_verdict}[/{colour}]" if job.output_verdict else ""


def _status(job: JobReport) -> str:
    if job.status == "ok":
        return "[green]ok[/green]"
    kinds = ", ".join(dict.fromkeys(kind for kind, _, _ in job.failures))
    return f"[red]{kinds or job.status}[/red]" if job.status == "failed" else f"[yellow]{job.status}: {kinds}[/yellow]"


def _refused(job: JobReport) -> str:
    names = list(dict.fromkeys(op for op, _ in job.unsupported))
    shown = ", ".join(_text(name, 40) for name in names[:_MOST_TYPES])
    return shown + (f" and {len(names) - _MOST_TYPES} more" if len(names) > _MOST_TYPES else "")


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
