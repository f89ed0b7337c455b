"""From a session's log to its records: the times of each stage by its turn, why a session does not count, memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from devbench.bench.pipeline import Residency, SessionPlan, StagePlan, plan_alone, plan_session
from devbench.bench.pipeline_session import end_s, memory_records, session_failure, stage_records
from devbench.results.records import PipelineStageRecord
from devbench.tool.measurement import FailureKind
from devbench.tool.parse.pipeline_log import MemorySample, SessionLog, StageLog
from tests.made.bench import GPU, case

TEXT, UNET, DECODER = (
    StagePlan("text", 1, 0, 11), StagePlan("unet", 8, 1, 12, repeated=True), StagePlan("decoder", 1, 2, 13),
)  # fmt: skip
FINISHED = (
    "INFO: Inference timings in us: Init: 20500, First inference: 9000, Warmup (avg): 9000, Inference (avg): {}\n"
)


def said(*counts: str, average: float | None = 5000) -> str:
    """What the tool prints: a line for each phase, and its summary if it came so far."""
    lines = "".join(f"INFO: {count}\n" for count in counts)
    end = FINISHED.format(average) if average is not None else ""
    return f"INFO: STARTING!\nINFO: Initialized session in 20.5ms.\n{lines}{end}"


ONE, EIGHT = "count=1 curr=9000", "count=8 first=9000 curr=5000 min=4900 max=9000 avg=5500 std=1"


def seen(number: int, text: str = "", **times: float) -> StageLog:
    return StageLog(number, text=text or said(ONE), **{f"{name}_s": at for name, at in times.items()})  # type: ignore[arg-type]


def records(residency: Residency, *logs: StageLog, overlap: int = 3) -> list[PipelineStageRecord]:
    plan = plan_session(residency, (TEXT, UNET, DECODER), 1, overlap)
    log = SessionLog(logs, began=True, hwm_kb={0: 777})
    return list(stage_records(log, plan, [("/b", name) for name in "tud"]))


def test_a_stage_that_was_held_is_timed_from_its_turn() -> None:
    text, unet, _ = records(
        "resident", seen(0, start=-2.0, ready=-1.5, go=0.0, done=0.25),
        seen(1, said(EIGHT), start=-1.5, ready=-1.0, go=0.25, done=0.5),
    )  # fmt: skip
    assert (text.load_ms, text.wall_ms, text.wait_ms, text.release_ms) == (500.0, 250.0, 0.0, 0.0)
    assert (text.loaded_before, text.first_ms) == (True, None), "the tool's own figure includes the wait"
    assert (unet.wall_ms, unet.steady_ms) == (250.0, pytest.approx(5.0)), "the average without the first"
    assert (text.job_number, unet.position, unet.repeated, unet.argv, text.hwm_kb) == (11, 1, True, ("/b", "u"), 777)
    assert (text.held_by, text.start_s, text.go_s) == ("output", -2.0, 0.0)


def test_a_stage_that_comes_and_goes_is_timed_from_its_load_and_gives_its_memory_back() -> None:
    text, _, decoder = records(
        "sequential", seen(0, start=0.0, ready=0.5, done=0.75, gone=0.875), seen(1),
        seen(2, start=1.0, ready=1.25, done=1.5, gone=1.75),
    )  # fmt: skip
    assert (text.load_ms, text.wall_ms, text.release_ms, text.first_ms) == (500.0, 250.0, 125.0, 9.0)
    assert (text.loaded_before, text.held_by, text.steady_ms) == (False, "", None), "one inference is no steady one"
    assert (decoder.release_ms, decoder.held_by) == (0.0, "output"), "the last one stays"


def test_the_next_stage_waits_for_the_rest_of_its_load() -> None:
    text, unet, decoder = records(
        "pipelined", seen(0, start=0.0, ready=0.25, done=0.5, gone=0.5),
        seen(1, said("count=5 first=9000 curr=5000 min=4000 max=9000 avg=5800 std=1", "count=3 avg=7000 curr=7000"),
             start=-1.0, ready=-0.5, go=0.5, warm=0.75, done=1.0),
        seen(2, start=0.75, ready=1.25, go=1.25, done=1.5),
    )  # fmt: skip
    assert (text.wait_ms, unet.wait_ms, decoder.wait_ms) == (0.0, 0.0, 250.0)
    assert (unet.steady_ms, unet.overlapped_ms, unet.overlapped_runs) == (pytest.approx(5.0), 7.0, 3)
    assert (unet.held_by, decoder.held_by) == ("output", "output")


def test_a_short_stage_that_was_through_before_it_could_be_stopped_has_the_tool_s_own_time() -> None:
    text, unet, _ = records(
        "resident", seen(0, start=-2.0, ready=-1.5, done=-1.5, go=0.0),
        seen(1, said(EIGHT), start=-1.5, ready=-1.0, done=-0.5, go=0.25),
    )  # fmt: skip
    assert (text.wall_ms, unet.wall_ms) == (9.0, 8 * 5.5)


def test_the_steady_average_is_never_below_the_shortest_inference() -> None:
    long_wait = "count=2 first=1000000 curr=300 min=300 max=1000000 avg=500100 std=1"
    _, unet, _ = records("resident", seen(0), seen(1, said(long_wait), start=-1.0, ready=-0.5, go=0.0, done=1.0))
    assert unet.steady_ms == pytest.approx(0.3)


def test_a_stage_alone_has_its_first_and_its_steady_inferences() -> None:
    log = SessionLog((seen(0, said(ONE, EIGHT), start=0.0, ready=0.5, done=1.0),), began=True)
    (one,) = stage_records(log, plan_alone(UNET, 8), [("/b",)])
    assert (one.first_ms, one.steady_ms, one.init_ms) == (9.0, 5.5, 20.5)
    assert (one.overlapped_runs, one.overlapped_ms, one.held_by, one.runs) == (0, None, "", 9)


def test_initialisation_of_a_held_stage_is_read_without_its_summary() -> None:
    text, _, _ = records("resident", seen(0, said(ONE, average=None), start=-1.0, ready=-0.5, go=0.0, done=0.5))
    assert text.init_ms == 20.5


WHOLE = {0: {"start": 0.0, "ready": 0.1, "done": 0.2, "gone": 0.3}, 1: {"start": 0.3, "ready": 0.4, "done": 0.5}}


def session(**changes: Any) -> tuple[SessionLog, SessionPlan]:
    """A session of two stages that ends well; `changes` are other logs by `s0` and `s1`."""
    stages = [seen(number, **times) for number, times in WHOLE.items()]
    stages = [changes.get(f"s{stage.number}", stage) for stage in stages]
    plan = plan_session("sequential", (TEXT, replace(UNET, position=1)), None)
    return SessionLog(tuple(one for one in stages if one is not None), began=changes.get("began", True)), plan


CASES = (case(), case())


def why(cases: Any = CASES, **changes: Any) -> tuple[FailureKind, str] | None:
    failure = session_failure(*session(**changes), cases, [(), ()])
    return None if failure is None else (failure.kind, failure.message)


def test_a_session_whose_stages_did_their_part_counts() -> None:
    assert why() is None
    assert end_s(*session()) == 0.5
    killed = seen(1, said(ONE, average=None), **WHOLE[1])
    assert why(s1=replace(killed, exit_code=137)) is None, "the session ends a stage before its summary"


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"s0": seen(0, said(average=None), start=0.0)}, FailureKind.OUTPUT_INCOMPLETE, "text: "),
        ({"s1": replace(seen(1, said(average=None), start=0.3), exit_code=139)}, FailureKind.CRASH, "unet: ended by"),
        ({"s1": None}, FailureKind.OUTPUT_INCOMPLETE, "unet: "),
        ({"began": False}, FailureKind.OUTPUT_INCOMPLETE, "the session did not come to its end"),
        ({"s0": seen(0, start=0.0, ready=0.3, done=0.2)}, FailureKind.TOOL_ERROR, "the device's clock was set"),
    ],
)
def test_a_session_that_does_not_count_says_which_stage_and_why(
    changes: dict[str, Any], kind: FailureKind, words: str
) -> None:
    found = why(**changes)
    assert found is not None
    assert found[0] is kind and found[1].startswith(words)


def test_a_delegate_that_was_not_applied_fails_the_session_though_all_stages_ran() -> None:
    found = why((case(), case(delegate=GPU)))
    assert found is not None and found[0] is FailureKind.DELEGATE_NOT_APPLIED


def test_of_stages_that_a_lost_one_kept_from_starting_the_lost_one_is_named() -> None:
    log, plan = session(s0=None, s1=seen(1, said(average=None), start=0.3))
    failure = session_failure(replace(log, lost=(1, "ready")), plan, (case(), case()), [(), ()])
    assert failure is not None and failure.message.startswith("unet: ")


def test_memory_is_that_of_the_live_stages_by_their_place_in_the_pipeline() -> None:
    plan = plan_session("sequential", (replace(TEXT, position=4), UNET), None)
    samples = (MemorySample(0.1, {0: 100}, {0: 200, 9: 5}), MemorySample(0.2, {0: 100, 1: 300}, {0: 210, 1: 400}))
    rows, kind, peak = memory_records(SessionLog(samples=samples), plan)
    assert [(row.number, row.position, row.t_s, row.pss_kb, row.rss_kb) for row in rows] == [
        (0, 4, 0.1, 100, 200), (1, 4, 0.2, 100, 210), (1, 1, 0.2, 300, 400),
    ]  # fmt: skip
    assert (kind, peak) == ("pss", 400)
    resident = (MemorySample(0.1, {}, {0: 200}),)
    assert memory_records(SessionLog(samples=resident), plan)[1:] == ("rss", 200)
    assert memory_records(SessionLog(), plan) == ((), None, None)
