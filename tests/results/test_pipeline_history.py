"""Whole pipelines over runs: their frames, what of them counts, comparisons and change points, on both databases."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import devbench.results
from devbench.cli.app import application
from devbench.findings.changes import ChangesSettings
from devbench.findings.changes_build import find_changes
from devbench.findings.comparison_build import build_comparison
from devbench.results.history import History
from devbench.results.records import PipelineSessionRecord, PipelineStageRecord
from devbench.results.sessions import pipeline_case
from devbench.results.store import Store
from devbench.sections.comparison_cells import needs_words
from tests.made.samples import NOW, add_run

CASE = "sd · gpu · 4 threads · pipelined · 20 steps"
STAGES = (("text_encoder", 50.0), ("unet", 800.0), ("decoder", 100.0))


@pytest.fixture
def history(store: Store, url: str) -> Iterator[History]:
    with devbench.results.open_history(url) as opened:
        yield opened


def session(run_id: str, index: int, latency_ms: float | None, **changes: Any) -> PipelineSessionRecord:
    """What it takes beyond 950 ms is the U-Net's."""
    extra = (latency_ms or 950.0) - 950.0
    stages = tuple(
        PipelineStageRecord(
            n, name, 1, name == "unet", 20 if name == "unet" else 1, 0, ("/b",), "stop", name == "unet",
            load_ms=30.0, wait_ms=0.0, wall_ms=ms - 30.0 * (name != "unet") + extra * (name == "unet"),
        )
        for n, (name, ms) in enumerate(STAGES)
    )  # fmt: skip
    one = PipelineSessionRecord(
        run_id, "KEY", "sd", "gpu", 4, "pipelined", index, 20, False, 1, 2, NOW, NOW + timedelta(seconds=9), "ok", None,
        None, "raw", latency_ms, "pss", 2_048_000, verdict="valid", stages=stages,
    )  # fmt: skip
    return replace(one, **changes)


def night(store: Store, number: int, latencies: Sequence[float], **changes: Any) -> str:
    run_id = add_run(store, number)
    for index, latency in enumerate(latencies):
        store.add_pipeline_session(session(run_id, index, latency, **changes))
    return run_id


def noisy(count: int, seed: int = 0, level: float = 950.0) -> list[float]:
    return (level * (1 + 0.002 * np.random.default_rng(seed).standard_normal(count))).tolist()


def test_a_case_says_what_makes_it_another_task() -> None:
    assert pipeline_case("sd", "pipelined", 20, guidance=False, delegate="gpu", threads=4) == CASE
    assert pipeline_case("sd", "resident", 1, guidance=True, delegate="cpu", threads=None) == (
        "sd · cpu · resident · 1 step · guidance"
    )


def test_a_row_is_a_session_with_its_units(store: Store, history: History) -> None:
    run_id = night(store, 0, [950.0, 960.0])
    store.add_pipeline_session(session(run_id, 0, 800.0, residency="alone"))
    frame = history.pipelines()
    assert frame["latency_ms"].tolist() == [950.0, 960.0], "a stage alone is no pipeline"
    row = frame.iloc[0]
    assert (row["run_id"], row["device"], row["case"], row["model"]) == (run_id, "Phone (KEY)", CASE, "sd")
    assert (row["peak_memory_mb"], row["counts"], row["repetition"]) == (2000.0, True, 0)
    assert row["started_utc"] == NOW
    stages = history.pipeline_stages()
    assert stages["taken_ms"].tolist() == [50.0, 800.0, 100.0, 50.0, 810.0, 100.0]
    assert stages["stage"].tolist()[:3] == ["text_encoder", "unet", "decoder"]


def test_filters_are_those_of_every_query(store: Store, history: History) -> None:
    first = night(store, 0, [950.0])
    night(store, 1, [950.0], delegate="cpu")
    assert len(history.pipelines(runs=[first])) == 1
    assert len(history.pipelines(models=["sd"])) == 2
    assert history.pipelines(models=["model"]).empty
    assert len(history.pipelines(delegates=["cpu"])) == 1
    assert len(history.pipelines(cases=[CASE])) == 1
    assert len(history.pipelines(since=NOW + timedelta(hours=1))) == 1
    assert history.pipelines(devices=["OTHER"]).empty
    assert history.pipeline_stages(models=["model"]).empty


def test_unreliable_sessions_count_where_there_are_no_others_and_failed_ones_never(
    store: Store, history: History
) -> None:
    run_id = night(store, 0, [950.0])
    store.add_pipeline_session(session(run_id, 1, 1500.0, verdict="unreliable"))
    store.add_pipeline_session(session(run_id, 2, None, status="failed", failure_kind="crash"))
    assert history.pipelines()["counts"].tolist() == [True, False, False]
    other = add_run(store, 1)
    store.add_pipeline_session(session(other, 0, 1500.0, verdict="unreliable", memory_kind="rss"))
    frame = history.pipelines(runs=[other])
    assert frame["counts"].tolist() == [True]
    assert frame["peak_memory_mb"].isna().all(), "RSS counts twice what stages share"


def test_an_empty_store_gives_empty_frames(history: History) -> None:
    for query in (history.pipelines, history.pipeline_stages):
        assert query().empty
        assert "case" in query().columns


def test_a_slower_pipeline_regressed_and_the_stage_that_did_it_is_named(store: Store, history: History) -> None:
    before, after = night(store, 0, noisy(6)), night(store, 1, noisy(6, seed=1, level=1000.0))
    report = build_comparison(history, (before,), (after,))
    row = next(row for row in report.rows if row.case == CASE and row.metric == "latency")
    assert row.comparison.verdict == "regressed"
    assert row.comparison.change == pytest.approx(50 / 950, abs=0.005)
    assert row.explanation is not None
    assert [(cause.kind, cause.name) for cause in row.explanation.causes] == [("slower", "unet")]
    memory = next(row for row in report.rows if row.case == CASE and row.metric == "peak_memory")
    assert (memory.comparison.verdict, memory.unit) == ("unchanged", "MB")
    same = build_comparison(history, (before,), (night(store, 2, noisy(6, seed=2)),))
    assert next(row for row in same.rows if row.case == CASE).comparison.verdict != "regressed"


def test_of_memory_each_session_is_a_repetition(store: Store, history: History) -> None:
    runs = [add_run(store, n) for n in range(2)]
    for run_id, peaks in zip(runs, ((2000, 2100, 2200), (2050, 2150, 2270)), strict=True):
        for index, mb in enumerate(peaks):
            store.add_pipeline_session(session(run_id, index, 950.0, peak_kb=1024 * mb))
    report = build_comparison(history, runs[:1], runs[1:])
    memory = next(row for row in report.rows if row.case == CASE and row.metric == "peak_memory")
    assert memory.comparison.verdict == "undecided"
    assert needs_words(memory, report) == "too noisy for so small a change"


def test_a_pipeline_that_fails_now_is_a_regression(store: Store, history: History) -> None:
    before, after = night(store, 0, noisy(3)), add_run(store, 1)
    for index in range(3):
        failed = session(after, index, None, status="failed", failure_kind="crash", failure_message="Signal 9")
        store.add_pipeline_session(failed)
    report = build_comparison(history, (before,), (after,))
    (failure,) = report.failures
    assert (failure.case, failure.kind, failure.message, failure.failed) == (CASE, "crash", "Signal 9", 3)
    assert report.regressed


def test_with_many_runs_a_side_each_is_one_median(store: Store, history: History) -> None:
    runs = [night(store, n, noisy(3, seed=n, level=950.0 if n < 11 else 1000.0)) for n in range(14)]
    report = build_comparison(history, runs[:11], runs[11:])
    row = next(row for row in report.rows if row.case == CASE and row.metric == "latency")
    assert (row.comparison.baseline.n, row.comparison.candidate.n, row.comparison.verdict) == (11, 3, "regressed")


def test_a_change_of_a_pipeline_is_found_over_the_nights(store: Store, history: History, url: str) -> None:
    # The store may have been filled in any order, as by an import.
    for n in reversed(range(24)):
        night(store, n, noisy(3, seed=n, level=950.0 if n < 12 else 1010.0))
    report = find_changes(history, ChangesSettings(models=("sd",)))
    assert {series.metric for series in report.series} == {"latency", "peak_memory"}
    ((series, change),) = report.own
    assert (series.case, series.unit, change.point.index, change.worse) == (CASE, "ms", 12, True)
    assert change.point.size == pytest.approx(60 / 950, abs=0.01)
    done = CliRunner().invoke(application(), ["detect", "--store", url, "--json"], catch_exceptions=False)
    assert [one["model"] for one in json.loads(done.stdout)["models"]] == ["sd"]
