"""A night measured on a busy device: no verdict, and JUnit, message, summary, JSON and exit code all say so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

import devbench.results
from devbench.findings.comparison import ComparisonSettings
from devbench.findings.comparison_build import build_comparison
from devbench.findings.night import NightResult
from devbench.findings.run_build import build_report
from devbench.nightly import night as nightly
from devbench.options import NightlyOptions
from devbench.results.store import Store
from devbench.sections.night import night_sentence
from tests.made.night_forms import night_json, night_junit, night_lines, night_message, night_summary
from tests.made.nights import Made, night, noisy

_FIRST = (
    "No best delegate for any of 2 pairs of model and device; Phone could not be judged: unreliable; "
    "nothing to compare with yet"
)
WHY = "all 8 repetitions of the candidate are unreliable (other load: 4.0 on 2 CPUs)"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "r.db")) as opened:
        yield opened


def result(store: Store, candidate: list[Made], unreliable: str = "undecided") -> NightResult:
    before = night(store, 0, [Made(noisy(10)), Made(noisy(10, seed=3), model="other")])
    after = night(store, 1, candidate)
    with devbench.results.open_history(store.database.shown) as history:
        comparison = build_comparison(history, (before,), (after,), ComparisonSettings(unreliable=unreliable))
    return NightResult("suite", "2026-11-25", build_report(store.run(after)), comparison)


def texts(of: NightResult) -> dict[str, str]:
    plain = {"summary": night_summary(of), "message": night_message(of), "lines": "\n".join(night_lines(of))}
    return {name: text.replace("\\", "").replace("\u2060", "") for name, text in plain.items()}


def test_no_verdict_fails_nothing_and_every_form_has_the_reason(store: Store) -> None:
    of = result(store, [Made(noisy(15, seed=2), unreliable=8), Made(noisy(10, seed=4), model="other")])
    assert (of.exit_code, night_sentence(of)) == (0, "No regressions in 1 of 2 cases; 1 case not judged")
    for name, text in texts(of).items():
        assert WHY in text, name
        assert "1 case not judged" in text
        assert "regressed" not in text
    root = ElementTree.fromstring(night_junit(of))
    bad, good = root.iter("testcase")
    skipped = bad.find("skipped")
    assert skipped is not None
    assert skipped.get("message") == f"no verdict: {WHY}"
    assert WHY in str(bad.findtext("system-out"))
    assert good.find("skipped") is None
    suite = root.find("testsuite")
    assert suite is not None
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "1")
    found = night_json(of)
    assert (found["exit_code"], found["comparison"]["regressed"]) == (0, False)
    assert WHY in found["comparison"]["notices"][0]["text"]


def test_a_first_night_on_a_busy_device_is_not_all_well(store: Store) -> None:
    only = night(store, 0, [Made(noisy(10), unreliable=8), Made(noisy(10, seed=4), model="other")])
    of = NightResult("suite", "2026-11-25", build_report(store.run(only)))
    assert (of.exit_code, night_sentence(of)) == (0, _FIRST)
    why = "all 8 repetitions are unreliable"
    for name, text in texts(of).items():
        assert why in text, name
    bad, good = ElementTree.fromstring(night_junit(of)).iter("testcase")
    skipped = bad.find("skipped")
    assert skipped is not None
    assert str(skipped.get("message")).startswith(f"no verdict: {why}")
    assert good.find("skipped") is None


def test_a_new_case_that_is_unreliable_is_named_next_to_a_comparison(store: Store) -> None:
    of = result(store, [Made(noisy(10, seed=5)), Made(noisy(10), model="new", unreliable=8)])
    assert night_sentence(of) == "No regressions against 20260901-210000-0000 (1 case); 1 new case not judged"
    assert all("new" in text and "all 8 repetitions are unreliable" in text for text in texts(of).values())


def test_counted_it_is_a_regression_in_every_form(store: Store) -> None:
    of = result(store, [Made(noisy(15, seed=2), unreliable=8)], "count")
    assert (of.exit_code, night_sentence(of)) == (
        1,
        "1 regression: unet with GPU on Phone takes 15.0 ms instead of 10.0 ms (+50 %)",
    )
    for text in texts(of).values():
        assert "+50" in text
    root = ElementTree.fromstring(night_junit(of))
    (failure,) = root.iter("failure")
    assert failure.get("type") == "regression"
    assert list(root.iter("skipped")) == []


def test_a_regression_elsewhere_still_fails_the_night(store: Store) -> None:
    of = result(store, [Made(noisy(15, seed=2), unreliable=8), Made(noisy(11, seed=4), model="other")])
    assert of.exit_code == 1
    assert night_sentence(of).startswith("1 regression: other with GPU on Phone takes 11.0 ms")
    assert night_sentence(of).endswith("; 1 case not judged")


def test_a_change_smaller_than_the_threshold_fails_nothing(store: Store) -> None:
    before = night(store, 0, [Made(noisy(10, 30, 0.002))])
    after = night(store, 1, [Made(noisy(10.04, 30, 0.002, 2))])
    with devbench.results.open_history(store.database.shown) as history:
        comparison = build_comparison(history, (before,), (after,), ComparisonSettings(metrics=("latency",)))
    of = NightResult("suite", "2026-11-25", build_report(store.run(after)), comparison)
    assert (of.exit_code, night_sentence(of)) == (0, "No regressions against 20260901-210000-0000 (1 case)")


def test_the_suite_and_the_command_line_may_count_them(store: Store) -> None:
    before = night(store, 0, [Made(noisy(10))])
    after = night(store, 1, [Made(noisy(15, seed=2), unreliable=8)])
    screen = nightly.Screen(None, print)  # type: ignore[arg-type]
    with devbench.results.open_history(store.database.shown) as history:
        for changes, regressed in (({}, False), ({"unreliable": "count"}, True)):
            settings = NightlyOptions(baseline=before, **changes)
            asked: Any = SimpleNamespace(settings=settings)
            found = nightly._compare(asked, history, [after], (), screen)
            assert found is not None
            assert found.regressed == regressed
