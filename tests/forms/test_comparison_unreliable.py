"""A side whose repetitions are all unreliable gives no verdict, and every form says so with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devbench.findings.comparison_build import build_comparison
from devbench.forms.html import html
from devbench.forms.markdown import markdown
from devbench.notices import Effect, NoticeKind
from devbench.results.history import History
from devbench.results.store import Store
from devbench.sections.comparison import compared as compared_table
from devbench.sections.comparison import comparison_data, comparison_document
from tests.forms.compared import compared, limits, row, terminal
from tests.made.nights import Made, night, noisy

WHY = "all 8 repetitions of the candidate are unreliable (other load: 4.0 on 2 CPUs)"
TIMES = ("latency", "init", "first_inference", "peak_memory")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "r.db")) as opened:
        yield opened


def busy(level: float, unreliable: int = 8, seed: int = 2, n: int = 8, **changes: object) -> Made:
    return Made(noisy(level, n, seed=seed), unreliable=unreliable, **changes)  # type: ignore[arg-type]


def test_no_verdict_and_the_reason(store: Store) -> None:
    report = compared(store, night(store, 0, [Made(noisy(10))]), night(store, 1, [busy(15)]))
    assert not report.regressed
    for metric in TIMES:
        found = row(report, metric).comparison
        assert (found.verdict, found.q, found.interval, found.more_repetitions) == ("undecided", None, None, None)
    assert row(report, "latency").comparison.reason.startswith(
        "all 8 repetitions of the candidate are unreliable (other"
    )
    assert row(report, "peak_memory").comparison.reason.startswith("the only repetition of the candidate is unreliable")
    (notice,) = limits(report)
    assert (notice.kind, notice.effect, notice.device_key) == (NoticeKind.ALL_UNRELIABLE, Effect.UNDECIDED, "KEY")
    assert notice.subject == "unet · gpu"
    assert "--unreliable count" in notice.next_step


def test_the_file_s_size_is_what_it_is_whatever_the_device_does(store: Store) -> None:
    report = compared(store, night(store, 0, [Made(noisy(10))]), night(store, 1, [busy(10, size=2_000_000, sha="c")]))
    assert [one.metric for one in report.of("regressed")] == ["model_size"]


@pytest.mark.parametrize("sides", [(8, 0), (0, 8), (8, 8)])
def test_it_does_not_matter_which_side_it_is(store: Store, sides: tuple[int, int]) -> None:
    a = night(store, 0, [busy(10, sides[0], 1)])
    b = night(store, 1, [busy(15, sides[1], 2)])
    for one, other in ((a, b), (b, a)):
        report = compared(store, one, other)
        assert row(report, "latency").comparison.verdict == "undecided"
        assert len(limits(report)) == sum(map(bool, sides))


def test_unreliable_repetitions_count_if_that_is_asked_for(store: Store) -> None:
    a, b = night(store, 0, [Made(noisy(10))]), night(store, 1, [busy(15)])
    report = compared(store, a, b, unreliable="count")
    assert report.regressed
    assert row(report, "latency").comparison.verdict == "regressed"
    assert limits(report) == []


def test_a_side_with_reliable_repetitions_is_judged_by_those(store: Store) -> None:
    mixed = Made((*noisy(20, 4, seed=5), *noisy(10, 6, 0.002, 6)), unreliable=4)
    report = compared(store, night(store, 0, [Made(noisy(10, sigma=0.002))]), night(store, 1, [mixed]))
    found = row(report, "latency").comparison
    assert (found.verdict, found.candidate.n) == ("unchanged", 6)
    assert [one.kind for one in limits(report)] == [NoticeKind.SOME_UNRELIABLE]


def test_of_several_runs_the_reliable_ones_are_compared(store: Store) -> None:
    good = [night(store, k, [Made(noisy(10, seed=k))]) for k in range(3)]
    bad = night(store, 5, [busy(20)])
    last = night(store, 6, [Made(noisy(10, seed=9))])
    found = row(compared(store, (*good, bad), last), "latency").comparison
    assert (found.verdict, found.baseline.n) == ("unchanged", 24)
    counted = row(compared(store, (*good, bad), last, unreliable="count"), "latency").comparison
    assert counted.baseline.n == 32


def test_so_it_is_with_medians_of_many_runs(store: Store) -> None:
    good = tuple(night(store, k, [Made(noisy(10, 5, seed=k))]) for k in range(12))
    bad = tuple(night(store, 20 + k, [busy(20, 5, k, n=5)]) for k in range(12))
    last = night(store, 40, [Made(noisy(10, 5, seed=60))])
    found = row(compared(store, (*good, *bad), last), "latency").comparison
    assert (found.verdict, found.baseline.n) == ("unchanged", 12)
    report = compared(store, bad, last)
    assert row(report, "latency").comparison.reason.startswith("all 12 runs of the baseline are unreliable")
    assert not report.of("improved")


def test_operators_of_profiles_that_are_all_unreliable_have_no_verdict(store: Store) -> None:
    before = tuple(night(store, k, [Made(noisy(10, seed=k))]) for k in range(3))
    slow = {"CONV_2D": (9.0, 4), "ADD": (1.0, 2)}
    runs = [night(store, 10 + k, [busy(10, seed=k, types=slow)]) for k in range(3)]
    with History(store.database.shown) as history:
        report = build_comparison(history, before, runs)
    found = [one for one in report.rows if one.metric == "operator_time"]
    assert {one.operator_type for one in found} == {"CONV_2D", "ADD"}
    assert all(one.comparison.reason for one in found)


def test_other_cases_are_judged_as_if_it_were_not_there(store: Store) -> None:
    other = [Made(noisy(20, seed=3), model="other"), Made(noisy(20.4, seed=4), model="other")]
    a = night(store, 0, [Made(noisy(10)), other[0]])
    alone, both = night(store, 1, [other[1]]), night(store, 2, [busy(15), other[1]])
    one, two = (row(compared(store, a, run), "latency", "other · gpu").comparison for run in (alone, both))
    assert (one.verdict, one.q) == (two.verdict, two.q)


def test_a_reference_that_is_unreliable_corrects_nothing(store: Store) -> None:
    a = night(store, 0, [Made(noisy(10)), Made(noisy(3), model="ref", sha="d")])
    b = night(store, 1, [Made(noisy(11, seed=2)), busy(3.3, model="ref", sha="d")])
    report = compared(store, a, b, reference="ref")
    assert report.drifts == ()
    (unused,) = (one.text for one in report.notices if one.kind is NoticeKind.REFERENCE_NOT_USED)
    assert "all repetitions of a side are unreliable" in unused
    assert row(report, "latency").comparison.verdict == "regressed"


def test_every_form_says_it(store: Store) -> None:
    report = compared(store, night(store, 0, [Made(noisy(10))]), night(store, 1, [busy(15)]), metrics=("latency",))
    assert WHY in terminal(report, 200)
    assert terminal(report, 200).startswith(f"No verdict on the only case: {WHY}")
    assert "1 case, 1 check: 1 not judged" in terminal(report, 200)
    assert "regressed" not in terminal(report, 200)
    inert = markdown(comparison_document(report, "markdown")).replace("\\", "")
    assert WHY in inert
    assert inert.startswith(f"# No verdict on the only case: {WHY}")
    found = comparison_data(report)
    assert (found["regressed"], found["counts"]["unreliable"]) == (False, 1)
    assert (found["rows"][0]["verdict"], found["rows"][0]["reason"]) == ("undecided", WHY)
    assert found["notices"][0]["kind"] == "all_unreliable"
    assert any(WHY in cell.text for cell in compared_table(report).rows[0])
    page = html(comparison_document(report, "html"))
    assert page.count(WHY) >= 2, "as a notice and in the table"


def test_a_change_smaller_than_the_threshold_is_shown_and_is_no_regression(store: Store) -> None:
    a = night(store, 0, [Made(noisy(10, 30, 0.002))])
    b = night(store, 1, [Made(noisy(10.04, 30, 0.002, 2))])
    report = compared(store, a, b, metrics=("latency",))
    assert not report.regressed
    (found,) = report.small
    assert found.comparison.verdict == "unchanged"
    assert terminal(report, 120).startswith("No regressions against 20260901-210000-0000 (1 case)")
    for text in (terminal(report, 120, everything=True), markdown(comparison_document(report, "markdown"))):
        assert "+0.4" in text
    (exported,) = comparison_data(report)["rows"]
    assert (exported["direction"], exported["threshold"], exported["beyond_threshold"]) == ("worse", 0.01, False)
