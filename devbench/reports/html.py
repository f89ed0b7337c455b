"""A report as one self-contained HTML page: no network, no script, light and dark; the template escapes every text."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from devbench.analysis.stats import Estimate
from devbench.reports import words
from devbench.reports.drawing import Chart
from devbench.reports.model import MEMORY_NOTE, JobReport, Process, ReportData, fastest
from devbench.reports.readings import hottest, reading
from devbench.text import clean

if TYPE_CHECKING:
    from jinja2 import Environment

    from devbench.results.records import RepetitionRecord

_TEMPLATES = Path(__file__).with_name("templates")
_MOST_OPERATORS = 60
# A page must open at once: raw outputs beyond this stay in the store, and the page says where.
_MOST_RAW_CHARACTERS = 3_000_000
_MOST_RAW_EACH = 60_000


def render_html(report: ReportData, charts: Sequence[Chart], raw: dict[str, str]) -> str:
    """The page.

    Args:
        report: what to show.
        charts: drawn charts.
        raw: raw outputs by their path in the store; those that do not fit are left out with a word.
    """
    environment = new_environment()
    environment.filters.update(
        ms=words.ms,
        mb=words.mb,
        percent=words.percent,
        rough_percent=words.rough_percent,
        spread_percent=words.spread_percent,
        interval=words.interval,
        median=_median,
    )
    budget = _Budget(raw)
    page = environment.get_template("report.html")
    return page.render(
        report=report,
        charts=charts,
        raw=budget.take,
        operator_name=words.operator_name,
        memory_note=MEMORY_NOTE,
        coverage=words.coverage_note([job.latency for job in report.jobs]),
        most_operators=_MOST_OPERATORS,
        what=_what,
        conditions=_condition_rows,
        fastest=fastest,
        process_of=_process_of,
        caches=_caches,
        limits=words.limits_words,
    )


def new_environment() -> Environment:
    """Jinja for this room's templates: everything is escaped, what is not defined is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(clean=clean, data_uri=_data_uri)
    return environment


def _data_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _what(repetition: RepetitionRecord, outcome: bool = True) -> str:
    """A repetition in a few words, with what came of it."""
    name = f"{'repetition' if repetition.purpose == 'latency' else repetition.purpose} {repetition.index + 1}"
    if not outcome:
        return name
    if repetition.latency_avg_us is not None:
        return f"{name}: {words.ms(repetition.latency_avg_us / 1000)} ms"
    return f"{name}: {repetition.failure_kind}" if repetition.failure_kind else name


def _median(value: Estimate | None) -> str:
    return words.ms(value.median) if value else ""


def _process_of(job: JobReport, repetition: RepetitionRecord) -> Process | None:
    return next((process for process in job.processes if process.repetition is repetition), None)


def _caches(repetition: RepetitionRecord) -> str:
    states = (("file", repetition.file_cache), ("kernel", repetition.kernel_cache))
    return ", ".join(f"{name} {state}" for name, state in states if state)


def _condition_rows(job: JobReport) -> list[tuple[str, str, str, str, str]]:
    """For each repetition: name, temperatures, thermal status, battery, load; before → after."""
    rows = []
    for repetition in job.repetitions:
        pair = (repetition.conditions_before, repetition.conditions_after)

        def change(key: str, unit: str = "", pair: tuple = pair) -> str:  # type: ignore[type-arg]
            values = ["?" if (value := reading(c, key)) is None else f"{value:g}" for c in pair]
            return f"{values[0]} → {values[1]}{unit}" if values != ["?", "?"] else ""

        heats = [hottest(c) for c in pair]
        heat = " → ".join("?" if value is None else f"{value:.1f}" for value in heats)
        rows.append(
            (
                _what(repetition),
                f"{heat} °C" if any(value is not None for value in heats) else "",
                change("thermal_status"),
                change("battery_level", " %"),
                change("load_1min"),
            )
        )
    return rows


class _Budget:
    """Gives raw texts out until the page is large enough."""

    def __init__(self, raw: dict[str, str]) -> None:
        self._raw = raw
        self._left = _MOST_RAW_CHARACTERS

    def take(self, path: str) -> str:
        text = self._raw.get(path, "")
        if not text:
            return "not in this page; see the store"
        if len(text) > _MOST_RAW_EACH:
            half = _MOST_RAW_EACH // 2
            text = f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
        if len(text) > self._left:
            return "left out to keep the page small; see the store"
        self._left -= len(text)
        return text
