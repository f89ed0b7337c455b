"""A report as Markdown, for a pull request or a chat; knows no store. Every text from outside is made inert."""

from __future__ import annotations

from collections.abc import Sequence

from devbench.analysis.stats import Estimate
from devbench.findings.run import MEMORY_NOTE, JobReport, ReportData, fastest
from devbench.forms.charts.picture import Picture
from devbench.metrics import METRICS
from devbench.sections.words import (
    coverage_note,
    fallback_words,
    figure,
    interval,
    job_figures,
    ms,
    percent,
    spread_words,
    startup_words,
)
from devbench.text import for_markdown as _text

_MOST_TYPES = 10
_MOST_REASONS = 20


def render_markdown(report: ReportData, charts: Sequence[Picture] = ()) -> str:
    """The report; charts are linked by the names of their PNG files."""
    lines = [f"# devbench run {report.run_id}", ""]
    ended = report.status + (f" ({_text(report.end_reason)})" if report.end_reason else "")
    lines += [f"{report.started_utc:%Y-%m-%d %H:%M} UTC · {ended} · devbench {report.devbench_version}", ""]
    if report.virtual:
        lines += [f"**{report.virtual_note.capitalize()}.**", ""]
    lines += [f"- {_text(key)}: {_text(value)}" for key, value in report.labels.items()]
    for chart in charts:
        lines += ["", f"![{_text(chart.title)}]({chart.name}.png)", *(["", _text(chart.note)] if chart.note else [])]
    for model, device, jobs in report.groups:
        lines += ["", f"## {_text(model)} on {_text(device.title)}", ""]
        lines += [line for note in device.facts.get("notes") or [] for line in (_text(str(note)), "")]
        lines += _latencies(jobs)
        lines += [line for note in startup_words(jobs) for line in ("", _text(note))]
        lines += _notes(jobs)
        lines += [line for job in jobs if job.by_type for line in _operators(job)]
    lines += ["", coverage_note([job.latency for job in report.jobs]) + " " + MEMORY_NOTE, ""]
    return "\n".join(lines)


def _latencies(jobs: list[JobReport]) -> list[str]:
    best, any_cold = fastest(jobs), any(job.cold for job in jobs)
    known = job_figures()
    headings = [METRICS[name].heading for name in known]
    at_warmup = known.index("first_inference") + 1
    headings.insert(at_warmup, "warm-up ms")
    numbers = ["latency ms", "interval", *(["cold init ms"] if any_cold else []), *headings]
    columns = ("delegate", *numbers, "delegation", "outputs", "conditions", "status")
    rows = [f"| {' | '.join(columns)} |", f"|{'|'.join('--:' if name in numbers else '---' for name in columns)}|"]
    for job in jobs:
        figures = [_text(figure(job.figures.get(name), name)) for name in known]
        figures.insert(at_warmup, _median(job.warm.warmup if job.warm else None))
        cells = [
            _text(job.title),
            _latency(job, best),
            interval(job.latency),
            *([_median(job.cold.init if job.cold else None)] if any_cold else []),
            *figures,
            _text(job.delegation),
            job.output_verdict,
            _text(job.conditions),
            job.status,
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _latency(job: JobReport, best: JobReport | None) -> str:
    if job.latency is None:
        return "–"
    if job.all_unreliable:
        return f"{ms(job.latency.median)} ⚠ unreliable"
    return f"**{ms(job.latency.median)}**" if job is best else ms(job.latency.median)


def _median(value: Estimate | None) -> str:
    return ms(value.median) if value else ""


def _notes(jobs: list[JobReport]) -> list[str]:
    lines = []
    for job in jobs:
        title = _text(job.title)
        lines += [f"- **{title}: {kind}** ({count}×) {_text(message)}" for kind, message, count in job.failures]
        if job.unreliable:
            lines.append(f"- {'⚠ ' if job.all_unreliable else ''}{title}: {_text(job.unreliable)}")
        for words in (spread_words(job), fallback_words(job)):
            if words:
                lines.append(f"- {title}: {_text(words)}")
        reasons = dict.fromkeys(f"{op.type}: {why}" for op in job.fallback for why in op.reasons if why)
        lines += [f"  - {_text(reason)}" for reason in list(reasons)[:_MOST_REASONS]]
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
