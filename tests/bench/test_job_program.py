"""The order of a device's processes, what is run again, and what ends a job, a run or a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from devbench.adb.errors import DeviceLost
from devbench.bench.events import MoreSteps, RepetitionDone, RepetitionStarted
from devbench.bench.records import ProcessResult
from devbench.bench.runner import JobProgram
from devbench.tool.measurement import Failure, FailureKind
from tests.made.bench import FakeSession, case, names, of_type, plan, ran

CACHED = replace(case().delegate, name="cached", flags=(("serialization_dir", "{cache}"),))
ONCE = {"repetitions": 1, "profile_repetitions": 0, "cold_starts": 0, "unreliable_retries": 0}


def session(*cases: str, **options: object) -> FakeSession:
    limits = {**ONCE, **{name: value for name, value in options.items() if name in ONCE or name not in FAKE}}
    given = {name: value for name, value in options.items() if name in FAKE}
    return FakeSession(plan(*(case(name) for name in cases), **limits), **given)  # type: ignore[arg-type]


FAKE = {"result", "verdict", "can_drop"}


def ending(**kinds: FailureKind) -> Callable[[str], ProcessResult]:
    """Processes that fail so, by the start of their names; all others end well."""

    def result(name: str) -> ProcessResult:
        kind = next((kind for start, kind in kinds.items() if name.startswith(start)), None)
        return ran() if kind is None else ran(Failure(kind, "failed"), exit_code=1)

    return result


def test_each_round_starts_with_the_next_job() -> None:
    made = session("a", "b", "c", repetitions=3)
    JobProgram().run(made)
    assert made.processes == names(
        "latency", (1, 0), (2, 0), (3, 0), (2, 1), (3, 1), (1, 1), (3, 2), (1, 2), (2, 2)
    )  # fmt: skip


def test_outputs_come_first_then_latencies_then_profiles_and_cold_starts_last() -> None:
    made = session("a", repetitions=2, output_repetitions=1, profile_repetitions=1, cold_starts=1, can_drop=True)
    JobProgram().run(made)
    assert [name.split("-")[1] for name in made.processes] == ["outputs", "latency", "latency", "profile", "cold"]
    assert JobProgram().steps(FakeSession(made.plan, can_drop=True)) == 5


def test_only_a_job_that_has_something_to_empty_starts_cold() -> None:
    made = FakeSession(plan(case("a"), case("b", CACHED), **{**ONCE, "cold_starts": 2}))
    JobProgram().run(made)
    assert [name for name in made.processes if "cold" in name] == names("cold", (2, 0), (2, 1))
    assert JobProgram().steps(FakeSession(made.plan)) == 4


def test_the_device_is_waited_for_before_each_process() -> None:
    made = session("a", repetitions=2)
    JobProgram().run(made)
    assert made.log == ["wait", "job0001-latency-000", "wait", "job0001-latency-001"]


def test_unreliable_repetitions_are_run_again_as_often_as_allowed() -> None:
    made = session("a", "b", repetitions=2, unreliable_retries=3, verdict=lambda name: unreliable(name, "job0001"))
    JobProgram().run(made)
    assert [name for name in made.processes if "job0001" in name] == names("latency", *((1, n) for n in range(5)))
    assert [name for name in made.processes if "job0002" in name] == names("latency", (2, 0), (2, 1))
    assert len(of_type(made.events, MoreSteps)) == 3


def unreliable(name: str, start: str) -> str:
    return "unreliable" if name.startswith(start) else "valid"


def test_a_single_unreliable_repetition_is_run_again_once() -> None:
    made = session(
        "a", repetitions=2, unreliable_retries=3, verdict=lambda name: unreliable(name, "job0001-latency-000")
    )
    JobProgram().run(made)
    assert made.processes == names("latency", (1, 0), (1, 1), (1, 2))


def test_a_failure_that_would_come_again_ends_the_job_and_counts_what_is_skipped() -> None:
    made = session("a", "b", repetitions=3, profile_repetitions=1, result=ending(job0001=FailureKind.UNKNOWN_FLAG))
    JobProgram().run(made)
    assert [name for name in made.processes if "job0001" in name] == names("latency", (1, 0))
    assert len([name for name in made.processes if "job0002" in name]) == 4
    done = of_type(made.events, RepetitionDone)
    assert [one.skipped for one in done if one.job.number == 1] == [3]
    assert sum(1 + one.skipped for one in done) == JobProgram().steps(
        session("a", "b", repetitions=3, profile_repetitions=1)
    )


def test_a_crash_is_tried_once_more() -> None:
    made = session("a", repetitions=5, result=ending(job0001=FailureKind.CRASH))
    JobProgram().run(made)
    assert made.processes == names("latency", (1, 0), (1, 1))


def test_a_lost_device_is_stored_told_and_raised() -> None:
    lost = DeviceLost("SERIAL", "running a")

    def result(name: str) -> ProcessResult:
        if name != "job0002-latency-000":
            return ran()
        return ran(Failure(FailureKind.DEVICE_LOST, lost.what), exit_code=None, lost=lost)

    made = session("a", "b", "c", repetitions=2, result=result)
    with pytest.raises(DeviceLost):
        JobProgram().run(made)
    assert [(one.job_number, one.failure_kind) for one in made.repetitions] == [(1, None), (2, "device_lost")]
    assert made.repetitions[1].latency_avg_us is None
    assert of_type(made.events, RepetitionDone)[-1].repetition is made.repetitions[1]


def test_a_process_that_the_user_ended_is_not_stored_and_nothing_more_starts() -> None:
    made = session("a", "b", repetitions=3, unreliable_retries=3)

    def result(name: str) -> ProcessResult | None:
        if name == "job0002-latency-000":
            made.stopped = True
            return None
        return ran()

    made.result = result
    JobProgram().run(made)
    assert made.processes == names("latency", (1, 0), (2, 0))
    assert [one.job_number for one in made.repetitions] == [1]
    assert len(of_type(made.events, RepetitionStarted)) == 2
    assert len(of_type(made.events, RepetitionDone)) == 1


def test_what_a_resumed_run_has_stored_is_not_made_again() -> None:
    first = session("a", "b", repetitions=2)
    JobProgram().run(first)
    made = session("a", "b", repetitions=2, profile_repetitions=1)
    made.jobs[0].count(first.repetitions[0], earlier=True)
    assert JobProgram().steps(made) == 5
    JobProgram().run(made)
    assert [name for name in made.processes if "job0001" in name] == [
        "job0001-latency-001", "job0001-profile-000",
    ]  # fmt: skip


def test_a_repetition_in_which_the_device_was_lost_is_made_up_for() -> None:
    lost = ran(Failure(FailureKind.DEVICE_LOST, "lost"), exit_code=None)
    first = session("a", repetitions=2)
    record = first.store_repetition(first.jobs[0], "latency", 0, lost)
    made = session("a", repetitions=2)
    made.jobs[0].count(record, earlier=True)
    JobProgram().run(made)
    assert made.processes == names("latency", (1, 1), (1, 2))
