"""A comparison from the store: the drift of a reference, cases of one side, failures, excluded repetitions, filters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import devbench.results
from devbench.findings.comparison import ComparedRow, ComparisonReport, ComparisonSettings
from devbench.findings.comparison_build import build_comparison
from devbench.notices import NoticeKind
from devbench.results.store import Store
from tests.made.nights import Made, night, noisy

Compare = Callable[..., ComparisonReport]


@pytest.fixture
def compared(tmp_path: Path) -> Compare:
    def compare(before: Sequence[Made], after: Sequence[Made], **settings: object) -> ComparisonReport:
        url = str(tmp_path / f"{len(list(tmp_path.iterdir()))}.db")
        labels = {"reference": str(settings.pop("label"))} if "label" in settings else {}
        with Store(url) as store:
            sides = [[night(store, 0, before, labels)], [night(store, 1, after, labels)]]
        with devbench.results.open_history(url) as history:
            return build_comparison(history, *sides, ComparisonSettings(**settings))  # type: ignore[arg-type]

    return compare


def latency(report: ComparisonReport, case: str) -> ComparedRow:
    (row,) = (row for row in report.rows if row.metric == "latency" and row.case == case)
    return row


def texts(report: ComparisonReport, kind: NoticeKind) -> list[str]:
    return [one.text for one in report.notices if one.kind is kind]


BOTH = [Made(noisy(8.0, seed=1), "unet"), Made(noisy(20.0, seed=2), "ref", sha="r")]
WARMER = [Made(noisy(8.8, seed=3), "unet"), Made(noisy(22.0, seed=4), "ref", sha="r")]


def test_the_drift_of_a_reference_is_subtracted_from_cases_that_ran_as_it_did(compared: Compare) -> None:
    plain = latency(compared(BOTH, WARMER), "unet · gpu").comparison
    assert plain.verdict == "regressed" and plain.change == pytest.approx(0.1, abs=0.01)
    report = compared(BOTH, WARMER, reference="ref")
    found = latency(report, "unet · gpu").comparison
    assert found.verdict != "regressed" and found.change == pytest.approx(0, abs=0.01)
    assert found.drift == pytest.approx(0.1, abs=0.01)
    assert [(one.reference, one.metric, one.cases) for one in report.drifts if one.metric == "latency"] == [
        ("ref · gpu", "latency", 1)
    ]
    assert not [row for row in report.rows if row.case == "ref · gpu" and row.metric == "latency"], "it gets no verdict"
    other = compared(
        [*BOTH, Made(noisy(30.0, seed=5), "unet", "cpu")], [*WARMER, Made(noisy(33.0, seed=6), "unet", "cpu")],
        reference="ref",
    )  # fmt: skip
    assert latency(other, "unet · cpu").comparison.verdict == "regressed", "another delegate has another drift"
    named = compared(
        [*BOTH, Made(noisy(30.0, seed=5), "unet", "cpu")], [*WARMER, Made(noisy(33.0, seed=6), "unet", "cpu")],
        reference="ref · gpu",
    )  # fmt: skip
    assert latency(named, "unet · cpu").comparison.verdict != "regressed", "a case corrects all cases of its device"


def test_the_reference_is_the_label_of_the_runs_and_none_switches_it_off(compared: Compare) -> None:
    assert compared(BOTH, WARMER, label="ref").drifts
    assert not compared(BOTH, WARMER, label="ref", reference="none").drifts
    assert not compared(BOTH, WARMER).drifts


@pytest.mark.parametrize(
    ("after", "why"),
    [
        ([WARMER[0], Made(noisy(22.0), "ref", sha="x")], "its model is not the same everywhere"),
        ([WARMER[0], Made(noisy(22.0), "ref", sha="r", binary="c")], "its binary is not the same everywhere"),
        ([WARMER[0], Made(noisy(22.0, 2), "ref", sha="r")], "too few repetitions"),
        ([WARMER[0], Made(noisy(22.0), "ref", sha="r", unreliable=8)], "all repetitions of a side are unreliable"),
    ],
)
def test_a_reference_that_cannot_be_used_corrects_nothing_and_says_why(
    compared: Compare, after: Sequence[Made], why: str
) -> None:
    report = compared(BOTH, after, reference="ref")
    assert latency(report, "unet · gpu").comparison.drift is None
    assert any(why in text for text in texts(report, NoticeKind.REFERENCE_NOT_USED))


def test_a_reference_that_nobody_measured_is_named(compared: Compare) -> None:
    (text,) = texts(compared(BOTH, WARMER, reference="nothing"), NoticeKind.REFERENCE_NOT_USED)
    assert "not measured on either side" in text


def test_cases_of_one_side_are_listed_and_new_failures_count_as_regressions(compared: Compare) -> None:
    report = compared(
        [Made(noisy(8.0), "unet"), Made(noisy(3.0), "old"), Made(noisy(4.0), "breaks")],
        [Made(noisy(8.0, seed=2), "unet"), Made(noisy(3.0), "new"), Made((), "breaks", failed=8)],
    )
    assert {(one.case, one.side) for one in report.one_sided} == {("old · gpu", "baseline"), ("new · gpu", "candidate")}
    (failure,) = report.failures
    assert (failure.case, failure.kind, failure.failed, failure.of) == ("breaks · gpu", "crash", 8, 8)
    assert report.cases["KEY", "breaks · gpu"] == "regressed"
    assert report.cases["KEY", "unet · gpu"] in ("unchanged", "too noisy to call")
    back = compared([Made((), "breaks", failed=8)], [Made(noisy(4.0), "breaks")])
    assert not back.failures and back.cases["KEY", "breaks · gpu"] == "improved"
    assert [one.case for one in back.fixed] == ["breaks · gpu"]


def test_some_failures_that_chance_explains_are_no_regression(compared: Compare) -> None:
    few = compared([Made(noisy(4.0), "unet")], [Made(noisy(4.0, 7), "unet", failed=1)])
    assert not few.failures
    many = compared([Made(noisy(4.0, 20), "unet")], [Made(noisy(4.0, 8), "unet", failed=12)])
    assert [(one.failed, one.of) for one in many.failures] == [(12, 20)]


def test_unreliable_repetitions_are_excluded_and_counted_in_a_notice(compared: Compare) -> None:
    slow = Made((*(16.0,) * 3, *noisy(8.0, 5)), "unet", unreliable=3)
    report = compared([BOTH[0]], [slow])
    assert latency(report, "unet · gpu").comparison.candidate.n == 5
    assert latency(report, "unet · gpu").comparison.verdict != "regressed"
    (text,) = texts(report, NoticeKind.SOME_UNRELIABLE)
    assert "3 of 8" in text and "other load: 4.0 on 2 CPUs" in text


def test_a_side_that_is_all_unreliable_has_no_verdict_and_fails_nothing(compared: Compare) -> None:
    report = compared([BOTH[0]], [Made(noisy(16.0), "unet", unreliable=8)])
    row = latency(report, "unet · gpu").comparison
    assert row.verdict == "undecided" and row.reason
    assert report.cases["KEY", "unet · gpu"] == "not judged"
    assert texts(report, NoticeKind.ALL_UNRELIABLE)
    counted = compared([BOTH[0]], [Made(noisy(16.0), "unet", unreliable=8)], unreliable="count")
    assert latency(counted, "unet · gpu").comparison.verdict == "regressed"


@pytest.mark.parametrize(("n", "times"), [(1, "once"), (2, "twice")])
def test_a_case_that_was_timed_too_seldom_is_named_with_its_side(compared: Compare, n: int, times: str) -> None:
    report = compared([BOTH[0]], [Made(noisy(8.0, n), "unet")])
    assert f"measured {times} in the candidate: not enough to judge" in texts(report, NoticeKind.TOO_FEW_PROCESSES)
    assert not texts(compared([BOTH[0]], [Made(noisy(8.0, 3), "unet")]), NoticeKind.TOO_FEW_PROCESSES)


def test_filters_choose_what_is_compared(compared: Compare) -> None:
    jobs = [Made(noisy(8.0), "unet"), Made(noisy(8.0), "unet", "cpu"), Made(noisy(8.0), "face", device="B")]

    def cases(**filters: object) -> set[tuple[str, str]]:
        return {(row.device_key, row.case) for row in compared(jobs, jobs, **filters).rows}

    assert cases() == {("KEY", "unet · gpu"), ("KEY", "unet · cpu"), ("B", "face · gpu")}
    assert cases(devices=("B",)) == {("B", "face · gpu")}
    assert cases(models=("unet",), delegates=("cpu",)) == {("KEY", "unet · cpu")}
    assert {row.metric for row in compared(jobs, jobs, metrics=("model_size",)).rows} == {"model_size"}


def test_operators_explain_a_regression_with_their_times_and_numbers(compared: Compare) -> None:
    before = Made(noisy(8.0), types={"CONV_2D": (6.0, 4), "ADD": (1.0, 2)})
    after = Made(noisy(11.0, seed=2), types={"CONV_2D": (6.0, 4), "ADD": (3.0, 5), "PAD": (0.5, 1)})
    explanation = latency(compared([before], [after]), "unet · gpu").explanation
    assert explanation is not None
    assert [(one.kind, one.name, one.change_ms, one.counts) for one in explanation.causes] == [
        ("slower", "ADD", pytest.approx(2.0), (2, 5)), ("new", "PAD", pytest.approx(0.5), (0, 1)),
    ]  # fmt: skip
    assert explanation.change_ms == pytest.approx(2.5)
    assert explanation.unexplained_ms == pytest.approx(0.5, abs=0.1)
