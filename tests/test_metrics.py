"""An entry of the catalogue is all that a metric needs: a metric that is not devbench's own is in every form."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

import devbench.results
from devbench.cli.app import application
from devbench.findings.changes import ChangesSettings
from devbench.findings.changes_build import find_changes
from devbench.metrics import METRICS, Metric, shown_in, stored
from devbench.results import schema
from devbench.results.counting import RunView
from devbench.results.records import VALUES, RepetitionRecord
from devbench.results.run_files import REPETITION_COLUMNS
from devbench.results.store import Store
from devbench.sections.time_charts import history_charts
from tests.golden.page_text import page_text
from tests.made.nights import START, Made, job_view, noisy
from tests.made.samples import run_record

NEW = Metric(
    "memory_growth", "memory growth", "MB", column="overall_memory_mb", counts="latency", smallest_effect=0.02,
    worse_word="larger", decimals=1, heading="growth MB", shown=("jobs", "comparison", "history"),
)  # fmt: skip
NIGHTS = 16
# From then on it is half as much again.
CHANGED = 8


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A store of nights in which the memory of one case grows by half, with the new metric in the catalogue."""
    monkeypatch.setitem(METRICS, NEW.name, NEW)  # type: ignore[call-overload]
    monkeypatch.setenv("DEVBENCH_STORE", str(tmp_path / "results.db"))
    monkeypatch.setenv("DEVBENCH_HOME", str(tmp_path))
    with Store() as store:
        for number in range(NIGHTS):
            at = START + timedelta(days=number)
            run_id = f"{at:%Y%m%d-%H%M%S}-{number:04x}"
            view = job_view(run_id, 1, Made(noisy(10.0, seed=number)), at)
            growth = noisy(40.0 if number < CHANGED else 60.0, seed=100 + number)
            grown = [
                replace(one, overall_memory_mb=growth[one.index] if one.purpose == "latency" else None)
                for one in view.repetitions
            ]
            view = replace(view, repetitions=tuple(grown))
            store.add_run(RunView(run_record(run_id, at), "done", at + timedelta(minutes=5), (view,)))
    yield str(tmp_path / "results.db")


@pytest.fixture
def said(url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    def run(*words: str) -> str:
        monkeypatch.setenv("COLUMNS", "200")
        done = CliRunner().invoke(application(), list(words))
        assert done.exit_code in (0, 1), done.output
        return done.stdout

    return run


def test_it_is_in_the_table_of_jobs_of_every_form(said: Callable[..., str], tmp_path: Path) -> None:
    folder = tmp_path / "report"
    said("report", "latest", "--format", "html,md,csv,json", "--out", str(folder))
    shown = f"{sorted(noisy(60.0, seed=100 + NIGHTS - 1))[4]:.0f}"
    for text in (said("show"), (folder / "report.md").read_text("utf-8"), page_text(_read(folder / "report.html"))):
        assert "growth MB" in text and shown in text
    assert "overall_memory_mb" in _read(folder / "report.csv").splitlines()[0]
    (job,) = json.loads(said("show", "--json"))["jobs"]
    assert {row["overall_memory_mb"] is None for row in job["repetitions"]} == {False, True}


def test_it_is_compared_in_every_form(said: Callable[..., str]) -> None:
    first, last = (f"{START + timedelta(days=number):%Y%m%d-%H%M%S}-{number:04x}" for number in (0, NIGHTS - 1))
    for form in ("text", "md"):
        text = said("compare", first, last, "--format", form)
        assert text.lstrip("# ").startswith("1 regression: memory growth of ")
    row = next(one for one in json.loads(said("compare", first, last, "--json"))["rows"] if one["metric"] == NEW.name)
    assert (row["verdict"], row["unit"]) == ("regressed", "MB")
    assert row["baseline"]["median"] == pytest.approx(40, rel=0.02)
    alone = json.loads(said("compare", first, last, "--metric", NEW.name, "--threshold", f"{NEW.name}=80%", "--json"))
    assert [one["verdict"] for one in alone["rows"]] == ["unchanged"]


def test_its_changes_are_found_in_every_form(said: Callable[..., str]) -> None:
    for form in ("text", "md"):
        assert "memory growth +49.9 %" in said("detect", "--format", form).replace("\\", "")
    (change,) = json.loads(said("detect", "--json", "--metric", NEW.name))["models"]
    assert (change["worse"], change["shifts"][0]["metric"]) == (True, NEW.name)


def test_it_is_in_the_queries_and_charts_of_the_history(url: str) -> None:
    with devbench.results.open_history(url) as history:
        series = history.series((NEW.name,))
        assert series["unit"].unique().tolist() == ["MB"] and len(series) == NIGHTS
        assert len(history.samples((NEW.name,))) == NIGHTS * 8
        assert NEW.name in set(history.series()["metric"])
        charts = history_charts(find_changes(history, ChangesSettings()))
    assert [chart.title for chart in charts if chart.title.startswith("Memory growth")] == [
        "Memory growth: unet · gpu on Phone (KEY)"
    ]


def test_a_metric_is_where_its_record_and_the_store_have_it() -> None:
    for metric in METRICS.values():
        assert (metric.source == "repetition") == bool(metric.column), metric.name
        assert not metric.column or hasattr(RepetitionRecord, metric.column), metric.name
        assert bool(metric.heading) == ("jobs" in metric.shown), metric.name
    assert set(shown_in("comparison")) == set(shown_in("history")), "one word for a metric on the command line"
    assert all(of.purposes for of in VALUES.values() if of.measured)


def test_each_metric_is_documented() -> None:
    docs = Path(__file__).parents[1] / "docs"
    for name in shown_in("comparison"):
        assert f"`{name}`" in _read(docs / "compare.md"), name
    for name in (*stored(), *VALUES):
        assert f"`{name}`" in _read(docs / "results.md"), name


def test_each_value_of_a_repetition_is_in_the_store_in_csv_and_in_json() -> None:
    values = set(VALUES)
    assert values < set(schema.repetitions.c.keys()) and values < set(REPETITION_COLUMNS)
    assert values < {one.name for one in fields(RepetitionRecord)}


def _read(path: Path) -> str:
    return path.read_text("utf-8")
