"""A report as Markdown, for a pull request or a chat; knows no store. Every text from outside is made inert."""

from __future__ import annotations

import re
from collections.abc import Sequence

from devbench.reports.charts import Chart
from devbench.reports.model import MEMORY_NOTE, JobReport, ReportData
from devbench.reports.words import coverage_note, interval, mb, ms, percent
from devbench.text import clean

_MOST_TYPES = 10
_NUMBERS = ("latency ms", "interval", "init ms", "first ms", "peak MB")
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&])")


def render_markdown(report: ReportData, charts: Sequence[Chart] = ()) -> str:
    """The report; charts are linked by the names of their PNG files."""
    lines = [f"# devbench run {report.run_id}", ""]
    lines += [f"{report.started_utc:%Y-%m-%d %H:%M} UTC · {report.status} · devbench {report.devbench_version}", ""]
    if report.virtual:
        lines += [f"**{report.virtual_note.capitalize()}.**", ""]
    lines += [f"- {_text(key)}: {_text(value)}" for key, value in report.labels.items()]
    lines += [f"![{_text(chart.title)}]({chart.name}.png)" for chart in charts]
    for model, device, jobs in report.groups:
        lines += ["", f"## {_text(model)} on {_text(device.title)}", ""]
        lines += [line for note in device.facts.get("notes") or [] for line in (_text(str(note)), "")]
        lines += _latencies(jobs)
        lines += _problems(jobs)
        lines += [line for job in jobs if job.by_type for line in _operators(job)]
    lines += ["", coverage_note([job.latency for job in report.jobs]) + " " + MEMORY_NOTE, ""]
    return "\n".join(lines)


def _latencies(jobs: list[JobReport]) -> list[str]:
    columns = ("delegate", *_NUMBERS, "delegation", "outputs", "conditions", "status")
    rows = [f"| {' | '.join(columns)} |", f"|{'|'.join('--:' if name in _NUMBERS else '---' for name in columns)}|"]
    for job in jobs:
        cells = [
            _text(job.title),
            ms(job.latency.median) if job.latency else "–",
            interval(job.latency),
            ms(job.init.median) if job.init else "",
            ms(job.first_inference.median) if job.first_inference else "",
            mb(job.peak_memory_mb),
            _text(job.delegation),
            job.output_verdict,
            _text(job.conditions),
            job.status,
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _problems(jobs: list[JobReport]) -> list[str]:
    lines = []
    for job in jobs:
        for kind, message, count in job.failures:
            lines.append(f"- **{_text(job.title)}: {kind}** ({count}×) {_text(message)}")
        if job.suspect:
            lines.append(f"- {_text(job.title)}: {_text(job.suspect)}")
        if job.unsupported:
            refused = ", ".join(dict.fromkeys(_text(op) for op, _ in job.unsupported))
            lines.append(f"- {_text(job.title)} does not take: {refused}")
    return ["", *lines] if lines else []


def _operators(job: JobReport) -> list[str]:
    lines = [
        "",
        f"### Operators under {_text(job.title)}",
        "",
        "| type | ran on | operators | ms | share |",
        "|---|---|--:|--:|--:|",
    ]
    for kind in job.by_type[:_MOST_TYPES]:
        lines.append(
            f"| {_text(kind.type)} | {kind.where} | {kind.count} | {ms(kind.total_ms)} | {percent(kind.share)} |"
        )
    return lines


def _text(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", clean(text))
