"""A session of a pipeline: its steps by residency, and its script run by a real shell with a tool of the test's own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from devbench.bench.pipeline import (
    BEGIN,
    Mark,
    Residency,
    SessionPlan,
    SessionStep,
    StagePlan,
    plan_alone,
    plan_session,
)
from devbench.bench.pipeline_session import build_session_script, end_s, hold_flag, memory_records, stage_records
from devbench.tool.parse.pipeline_log import SessionLog, parse_session
from tests.waiting import wait_until

NAMES, RUNS = ("text", "unet", "decoder"), (1, 8, 1)


def start(stage: int) -> SessionStep:
    return SessionStep("start", stage)


def wait(stage: int, mark: Mark) -> SessionStep:
    return SessionStep("await", stage, mark)


def go(stage: int) -> SessionStep:
    return SessionStep("go", stage)


def drop(stage: int) -> SessionStep:
    return SessionStep("drop", stage)


def session_of(
    residency: Residency, names: Sequence[str], runs: Sequence[int], keep: int | None = None, overlap_runs: int = 0
) -> SessionPlan:
    stages = [StagePlan(name, count, position) for position, (name, count) in enumerate(zip(names, runs, strict=True))]
    return plan_session(residency, stages, keep, overlap_runs)


def test_resident_loads_all_before_the_clock_and_keeps_all() -> None:
    plan = session_of("resident", NAMES, RUNS)
    begin = plan.steps.index(BEGIN)
    assert [step for step in plan.steps[:begin] if step.verb == "start"] == [start(0), start(1), start(2)]
    assert plan.steps[begin + 1 :] == (
        go(0), wait(0, "done"), go(1), wait(1, "done"), go(2), wait(2, "done"),
    )  # fmt: skip
    assert all(stage.held and stage.kept for stage in plan.stages)


def test_sequential_gives_memory_back_before_the_next_load() -> None:
    plan = session_of("sequential", NAMES, RUNS)
    assert plan.steps[0] == BEGIN
    assert plan.steps[1:6] == (start(0), wait(0, "done"), drop(0), wait(0, "gone"), start(1))
    assert plan.steps[-1] == wait(2, "done")
    assert not any(stage.held for stage in plan.stages)
    assert [stage.kept for stage in plan.stages] == [False, False, True], "for a last look at the memory"


def test_pipelined_keeps_the_unet_and_loads_the_decoder_during_its_last_runs() -> None:
    plan = session_of("pipelined", NAMES, RUNS, 1, 3)
    assert plan.steps == (
        start(1), wait(1, "ready"), BEGIN, start(0), wait(0, "done"), drop(0), go(1), wait(1, "warm"),
        start(2), wait(1, "done"), wait(2, "ready"), go(2), wait(2, "done"),
    )  # fmt: skip
    unet = plan.stages[1]
    assert (unet.warmup_runs, unet.num_runs, unet.kept, unet.held) == (5, 3, True, True)
    assert (plan.stages[0].held, plan.stages[2].held, plan.stages[2].kept) == (False, True, True)


def test_pipelined_with_an_overlap_of_all_runs_loads_at_once() -> None:
    plan = session_of("pipelined", NAMES, RUNS, 1, 8)
    assert plan.steps[plan.steps.index(go(1)) + 1] == start(2)
    assert (plan.stages[1].warmup_runs, plan.stages[1].num_runs) == (0, 8)


def test_pipelined_whose_kept_stage_is_the_last_overlaps_nothing() -> None:
    plan = session_of("pipelined", NAMES[:2], RUNS[:2], 1, 3)
    assert plan.steps[-2:] == (go(1), wait(1, "done"))
    assert plan.stages[1].overlapped == 0
    with pytest.raises(ValueError, match="keep"):
        session_of("pipelined", NAMES, RUNS)


@pytest.mark.parametrize("residency", ["pipelined", "pipelined-early"])
def test_three_images_hold_the_unet_between_them_and_load_the_others_again(residency: Residency) -> None:
    stages = [StagePlan(name, runs, number) for number, (name, runs) in enumerate(zip(NAMES, RUNS, strict=True))]
    early = residency == "pipelined-early"
    plan = plan_session(residency, stages, 1, 8 if early else 3, images=3, steady_s=0.5)
    assert plan.title == f"{residency} x3"
    assert [stage.name for stage in plan.stages] == [*NAMES, "text", "decoder", "text", "decoder"]
    unet = plan.stages[1]
    assert (unet.runs, unet.warmup_runs, unet.num_runs, unet.held, unet.kept) == (24, 8, 16, True, True)
    assert [stage.held for stage in plan.stages] == [False, True, True, False, True, False, True]
    steps = [step for step in plan.steps if step.verb not in ("await", "drop") or step.stage == 1]
    sleeps = [] if early else [SessionStep("sleep", seconds=2.5)]
    begin, hold = [start(1), wait(1, "ready"), BEGIN], SessionStep("hold", 1)
    assert steps == [
        *begin, start(0), go(1), *sleeps, start(2), wait(1, "warm"), hold, go(2),
        start(3), go(1), *sleeps, start(4), SessionStep("turn", 1, seconds=0.0 if early else 2.5), hold, go(4),
        start(5), go(1), *sleeps, start(6), wait(1, "done"), go(6),
    ]  # fmt: skip
    assert drop(2) in plan.steps and drop(6) not in plan.steps, "the last decoder stays for a last look at the memory"


def test_stages_after_the_next_one_are_loaded_and_removed_in_turn() -> None:
    names, runs = (*NAMES, "upscaler", "encoder"), (*RUNS, 1, 1)
    plan = session_of("pipelined", names, runs, 1, 3)
    after = [go(2), wait(2, "done"), drop(2), start(3), wait(3, "done"), drop(3), start(4), wait(4, "done")]
    assert list(plan.steps[plan.steps.index(go(2)) :]) == after
    stages = [StagePlan(name, count, number) for number, (name, count) in enumerate(zip(names, runs, strict=True))]
    plan = plan_session("pipelined", stages, 1, 3, images=2, steady_s=0.5)
    assert [stage.name for stage in plan.stages[5:]] == ["text", "decoder", "upscaler", "encoder"]
    assert list(plan.steps[plan.steps.index(go(2)) :])[: len(after) + 1] == [*after, drop(4)]
    again = [go(6), wait(6, "done"), drop(6), start(7), wait(7, "done"), drop(7), start(8), wait(8, "done")]
    assert list(plan.steps[plan.steps.index(go(6)) :]) == again


def test_several_images_of_a_pipeline_that_ends_with_the_kept_stage_wait_for_nothing_else() -> None:
    stages = [StagePlan(name, runs, number) for number, (name, runs) in enumerate(zip(NAMES[:2], RUNS, strict=False))]
    plan = plan_session("pipelined", stages, 1, 3, images=3, steady_s=0.5)
    hold, turn = SessionStep("hold", 1), SessionStep("turn", 1, seconds=0.0)
    assert [step for step in plan.steps if step.stage == 1 and step.verb != "start"] == [
        wait(1, "ready"), go(1), wait(1, "warm"), hold, go(1), turn, hold, go(1), wait(1, "done"),
    ]  # fmt: skip
    assert not [step for step in plan.steps if step.verb == "sleep"]


TOOL = """
import sys, time
flags = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("--"))
def say(text): print("INFO: " + text, flush=True)
say("STARTING!")
time.sleep(0.1)
memory = bytearray(int(flags.get("mb", 4)) << 20)
say("Loaded model m")
if "fail" in flags:
    print("ERROR: Failed to apply GPU delegate.", flush=True); sys.exit(1)
say("Initialized session in 1.5ms.")
for name in ("warmup_runs", "num_runs"):
    times = []
    for _ in range(int(flags[name])):
        start = time.perf_counter(); time.sleep(0.03); times.append(int((time.perf_counter() - start) * 1e6))
    if len(times) > 1: say(f"count={len(times)} first={times[0]} curr={times[-1]} min={min(times)} max={max(times)} avg={sum(times)/len(times):g} std=1")
    else: say(f"count={len(times)}" + (f" curr={times[0]}" if times else ""))
    print()
say("Inference timings in us: Init: 1500, First inference: 1, Warmup (avg): 1, Inference (avg): 30000")
time.sleep(0.01)
if "output_filepath" in flags: open(flags["output_filepath"], "wb").write(b"output")
"""


def run_session(
    tmp_path: Path,
    plan: SessionPlan,
    *,
    by_output: bool = True,
    deadline_s: float = 30,
    extra: Sequence[str] = (),
    mb: int = 8,
) -> tuple[SessionLog, str, int]:
    plan = replace(plan, held_by="output" if by_output else "stop")
    shell = shutil.which("mksh") or shutil.which("dash") or "sh"
    (tmp_path / "tool.py").write_text(TOOL)
    commands = []
    for number, stage in enumerate(plan.stages):
        flags = {"warmup_runs": stage.warmup_runs, "num_runs": stage.num_runs, "mb": mb * (number + 1)}
        words = [f"--{name}={value}" for name, value in [*flags.items(), *hold_flag(plan, number)]]
        commands.append(" ".join([sys.executable, str(tmp_path / "tool.py"), *words, *extra]))
    script = build_session_script(plan, commands, word="Sw0rd", pids_file=str(tmp_path / "pids"), deadline_s=deadline_s)
    done = subprocess.run(
        [shell, "-c", f"{script} </dev/null"], capture_output=True, timeout=60, check=False, start_new_session=True
    )
    wait_until(lambda: not left_over(tmp_path), seconds=30)  # nothing of a session outlives it
    text = done.stdout.decode()
    return parse_session(text.split("\n")), text, done.returncode


def left_over(tmp_path: Path) -> list[str]:
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in found if str(tmp_path / "tool.py") in line]


def records(log: SessionLog, plan: SessionPlan) -> list:  # type: ignore[type-arg]
    return list(stage_records(log, plan, [()] * len(plan.stages)))


def check_order(log: SessionLog, plan: SessionPlan, residency: str) -> None:
    text, unet, decoder = records(log, plan)
    total_s = end_s(log, plan)
    assert total_s is not None
    assert unet.steady_ms >= 30, "as the tool itself measured its inferences"
    if residency == "resident":
        assert max(text.ready_s, unet.ready_s, decoder.ready_s) <= 0
        assert text.done_s <= unet.go_s and unet.done_s <= decoder.go_s
        assert min(stage.gone_s for stage in (text, unet, decoder)) >= total_s, "all stay to the end"
    elif residency == "sequential":
        assert min(stage.load_ms for stage in (text, unet, decoder)) > 100
        assert text.start_s >= 0 and text.gone_s <= unet.start_s and unet.gone_s <= decoder.start_s
    else:
        assert unet.ready_s <= 0 <= text.start_s
        assert text.done_s <= unet.go_s <= unet.warm_s <= unet.done_s <= decoder.go_s
        assert unet.go_s <= decoder.start_s <= decoder.ready_s <= decoder.go_s
        assert unet.gone_s >= total_s, "the unet stays to the end"
        assert unet.overlapped_ms >= 30


PIPELINED = """Sw0rd 999.0 1 start
Sw0rd 999.4 1 ready
Sw0rd 1|INFO: Initialized session in 250ms.
Sw0rd 1000.0 - begin
Sw0rd 1000.0 0 start
Sw0rd 1000.1 0 ready
Sw0rd 0|INFO: count=0
Sw0rd 1000.13 0 done
Sw0rd 0|INFO: count=1 curr=30000
Sw0rd 1000.14 1 go
Sw0rd 1000.15 0 gone 137
Sw0rd 1000.30 1 warm
Sw0rd 1|INFO: count=5 first=31000 curr=30000 min=30000 max=31000 avg=30200 std=1
Sw0rd 1000.31 2 start
Sw0rd 1000.40 1 done
Sw0rd 1|INFO: count=3 first=33000 curr=33000 min=33000 max=36000 avg=34000 std=1
Sw0rd 1000.45 2 ready
Sw0rd 2|INFO: count=0
Sw0rd 1000.46 2 go
Sw0rd 1000.49 2 done
Sw0rd 2|INFO: count=1 curr=29000
Sw0rd 1000.50 - end
"""


def test_times_of_stages_are_those_of_the_marks_and_of_the_tool() -> None:
    plan = session_of("pipelined", NAMES, RUNS, 1, 3)
    log = parse_session(PIPELINED.split("\n"))
    text, unet, decoder = records(log, plan)
    assert end_s(log, plan) == pytest.approx(0.49)
    assert (text.load_ms, text.wall_ms, text.first_ms) == pytest.approx((100, 30, 30))
    assert (unet.init_ms, unet.load_ms, unet.wait_ms, unet.wall_ms) == pytest.approx((250, 400, 0, 260))
    assert (unet.steady_ms, unet.overlapped_ms) == pytest.approx((30, 34)), "the first of 5 is not steady"
    assert (decoder.load_ms, decoder.wait_ms, decoder.wall_ms) == pytest.approx((140, 60, 30))


@pytest.mark.parametrize("by_output", [True, False], ids=["held by output", "held by stop"])
@pytest.mark.parametrize("residency", ["resident", "sequential", "pipelined"])
def test_a_session_does_what_its_residency_says(tmp_path: Path, residency: str, by_output: bool) -> None:
    plan = session_of(residency, NAMES, RUNS, 1, 3)  # type: ignore[arg-type]
    log, _, code = run_session(tmp_path, plan, by_output=by_output)
    assert code == 0
    assert log.began and log.ended and log.lost is None
    check_order(log, plan, residency)
    _, kind, peak = memory_records(log, plan)
    assert kind in ("pss", "rss") and peak is not None and peak > 8 << 10


@pytest.mark.parametrize("residency", ["pipelined", "pipelined-early"])
def test_three_images_in_one_session_keep_the_unet(tmp_path: Path, residency: Residency) -> None:
    stages = [StagePlan(name, runs, number) for number, (name, runs) in enumerate(zip(NAMES, RUNS, strict=True))]
    plan = plan_session(residency, stages, 1, 8 if residency == "pipelined-early" else 3, images=3, steady_s=0.03)
    log, _, code = run_session(tmp_path, plan)
    assert (code, log.ended, log.lost) == (0, True, None)
    _, unet, *others = records(log, plan)
    ends = [one.done_s for one in others if one.name == "decoder"]
    assert ends == sorted(ends) and len(ends) == 3 and ends[-1] == pytest.approx(end_s(log, plan), abs=0.05)
    pauses = log.stage(1).pauses
    assert len(pauses) == 2 and all(held < end < until for (held, until), end in zip(pauses, ends, strict=False))
    assert unet.start_s < 0 < unet.go_s < unet.done_s < ends[-1] <= unet.gone_s, "loaded once, before the clock"
    whole_ms = 1000 * (unet.done_s - unet.go_s)
    assert unet.wall_ms == pytest.approx(whole_ms - sum(1000 * (b - a) for a, b in pauses), abs=1)
    # The tool of this test sleeps, and its sleep ends although it is held.
    assert unet.wall_ms >= 20 * 30 and unet.steady_ms >= 30
    assert [one.wait_ms >= 0 for one in others] == [True] * 5
    assert [row.position for row in records(log, plan)] == list(range(7))


def test_the_peaks_are_those_of_what_is_in_memory_together(tmp_path: Path) -> None:
    peaks = {}
    for residency in ("resident", "sequential", "pipelined"):
        (tmp_path / residency).mkdir()
        plan = session_of(residency, NAMES, RUNS, 1, 3)  # type: ignore[arg-type]
        log, _, _ = run_session(tmp_path / residency, plan, mb=32)
        peaks[residency] = memory_records(log, plan)[2] or 0
    # 192, 160 and 96 MiB of the stages' own, and some for each process.
    assert peaks["resident"] > peaks["pipelined"] + (16 << 10)
    assert peaks["pipelined"] > peaks["sequential"] + (16 << 10)


def test_a_stage_that_ends_early_ends_the_session(tmp_path: Path) -> None:
    plan = session_of("resident", NAMES, RUNS)
    log, text, code = run_session(tmp_path, plan, extra=["--fail=1"])
    assert code == 1
    assert log.lost == (0, "ready")
    assert end_s(log, plan) is None
    assert "Failed to apply GPU delegate" in text


def test_alone_a_stage_ends_by_itself(tmp_path: Path) -> None:
    plan = plan_alone(StagePlan("unet", 1), 5)
    assert plan.steps == (BEGIN, start(0), wait(0, "done"), wait(0, "gone"))
    log, _, code = run_session(tmp_path, plan)
    assert code == 0
    assert log.stages[0].exit_code == 0
    (unet,) = records(log, plan)
    assert min(unet.first_ms, unet.steady_ms) >= 30
    assert unet.load_ms > 100


def test_the_device_itself_ends_what_is_over_its_deadline(tmp_path: Path) -> None:
    plan = session_of("resident", ("unet",), (400,))
    log, _, code = run_session(tmp_path, plan, deadline_s=2)
    assert code == -signal.SIGKILL
    assert not log.ended


@pytest.mark.parametrize("how", ["killed", "unheard"])
def test_a_session_that_nobody_watches_ends_with_its_stopped_stages(tmp_path: Path, how: str) -> None:
    plan = replace(session_of("resident", NAMES, (1, 400, 1)), held_by="stop")
    shell = shutil.which("mksh") or shutil.which("dash") or "sh"
    (tmp_path / "tool.py").write_text(TOOL)
    commands = [
        f"{sys.executable} {tmp_path / 'tool.py'} --warmup_runs={s.warmup_runs} --num_runs={s.num_runs}"
        for s in plan.stages
    ]
    script = build_session_script(plan, commands, word="Sw0rd", pids_file=str(tmp_path / "pids"), deadline_s=60)
    process = subprocess.Popen([shell, "-c", f"{script} </dev/null\n:"], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    while b" 2 ready" not in process.stdout.readline():
        pass
    if how == "killed":
        process.kill()
        # Until then it is still there, though it has ended; a device's adbd waits for its children at once.
        process.wait(30)
    else:
        process.stdout.close()
    wait_until(lambda: not left_over(tmp_path), seconds=30)
    process.wait(30)
