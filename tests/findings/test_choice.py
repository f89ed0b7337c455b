"""Which delegate is the best, by how much, and each reason why none can be chosen."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import pytest

from devbench.findings.choice import Choice, choices, winner_of
from devbench.findings.run_build import build_report
from devbench.notices import Effect, Notice, NoticeKind
from devbench.results.store import RunView
from tests.made.comparisons import comparison, row
from tests.made.nights import START, Made, job_view
from tests.made.samples import run_record


def chosen(*jobs: Made, notices: tuple[Notice, ...] = ()) -> Choice:
    views = tuple(job_view("r", k + 1, job, START) for k, job in enumerate(jobs))
    (one,) = choices(
        build_report(RunView(run_record("r", START), "done", START + timedelta(minutes=5), views, notices))
    )
    return one


def around(level: float, n: int = 5, width: float = 0.01) -> tuple[float, ...]:
    return tuple(level * (1 + width * (k - (n - 1) / 2)) for k in range(n))


def test_the_winner_is_that_many_times_as_fast_as_the_next() -> None:
    one = chosen(Made(around(12.0), delegate="cpu"), Made(around(3.0), delegate="gpu"), Made(around(6.0), delegate="x"))
    assert one.winner is not None and one.rival is not None and one.ratio is not None
    assert (one.winner.job.delegate, one.rival.job.delegate, one.reason) == ("gpu", "x", "")
    assert one.ratio[0] == pytest.approx(2.0)
    # Both medians are known to 2 %: the ratio to the root of 2 times that.
    assert one.ratio[1] == pytest.approx(2.0 * 0.02 * math.sqrt(2), rel=0.01)
    assert [job.job.delegate for job in one.measured] == ["gpu", "x", "cpu"]
    assert one.best is one.winner


def test_overlapping_intervals_have_no_winner_but_the_number_of_processes_that_would_decide() -> None:
    one = chosen(Made(around(3.0, width=0.02), delegate="gpu"), Made(around(3.1, width=0.02), delegate="x"))
    assert (one.winner, one.reason) == (None, "overlap")
    assert one.rival is not None and one.rival.job.delegate == "x"
    assert one.best is not None and one.best.job.delegate == "gpu"
    a, b = (job.latency for job in one.measured)
    assert a is not None and b is not None and one.more is not None
    half = (a.high - a.low + b.high - b.low) / 2

    def apart(more: int) -> bool:
        return half * math.sqrt(5 / (5 + more)) <= b.median - a.median

    assert apart(one.more) and not apart(one.more - 1)


def test_more_than_thirty_further_processes_are_not_proposed() -> None:
    one = chosen(Made(around(3.0, width=0.05), delegate="gpu"), Made(around(3.01, width=0.05), delegate="x"))
    assert (one.reason, one.more) == ("overlap", None)


@pytest.mark.parametrize("n", [1, 2])
def test_fewer_than_three_processes_choose_nothing(n: int) -> None:
    one = chosen(Made(around(3.0, n), delegate="gpu"), Made(around(9.0, n), delegate="cpu"))
    assert (one.winner, one.reason) == (None, "few")
    assert chosen(Made(around(3.0, 3), delegate="gpu"), Made(around(9.0, 3), delegate="cpu")).winner is not None


def test_unreliable_repetitions_choose_nothing_and_a_fast_unreliable_delegate_is_a_rival() -> None:
    unreliable = Made(around(3.0), delegate="gpu", unreliable=5)
    assert chosen(unreliable, Made(around(9.0), delegate="cpu", unreliable=5)).reason == "unreliable"
    rival = chosen(unreliable, Made(around(9.0), delegate="cpu"), Made(around(12.0), delegate="x"))
    assert (rival.winner, rival.reason) == (None, "rival")
    assert rival.rival is not None and rival.rival.job.delegate == "gpu"
    assert "unreliable" in rival.text
    slow = Made(around(30.0), delegate="gpu", unreliable=5)
    assert chosen(slow, Made(around(9.0), delegate="cpu"), Made(around(12.0), delegate="x")).reason == ""


def test_one_delegate_alone_is_no_winner_and_the_only_one_that_works_is() -> None:
    assert chosen(Made(around(3.0), delegate="gpu")).reason == "alone"
    only = chosen(Made(around(3.0), delegate="gpu"), Made((), delegate="cpu", failed=2))
    assert only.reason == "only" and only.winner is not None and only.winner.job.delegate == "gpu"
    failed = chosen(Made((), delegate="gpu", failed=2), Made((), delegate="cpu", failed=2, kind="timeout"))
    assert (failed.winner, failed.best, failed.reason, failed.text) == (None, None, "failed", "crash, timeout")


def test_wrong_outputs_cannot_win() -> None:
    wrong, right, slow = (
        job_view("r", k + 1, Made(around(level), delegate=delegate), START)
        for k, (level, delegate) in enumerate(((1.0, "gpu"), (3.0, "x"), (9.0, "cpu")))
    )
    rows = tuple(replace(row, outputs=({"against": "host", "wrong": "NaN"},)) for row in wrong.repetitions)
    view = RunView(run_record("r", START), "done", None, (replace(wrong, repetitions=rows), right, slow))
    winner = winner_of(build_report(view).jobs)
    assert winner is not None and winner.job.delegate == "x"
    assert winner_of([]) is None


def about(subject: str, text: str, effect: Effect = Effect.EXCLUDED) -> Notice:
    return Notice(NoticeKind.OPEN_SHAPES, subject, text, effect=effect)


def test_a_notice_that_allows_no_verdict_is_the_reason_before_one_that_excludes() -> None:
    fast, slow = Made(around(3.0), delegate="gpu"), Made(around(9.0), delegate="cpu")
    both = about("unet · gpu", "open"), about("unet · cpu", "changed", Effect.UNDECIDED)
    found = chosen(fast, slow, notices=both)
    assert (found.reason, found.text) == ("unreliable", "changed")
    excluded = chosen(fast, slow, notices=(about("unet", "open"), about("unet", "second")))
    assert (excluded.reason, excluded.text, excluded.winner) == ("excluded", "open", None)
    assert chosen(fast, slow, notices=(about("unet", "told", Effect.INFORMATION),)).reason == ""
    once = chosen(Made((3.0,), delegate="gpu"), slow, notices=(about("unet · cpu", "open"),))
    assert (once.reason, once.text) == ("few", "measured once: not enough to choose")


def test_the_only_fit_delegate_does_not_win_over_an_excluded_one_whose_first_notice_is_the_reason() -> None:
    notices = about("unet · cpu", "open"), about("unet · cpu", "second")
    found = chosen(Made(around(3.0), delegate="gpu"), Made(around(9.0), delegate="cpu"), notices=notices)
    assert (found.reason, found.text, found.winner) == ("rival", "open", None)
    assert found.rival is not None and found.rival.job.delegate == "cpu"
    assert found.best is not None and found.best.job.delegate == "gpu"


def test_delegates_after_the_first_overlapping_one_do_not_matter() -> None:
    found = chosen(
        Made(around(3.0, width=0.02), delegate="a"), Made(around(9.0), delegate="c"),
        Made(around(3.05, width=0.02), delegate="b"),
    )  # fmt: skip
    assert (found.reason, found.rival and found.rival.job.delegate) == ("overlap", "b")
    touching = chosen(Made((1.0, 2.0, 3.0), delegate="a"), Made((3.0, 4.0, 5.0), delegate="b"))
    assert touching.reason == "overlap", "intervals that touch overlap"
    # The half widths add up to 2, and the medians are 2 apart: no more are needed, but the minimum is 1.
    assert touching.more == 1
    # The medians are 1 apart: the widths must be halved, which takes four times as many processes.
    assert chosen(Made((1.0, 2.0, 3.0), delegate="a"), Made((2.0, 3.0, 4.0), delegate="b")).more == 9
    equal = chosen(Made((1.0, 2.0, 3.0), delegate="a"), Made((1.0, 2.0, 3.0), delegate="b"))
    assert (equal.reason, equal.more) == ("overlap", None)


def test_the_best_delegate_of_the_baseline_is_shown_if_it_is_another_one() -> None:
    views = tuple(
        job_view("r", k, Made(around(level), delegate=delegate), START)
        for k, (delegate, level) in enumerate((("gpu", 9.0), ("cpu", 3.0)), 1)
    )
    report = build_report(RunView(run_record("r", START), "done", None, views))

    def before(*sides: tuple[str, tuple[float, ...]], **of: object) -> str:
        rows = [
            row("unchanged", f"unet · {name}", sides=(values, values), **(of if name == "gpu" else {}))
            for name, values in sides
        ]
        (one,) = choices(report, comparison(*rows))
        return one.before

    fast, slow, few = (1.0, 1.1, 1.2), (4.0, 4.1, 4.2), (1.0, 1.1)
    assert before(("gpu", fast), ("cpu", slow)) == "gpu"
    assert before(("cpu", fast), ("gpu", slow)) == "", "it is the winner now"
    assert before(("gpu", fast)) == "", "nothing to compare it with"
    assert before(("gpu", few), ("cpu", slow), ("x", slow)) == ""
    assert before(("gpu", fast), ("cpu", slow), reason="throttled") == ""
    assert before(("gpu", fast), ("cpu", (1.2, 1.3, 1.4))) == "", "intervals that touch overlap"
    assert before(("gpu", fast), ("cpu", slow), ("x", (1.15, 1.3, 1.4))) == ""
    assert before(("gpu", fast), ("cpu", slow), metric="init") == ""
