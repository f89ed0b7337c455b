"""A report as one self-contained HTML page: no network, no script, light and dark; the template escapes every text."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from devbench.reports import words
from devbench.reports.charts import Chart
from devbench.reports.model import MEMORY_NOTE, JobReport, ReportData
from devbench.text import clean

if TYPE_CHECKING:
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
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        clean=clean, ms=words.ms, mb=words.mb, percent=words.percent, interval=words.interval, data_uri=_data_uri
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
    )


def _data_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _what(repetition: RepetitionRecord) -> str:
    """A repetition in a few words."""
    name = f"{'repetition' if repetition.purpose == 'latency' else repetition.purpose} {repetition.index + 1}"
    if repetition.latency_avg_us is not None:
        return f"{name}: {words.ms(repetition.latency_avg_us / 1000)} ms"
    return f"{name}: {repetition.failure_kind}" if repetition.failure_kind else name


def _condition_rows(job: JobReport) -> list[tuple[str, str, str, str, str]]:
    """For each repetition: name, temperatures, thermal status, battery, load; before → after."""
    rows = []
    for repetition in job.repetitions:
        pair = (repetition.conditions_before, repetition.conditions_after)

        def change(key: str, unit: str = "", pair: tuple = pair) -> str:  # type: ignore[type-arg]
            values = ["?" if c is None or c.get(key) is None else f"{c[key]:g}" for c in pair]
            return f"{values[0]} → {values[1]}{unit}" if values != ["?", "?"] else ""

        hottest = [max((c.get("temperatures_c") or {}).values(), default=None) if c else None for c in pair]
        heat = " → ".join("?" if value is None else f"{value:.1f}" for value in hottest)
        rows.append(
            (
                _what(repetition),
                f"{heat} °C" if any(value is not None for value in hottest) else "",
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
