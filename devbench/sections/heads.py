"""What stands at the top of the page of a run; knows no form."""

from __future__ import annotations

from typing import Any

from devbench.sections.document import Facts, Line, Part


def run_head(run: Any, status: str, end_reason: str, version: str, finished: str = "") -> tuple[Part, ...]:
    """When a run was and how it ended; its command and labels."""
    when = f"{run.started_utc:%Y-%m-%d %H:%M:%S} UTC{finished}"
    ended = status + (f" ({end_reason})" if end_reason else "")
    return (
        Line(f"{when} · {ended} · devbench {version}", "soft"),
        Facts((("command", run.command), *run.labels.items())),
    )
