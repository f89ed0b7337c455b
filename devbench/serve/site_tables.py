"""The tables and choices of the pages that `devbench serve` has besides those of runs; knows no HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from devbench.sections.comparison_cells import quantity
from devbench.sections.tables import LONG, Cell, Column, Table, number, table

if TYPE_CHECKING:
    import pandas as pd

    from devbench.findings.changes import ChangesReport, MeasuredSeries
    from devbench.results.history import History

# A choice holds what these many of the newest runs measured.
_LOOKED_AT = 20


def run_table(frame: pd.DataFrame) -> Table:
    """The runs, newest first, each with its page and its comparison with the one before."""
    found = list(frame.itertuples(index=False))
    # A run that measured nothing is no baseline.
    measured = [run for run in found if run.jobs > run.failed_jobs]
    before = {str(run.run_id): str(previous.run_id) for previous, run in pairwise(measured)}

    def compare(run: Any) -> Cell:
        if run.run_id not in before:
            return Cell("")
        sides = {"baseline": before[run.run_id], "candidate": run.run_id}
        return Cell("with the one before", link="/compare?" + urlencode(sides))

    columns: tuple[Column[Any], ...] = (
        Column("run", lambda run: Cell(str(run.run_id), link=f"/run/{run.run_id}")),
        Column(
            "started (UTC)", lambda run: number(run.started_utc.timestamp(), f"{run.started_utc:%Y-%m-%d %H:%M}"), True
        ),
        Column("status", _status, choose=True),
        Column("jobs", lambda run: Cell(f"{run.jobs:,}", float(run.jobs)), numeric=True),
        Column("failed", _failed, numeric=True),
        Column("devices", lambda run: "virtual" if run.virtual else "phones", choose=True),
        Column("labels", lambda run: ", ".join(f"{key}={value}" for key, value in run.labels.items()), wide=True),
        Column("compare", compare),
    )
    return table("runs", "all runs of this store, the newest first", columns, reversed(found), LONG)


def _status(run: Any) -> Cell:
    ended = f"{run.status}: {run.end_reason}" if run.end_reason else str(run.status)
    return Cell(ended, kind="" if ended == "done" else "warn")


def _failed(run: Any) -> Cell:
    return Cell(f"{run.failed_jobs or ''}", float(run.failed_jobs), "bad" if run.failed_jobs else "")


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
    columns: tuple[Column[MeasuredSeries], ...] = (
        Column("device", lambda one: one.device, choose=True),
        Column("model", lambda one: one.model, choose=True),
        Column("case", lambda one: one.case),
        Column("metric", lambda one: one.metric, choose=True),
        Column("runs", lambda one: Cell(str(len(one.values)), len(one.values)), numeric=True),
        Column("last", lambda one: Cell(quantity(one.values[-1], one.metric), one.values[-1]), numeric=True),
        Column("changes", lambda one: Cell(str(len(one.changes) or ""), len(one.changes)), numeric=True),
        Column("alone", _alone),
    )
    return table("series", "all series", columns, [series for series in report.series if series.values], LONG)


def _alone(series: MeasuredSeries) -> Cell:
    asked = {"device": series.device_key, "case": series.case, "metric": series.metric}
    return Cell("chart", link="/history?" + urlencode(asked))
