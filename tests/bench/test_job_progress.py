"""How far a job is: counted alike while it runs and when its run is resumed; when it has enough repetitions."""

from __future__ import annotations

import random
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from devbench.analysis.stats import estimate
from devbench.bench.plan import Earlier, JobProgress, Limits, in_turn
from devbench.errors import EnvironmentProblem
from devbench.results.records import RepetitionRecord

NOW = datetime(2026, 11, 26, tzinfo=timezone.utc)


def repetition(index: int = 0, **changes: Any) -> RepetitionRecord:
    values: dict[str, Any] = {
        "run_id": "r", "job_number": 1, "index": index, "purpose": "latency", "started_utc": NOW, "finished_utc": NOW,
        "duration_s": 1.0, "argv": (), "status": "ok", "failure_kind": None, "failure_message": None, "exit_code": 0,
        "raw_path": "r/x", "measurement": {}, "latency_avg_us": 5.0,
    }  # fmt: skip
    failed = {"status": "failed", "latency_avg_us": None} if "failure_kind" in changes else {}
    return RepetitionRecord(**{**values, **failed, **changes})


def fresh() -> JobProgress:
    return JobProgress(record=None, case=None, asked=2)  # type: ignore[arg-type]


def test_latencies_count_but_not_the_unreliable_ones() -> None:
    one = fresh()
    for index, verdict in enumerate(["valid", "unreliable", "valid"]):
        one.count(repetition(index, verdict=verdict))
    assert one.done == {"latency": 3}
    assert len(one.valid_us) == 2
    assert one.retried == 1
    assert one.left(5) == 2
    assert not one.stopped


def test_a_failure_that_would_come_again_stops_a_job_and_a_crash_the_second_time() -> None:
    one, other = fresh(), fresh()
    one.count(repetition(failure_kind="unknown_flag"))
    assert one.stopped
    other.count(repetition(failure_kind="crash"))
    assert not other.stopped
    other.count(repetition(1, failure_kind="crash"))
    assert other.stopped


def test_a_device_that_went_away_stops_a_job_only_until_the_run_is_taken_up_again() -> None:
    now, again = fresh(), fresh()
    now.count(repetition(failure_kind="device_lost"))
    again.count(repetition(failure_kind="device_lost"), earlier=True)
    assert (now.stopped, again.stopped) == (True, False)
    assert again.done == {"latency": 1}
    # One more in its place, under an index of its own.
    assert [index for index in range(9) if again.wants("latency", index, 2)] == [1, 2]
    assert again.left(2) == 2


def _view(*jobs: tuple[int, str]) -> Any:
    return SimpleNamespace(
        jobs=[SimpleNamespace(job=SimpleNamespace(number=n, device=SimpleNamespace(key=key))) for n, key in jobs]
    )


def test_jobs_keep_their_numbers_whatever_the_order_of_the_devices() -> None:
    # Of device b only the second of its three jobs is stored.
    earlier = Earlier(3, _view((1, "a"), (2, "a"), (5, "b")))
    assert earlier.claim("b", "usb", 0)[0] == 4
    assert earlier.claim("c", "usb", 1)[0] == 7
    first, jobs = earlier.claim("a", "usb", 2)
    assert (first, sorted(jobs)) == (1, [1, 2])


def test_one_device_over_two_connections_is_refused() -> None:
    earlier = Earlier(3)
    earlier.claim("a", "usb", 0)
    with pytest.raises(EnvironmentProblem, match="connected twice"):
        earlier.claim("a", "10.0.0.2:5555", 1)


STEADY = [100.0, 100.1, 99.9, 100.2, 99.8, 100.0]


def more(limits: Limits, valid: list[float], done: int | None = None, retried: int = 0) -> bool:
    job = JobProgress(record=None, case=None, asked=limits.repetitions)  # type: ignore[arg-type]
    job.done, job.retried, job.valid_us = {"latency": len(valid) if done is None else done}, retried, valid
    return job.needs_more(limits)


def test_without_a_precision_the_number_asked_for_is_enough() -> None:
    assert not more(Limits(repetitions=3), [1.0, 9.0, 5.0])


def test_unreliable_repetitions_are_made_up_for_up_to_a_limit() -> None:
    limits = Limits(repetitions=3, unreliable_retries=2)
    assert more(limits, [1.0], done=3)
    assert more(limits, [1.0, 1.0], done=4, retried=1)
    assert not more(limits, [1.0], done=5, retried=2)


def test_a_precision_needs_enough_values_for_95_percent() -> None:
    limits = Limits(repetitions=3, precision_pct=2.0)
    assert more(limits, STEADY[:5])
    assert not more(limits, STEADY)
    assert more(limits, [90.0, 100.0, 110.0, 95.0, 105.0, 100.0])


def test_a_stopped_job_needs_nothing_more() -> None:
    job = JobProgress(record=None, case=None, asked=3)  # type: ignore[arg-type]
    assert job.needs_more(Limits(repetitions=3))
    job.stopped = True
    assert not job.needs_more(Limits(repetitions=3))


def test_each_round_begins_with_the_next_item() -> None:
    assert [in_turn("abc", number) for number in range(4)] == [list(one) for one in ("abc", "bca", "cab", "abc")]
    assert in_turn([], 5) == []


def test_a_precision_that_is_out_of_reach_ends_at_the_limit() -> None:
    limits = Limits(repetitions=3, precision_pct=0.01, max_repetitions=10)
    assert not more(limits, [random.Random(n).random() for n in range(10)])


def test_a_run_that_only_checks_outputs_wants_none() -> None:
    assert not more(Limits(repetitions=0), [])


def test_at_one_percent_a_delegate_that_is_five_percent_slower_is_ranked_right_every_time() -> None:
    """Noise of process averages as seen on a shared machine: 1 % between processes, a slow one in twenty."""
    limits = Limits(repetitions=5, precision_pct=1.0, max_repetitions=40)

    def measure(words: random.Random, true_us: float) -> list[float]:
        values: list[float] = []
        while len(values) < limits.repetitions or more(limits, values):
            slow = 1.08 if words.random() < 0.05 else 1.0
            values.append(true_us * slow * words.gauss(1.0, 0.01))
        return values

    right = overlap = 0
    for seed in range(20):
        words = random.Random(seed)
        fast, slow = estimate(measure(words, 1000.0)), estimate(measure(words, 1050.0))
        twin = estimate(measure(words, 1000.0))
        assert fast is not None
        assert slow is not None
        assert twin is not None
        right += fast.high < slow.low or fast.median < slow.median
        overlap += fast.low <= twin.high and twin.low <= fast.high
    assert right == 20
    assert overlap >= 19
