"""Pipelines on a device: what runs in which order, what is stored of it, and what a failure skips; no device is there."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devbench.adb.errors import DeviceLost
from devbench.bench import pipeline_program
from devbench.bench.events import PipelineStep
from devbench.bench.pipeline import Pipeline, Stage
from devbench.bench.pipeline_program import PipelineCase, PipelineProgram
from devbench.bench.records import ProcessResult
from devbench.tool.measurement import Failure, FailureKind
from tests.made.bench import FakeSession, case, of_type, plan, ran

PIPELINE = Pipeline(
    name="sd", stages=(Stage("text", "t"), Stage("unet", "u", runs=None), Stage("decoder", "d")), steps=4
)
WORD = "Sfixed"
SAID = (
    "INFO: STARTING!\nINFO: Initialized session in 20.5ms.\n"
    "INFO: count=1 curr=9000\nINFO: count=10 first=5000 curr=5000 min=4900 max=5100 avg=5000 std=1\n"
    "INFO: Inference timings in us: Init: 20500, First inference: 9000, Warmup (avg): 9000, Inference (avg): 5000\n"
)


def log_of(stages: int, *, begin_s: float = 100.0) -> str:
    """The log of a session whose stages each load for 100 ms and run for 200 ms."""
    lines = [f"{WORD} {begin_s:.6f} - begin"]
    at = begin_s
    for number in range(stages):
        lines += [f"{WORD} {at:.6f} {number} start", f"{WORD} {at + 0.1:.6f} {number} ready"]
        lines += [f"{WORD} {number}|{line}" for line in SAID.splitlines()]
        lines += [f"{WORD} {at + 0.3:.6f} {number} done", f"{WORD} {at + 0.31:.6f} {number} gone 0"]
        at += 0.31
    lines += [f"{WORD} {at:.6f} - memory 0:1000:2000:2100", f"{WORD} {at:.6f} - end"]
    return "".join(f"{line}\n" for line in lines)


@pytest.fixture(autouse=True)
def _fixed_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_program.secrets, "token_hex", lambda size: WORD[1:])


def make(
    tmp_path: Path,
    result: Callable[[str], ProcessResult | None] | None = None,
    *,
    delegates: int = 1,
    repetitions: int = 2,
) -> tuple[FakeSession, PipelineProgram]:
    cases = [
        case(f"{stage.model}{number}", num_runs=10, extra_flags=(("mine", "1"),))
        for number in range(delegates)
        for stage in PIPELINE.stages
    ]

    def run(name: str) -> ProcessResult | None:
        found = ran() if result is None else result(name)
        if found is None:
            return None
        raw = tmp_path / f"{name}.gz"
        raw.write_bytes(gzip.compress(log_of(1 if "alone" in name or "warm" in name else 3).encode()))
        return replace(found, raw_file=raw)

    limits = {"profile_repetitions": 0, "cold_starts": 0, "unreliable_retries": 0}
    session = FakeSession(plan(*cases, repetitions=repetitions, **limits), run, raw=tmp_path / "stage.gz")
    pipelines = [
        PipelineCase(PIPELINE, f"d{number}", None, tuple(range(3 * number, 3 * number + 3)))
        for number in range(delegates)
    ]
    return session, PipelineProgram(tuple(pipelines))


def done_steps(session: FakeSession) -> int:
    return sum(1 + one.skipped for one in of_type(session.events, PipelineStep) if one.done)


def test_every_stage_runs_once_untimed_then_alone_then_the_whole_in_each_residency(tmp_path: Path) -> None:
    session, program = make(tmp_path, repetitions=1)
    program.run(session)
    assert session.processes == [
        "pipeline01-warm01-job0001", "pipeline01-warm02-job0002", "pipeline01-warm03-job0003",
        "pipeline01-stage01-alone-000-job0001", "pipeline01-stage02-alone-000-job0002",
        "pipeline01-stage03-alone-000-job0003",
        "pipeline01-resident-000-job0001", "pipeline01-sequential-000-job0001", "pipeline01-pipelined-000-job0001",
    ]  # fmt: skip
    assert done_steps(session) == program.steps(session) == 9


def test_pipelines_take_turns_and_all_are_warmed_up_first(tmp_path: Path) -> None:
    session, program = make(tmp_path, delegates=2)
    program.run(session)
    order = [name[:10] + name[10:].split("-")[1] for name in session.processes if "alone" not in name]
    warm = [name for name in order if "warm" in name]
    assert order[: len(warm)] == warm and len(warm) == 6
    assert [name[:10] for name in order if "resident" in name] == [f"pipeline{n:02d}" for n in (1, 2, 2, 1)]
    assert done_steps(session) == program.steps(session)


def test_a_stage_alone_is_a_repetition_of_its_job_and_a_session_of_the_pipeline(tmp_path: Path) -> None:
    session, program = make(tmp_path)
    program.run(session)
    assert [(one.job_number, one.purpose, one.index) for one in session.repetitions] == [
        (job, "latency", index) for index in range(2) for job in (1, 2, 3)
    ]
    assert all(one.exit_code == 0 and one.status == "ok" for one in session.repetitions)
    assert {one.argv[0] for one in session.repetitions} == {"/d/b"}
    alone = [one for one in session.sessions if one.residency == "alone"]
    assert [(one.stages[0].name, one.stages[0].job_number, one.stages[0].position) for one in alone[:3]] == [
        ("text", 1, 0), ("unet", 2, 1), ("decoder", 3, 2),
    ]  # fmt: skip
    unet = alone[1].stages[0]
    assert (unet.repeated, unet.load_ms, unet.first_ms, unet.steady_ms, unet.init_ms) == (True, 100.0, 9.0, 5.0, 20.5)


def test_a_session_has_its_latency_its_stages_and_its_memory(tmp_path: Path) -> None:
    session, program = make(tmp_path, repetitions=1)
    program.run(session)
    (one,) = (found for found in session.sessions if found.residency == "sequential")
    assert (one.pipeline, one.delegate, one.steps, one.index, one.status) == ("sd", "d0", 4, 0, "ok")
    assert one.latency_ms == pytest.approx(920.0)
    assert (one.memory_kind, one.peak_kb) == ("pss", 1000)
    assert [(stage.name, stage.runs) for stage in one.stages] == [("text", 1), ("unet", 4), ("decoder", 1)]
    assert all("--mine=1" in stage.argv for stage in one.stages), "a user's flags are those of every stage"
    assert all("--max_secs=86400" in stage.argv for stage in one.stages), "no inference of a session is cut short"
    (unet,) = (found for found in session.sessions if found.residency == "alone" and found.stages[0].name == "unet")
    assert "--max_secs=150" in unet.stages[0].argv
    assert one.overlap_runs == 0


def test_the_overlap_is_chosen_once_by_what_the_stages_took_alone(tmp_path: Path) -> None:
    session, program = make(tmp_path)
    program.run(session)
    assert [one.overlap_runs for one in session.sessions if one.residency == "pipelined"] == [4, 4]


@pytest.mark.parametrize(
    ("changes", "overlap"),
    [
        ({"overlap_steps": 3}, 3),
        ({"overlap_steps": 3, "guidance": True}, 6),
        ({"overlap_steps": 100}, 4),
        ({"overlap_steps": 2, "keep": 0}, 1),
        ({"keep": 2}, 0),
    ],
)
def test_an_overlap_that_is_asked_for_counts_steps_of_the_stage_that_stays(
    tmp_path: Path, changes: dict[str, Any], overlap: int
) -> None:
    changes = dict(changes)
    kept = changes.pop("keep", 1)
    stages = tuple(replace(stage, keep=number == kept) for number, stage in enumerate(PIPELINE.stages))
    pipeline = replace(PIPELINE, stages=stages, residencies=("pipelined",), **changes)
    session, program = make(tmp_path, repetitions=1)
    PipelineProgram((replace(program.pipelines[0], pipeline=pipeline),)).run(session)
    assert [one.overlap_runs for one in session.sessions if one.residency == "pipelined"] == [overlap]


def test_each_step_is_told_when_it_begins_and_when_it_ends(tmp_path: Path) -> None:
    session, program = make(tmp_path, repetitions=1)
    session.verdict = lambda name: "unreliable" if "sequential" in name else "valid"
    program.run(session)
    told = of_type(session.events, PipelineStep)
    assert [one.title for one in told[::2]] == [one.title for one in told[1::2]]
    assert [one.done for one in told] == [False, True] * 9
    assert (told[1].title, told[1].words) == ("sd · d0 · text · once, untimed", "not measured")
    assert (told[7].title, told[7].words) == (
        "sd · d0 · text alone · 1/1", "load 100 ms, first 9.0 ms, steady 5.00 ms",
    )  # fmt: skip
    resident, sequential = told[13], told[15]
    assert (resident.words, resident.unreliable, resident.failed) == ("920 ms, peak 1 MB", False, False)
    assert (sequential.words, sequential.unreliable) == ("920 ms, peak 1 MB; unreliable: busy", True)


def failing(start: str, kind: FailureKind = FailureKind.TIMEOUT) -> Callable[[str], ProcessResult]:
    return lambda name: ran(Failure(kind, "failed")) if start in name else ran()


def test_a_stage_that_fails_gives_up_its_pipeline_and_no_other(tmp_path: Path) -> None:
    session, program = make(tmp_path, failing("pipeline01-stage02-alone"), delegates=2)
    program.run(session)
    assert [name for name in session.processes if name.startswith("pipeline01")][-1].startswith("pipeline01-stage02")
    assert len([one for one in session.sessions if one.delegate == "d1" and one.status == "ok"]) == 12
    (failed,) = [one for one in session.repetitions if one.status == "failed"]
    assert (failed.job_number, failed.failure_kind, failed.exit_code, failed.latency_avg_us) == (
        2,
        "timeout",
        None,
        None,
    )
    assert done_steps(session) == program.steps(session)


def test_a_residency_that_fails_is_not_tried_again_and_carries_no_latency(tmp_path: Path) -> None:
    session, program = make(tmp_path, failing("-resident-"), repetitions=3)
    program.run(session)
    assert len([name for name in session.processes if "-resident-" in name]) == 1
    assert len([name for name in session.processes if "-sequential-" in name]) == 3
    (failed,) = [one for one in session.sessions if one.status == "failed"]
    assert (failed.residency, failed.latency_ms, failed.failure_message) == ("resident", None, "failed")
    assert done_steps(session) == program.steps(session)


def test_a_pipeline_with_a_refused_stage_is_not_measured_at_all(tmp_path: Path) -> None:
    session, program = make(tmp_path, delegates=2)
    session.jobs[1].stopped = True
    program.run(session)
    assert not any(name.startswith("pipeline01") for name in session.processes)
    told = of_type(session.events, PipelineStep)[0]
    assert told.failed and "is refused, see above" in told.words


def test_a_lost_device_ends_the_program_after_its_record_is_stored(tmp_path: Path) -> None:
    lost = DeviceLost("SERIAL", "running sd")

    def result(name: str) -> ProcessResult:
        gone = ran(Failure(FailureKind.DEVICE_LOST, lost.what), exit_code=None, lost=lost)
        return gone if "sequential" in name else ran()

    session, program = make(tmp_path, result)
    with pytest.raises(DeviceLost):
        program.run(session)
    assert (session.sessions[-1].residency, session.sessions[-1].failure_kind) == ("sequential", "device_lost")


def test_a_session_that_the_user_ended_is_not_stored(tmp_path: Path) -> None:
    held: list[Any] = []

    def result(name: str) -> ProcessResult | None:
        if "resident" not in name:
            return ran()
        held[0].stopped = True
        return None

    session, program = make(tmp_path, result)
    held.append(session)
    program.run(session)
    assert [one.residency for one in session.sessions] == ["alone"] * 3
    assert "resident" in session.processes[-1]


@pytest.mark.parametrize("writes", [True, False])
def test_a_stage_that_stays_is_held_by_its_output_if_the_tool_can_write_it(tmp_path: Path, writes: bool) -> None:
    session, program = make(tmp_path, repetitions=1)
    session.known_flags = frozenset({"output_filepath"} if writes else {"graph"})
    scripts: list[str] = []
    process = session.process

    def keep(job: Any, command: Any, **options: Any) -> ProcessResult | None:
        scripts.append(command.shell)
        return process(job, command, **options)

    session.process = keep  # type: ignore[method-assign]
    program.run(session)
    resident = scripts[6]
    assert resident.count("--output_filepath=/proc/self/fd/0") == (3 if writes else 0)
    assert resident.count(f" 1 1 {'output' if writes else 'stop'}; }} & }}") == 3
    assert "/data/local/tmp/devbench/run/1.pid.stages" in resident
    held = [stage.held_by for one in session.sessions if one.residency == "resident" for stage in one.stages]
    assert held == ["output" if writes else "stop"] * 3
