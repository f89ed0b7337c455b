"""The tables and choices of the pages that `devbench serve` has beside those of runs; knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from devbench.sections.comparison_words import quantity
from devbench.sections.tables import LONG, Cell, Column, Table, table

if TYPE_CHECKING:
    import pandas as pd

    from devbench.findings.changes import ChangesReport, MeasuredSeries
    from devbench.results.history import History

# A choice holds what these many of the newest runs measured.
_LOOKED_AT = 20


def run_table(frame: pd.DataFrame) -> Table:
    """The runs, newest first, each with its page and its comparison with the one before."""
    rows = []
    found = list(frame.itertuples(index=False))
    # A run that measured nothing is nobody's baseline.
    measured = [run for run in found if run.jobs > run.failed_jobs]
    before = {str(run.run_id): str(previous.run_id) for previous, run in pairwise(measured)}
    for run in reversed(found):
        run_id, at = str(run.run_id), run.started_utc
        labels = ", ".join(f"{key}={value}" for key, value in run.labels.items())
        link = ""
        if run_id in before:
            link = "/compare?" + urlencode({"baseline": before[run_id], "candidate": run_id})
        ended = f"{run.status}: {run.end_reason}" if run.end_reason else str(run.status)
        status = Cell(ended, kind="" if ended == "done" else "warn")
        failed = Cell(f"{run.failed_jobs or ''}", float(run.failed_jobs), "bad" if run.failed_jobs else "")
        rows.append(
            (
                Cell(run_id, link=f"/run/{run_id}"),
                Cell(f"{at:%Y-%m-%d %H:%M}", at.timestamp()),
                status,
                Cell(f"{run.jobs:,}", float(run.jobs)),
                failed,
                Cell("virtual" if run.virtual else "phones"),
                Cell(labels),
                Cell("with the one before" if link else "", link=link),
            )
        )
    columns = (
        Column("run"), Column("started (UTC)", numeric=True), Column("status", choose=True),
        Column("jobs", numeric=True),
        Column("failed", numeric=True), Column("devices", choose=True), Column("labels", wide=True), Column("compare"),
    )  # fmt: skip
    return table("runs", "all runs of this store, the newest first", columns, rows, LONG)


def history_choices(history: History) -> dict[str, Mapping[str, str]]:
    """What a history can be restricted to, of the newest runs: by kind, value and words."""
    devices = history.devices()
    newest = tuple(history.runs()["run_id"])[-_LOOKED_AT:]
    cases = history.jobs(runs=newest)
    return {
        "device": dict(zip(devices["device_key"], devices["device"], strict=True)),
        "model": {name: name for name in sorted(set(cases["model"]))},
        "delegate": {name: name for name in sorted(set(cases["delegate"]))},
    }


def series_links(report: ChangesReport) -> Table:
    """A row for each series: its last value, its changes, the way to it alone."""
    rows = [_series(series) for series in report.series if series.values]
    columns = (
        Column("device", choose=True), Column("model", choose=True), Column("case"), Column("metric", choose=True),
        Column("runs", numeric=True), Column("last", numeric=True), Column("changes", numeric=True), Column("alone"),
    )  # fmt: skip
    return table("series", "all series", columns, rows, LONG)


def _series(series: MeasuredSeries) -> tuple[Cell, ...]:
    asked = {"device": series.device_key, "case": series.case, "metric": series.metric}
    last = series.values[-1]
    return (
        Cell(series.device), Cell(series.model), Cell(series.case), Cell(series.metric),
        Cell(str(len(series.values)), len(series.values)), Cell(quantity(last, series.metric), last),
        Cell(str(len(series.changes) or ""), len(series.changes)), Cell("chart", link="/history?" + urlencode(asked)),
    )  # fmt: skip
