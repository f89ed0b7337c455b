"""Comparisons out of a store: verdicts, what explains them, failures, what stands on one side, drift, every form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from devbench.forms.markdown import markdown
from devbench.notices import VIRTUAL_NOTE, NoticeKind
from devbench.results.store import Store
from devbench.sections.comparison import comparison_data, comparison_document
from tests.forms.compared import EVIL, compared, row, terminal
from tests.made.nights import Made, night, noisy


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "r.db")) as opened:
        yield opened


def test_a_slower_case_regresses_and_the_operator_that_was_added_is_named(store: Store) -> None:
    same = Made(noisy(20, seed=3), model="other")
    a = night(store, 0, [Made(noisy(10)), same])
    more = {"CONV_2D": (5.0, 5), "ADD": (1.0, 2)}
    b = night(store, 1, [Made(noisy(11, seed=2), types=more, sha="c"), Made(noisy(20, seed=4), model="other")])
    report = compared(store, a, b)
    assert report.regressed
    found = row(report, "latency")
    assert found.comparison.verdict == "regressed"
    assert found.comparison.change == pytest.approx(0.1, abs=0.01)
    assert row(report, "latency", "other · gpu").comparison.verdict == "unchanged"
    assert found.explanation is not None
    assert (found.explanation.causes[0].kind, found.explanation.causes[0].name) == ("slower", "CONV_2D")
    for text in (terminal(report), markdown(comparison_document(report, "markdown")).replace("\\", "")):
        assert "CONV_2D slower: 4.00 → 5.00 ms (+1.00 ms), 4 → 5 operators" in text
    assert report.rows[0].comparison.verdict == "regressed"


def test_lost_delegation_is_named(store: Store) -> None:
    a = night(store, 0, [Made(noisy(10), types={}, on_delegate=9.0, nodes=(50, 50, 1))])
    b = night(store, 1, [Made(noisy(14, seed=2), types={"TILE": (5.0, 2)}, on_delegate=8.0, nodes=(48, 50, 3))])
    report = compared(store, a, b)
    assert row(report, "delegated_node_share").comparison.verdict == "regressed"
    assert "delegation: 50 of 50 nodes in 1 partition → 48 of 50 nodes in 3 partitions (+4.00 ms)" in terminal(report)
    assert "TILE new: 5.00 ms (+5.00 ms)" in terminal(report)
    assert "100 %" in terminal(report)
    assert "−4.0 points" in terminal(report)


def test_a_case_that_worked_and_now_fails_is_a_regression_and_the_other_way_round_fixed(store: Store) -> None:
    a = night(store, 0, [Made(noisy(10)), Made(failed=2, model="was bad"), Made(failed=2, model="always")])
    b = night(store, 1, [Made(failed=3), Made(noisy(5), model="was bad"), Made(failed=2, model="always")])
    report = compared(store, a, b)
    assert report.regressed
    assert [(one.case, one.kind, one.failed, one.of) for one in report.failures] == [("unet · gpu", "crash", 3, 3)]
    assert [one.case for one in report.fixed] == ["was bad · gpu"]
    assert "unet · gpu on Phone (KEY) now fails: crash (3 of 3 repetitions): no more" in terminal(report, 200)


def test_many_failures_are_no_accident_and_a_single_one_may_be(store: Store) -> None:
    a = night(store, 0, [Made(noisy(10)), Made(noisy(10), model="shaky")])
    b = night(store, 1, [Made(noisy(10, seed=2), failed=1), Made(noisy(10, 3), model="shaky", failed=5)])
    assert [one.case for one in compared(store, a, b).failures] == ["shaky · gpu"]


def test_what_stands_on_one_side_only_is_listed(store: Store) -> None:
    a = night(store, 0, [Made(noisy(10)), Made(noisy(10), device="OLD")])
    b = night(store, 1, [Made(noisy(10, seed=2)), Made(noisy(10), model="new")])
    report = compared(store, a, b)
    assert [(one.side, one.device, one.case) for one in report.one_sided] == [
        ("baseline", "Phone (OLD)", "unet · gpu"),
        ("candidate", "Phone (KEY)", "new · gpu"),
    ]
    assert "only in the baseline, on Phone (OLD): unet · gpu" in terminal(report)


def test_a_larger_model_and_its_memory_regress(store: Store) -> None:
    a = night(store, 0, [Made(noisy(10), peak_mb=100)])
    b = night(store, 1, [Made(noisy(10, seed=2), size=1_000_001, peak_mb=130, sha="c")])
    report = compared(store, a, b)
    assert row(report, "model_size").comparison.verdict == "regressed"
    # One profile a side: the scatter between processes is taken for granted.
    assert row(report, "peak_memory").comparison.verdict == "regressed"


def test_runs_of_different_nights_have_a_scatter_of_their_own(store: Store) -> None:
    """Each night is another level by some percent: a candidate within them is no regression."""
    rng = np.random.default_rng(5)
    levels = 10 * np.exp(rng.normal(0, 0.02, 8))
    ids = [night(store, k, [Made(noisy(level, 5, seed=k))]) for k, level in enumerate(levels)]
    within = night(store, 20, [Made(noisy(10 * 1.025, 5, seed=50))])
    beyond = night(store, 21, [Made(noisy(10 * 1.25, 5, seed=51))])
    assert row(compared(store, tuple(ids), within), "latency").comparison.verdict == "undecided"
    assert row(compared(store, tuple(ids), beyond), "latency").comparison.verdict == "regressed"
    assert row(compared(store, ids[0], within), "latency").comparison.verdict == "regressed"


def test_of_many_runs_the_medians_are_compared(store: Store) -> None:
    ids = tuple(night(store, k, [Made(noisy(10, 5, seed=k))]) for k in range(12))
    same, slower = (night(store, 20 + k, [Made(noisy(level, 5, seed=60))]) for k, level in enumerate((10, 11)))
    report = compared(store, ids, same)
    assert report.medians
    assert row(report, "latency").comparison.baseline.n == 12
    assert row(report, "latency").comparison.verdict == "unchanged"
    found = compared(store, ids, slower)
    assert row(found, "latency").comparison.verdict == "regressed"
    assert "medians of runs" in terminal(found)


def test_a_reference_takes_the_drift_of_the_device_off(store: Store) -> None:
    def jobs(factor: float, seed: int, model: float = 1.0) -> list[Made]:
        return [
            Made(noisy(10 * factor * model, seed=seed)),
            Made(noisy(3 * factor, seed=seed + 1), model="ref", sha="d"),
            Made(noisy(7 * factor, seed=seed + 2), model="ref", sha="d", delegate="cpu"),
        ]

    labels = {"reference": "ref"}
    a, b = night(store, 0, jobs(1, 10), labels), night(store, 1, jobs(1.08, 20), labels)
    slower = night(store, 2, jobs(1.08, 30, model=1.1), labels)
    assert compared(store, a, b, reference="nothing").regressed
    report = compared(store, a, b)
    assert not report.regressed
    (drift,) = (one for one in report.drifts if one.metric == "latency")
    assert (drift.reference, drift.cases) == ("ref · gpu", 1)
    assert drift.change == pytest.approx(0.08, abs=0.01)
    assert re.search(r"Phone \(KEY\): speed drifted by \+[78]\.\d %", terminal(report))
    assert "ref · gpu" not in [one.case for one in report.rows if one.metric == "latency"]
    found = row(compared(store, a, slower), "latency").comparison
    assert (found.verdict, found.change) == ("regressed", pytest.approx(0.1, abs=0.015))


def test_a_reference_that_changed_itself_corrects_nothing(store: Store) -> None:
    a = night(store, 0, [Made(noisy(10)), Made(noisy(3, seed=2), model="ref")])
    b = night(store, 1, [Made(noisy(11, seed=3)), Made(noisy(3.3, seed=4), model="ref", binary="e")])
    report = compared(store, a, b, reference="ref")
    assert report.drifts == ()
    (unused,) = (one for one in report.notices if one.kind is NoticeKind.REFERENCE_NOT_USED)
    assert (unused.subject, unused.device_key) == ("reference ref · gpu", "KEY")
    assert unused.text == "corrects nothing: its binary is not the same everywhere"
    assert comparison_data(report)["notes"] == [f"{unused.subject} {unused.text}"]
    assert row(report, "latency").comparison.verdict == "regressed"


@pytest.mark.parametrize("width", [60, 80, 200])
def test_text_from_outside_is_text_and_virtual_devices_say_so(store: Store, width: int) -> None:
    a = night(store, 0, [Made(noisy(10), model=EVIL, virtual=True), Made(noisy(10), model="bad " + EVIL)])
    b = night(store, 1, [Made(noisy(12, seed=2), model=EVIL, virtual=True), Made(failed=1, model="bad " + EVIL)])
    report = compared(store, a, b)
    assert report.virtual
    shown = terminal(report, width)
    assert VIRTUAL_NOTE in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "<script>" in shown
    assert max(map(len, shown.splitlines())) <= 400
    inert = markdown(comparison_document(report, "markdown", everything=True))
    assert "<script>" not in inert
    assert "\u202e" not in inert
    assert VIRTUAL_NOTE in inert
