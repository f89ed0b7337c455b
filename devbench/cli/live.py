"""The live display of a run: a row per device with job, repetition, progress and time left; plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

from devbench.bench.events import (
    ConnectionLost,
    CoolingDown,
    DeviceFinished,
    DeviceReady,
    Event,
    FilePushed,
    MoreSteps,
    NoticeGiven,
    PipelineStep,
    RepetitionDone,
    RepetitionStarted,
    WaitingForDevice,
)
from devbench.cli.output import plain
from devbench.notices import Effect
from devbench.results.cases import case_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

    from devbench.results.records import JobRecord

_REFRESH_PER_S = 4


@dataclass(slots=True)
class _Row:
    """What the display knows of a device."""

    serial: str
    title: str = ""
    doing: str = "reading facts"
    steps: int = 0
    done: int = 0
    failed: int = 0
    began: float = field(default_factory=time.monotonic)
    finished: bool = False
    cooling: bool = False


class RunDisplay:
    """Shows the events of a run as they come, from any thread.

    On a terminal the rows are redrawn in place. Elsewhere (a log, a CI job) each finished job is one line.
    """

    def __init__(self, console: Console, serials: list[str], *, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._rows = {serial: _Row(serial) for serial in serials}
        self._lock = threading.Lock()
        self._live: Live | None = None

    def __enter__(self) -> RunDisplay:
        if not self._quiet and self._console.is_terminal:
            from rich.live import Live

            self._live = Live(
                get_renderable=self._render, console=self._console, refresh_per_second=_REFRESH_PER_S, transient=True
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        with self._lock:
            line = self._take(self._rows.setdefault(event.serial, _Row(event.serial)), event)
        if line and not self._quiet:
            self._console.print(line, soft_wrap=True)

    def _take(self, row: _Row, event: Event) -> str:
        """Take an event in; gives a line to print for good, or nothing."""
        if isinstance(event, DeviceReady):
            row.title, row.steps, row.began = event.device.title, event.steps, time.monotonic()
        elif isinstance(event, NoticeGiven):
            notice = event.notice
            sign = "[dim]i[/dim]" if notice.effect is Effect.INFORMATION else "[yellow]![/yellow]"
            return f"{sign} {plain(notice.subject, 120)}: {plain(notice.text, 300)}"
        elif isinstance(event, FilePushed):
            share = 100 * event.done_bytes / max(1, event.total_bytes)
            row.doing = f"pushing {event.name} {share:.0f} %"
        elif isinstance(event, RepetitionStarted):
            row.cooling = False
            kind = event.purpose if event.purpose != "latency" else "repetition"
            row.doing = f"{_job_title(event.job)} · {kind} {event.index + 1}/{event.of}"
        elif isinstance(event, RepetitionDone):
            row.done += 1 + event.skipped
            return self._after(row, event)
        elif isinstance(event, MoreSteps):
            row.steps += 1
        elif isinstance(event, CoolingDown):
            row.doing = f"cooling down: {event.words}, {event.left_s:.0f} s at most"
            if self._live is None and not row.cooling:
                row.cooling = True
                return f"[yellow]…[/yellow] {plain(row.title or row.serial)} · {plain(row.doing)}"
        elif isinstance(event, WaitingForDevice):
            row.doing = f"waiting for {event.holder}, {event.left_s:.0f} s at most"
            if self._live is None and not row.cooling:
                row.cooling = True
                return f"[yellow]…[/yellow] {plain(row.serial)} · {plain(row.doing)}"
        elif isinstance(event, ConnectionLost):
            row.doing = "connected again" if event.back else f"waiting for the connection: {event.words}"
            return f"[yellow]…[/yellow] {plain(row.title or row.serial)} · {plain(row.doing)}"
        elif isinstance(event, PipelineStep):
            return self._pipeline(row, event)
        elif isinstance(event, DeviceFinished):
            row.finished = True
            row.doing = event.error or "done"
        return ""

    def _after(self, row: _Row, event: RepetitionDone) -> str:
        repetition = event.repetition
        name = plain(row.title or row.serial)
        if repetition.failure_kind is not None:
            row.failed += 1
            return (
                f"[red]✗[/red] {name} · {plain(_job_title(event.job))} · {repetition.failure_kind}: "
                f"[dim]{plain(repetition.failure_message or '', 160)}[/dim]"
            )
        if repetition.latency_avg_us is not None and repetition.verdict == "unreliable":
            return (
                f"[yellow]![/yellow] {name} · {plain(_job_title(event.job))} · repetition {repetition.index + 1} · "
                f"unreliable: {plain('; '.join(repetition.verdict_reasons), 200)}"
            )
        if self._live is None and repetition.latency_avg_us is not None:
            return (
                f"[green]✓[/green] {name} · {plain(_job_title(event.job))} · repetition {repetition.index + 1} · "
                f"{repetition.latency_avg_us / 1000:.3f} ms"
            )
        return ""

    def _pipeline(self, row: _Row, event: PipelineStep) -> str:
        row.cooling = False
        if not event.done:
            row.doing = event.title
            return ""
        row.done += 1 + event.skipped
        row.failed += event.failed
        sign = "[red]✗[/red]" if event.failed else "[yellow]![/yellow]" if event.unreliable else "[green]✓[/green]"
        if self._live is not None and not (event.failed or event.unreliable):
            return ""
        return f"{sign} {plain(row.title or row.serial)} · {plain(event.title, 120)} · {plain(event.words, 300)}"

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(width=24)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis")
        with self._lock:
            for row in self._rows.values():
                table.add_row(
                    Text(row.title or row.serial, style="bold"),
                    ProgressBar(total=max(1, row.steps), completed=row.done, width=24),
                    Text(self._left(row), style="cyan"),
                    Text.from_markup(plain(row.doing, 120), style="dim" if row.finished else ""),
                )
        return Group(table, Text("Ctrl-C stops and keeps what was measured", style="dim"))

    @staticmethod
    def _left(row: _Row) -> str:
        if row.finished:
            return f"{row.done}/{row.steps}"
        if not row.done:
            return f"0/{row.steps}" if row.steps else ""
        seconds = (time.monotonic() - row.began) / row.done * (row.steps - row.done)
        minutes, rest = divmod(round(seconds), 60)
        return f"{row.done}/{row.steps} · {minutes}:{rest:02d} left"


def _job_title(job: JobRecord) -> str:
    return case_text(job.model.name, job.delegate, job.threads, job.options)
