"""Which facts become notices, of a run, a comparison, changes and pipelines; and how several of one cause are grouped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import devbench.results
from devbench.findings.changes import ChangesSettings
from devbench.findings.changes_build import find_changes
from devbench.findings.choice import choices
from devbench.findings.comparison import ComparisonReport, ComparisonSettings
from devbench.findings.comparison_build import build_comparison
from devbench.findings.run_build import build_report
from devbench.forms.terminal import terminal_text
from devbench.notices import DERIVED, Effect, Notice, NoticeKind, Tally, merged
from devbench.results.run_files import read_run, write_json
from devbench.results.store import Store
from devbench.sections.answer import detail
from devbench.sections.notices import grouped
from devbench.sections.run import run_document
from devbench.sections.subjects import RunSubject
from tests.made.nights import Made, night, noisy


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "r.db")) as opened:
        yield opened


def kinds(notices: tuple[Notice, ...]) -> list[tuple[str, str, Effect]]:
    return [
        (one.kind.value, one.subject, one.effect) for one in notices if one.kind is not NoticeKind.OUTPUTS_NOT_CHECKED
    ]


def compared(store: Store, before: str, after: str, **settings: Any) -> ComparisonReport:
    with devbench.results.open_history(store.database.shown) as history:
        return build_comparison(history, (before,), (after,), ComparisonSettings(**settings))


def test_the_facts_of_a_run_become_notices(store: Store) -> None:
    run = night(
        store, 0,
        [
            Made(noisy(10), unreliable=8), Made(noisy(10), model="some", unreliable=2),
            Made((10.0,), model="once", delegate="cpu"), Made(noisy(9), model="part", nodes=(3, 4, 1)),
            Made(noisy(9), model="v", device="virtual-1", virtual=True, title="virtual-1"),
        ],
    )  # fmt: skip
    found = store.run(run).all_notices
    assert kinds(found) == [
        ("virtual_device", "virtual-1", Effect.INFORMATION),
        ("all_unreliable", "unet · gpu", Effect.UNDECIDED),
        ("some_unreliable", "some · gpu", Effect.INFORMATION),
        ("too_few_processes", "once · cpu", Effect.EXCLUDED),
        ("partly_delegated", "part · gpu", Effect.INFORMATION),
    ]
    unchecked = [one.subject for one in found if one.kind is NoticeKind.OUTPUTS_NOT_CHECKED]
    assert unchecked == ["unet", "some", "part", "v"], "the plain CPU is what others are checked against"
    assert found[1].text == (
        "all 8 repetitions are unreliable (other load: 4.0 on 2 CPUs); shown because there are no better ones"
    )


def test_what_follows_from_what_is_stored_is_not_read_from_a_file(store: Store, tmp_path: Path) -> None:
    run = night(store, 0, [Made(noisy(10), unreliable=8)])
    store.add_notices(run, [Notice(NoticeKind.OPEN_SHAPES, "unet", "open")])
    view = store.run(run)
    write_json(view, tmp_path / "run.json")
    read = read_run(tmp_path / "run.json")
    assert read.notices == view.notices == (Notice(NoticeKind.OPEN_SHAPES, "unet", "open"),)
    assert read.all_notices == view.all_notices
    assert {one.kind for one in view.all_notices} & DERIVED


def test_a_job_that_was_measured_once_is_never_the_winner(store: Store) -> None:
    run = night(store, 0, [Made((10.0,)), Made(noisy(20), delegate="xnnpack")])
    (found,) = choices(build_report(store.run(run)))
    assert (found.winner, found.reason) == (None, "rival")


def test_a_stored_notice_that_allows_no_verdict_keeps_a_comparison_from_one(store: Store) -> None:
    before = night(store, 0, [Made(noisy(10)), Made(noisy(10, seed=3), model="other")])
    after = night(store, 1, [Made(noisy(12, seed=2)), Made(noisy(12, seed=4), model="other")])
    text = "libx.so was changed on the device during the run"
    store.add_notices(after, [Notice(NoticeKind.DEPOT_FILE_CHANGED, "libx.so", text, "", Effect.UNDECIDED, "KEY", 1)])
    report = compared(store, before, after, metrics=("latency",))
    verdicts = {row.model: (row.comparison.verdict, row.comparison.reason) for row in report.rows}
    assert verdicts == {"unet": ("undecided", f"{text} (in the candidate)"), "other": ("regressed", "")}
    assert ("depot_file_changed", "libx.so", Effect.UNDECIDED) in kinds(report.notices)
    counted = compared(store, before, after, metrics=("latency",), unreliable="count")
    assert {row.comparison.verdict for row in counted.rows} == {"regressed"}
    assert ("depot_file_changed", "libx.so", Effect.INFORMATION) in kinds(counted.notices)


def test_a_comparison_says_which_side_a_notice_is_of(store: Store) -> None:
    before, after = (night(store, n, [Made(noisy(10, seed=n + 1))]) for n in range(2))
    store.add_notices(before, [Notice(NoticeKind.STEP_NOT_APPLIED, "Phone (KEY)", "no clock", device_key="KEY")])
    for run in (before, after):
        store.add_notices(run, [Notice(NoticeKind.OPEN_SHAPES, "unet", "open", "", Effect.EXCLUDED)])
    texts = [one.text for one in compared(store, before, after).notices]
    unchecked = "outputs not checked against this computer's"
    assert sorted(texts) == ["no clock (baseline only)", "open", unchecked]
    assert [one.text for one in compared(store, before, after, models=("none",)).notices] == []


def test_unreliable_repetitions_that_were_left_out_are_counted(store: Store) -> None:
    before = night(store, 0, [Made(noisy(10))])
    after = night(store, 1, [Made(noisy(10, seed=2), unreliable=3)])
    found = next(one for one in compared(store, before, after).notices if one.kind is NoticeKind.SOME_UNRELIABLE)
    assert found.text == ("3 of 8 repetitions of the candidate are unreliable (other load: 4.0 on 2 CPUs) and left out")


def test_changes_have_the_notices_of_the_runs_next_to_them(store: Store) -> None:
    runs = [night(store, n, [Made(noisy(10 if n < 8 else 13, 1, seed=n), virtual=True)]) for n in range(16)]
    store.add_notices(runs[8], [Notice(NoticeKind.THERMAL_STATUS, "Phone (KEY)", "unknown", device_key="KEY")])
    store.add_notices(runs[2], [Notice(NoticeKind.THERMAL_STATUS, "Phone (KEY)", "elsewhere", device_key="KEY")])
    with devbench.results.open_history(store.database.shown) as history:
        report = find_changes(history, ChangesSettings(metrics=("latency",)))
    assert [one.text for one in report.notices if one.kind is NoticeKind.THERMAL_STATUS] == [f"unknown (run {runs[8]})"]
    assert [one.subject for one in report.notices if one.kind is NoticeKind.VIRTUAL_DEVICE] == ["Phone (KEY)"]


def busy(subject: str, number: int, concerned: int, load: float) -> Notice:
    tally = Tally(concerned, 8, "repetition", f"unreliable (other load: {load} on 2 CPUs)")
    return Notice(NoticeKind.SOME_UNRELIABLE, subject, tally.text, "", Effect.INFORMATION, "KEY", number, tally)


def test_notices_of_one_device_and_cause_are_one_line() -> None:
    several = [busy(f"m{n} · gpu", n, n, 4.0 + n / 10) for n in range(1, 6)]
    (line,) = grouped(several, {"KEY": "Phone"})
    assert line.words == ("Phone, 5 cases: 15 of 40 repetitions are unreliable (other load: 4.1 on 2 CPUs)")
    elsewhere = replace(several[0], device_key="OTHER")
    assert len(grouped([*several, elsewhere], {"KEY": "Phone", "OTHER": "Tablet"})) == 2


def test_what_allows_no_verdict_comes_first() -> None:
    effects = (Effect.INFORMATION, Effect.UNDECIDED, Effect.EXCLUDED)
    lines = grouped([Notice(NoticeKind.OPEN_SHAPES, "m", f"{n}", effect=one) for n, one in enumerate(effects)], {})
    assert [line.text for line in lines] == ["no verdict: 1", "2", "0"]


@pytest.mark.parametrize(
    ("concerned", "total", "text"),
    [
        (1, 1, "the only run of the candidate is slow"),
        (2, 2, "both runs of the candidate are slow"),
        (3, 3, "all 3 runs of the candidate are slow"),
        (1, 3, "1 of 3 runs of the candidate is slow"),
        (2, 3, "2 of 3 runs of the candidate are slow"),
    ],
)
def test_counts_are_told_in_good_english(concerned: int, total: int, text: str) -> None:
    assert Tally(concerned, total, "run of the candidate", "slow").text == text


def test_what_one_finding_tells_of_a_subject_another_does_not_tell_again() -> None:
    one, other = (Notice(NoticeKind.OPEN_SHAPES, "m", text) for text in "ab")
    assert merged([one], [other], [replace(other, subject="n")]) == (one, replace(other, subject="n"))
    assert merged([one, other]) == (one, other), "a finding may tell two things of a subject"


def test_a_comparison_says_which_cases_are_partly_delegated(store: Store) -> None:
    runs = [night(store, n, [Made(noisy(10, seed=n), nodes=(9, 10, 1))]) for n in range(2)]
    found = [one for one in compared(store, *runs).notices if one.kind is NoticeKind.PARTLY_DELEGATED]
    assert [(one.subject, one.device_key) for one in found] == [("unet · gpu", "KEY")]


def test_another_delegate_was_the_best_before(store: Store) -> None:
    jobs = [[Made(noisy(gpu)), Made(noisy(10, seed=2), delegate="xnnpack")] for gpu in (8, 12)]
    before, after = (night(store, number, of) for number, of in enumerate(jobs))
    report = build_report(store.run(after))
    (changed,), (alone,) = choices(report, compared(store, before, after)), choices(report)
    assert (changed.winner and changed.winner.job.delegate, changed.before, alone.before) == ("xnnpack", "gpu", "")
    assert "before: GPU" in detail(changed)
    assert terminal_text(run_document(RunSubject(report), "terminal"), 80).count("Next\n") == 1
