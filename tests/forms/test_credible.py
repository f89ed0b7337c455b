"""What makes a latency believable is shown: start-up by cache, spread, outliers, unreliables, fallback, percentiles."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from devbench.findings.choice import choices, winner_of
from devbench.findings.run import JobReport, ReportData
from devbench.findings.run_build import build_report
from devbench.forms.terminal import print_document
from devbench.results.counting import JobView, RunView
from devbench.results.records import RepetitionRecord
from devbench.results.run_files import write_csv
from devbench.sections.charts import RowChart
from devbench.sections.figures import limits_words, rough_percent
from devbench.sections.run_job import outputs_document
from tests.made.phones import phone_view
from tests.made.shown import run_markdown, run_page, run_pictures, run_terminal, svg_file


def job_of(view: RunView, delegate: str) -> JobReport:
    return next(job for job in build_report(view).jobs if job.job.delegate == delegate)


def terminal(report: ReportData, width: int = 140) -> str:
    return run_terminal(report, width, operators=True)


def no_raw(path: str) -> bytes:
    return b""


def page(view: RunView) -> str:
    return re.sub(r"\s+", " ", run_page(build_report(view), no_raw))


def changed(view: RunView, change: Callable[[RepetitionRecord], RepetitionRecord]) -> RunView:
    return replace(view, jobs=tuple(JobView(item.job, tuple(map(change, item.repetitions))) for item in view.jobs))


@pytest.fixture(scope="module")
def view() -> RunView:
    return phone_view()


def test_a_cold_start_is_told_from_a_warm_one_and_says_what_was_cold(view: RunView) -> None:
    gpu, cpu = job_of(view, "gpu"), job_of(view, "cpu")
    assert [(start.caches, start.cold, start.processes) for start in gpu.startups] == [
        ("file cache and kernel cache warm", False, 4),
        ("file cache and kernel cache cold", True, 3),
    ]
    assert (
        gpu.warm and gpu.warm.init and gpu.warm.init.median,
        gpu.cold and gpu.cold.init and gpu.cold.init.median,
    ) == (410.0, 2350.0)
    assert cpu.cold is not None
    assert cpu.cold.caches == "file cache cold"
    text = terminal(build_report(view))
    assert "cold init" in text
    assert "file cache and kernel cache cold (GPU)" in text
    shown = page(view)
    assert ">Memory and start-up</h2>" in shown
    assert re.search(
        r'class="cold"[^>]*>file cache and kernel cache cold</td><td[^>]*>3</td><td[^>]*>2,350</td>', shown
    )
    assert "cold init ms" in run_markdown(build_report(view))


def test_a_cold_start_never_counts_as_latency_or_as_warm_init(view: RunView) -> None:
    fast = changed(view, lambda r: replace(r, latency_avg_us=1.0, init_us=1.0) if r.purpose == "cold" else r)
    assert job_of(fast, "gpu").latency == job_of(view, "gpu").latency
    assert job_of(fast, "gpu").warm == job_of(view, "gpu").warm


def test_a_timed_process_that_found_a_cold_cache_is_a_cold_start(view: RunView) -> None:
    def first_compiles(r: RepetitionRecord) -> RepetitionRecord:
        if r.purpose == "latency" and r.index == 0 and r.raw_path.startswith("gpu"):
            return replace(r, kernel_cache="cold", init_us=9e6)
        return r

    starts = job_of(changed(view, first_compiles), "gpu").startups
    assert [(start.caches, start.cold, start.processes) for start in starts] == [
        ("file cache and kernel cache warm", False, 3),
        ("file cache warm, kernel cache cold", True, 1),
        ("file cache and kernel cache cold", True, 3),
    ]


def test_without_a_cold_start_no_column_speaks_of_one(view: RunView) -> None:
    warm = replace(
        view, jobs=tuple(JobView(i.job, tuple(r for r in i.repetitions if r.purpose != "cold")) for i in view.jobs)
    )
    assert "cold" not in terminal(build_report(warm))
    assert "cold init" not in run_markdown(build_report(warm))


def test_the_share_on_the_delegate_is_in_every_form(view: RunView, tmp_path: Path) -> None:
    report = build_report(view)
    for text in (terminal(report), page(view), run_markdown(report)):
        assert "on delegate" in text
        assert "84 %" in text
    assert job_of(view, "cpu").on_delegate is None
    write_csv(view, tmp_path / "r.csv")
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    shares = {row["delegate_time_share"] for row in rows if row["delegate"] == "gpu" and row["purpose"] == "profile"}
    assert [round(float(share), 3) for share in shares] == [0.836]


def test_a_share_is_never_rounded_to_all_or_nothing() -> None:
    assert [rough_percent(share) for share in (None, 0.0, 0.004, 0.83, 0.996, 1.0)] == [
        "", "0 %", "<1 %", "83 %", ">99 %", "100 %",
    ]  # fmt: skip


def test_what_fell_back_stands_beside_the_partition_with_its_time_and_the_reason(view: RunView) -> None:
    gpu = job_of(view, "gpu")
    assert gpu.partitions_ms == pytest.approx(7.8)
    fallback = [
        (op.type, op.place, op.count, op.total_ms and round(op.total_ms, 2), len(op.reasons)) for op in gpu.fallback
    ]
    assert fallback == [
        ("SOFTMAX", "cpu", 4, 1.24, 1),
        ("MEAN", "cpu", 2, 0.24, 0),
        ("TILE", "cpu", 1, 0.05, 1),
        ("BROADCAST_TO", "", None, None, 1),
    ]
    assert job_of(view, "xnnpack").fallback == ()
    assert job_of(view, "cpu").fallback == ()
    text = terminal(build_report(view))
    assert "7.80 ms on the delegate, on the CPU SOFTMAX ×4 1.24" in text
    assert "does not take SOFTMAX, TILE, BROADCAST_TO" in text
    assert "Softmax is supported only with a last axis of channels" in page(view)


def test_an_outlier_is_marked_and_still_counts(view: RunView) -> None:
    slow = changed(
        view,
        lambda r: replace(r, verdict="valid", verdict_reasons=(), latency_avg_us=(30.0 if r.index == 2 else 10.0 + r.index / 50) * 1000)
        if r.purpose == "latency"
        else r,
    )  # fmt: skip
    job = job_of(slow, "gpu")
    assert [process.repetition.index for process in job.processes if process.outlier] == [2]
    assert job.latency is not None
    assert max(job.latency.values) == 30.0
    assert "○ outlier" in page(slow)
    assert "1 of 9 processes far from the others" in terminal(build_report(slow))
    chart = run_pictures(build_report(slow))[0]
    assert "hollow dots" in chart.note
    assert isinstance(chart, RowChart)
    assert "outlier" in {point.kind for group in chart.groups for row in group.rows for point in row.points}


def test_percentiles_are_shown_only_where_the_tool_printed_them(view: RunView) -> None:
    assert "p95 ms" in page(view)
    assert "p95" in terminal(build_report(view))
    without = changed(view, lambda r: replace(r, latency_median_us=None, latency_p95_us=None))
    assert "p95 ms" not in page(without)
    assert "p95" not in terminal(build_report(without))
    assert "p99 ms" not in page(view)


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_a_table_fits_the_terminal_and_says_what_it_leaves_out(view: RunView, width: int) -> None:
    text = terminal(build_report(view), width)
    table = text[text.index("\nmobile_unet_128 on") + 1 : text.index("XNNPACK · 4 threads: ")].splitlines()
    header, rows = table[1], [line for line in table[2:] if line.startswith(("XNNPACK ", "GPU ", "CPU "))]
    assert len(rows) == 3, "a row is one line"
    assert all(len(line) <= width for line in [header, *rows])
    assert "latency ms" in header
    assert "on delegate" in header
    for column in ("interval", "cold init", "init ms", "first ms", "peak MB", "nodes"):
        assert column in header or column in next(line for line in table if line.startswith("hidden")), column
    if width == 140:
        assert "hidden" not in text


def test_a_job_of_unreliable_processes_only_is_marked_and_never_the_fastest(tmp_path: Path) -> None:
    view = phone_view(unreliable_job="gpu")
    report = build_report(view)
    gpu = job_of(view, "gpu")
    assert gpu.all_unreliable
    assert gpu.latency is not None
    assert all(gpu.latency.median < job.latency.median for job in report.jobs if job.latency and job.title != "GPU")
    assert winner_of(report.jobs) is None
    assert choices(report)[0].reason == "rival"
    latency = f"{gpu.latency.median:.1f}"
    assert f"! {latency}" in terminal(report)
    assert f"{latency} ⚠ unreliable" in run_markdown(report)
    shown = page(view)
    assert re.search(r'<td class="n warn"[^>]*>⚠ ', shown)
    assert "no verdict: all 9 repetitions are unreliable (battery low: 9 %)" in shown
    assert shown.count("unreliable: battery low: 9 %") == 9
    chart = run_pictures(report)[0]
    assert f"{latency}, unreliable" in svg_file(chart)
    assert "dashed outline" in chart.note
    write_csv(view, tmp_path / "r.csv")
    rows = [row for row in csv.DictReader((tmp_path / "r.csv").open()) if row["delegate"] == "gpu"]
    timed = {(row["verdict"], row["verdict_reasons"]) for row in rows if row["purpose"] == "latency"}
    assert timed == {("unreliable", "battery low: 9 %")}


def test_where_all_jobs_are_unreliable_none_is_the_fastest(view: RunView) -> None:
    all_bad = changed(view, lambda r: replace(r, verdict="unreliable", verdict_reasons=("hot",)))
    assert winner_of(build_report(all_bad).jobs) is None
    assert 'class="n best"' not in page(all_bad)


def test_limits_of_outputs_are_shown_where_the_store_has_them(view: RunView) -> None:
    row = {
        "name": "out", "against": "host", "max_abs": 0.1, "max_rel": 0.1, "cosine": 0.9, "snr_db": 31.0, "wrong": False,
        "wrong_size": False, "nan": 0, "inf": 0, "all_zero": False,
    }  # fmt: skip
    for limits, expected in (({"least_snr_db": 20.0, "x": [1]}, "(SNR ≥ 20 dB)"), (None, "ok</td>"), (7, "ok")):
        checked = changed(view, lambda r, limits=limits: replace(r, outputs=({**row, "limits": limits},)))  # type: ignore[misc]
        assert expected in page(checked).replace('<span class="soft">', "").replace("</span>", "")
    out = io.StringIO()
    print_document(
        outputs_document(
            build_report(changed(view, lambda r: replace(r, outputs=({**row, "limits": {"least_cosine": 0.99}},)))),
            "terminal",
        ),
        Console(file=out, width=200),
    )
    assert "(cosine ≥ 0.99)" in out.getvalue()
    assert limits_words({"a": "\x1b[31m<b>"}) == "a <b>"


def test_reasons_that_differ_in_a_figure_only_are_told_once(view: RunView) -> None:
    def loaded(r: RepetitionRecord) -> RepetitionRecord:
        return replace(
            r, verdict="unreliable", verdict_reasons=(f"other load: {3 + r.index / 10:.1f} on 2 CPUs", "battery low")
        )

    assert job_of(changed(view, loaded), "gpu").notices[0].text == (
        "all 9 repetitions are unreliable (other load: 3.0 on 2 CPUs, battery low); "
        "shown because there are no better ones"
    )


def test_a_delegate_that_counts_no_nodes_still_says_its_partitions(view: RunView) -> None:
    uncounted = changed(view, lambda r: replace(r, nodes_delegated=None, nodes_total=None))
    assert job_of(uncounted, "gpu").nodes == "partial, 3 parts"
    assert job_of(view, "gpu").nodes == "171/180, 3 parts"
    assert job_of(view, "cpu").nodes == ""
