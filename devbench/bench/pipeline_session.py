"""A device's part of a run of pipelines: each stage alone, then the whole in each residency, in turns; stores it all.

What a session on the device is stands in `pipeline_plan.py` and `pipeline_script.py`. Everything around it (facts,
files, conditions, deadlines, tidying up) is that of any other run.
"""

from __future__ import annotations

import gzip
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from devbench.analysis.pipeline import Alone, compose, overlap_runs, total_ms
from devbench.bench.command import Command
from devbench.bench.events import PipelineStep
from devbench.bench.pipeline_file import Pipeline
from devbench.bench.pipeline_plan import RESIDENCIES, SessionPlan, plan_alone, plan_session
from devbench.bench.pipeline_records import end_s, memory_records, session_failure, stage_records
from devbench.bench.pipeline_script import build_session_script, hold_flag
from devbench.bench.process import ProcessSpec
from devbench.bench.records import Ran, repetition_record
from devbench.bench.session import DeviceSession
from devbench.bench.work import Work
from devbench.results.pipelines import add_pipeline_session
from devbench.results.records import PipelineSessionRecord
from devbench.tool.failures import classify
from devbench.tool.flags import command_line
from devbench.tool.manifest import VIRTUAL_ABI
from devbench.tool.measurement import Failure
from devbench.tool.parse import parse_file
from devbench.tool.parse.pipeline_log import lines_of_session, parse_session

# Loading gigabytes from flash and building GPU kernels for them can take minutes.
_LOAD_BUDGET_S = 600.0
# A session beside what it was reckoned to take: a device that has become hot is slower by a multiple.
_SLOWER = 5.0
# No phase of a session is cut short by its time.
_NO_LIMIT_S = 86_400.0
# The device ends a session by itself soon after this machine has given it up.
_WATCHDOG_EXTRA_S = 20.0


@dataclass(frozen=True, slots=True)
class Variant:
    """A pipeline under a delegate. `cases` are the numbers of its stages' cases in the plan, in their order."""

    pipeline: Pipeline
    delegate: str
    threads: int | None
    cases: tuple[int, ...]

    @property
    def title(self) -> str:
        return f"{self.pipeline.name} · {self.delegate}" + (f" · {self.threads} threads" if self.threads else "")


@dataclass(slots=True)
class _State:
    """A variant on this device and how far it is. `alone` holds what each round found of each stage."""

    variant: Variant
    number: int
    works: list[Work]
    stopped: bool = False
    alone: list[list[Alone]] = field(default_factory=list)
    overlap: int | None = None
    failed: set[str] = field(default_factory=set)
    left: int = 0


class PipelineSession(DeviceSession):
    """Everything that a run of pipelines does with one device; see `DeviceSession`.

    Args:
        variants: what to measure; their cases are the plan's.
    """

    def __init__(self, *args: Any, variants: Sequence[Variant], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._variants = variants
        self._rounds_of_all = self._plan.limits.repetitions

    def _steps(self, work: Work) -> int:
        return 1

    def _all_steps(self) -> int:
        return sum(map(self._steps_of, self._variants))

    def _steps_of(self, variant: Variant) -> int:
        stages = len(variant.pipeline.stages)
        return stages + self._rounds_of_all * (stages + len(variant.pipeline.residencies))

    # -- running ------------------------------------------------------------------------------------------------

    def _run_all(self) -> None:
        """First every file is read and every kernel built once, untimed; then rounds, the variants taking turns."""
        states = []
        for number, variant in enumerate(self._variants):
            works = [self._work[case] for case in variant.cases]
            state = _State(variant, number + 1, works, alone=[[] for _ in works], left=self._steps_of(variant))
            refused = [work.case.title for work in works if work.stopped]
            if refused:
                self._give_up(state, f"{', '.join(dict.fromkeys(refused))} is refused, see above")
            states.append(state)
        for state in states:
            for position in range(len(state.works)):
                if not self._stop.is_set() and not state.stopped:
                    self._warm_up(state, position)
        for index in range(self._rounds_of_all):
            start = index % max(1, len(states))
            for state in states[start:] + states[:start]:
                self._round(state, index)

    def _round(self, state: _State, index: int) -> None:
        """Each stage alone, then a session in each residency."""
        for position in range(len(state.works)):
            if not self._stop.is_set() and not state.stopped:
                self._alone(state, position, index)
        for residency in state.variant.pipeline.residencies:
            if not self._stop.is_set() and not state.stopped and residency not in state.failed:
                self._whole(state, residency, index)

    def _warm_up(self, state: _State, position: int) -> None:
        """Run a stage once: its file is then in memory and a delegate's cache filled for all that is timed."""
        work = state.works[position]
        title = f"{state.variant.title} · {self._name(state, position)} · once, untimed"
        self._tell(PipelineStep(self.serial, title))
        options = replace(work.case.options, num_runs=1, warmup_runs=0)
        command = self._commands.build(replace(work.case, options=options), "latency", work.graph)
        name = f"pipeline{state.number:02d}-warm{position + 1:02d}-job{work.job.number:04d}"
        _, _, lost = self._processes.run(command, self._spec(title, name, work, self._alone_deadline_s()))
        state.left -= 1
        if lost is not None:
            raise lost
        self._tell(PipelineStep(self.serial, title, done=True, words="not measured"))

    def _alone(self, state: _State, position: int, index: int) -> None:
        """A stage in a process of its own: what the estimate is composed of."""
        work = state.works[position]
        plan = plan_alone(self._name(state, position), work.case.options.num_runs)
        title = f"{state.variant.title} · {plan.stages[0].name} alone · {index + 1}/{self._rounds_of_all}"
        record = self._measure(state, plan, [position], index, title, self._alone_deadline_s())
        if record is None:
            return
        state.left -= 1
        if record.status == "failed":
            self._tell(PipelineStep(self.serial, title, True, _failure_words(record), failed=True))
            self._give_up(state, "a stage failed")
            return
        stage = record.stages[0]
        assert stage.load_ms is not None and stage.first_ms is not None and stage.steady_ms is not None
        runs = state.variant.pipeline.runs[position]
        alone = Alone(stage.name, runs, stage.load_ms, stage.first_ms, stage.steady_ms, stage.init_ms)
        state.alone[position].append(alone)
        words = f"load {alone.load_ms:,.0f} ms, first {alone.first_ms:,.1f} ms, steady {alone.steady_ms:,.2f} ms"
        self._tell(PipelineStep(self.serial, title, True, words, unreliable=record.verdict == "unreliable"))

    def _whole(self, state: _State, residency: str, index: int) -> None:
        """The pipeline from its first stage to its last as one session on the device."""
        pipeline = state.variant.pipeline
        keep = pipeline.keep
        chosen = next(one for one in RESIDENCIES if one == residency)
        overlap = self._overlap(state) if chosen == "pipelined" else 0
        plan = plan_session(chosen, [stage.name for stage in pipeline.stages], pipeline.runs, keep, overlap)
        title = f"{state.variant.title} · {residency} · {index + 1}/{self._rounds_of_all}"
        alone = [_middle(found) for found in state.alone]
        estimate_s = total_ms(compose("sequential", alone)) / 1000
        deadline_s = self._plan.limits.repetition_timeout_s or _LOAD_BUDGET_S + _SLOWER * estimate_s
        positions = list(range(len(pipeline.stages)))
        record = self._measure(state, plan, positions, index, title, deadline_s, overlap)
        if record is None:
            return
        state.left -= 1
        if record.status == "failed":
            state.failed.add(residency)
            skipped = self._rounds_of_all - index - 1
            state.left -= skipped
            self._tell(PipelineStep(self.serial, title, True, _failure_words(record), failed=True, skipped=skipped))
            return
        peak = "" if record.peak_kb is None else f", peak {record.peak_kb / 1024:,.0f} MB"
        unreliable = record.verdict == "unreliable"
        why = f"; unreliable: {'; '.join(record.verdict_reasons)}" if unreliable else ""
        words = f"{record.latency_ms or 0:,.0f} ms{peak}{why}"
        self._tell(PipelineStep(self.serial, title, True, words, unreliable=unreliable))

    def _overlap(self, state: _State) -> int:
        """During how many runs the next stage loads: fixed for all rounds, so that sessions can be compared."""
        pipeline = state.variant.pipeline
        keep = pipeline.keep
        if keep is None or keep + 1 >= len(pipeline.stages):
            return 0
        if state.overlap is None:
            if pipeline.overlap_steps is not None:
                of_step = pipeline.passes if pipeline.stages[keep].runs is None else 1
                state.overlap = min(pipeline.overlap_steps * of_step, pipeline.runs[keep])
            else:
                kept, following = _middle(state.alone[keep]), _middle(state.alone[keep + 1])
                state.overlap = overlap_runs(following.load_ms, kept.steady_ms, kept.runs)
        return state.overlap

    def _measure(
        self,
        state: _State,
        plan: SessionPlan,
        positions: Sequence[int],
        index: int,
        title: str,
        deadline_s: float,
        overlap: int = 0,
    ) -> PipelineSessionRecord | None:
        """Run a session and store it; `None` where the user ended it."""
        self._cool_down()
        self._tell(PipelineStep(self.serial, title))
        works = [state.works[position] for position in positions]
        by_output = self._writes_outputs(works[0])
        commands = [self._command(plan, number, work, by_output) for number, work in enumerate(works)]
        word = f"S{secrets.token_hex(8)}"
        script = build_session_script(
            plan,
            [command_line(command.argv, command.env) for command in commands],
            word=word,
            pids_file=f"{self._keeper.lease.pid_file}.stages",
            writes_outputs=by_output,
            deadline_s=deadline_s + _WATCHDOG_EXTRA_S,
        )
        alive = self._stabiliser.alive(deadline_s + self._plan.limits.cool_down_s)
        prelude = "\n".join(filter(None, dict.fromkeys([alive, *(command.prelude for command in commands)])))
        part = f"stage{positions[0] + 1:02d}-" if plan.residency == "alone" else ""
        name = f"pipeline{state.number:02d}-{part}{plan.residency}-{index:03d}-job{works[0].job.number:04d}"
        spec = self._spec(title, name, works[0], deadline_s)
        ran, failure, lost = self._processes.run(Command(argv=(), prelude=prelude, shell=script), spec)
        if self._stop.is_set() and (failure is not None or ran.output.exit_code != 0):
            return None  # ended by the user in the middle: not a measurement, and not a failure of the device either
        argvs = [command.argv for command in commands]
        record = self._session_record(state, plan, positions, index, ran, failure, word, argvs, overlap, by_output)
        if lost is not None:
            raise lost
        return record

    def _session_record(
        self,
        state: _State,
        plan: SessionPlan,
        positions: Sequence[int],
        index: int,
        ran: Ran,
        failure: Failure | None,
        word: str,
        argvs: Sequence[tuple[str, ...]],
        overlap: int,
        by_output: bool,
    ) -> PipelineSessionRecord:
        works = [state.works[position] for position in positions]
        pipeline = state.variant.pipeline
        with gzip.open(ran.raw_file) as file:
            log = parse_session(lines_of_session(file), word)
        failure = failure or session_failure(log, plan, [work.case for work in works], argvs)
        verdict = self._judge(ran.around)
        samples, kind, peak = memory_records(log, positions)
        last = end_s(log, plan)
        record = PipelineSessionRecord(
            run_id=self._run_id,
            device_key=works[0].job.device.key,
            pipeline=pipeline.name,
            delegate=state.variant.delegate,
            threads=state.variant.threads,
            residency=plan.residency,
            index=index,
            steps=pipeline.steps,
            guidance=pipeline.guidance,
            keep=pipeline.keep,
            overlap_runs=overlap,
            started_utc=ran.started_utc,
            finished_utc=ran.finished_utc,
            status="ok" if failure is None else "failed",
            failure_kind=None if failure is None else failure.kind.value,
            failure_message=None if failure is None else failure.message,
            raw_path=ran.raw_path,
            latency_ms=None if failure is not None or last is None else round(1000 * last, 3),
            memory_kind=kind,
            peak_kb=peak,
            conditions_before=ran.around.before,
            conditions_after=ran.around.after,
            conditions_during=tuple(ran.around.during),
            verdict=verdict.word,
            verdict_reasons=verdict.reasons,
            stages=stage_records(
                log,
                plan,
                positions=positions,
                jobs=[work.job.number for work in works],
                repeated=[pipeline.stages[position].runs is None for position in positions],
                argvs=argvs,
                held_by="output" if by_output else "stop",
            ),
            samples=samples,
        )
        add_pipeline_session(self._store, record)
        if plan.residency == "alone":
            self._store_alone(works[0], index, ran, record, log.stages[0].text if log.stages else "", failure, verdict)
        return record

    def _store_alone(
        self, work: Work, index: int, ran: Ran, record: PipelineSessionRecord, text: str, failure: Failure | None,
        verdict: Any,
    ) -> None:  # fmt: skip
        """A stage alone is a process like any other: it is a repetition of its job too."""
        stage = record.stages[0]
        name = f"job{work.job.number:04d}-latency-{stage.position:02d}-{record.index:03d}"
        raw_path = self._store.write_raw(self._run_id, name, text.encode("utf-8", "surrogateescape"))
        raw_file = self._store.artifacts.root / raw_path
        measured = parse_file(raw_file)
        output = replace(ran.output, exit_code=0 if failure is None else None, on_device_ms=None)
        alone = replace(ran, argv=stage.argv, raw_file=raw_file, raw_path=raw_path, output=output)
        case = work.case
        failure = failure or classify(measured, delegate=case.delegate, require=case.require, exit_code=0)
        self._store.add_repetition(
            repetition_record(work.job, case, record.index, "latency", alone, measured, failure, verdict)
        )

    # -- small things -------------------------------------------------------------------------------------------

    def _command(self, plan: SessionPlan, number: int, work: Work, by_output: bool) -> Command:
        stage, options = plan.stages[number], work.case.options
        hold = hold_flag(plan, number, writes_outputs=by_output)
        options = replace(
            options,
            num_runs=stage.num_runs,
            warmup_runs=stage.warmup_runs,
            max_secs=options.max_secs if plan.residency == "alone" else _NO_LIMIT_S,
            extra_flags=(*options.extra_flags, *hold),
        )
        return self._commands.build(replace(work.case, options=options), "latency", work.graph)

    def _writes_outputs(self, work: Work) -> bool:
        """Whether the tool can be held by its output. A virtual device's is not asked for its flags, and can."""
        binary = work.job.binary
        return binary.tool == "tflite" and (binary.abi == VIRTUAL_ABI or "output_filepath" in self._known_flags)

    def _spec(self, title: str, name: str, work: Work, deadline_s: float) -> ProcessSpec:
        return ProcessSpec(
            title, name, work.case.model.sha256, sample_memory=False, deadline_s=deadline_s,
            most_output_bytes=self._plan.limits.most_output_bytes,
        )  # fmt: skip

    def _alone_deadline_s(self) -> float:
        return self._plan.limits.repetition_timeout_s or _LOAD_BUDGET_S

    def _name(self, state: _State, position: int) -> str:
        return state.variant.pipeline.stages[position].name

    def _give_up(self, state: _State, why: str) -> None:
        state.stopped = True
        words = f"not measured as a whole: {why}"
        skipped = max(0, state.left - 1)
        state.left = 0
        self._tell(PipelineStep(self.serial, state.variant.title, True, words, failed=True, skipped=skipped))


def _middle(found: Sequence[Alone]) -> Alone:
    """The stage with the medians of all its processes."""
    inits = [one.init_ms for one in found if one.init_ms is not None]
    return replace(
        found[0],
        load_ms=median(one.load_ms for one in found),
        first_ms=median(one.first_ms for one in found),
        steady_ms=median(one.steady_ms for one in found),
        init_ms=median(inits) if inits else None,
    )


def _failure_words(record: PipelineSessionRecord) -> str:
    return f"{record.failure_kind}: {record.failure_message}"
