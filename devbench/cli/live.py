"""The live display of a run: a line per device with progress and time left; plain lines in a log."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

from devbench.bench.events import (
    ConnectionLost,
    DeviceFinished,
    DeviceReady,
    Event,
    FilePushed,
    MoreSteps,
    NoticeGiven,
    PipelineStep,
    RepetitionDone,
    RepetitionStarted,
    Waiting,
)
from devbench.cli.output import plain
from devbench.notices import Effect

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live


_REFRESH_PER_S = 4
_MAX_TITLE = 24
_MIN_BAR, _MAX_BAR = 8, 24
# The current action is shown if there is room for this many characters.
_MIN_DOING = 12
_GAP = "  "


@dataclass(slots=True)
class _Row:
    """What the display knows of a device."""

    serial: str
    title: str = ""
    doing: str = "reading facts"
    steps: int = 0
    done: int = 0
    failed: int = 0
    unreliable: int = 0
    failure: str = ""
    reason: str = ""
    began: float = field(default_factory=time.monotonic)
    finished: bool = False
    waiting: bool = False

    @property
    def name(self) -> str:
        return plain(self.title or self.serial)


class RunDisplay:
    """Shows the events of a run as they come, from any thread.

    On a terminal the lines are redrawn in place and erased at the end: failures, unreliable repetitions and notices
    are in the result. In a log (or a CI job) each repetition is one line. Without a console it shows nothing.
    """

    def __init__(self, console: Console | None, serials: list[str]) -> None:
        self._console = console
        self._rows = {serial: _Row(serial) for serial in serials}
        self._lock = threading.Lock()
        self._live: Live | None = None

    def __enter__(self) -> RunDisplay:
        if self._console is not None and self._console.is_terminal:
            from rich.live import Live

            self._live = Live(
                get_renderable=self.render, console=self._console, refresh_per_second=_REFRESH_PER_S, transient=True
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
        if line and self._console is not None and self._live is None:
            self._console.print(line, soft_wrap=True)

    def _take(self, row: _Row, event: Event) -> str:
        """Take an event in; gives its line for a log, or nothing."""
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
            row.waiting = False
            kind = event.purpose if event.purpose != "latency" else "repetition"
            row.doing = f"{event.job.case} · {kind} {event.index + 1}/{event.of}"
        elif isinstance(event, RepetitionDone):
            row.done += 1 + event.skipped
            return _repetition(row, event)
        elif isinstance(event, MoreSteps):
            row.steps += 1
        elif isinstance(event, Waiting):
            return _waits(row, f"{event.words}, {event.left_s:.0f} s at most")
        elif isinstance(event, ConnectionLost):
            row.doing = "connected again" if event.back else f"waiting for the connection: {event.words}"
            return f"[yellow]…[/yellow] {row.name} · {plain(row.doing)}"
        elif isinstance(event, PipelineStep):
            return _step(row, event)
        elif isinstance(event, DeviceFinished):
            row.finished = True
            row.doing = event.error
        return ""

    def render(self) -> RenderableType:
        """The lines of all devices, as wide as the terminal at most; the count and the time left are never cut."""
        from rich.console import Group
        from rich.text import Text

        assert self._console is not None
        width = self._console.width
        with self._lock:
            rows = list(self._rows.values())
            title = min(_MAX_TITLE, max(len(row.name) for row in rows)) if rows else 0
            counts = [f"{row.done}/{row.steps}" if row.steps else "" for row in rows]
            left = [_left(row) for row in rows]
            sizes = max(map(len, counts), default=0), max(map(len, left), default=0)
            room = width - title - sum(sizes) - 4 * len(_GAP)
            bar = max(_MIN_BAR, min(_MAX_BAR, room // 2))
            lines: list[Text] = []
            for row, count, time_left in zip(rows, counts, left, strict=True):
                line = Text(_GAP).append(Text.from_markup(row.name))
                line.truncate(title + len(_GAP), overflow="ellipsis", pad=True)
                full = bar * min(row.done, row.steps) // row.steps if row.steps else 0
                line.append(_GAP).append("━" * full, "green" if row.finished else "cyan").append(
                    "─" * (bar - full), "dim"
                )
                line.append(f"{_GAP}{count:>{sizes[0]}}{_GAP}{time_left:>{sizes[1]}}")
                if room - bar >= _MIN_DOING:
                    line.append(f"{_GAP}{row.doing}", "dim" if row.finished else "")
                line.truncate(width, overflow="ellipsis")
                lines.append(line)
                for number, what, why in (
                    (row.failed, "failed", row.failure),
                    (row.unreliable, "unreliable", row.reason),
                ):
                    if number:
                        below = Text(f"{_GAP}{' ' * title}{_GAP}! {number} {what}: {why}", "yellow")
                        below.truncate(width, overflow="ellipsis")
                        lines.append(below)
        return Group(*lines, Text("Ctrl-C stops and keeps the results", style="dim"))


def _repetition(row: _Row, event: RepetitionDone) -> str:
    repetition, job = event.repetition, plain(event.job.case)
    if repetition.failure_kind is not None:
        row.failed += 1
        row.failure = f"{repetition.failure_kind}: {plain(repetition.failure_message or '', 160)}"
        return f"[red]✗[/red] {row.name} · {job} · {row.failure}"
    if repetition.latency_avg_us is None:
        return ""
    title = f"{row.name} · {job} · repetition {repetition.index + 1}"
    if repetition.verdict == "unreliable":
        row.unreliable += 1
        row.reason = plain("; ".join(repetition.verdict_reasons), 200)
        return f"[yellow]![/yellow] {title} · unreliable: {row.reason}"
    return f"[green]✓[/green] {title} · {repetition.latency_avg_us / 1000:.3f} ms"


def _step(row: _Row, event: PipelineStep) -> str:
    row.waiting = False
    if not event.done:
        row.doing = event.title
        return ""
    row.done += 1 + event.skipped
    words = plain(event.words, 300)
    if event.failed:
        row.failed, row.failure = row.failed + 1, words
    elif event.unreliable:
        row.unreliable, row.reason = row.unreliable + 1, words
    sign = "[red]✗[/red]" if event.failed else "[yellow]![/yellow]" if event.unreliable else "[green]✓[/green]"
    return f"{sign} {row.name} · {plain(event.title, 120)} · {words}"


def _waits(row: _Row, doing: str) -> str:
    """The line for the first of several events about the same wait."""
    first, row.waiting, row.doing = not row.waiting, True, doing
    return f"[yellow]…[/yellow] {row.name} · {plain(doing)}" if first else ""


def _left(row: _Row) -> str:
    if row.finished:
        return "done"
    if not row.done:
        return ""
    seconds = (time.monotonic() - row.began) / row.done * (row.steps - row.done)
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} left"
