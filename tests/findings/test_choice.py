"""Which delegate is the best, by how much, and each reason why none can be chosen."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import pytest

from devbench.findings.choice import Choice, choices, winner_of
from devbench.findings.run_build import build_report
from devbench.results.store import RunView
from tests.made.nights import START, Made, job_view
from tests.made.samples import run_record


def chosen(*jobs: Made) -> Choice:
    views = tuple(job_view("r", k + 1, job, START) for k, job in enumerate(jobs))
    (one,) = choices(build_report(RunView(run_record("r", START), "done", START + timedelta(minutes=5), views)))
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
