"""A comparison of runs in a store: its sides, the metrics that are judged, their order, and causes of a regression."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from devbench.errors import InputError
from devbench.findings.comparison import ComparisonReport, ComparisonSettings
from devbench.findings.comparison_build import build_comparison
from devbench.notices import NoticeKind
from devbench.results.counting import JobView, RunView
from devbench.results.history import History
from devbench.results.records import PipelineStageRecord
from devbench.results.store import Store
from tests.made.nights import START, Made, job_view, night, noisy
from tests.made.samples import SESSION, run_record

CASE = "unet · gpu"
LATENCY = {"metrics": ("latency",)}


@pytest.fixture
def store(tmp_path: Any) -> Iterator[Store]:
    with Store(str(tmp_path / "r.db")) as opened:
        yield opened


def compared(store: Store, before: Sequence[str], after: Sequence[str], **settings: Any) -> ComparisonReport:
    with History(store.database.shown) as history:
        return build_comparison(history, before, after, ComparisonSettings(**settings))


def nights(store: Store, *jobs: Sequence[Made], labels: Sequence[dict[str, str]] = ()) -> list[str]:
    return [night(store, k, made, labels[k] if labels else None) for k, made in enumerate(jobs)]


def test_a_side_has_its_runs_their_times_and_the_labels_that_all_share(store: Store) -> None:
    labels = [{"a": "1", "b": "1", "c": "1"}, {"a": "1", "b": "2"}, {"a": "3"}]
    ids = nights(store, *[[Made(noisy(8.0, seed=k))] for k in range(3)], labels=labels)
    report = compared(store, ids[:2], ids[2:], **LATENCY)
    before, after = report.baseline, report.candidate
    assert (before.title, after.title) == (f"{ids[0]} … {ids[1]} (2 runs)", ids[2])
    assert (before.run_ids, before.labels, after.labels) == (tuple(ids[:2]), {"a": "1"}, {"a": "3"})
    assert (before.first_utc, before.last_utc) == (START, START + timedelta(days=1))
    for missing in ([], ["nothing"]):
        with pytest.raises(InputError, match=f"{missing[0] if missing else 'a side'} names no run"):
            compared(store, missing, ids[2:])


def test_with_more_than_ten_runs_on_a_side_medians_of_runs_are_compared(store: Store) -> None:
    ids = nights(store, *[[Made(noisy(8.0, 3, seed=k), unreliable=3 * (k == 11))] for k in range(12)])
    ten, eleven = compared(store, ids[:10], ids[11:], **LATENCY), compared(store, ids[:11], ids[11:], **LATENCY)
    assert (ten.medians, eleven.medians) == (False, True)
    assert [report.rows[0].comparison.baseline.n for report in (ten, eleven)] == [30, 11]
    for report, what in ((ten, "all 3 repetitions"), (eleven, "the only run")):
        assert report.rows[0].comparison.reason == f"{what} of the candidate {'is' if 'only' in what else 'are'} " + (
            "unreliable (other load: 4.0 on 2 CPUs)"
        )
    assert compared(store, ids[11:], ids[:11], **LATENCY).medians
    assert not [one for one in eleven.notices if one.kind is NoticeKind.TOO_FEW_PROCESSES]


def test_with_fewer_than_three_timed_processes_only_exact_metrics_are_judged(store: Store) -> None:
    before = Made(noisy(8.0), size=100, peak_mb=100.0)
    ids = nights(store, [before], [replace(before, latencies=noisy(8.0, 2), sha="c", size=200, peak_mb=150.0)], [
        replace(before, latencies=noisy(8.0, 3), sha="c", size=200, peak_mb=150.0)
    ])  # fmt: skip

    def verdicts(*sides: list[str]) -> dict[str, tuple[str, int | None]]:
        rows = compared(store, *sides).rows
        return {row.metric: (row.comparison.verdict, row.comparison.more_repetitions) for row in rows}

    for sides in ((ids[:1], ids[1:2]), (ids[1:2], ids[:1])):
        found = verdicts(*sides)
        assert found["peak_memory"] == ("undecided", 1)
        assert found["model_size"][0] == ("regressed" if sides[0] == ids[:1] else "improved")
        # It has no verdict by itself: five repetitions are usual.
        assert found["latency"] == ("undecided", 3)
    assert verdicts(ids[:1], ids[2:])["peak_memory"] == ("regressed", None)


def test_rows_are_sorted_by_verdict_and_size_undecided_ones_by_p(store: Store) -> None:
    levels = {"a": (8.0, 8.8), "b": (8.0, 12.0), "c": (8.0, 7.0), "d": (8.0, 8.0), "e": (8.0, 5.0)}
    jobs = [
        [Made(noisy(level[k], seed=n + 10 * k), name) for n, (name, level) in enumerate(levels.items())] for k in (0, 1)
    ]
    wide = [Made(noisy(8.0 + 0.4 * k, 6, 0.06, seed=30 + k), "f") for k in (0, 1)]
    none = [Made(noisy(8.0, 6, 0.06, seed=40 + k), "g") for k in (0, 1)]
    report = compared(
        store, *[[one] for one in nights(store, *[[none[k], wide[k], *jobs[k]] for k in (0, 1)])], **LATENCY
    )
    assert [(row.model, row.comparison.verdict) for row in report.rows] == [
        ("b", "regressed"), ("a", "regressed"), ("e", "improved"), ("c", "improved"), ("f", "undecided"),
        ("g", "undecided"), ("d", "unchanged"),
    ]  # fmt: skip
    p = [row.comparison.p for row in report.of("undecided")]
    assert p == sorted(p, key=lambda one: one or 0.0)


def test_a_model_s_size_is_shown_with_its_first_case_and_cases_of_one_side_are_sorted(store: Store) -> None:
    def made(*names: str) -> list[Made]:
        return [Made(noisy(8.0, 3), *name.split()) for name in names]

    ids = nights(
        store, made("unet gpu", "unet cpu", "b gpu", "a gpu"), [*made("unet gpu", "unet cpu", "c gpu"), Made((), "a")]
    )
    report = compared(store, ids[:1], ids[1:])
    assert [row.case for row in report.rows if row.metric == "model_size"] == ["unet · cpu"]
    assert [(one.side, one.case) for one in report.one_sided] == [
        ("baseline", "a · gpu"), ("baseline", "b · gpu"), ("candidate", "c · gpu")
    ], "a job without any repetition measured nothing"  # fmt: skip


def test_times_of_operators_are_compared_from_three_runs_per_side(store: Store) -> None:
    def made(ms: float) -> list[Made]:
        return [Made(noisy(8.0, 3), types={"ADD": (ms, 2), "CONV_2D": (4.0, 4)})]

    ids = nights(store, *[made(1.0 + k / 100) for k in range(3)], *[made(2.0 + k / 100) for k in range(3)])
    asked = {"metrics": ("latency", "operator_time")}
    three = compared(store, ids[:3], ids[3:], **asked)
    (add,) = (row for row in three.rows if row.operator_type == "ADD")
    assert (add.comparison.baseline.values, add.comparison.verdict) == ((1.0, 1.01, 1.02), "regressed")
    assert [row.metric for row in compared(store, ids[:2], ids[3:], **asked).rows] == ["latency"]


def test_a_regression_is_explained_by_the_median_of_the_last_ten_profiles_and_the_last_delegation(store: Store) -> None:
    def made(latency: float, ms: float, nodes: tuple[int, int, int], seed: int) -> list[Made]:
        return [Made(noisy(latency, 3, seed=seed), types={"ADD": (ms, 2)}, on_delegate=5.0, nodes=nodes)]

    before = nights(store, *[made(8.0, 90.0 if k < 2 else 1.0, (10, 10, 1), k) for k in range(12)])
    after = [night(store, 20, made(10.0, 3.0, (10, 10, 1), 90)), night(store, 21, made(10.0, 3.0, (8, 10, 2), 91))]
    row = next(row for row in compared(store, before, after).rows if row.metric == "latency")
    assert row.comparison.verdict == "regressed" and row.explanation is not None
    causes = {one.kind: one for one in row.explanation.causes}
    assert causes["slower"].change_ms == pytest.approx(2.0), "the first two of twelve profiles are not read"
    was, now = causes["delegation"].baseline, causes["delegation"].candidate
    assert was is not None and now is not None
    assert (was.nodes_delegated, was.whole, was.partitions) == (10, True, 1)
    assert (now.nodes_delegated, now.nodes_total, now.whole, now.partitions) == (8, 10, False, 2)
    assert row.comparison.baseline.median is not None and row.comparison.candidate.median is not None
    moved = row.comparison.candidate.median - row.comparison.baseline.median
    assert row.explanation.unexplained_ms == pytest.approx(moved - 2.0)
    (unknown,) = (
        row for row in compared(store, *[[one] for one in nights_without_nodes(store)]).rows if row.metric == "latency"
    )
    assert unknown.explanation is not None
    assert [one.kind for one in unknown.explanation.causes] == ["slower"]


def nights_without_nodes(store: Store) -> list[str]:
    return [night(store, 40 + k, [Made(noisy(8.0 + 2 * k, seed=k), types={"ADD": (1.0 + k, 2)})]) for k in (0, 1)]


def sessions(store: Store, number: int, latencies: Sequence[float | None], unet_ms: float, **of: Any) -> str:
    at = START + timedelta(days=number)
    run_id = f"{at:%Y%m%d-%H%M%S}-{number:04x}"
    job = job_view(run_id, 1, Made((), "unet"), at)
    store.add_run(RunView(run_record(run_id, at), "done", at, (JobView(job.job, ()),)))
    stages = tuple(
        PipelineStageRecord(k, name, 1, False, 1, 0, ("/b",), "", True, wall_ms=ms)
        for k, (name, ms) in enumerate((("text", 50.0), ("unet", unet_ms)))
    )
    for index, latency in enumerate(latencies):
        failed = {"status": "failed", "failure_kind": "crash", "failure_message": "boom"} if latency is None else {}
        one = replace(
            SESSION, run_id=run_id, index=index, latency_ms=latency, stages=stages, samples=(), verdict="valid"
        )
        store.add_pipeline_session(replace(one, **failed, **of))
    return run_id


def test_whole_pipelines_are_compared_and_their_stages_explain_a_regression(store: Store) -> None:
    ids = [sessions(store, 0, noisy(100.0, 5), 50.0), sessions(store, 1, [*noisy(120.0, 5, seed=2), None], 70.0)]
    (row,) = compared(store, ids[:1], ids[1:]).rows
    assert (row.case, row.comparison.verdict, row.comparison.candidate.n) == (
        "sd · gpu · resident · 20 steps · guidance", "regressed", 5
    )  # fmt: skip
    assert row.explanation is not None
    assert [(one.kind, one.name, one.change_ms) for one in row.explanation.causes] == [("slower", "unet", 20.0)]
    broken = sessions(store, 2, [None] * 5, 50.0)
    (failure,) = compared(store, ids[:1], [broken]).failures
    assert (failure.case, failure.kind, failure.message, failure.failed, failure.of) == (
        row.case,
        "crash",
        "boom",
        5,
        5,
    )


def test_sessions_of_many_runs_are_medians_and_a_run_is_unreliable_if_all_its_sessions_are(store: Store) -> None:
    many = [sessions(store, k, [100.0 + k, 90.0 + k, 101.0 + k], 50.0) for k in range(11)]
    bad = sessions(store, 20, [100.0, 100.0], 50.0, verdict="unreliable", verdict_reasons=("hot",))
    report = compared(store, many, [bad], **LATENCY)
    (row,) = report.rows
    assert row.comparison.baseline.values == tuple(100.0 + k for k in range(11))
    assert row.comparison.candidate.values == (100.0,)
    assert row.comparison.reason == "the only run of the candidate is unreliable (hot)"
