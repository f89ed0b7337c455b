"""The program of a run of pipelines: it measures each stage alone, then the whole pipeline in each residency.

The pipelines take turns in each round. A stage alone is a repetition of the stage's job; the whole pipeline has one
session per round and residency. `pipeline.py` and `pipeline_session.py` define what a session does on the device. The
device session handles facts, files, conditions, deadlines and storing.
"""

from __future__ import annotations

import gzip
import secrets
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from devbench.analysis.pipeline import Alone, compose, is_pipelined, overlap_runs, total_ms
from devbench.bench.command import Command
from devbench.bench.events import PipelineStep
from devbench.bench.pipeline import KIND, Pipeline, SessionPlan, StagePlan, plan_alone, plan_session
from devbench.bench.pipeline_session import (
    build_session_script,
    end_s,
    hold_flag,
    memory_records,
    session_failure,
    stage_records,
)
from devbench.bench.plan import Case, JobProgress, Plan, in_turn
from devbench.bench.records import ProcessResult, measured_when
from devbench.declare import options_of
from devbench.errors import InputError
from devbench.host.tomlfile import wrong
from devbench.models.files import GivenModel, model_path, open_models
from devbench.options import Residency, RunOptions
from devbench.results.records import PipelineSessionRecord
from devbench.text import parts_of
from devbench.tool.delegates import find_delegate, load_delegates
from devbench.tool.flags import command_line
from devbench.tool.libraries import check_delegate
from devbench.tool.manifest import VIRTUAL_ABI
from devbench.tool.parse.pipeline_log import SessionLog, lines_of_session, parse_session

if TYPE_CHECKING:
    from devbench.bench.session import DeviceSession


# Loading gigabytes from flash and building GPU kernels for them can take minutes.
_LOAD_BUDGET_S = 600.0
# A session may take this many times as long as estimated: a hot device can be several times slower.
_SLOWER = 5.0
# The tool's time limit per phase in a session; so high that the number of runs always ends the phase.
_NO_LIMIT_S = 86_400.0
# If this machine gives a session up, the device ends it by itself this much later.
_WATCHDOG_EXTRA_S = 20.0


@dataclass(frozen=True, slots=True)
class PipelineCase:
    """A pipeline under a delegate.

    Attributes:
        cases: the index in the plan of each stage's case, in the order of the stages.
        whole_only: only the whole pipeline is measured, no stage alone; then there is no estimate of its latency.
    """

    pipeline: Pipeline
    delegate: str
    threads: int | None
    cases: tuple[int, ...]
    whole_only: bool = False

    @property
    def title(self) -> str:
        return f"{self.pipeline.name} · {self.delegate}" + (f" · {self.threads} threads" if self.threads else "")

    def steps(self, rounds: int) -> int:
        """Count processes and sessions: each stage once untimed, then all stages and residencies in each round."""
        stages = 0 if self.whole_only else len(self.pipeline.stages)
        return stages + rounds * (stages + len(self.pipeline.residencies))


@dataclass(frozen=True, slots=True)
class PipelineProgram:
    """Measures pipelines; see `Program`."""

    pipelines: tuple[PipelineCase, ...]

    def steps(self, session: DeviceSession) -> int:
        return sum(one.steps(session.plan.limits.repetitions) for one in self.pipelines)

    def steps_of(self, session: DeviceSession, job: JobProgress) -> int:
        return 1

    def run(self, session: DeviceSession) -> None:
        """Run each stage once, untimed, to fill the caches; then run the rounds, in which the pipelines take turns."""
        # Stages that need more memory than a phone has can restart it.
        session.expect_restart()
        runs = [_PipelineRun(session, case, number) for number, case in enumerate(self.pipelines, 1)]
        for run in runs:
            run.check_refused()
        for run in runs:
            if not run.whole_only:
                run.warm_up()
        for index in range(session.plan.limits.repetitions):
            for run in in_turn(runs, index):
                run.round(index)


class _PipelineRun:
    """The measurement of a pipeline under a delegate on one device, with the results of each stage alone."""

    def __init__(self, session: DeviceSession, case: PipelineCase, number: int) -> None:
        self._session = session
        self._case = case
        self._pipeline = case.pipeline
        self._number = number
        self._jobs = [session.jobs[index] for index in case.cases]
        self._stages = [
            StagePlan(stage.name, runs, position, job.record.number, stage.runs is None)
            for position, (stage, runs, job) in enumerate(
                zip(case.pipeline.stages, case.pipeline.runs, self._jobs, strict=True)
            )
        ]
        self._rounds = session.plan.limits.repetitions
        self._alone: list[list[Alone]] = [[] for _ in self._jobs]
        self.whole_only = case.whole_only
        self._overlap_runs: int | None = None
        self._failed: set[str] = set()
        self._left = case.steps(self._rounds)
        self._given_up = False
        # Whether a stage can be held while it writes its output. A virtual device's tool always has the flag for that.
        binary = self._jobs[0].record.binary
        writes = binary.tool == "tflite" and (binary.abi == VIRTUAL_ABI or "output_filepath" in session.known_flags)
        self._by_output = writes

    @property
    def _over(self) -> bool:
        return self._given_up or self._session.stopped

    def check_refused(self) -> None:
        refused = [job.case.title for job in self._jobs if job.stopped]
        if refused:
            self._give_up(f"{', '.join(dict.fromkeys(refused))} is refused, see above")

    def warm_up(self) -> None:
        """Run each stage once, untimed, to get its file into memory and to fill a delegate's cache."""
        for stage, job in zip(self._stages, self._jobs, strict=True):
            if self._over:
                return
            title = f"{self._case.title} · {stage.name} · once, untimed"
            self._tell(title)
            case = replace(job.case, options=replace(job.case.options, num_runs=1, warmup_runs=0))
            command = self._session.commands.build(case, "latency", job.graph)
            name = f"pipeline{self._number:02d}-warm{stage.position + 1:02d}-job{stage.job_number:04d}"
            ran = self._session.process(job, command, title=title, name=name, deadline_s=self._load_s)
            if ran is not None and ran.lost is not None:
                raise ran.lost
            self._left -= 1
            self._tell(title, "not measured", done=True)

    def round(self, index: int) -> None:
        """Measure each stage alone, then the whole pipeline in each residency."""
        for stage in self._stages:
            if not self._over and not self.whole_only:
                self._measure_alone(stage, index)
        for residency in self._pipeline.residencies:
            if not self._over and residency not in self._failed:
                self._measure_whole(residency, index)

    def _measure_alone(self, stage: StagePlan, index: int) -> None:
        """Measure a stage alone, in its own process; the estimate for the whole pipeline is made from these results."""
        plan = plan_alone(stage, self._jobs[stage.position].case.options.num_runs)
        record = self._measure(plan, index, f"{stage.name} alone", self._load_s)
        if record is not None and record.status == "failed":
            self._give_up("a stage failed")
        elif record is not None:
            seen = record.stages[0]
            assert seen.load_ms is not None and seen.first_ms is not None and seen.steady_ms is not None
            alone = Alone(stage.name, stage.runs, seen.load_ms, seen.first_ms, seen.steady_ms, seen.init_ms)
            self._alone[stage.position].append(alone)

    def _measure_whole(self, residency: Residency, index: int) -> None:
        """Measure the pipeline, from its first stage to its last, as one session on the device."""
        pipeline, alone = self._pipeline, [_middle(found) for found in self._alone if found]
        keep, overlap, images, steady_s = pipeline.keep, 0, 1, 0.0
        if is_pipelined(residency) and keep is not None:
            overlap = self._overlap() if residency == "pipelined" else pipeline.runs[keep]
            if alone:
                images, steady_s = pipeline.images, alone[keep].steady_ms / 1000
        plan = plan_session(residency, self._stages, keep, overlap, images, steady_s)
        estimate_s = images * total_ms(compose("sequential", alone)) / 1000
        deadline_s = self._session.plan.limits.repetition_timeout_s or _LOAD_BUDGET_S + _SLOWER * estimate_s
        self._measure(plan, index, plan.title, deadline_s)

    def _overlap(self) -> int:
        """Return during how many runs of the kept stage the next stage loads.

        The number is calculated once and used in all rounds, to keep the sessions comparable.
        """
        pipeline, keep = self._pipeline, self._pipeline.keep
        if keep is None or keep + 1 >= len(pipeline.stages):
            return 0
        if self._overlap_runs is None:
            if pipeline.overlap_steps is not None:
                of_step = pipeline.passes if pipeline.stages[keep].runs is None else 1
                self._overlap_runs = min(pipeline.overlap_steps * of_step, pipeline.runs[keep])
            else:
                kept, following = _middle(self._alone[keep]), _middle(self._alone[keep + 1])
                self._overlap_runs = overlap_runs(following.load_ms, kept.steady_ms, kept.runs)
        return self._overlap_runs

    def _measure(self, plan: SessionPlan, index: int, what: str, deadline_s: float) -> PipelineSessionRecord | None:
        """Run a session, store and report it; `None` if the user stopped it."""
        title = f"{self._case.title} · {what} · {index + 1}/{self._rounds}"
        session = self._session
        plan = replace(plan, held_by="output" if self._by_output else "stop")
        jobs = [self._jobs[stage.position] for stage in plan.stages]
        session.wait_until_fit()
        self._tell(title)
        commands = [self._command(plan, number, job) for number, job in enumerate(jobs)]
        word = f"S{secrets.token_hex(8)}"
        script = build_session_script(
            plan,
            [command_line(command.argv, command.env) for command in commands],
            word=word,
            pids_file=f"{session.pid_file}.stages",
            deadline_s=deadline_s + _WATCHDOG_EXTRA_S,
        )
        prelude = "\n".join(filter(None, dict.fromkeys(command.prelude for command in commands)))
        part = f"stage{plan.stages[0].position + 1:02d}-" if plan.residency == "alone" else ""
        name = f"pipeline{self._number:02d}-{part}{plan.residency}-{index:03d}-job{jobs[0].record.number:04d}"
        ran = session.process(
            jobs[0], Command(argv=(), prelude=prelude, shell=script), title=title, name=name, deadline_s=deadline_s
        )
        if ran is None:
            return None
        with gzip.open(ran.raw_file) as file:
            log = parse_session(lines_of_session(file), word)
        argvs = [command.argv for command in commands]
        failure = ran.failure or session_failure(log, plan, [job.case for job in jobs], argvs)
        ran = replace(ran, failure=failure)
        record = self._record(plan, index, ran, log, argvs)
        session.store_pipeline_session(record)
        if plan.residency == "alone":
            self._store_alone(jobs[0], plan.stages[0], index, ran, log, argvs[0])
        if ran.lost is not None:
            raise ran.lost
        failed, skipped = failure is not None, 0
        if failed and plan.residency != "alone":
            self._failed.add(plan.residency)
            skipped = self._rounds - index - 1
        self._left -= 1 + skipped
        unreliable = not failed and record.verdict == "unreliable"
        self._tell(title, _words(record), done=True, failed=failed, unreliable=unreliable, skipped=skipped)
        return record

    def _record(
        self, plan: SessionPlan, index: int, ran: ProcessResult, log: SessionLog, argvs: Sequence[tuple[str, ...]]
    ) -> PipelineSessionRecord:
        case, pipeline = self._case, self._pipeline
        samples, kind, peak_kb = memory_records(log, plan)
        last_s = end_s(log, plan) if ran.failure is None else None
        return PipelineSessionRecord(
            run_id=self._session.run_id,
            device_key=self._jobs[0].record.device.key,
            pipeline=pipeline.name,
            delegate=case.delegate,
            threads=case.threads,
            residency=plan.title,
            index=index,
            steps=pipeline.steps,
            guidance=pipeline.guidance,
            keep=pipeline.keep,
            overlap_runs=plan.overlap_runs,
            latency_ms=None if last_s is None else round(1000 * last_s, 3),
            memory_kind=kind,
            peak_kb=peak_kb,
            stages=stage_records(log, plan, argvs),
            samples=samples,
            **measured_when(ran, self._session.judge(ran.around)),
        )

    def _store_alone(
        self, job: JobProgress, stage: StagePlan, index: int, ran: ProcessResult, log: SessionLog, argv: tuple[str, ...]
    ) -> None:
        """Store the measurement of a stage alone as a repetition of the stage's job too."""
        name = f"job{stage.job_number:04d}-latency-{stage.position:02d}-{index:03d}"
        path, file = self._session.write_raw(name, log.stage(0).text.encode("utf-8", "surrogateescape"))
        output = replace(ran.output, exit_code=0 if ran.failure is None else None, on_device_ms=None)
        alone = replace(ran, argv=argv, raw_file=file, raw_path=path, output=output)
        self._session.store_repetition(job, "latency", index, alone)

    def _command(self, plan: SessionPlan, number: int, job: JobProgress) -> Command:
        stage, options = plan.stages[number], job.case.options
        options = replace(
            options,
            num_runs=stage.num_runs,
            warmup_runs=stage.warmup_runs,
            max_secs=options.max_secs if plan.residency == "alone" else _NO_LIMIT_S,
            extra_flags=(*options.extra_flags, *hold_flag(plan, number)),
        )
        return self._session.commands.build(replace(job.case, options=options), "latency", job.graph)

    @property
    def _load_s(self) -> float:
        return self._session.plan.limits.repetition_timeout_s or _LOAD_BUDGET_S

    def _tell(
        self,
        title: str,
        words: str = "",
        *,
        done: bool = False,
        failed: bool = False,
        unreliable: bool = False,
        skipped: int = 0,
    ) -> None:
        self._session.tell(PipelineStep(self._session.serial, title, done, words, failed, unreliable, skipped))

    def _give_up(self, why: str) -> None:
        self._given_up = True
        skipped, self._left = max(0, self._left - 1), 0
        self._tell(self._case.title, f"not measured as a whole: {why}", done=True, failed=True, skipped=skipped)


def _middle(found: Sequence[Alone]) -> Alone:
    """Return one result for a stage: each value is the median over all its processes."""
    inits = [one.init_ms for one in found if one.init_ms is not None]
    return replace(
        found[0],
        load_ms=median(one.load_ms for one in found),
        first_ms=median(one.first_ms for one in found),
        steady_ms=median(one.steady_ms for one in found),
        init_ms=median(inits) if inits else None,
    )


def _words(record: PipelineSessionRecord) -> str:
    """Return the results of a session as text, or why it failed."""
    if record.status == "failed":
        return f"{record.failure_kind}: {record.failure_message}"
    if record.residency == "alone":
        seen = record.stages[0]
        words = f"load {seen.load_ms:,.0f} ms, first {seen.first_ms:,.1f} ms, steady {seen.steady_ms:,.2f} ms"
    else:
        peak = "" if record.peak_kb is None else f", peak {record.peak_kb / 1024:,.0f} MB"
        words = f"{record.latency_ms or 0:,.0f} ms{peak}"
    return f"{words}; unreliable: {'; '.join(record.verdict_reasons)}" if record.verdict == "unreliable" else words


def for_pipeline(options: RunOptions, typed: Collection[str]) -> RunOptions:
    """Return the options, with the defaults for pipelines in place of those whose names are not in `typed`."""
    known = options_of(type(options))
    own = {one.name: one.pipeline for one in known if one.pipeline is not None and one.name not in typed}
    return replace(options, residency=parts_of(options.residency), **own)


def plan_pipelines(
    several: Sequence[Pipeline], given: RunOptions, first: Plan, *, whole_only: bool = False
) -> tuple[Plan, tuple[PipelineCase, ...]]:
    """Return the plan with the cases of all stages under all delegates, and the pipelines that these cases make up.

    `first` is the plan for the model of one stage: the delegates, threads and limits are taken from it.

    Raises:
        InputError: a model, delegate or number of threads is wrong.
    """
    cases: dict[Case, int] = {}
    pipelines = [one for pipeline in several for one in _cases_of(pipeline, given, first, cases, whole_only)]
    return replace(first, cases=tuple(cases)), tuple(pipelines)


def _cases_of(
    pipeline: Pipeline, given: RunOptions, first: Plan, cases: dict[Case, int], whole_only: bool
) -> Iterator[PipelineCase]:
    """Yield a pipeline under each delegate and number of threads, and add its cases to `cases`."""
    known = load_delegates(given.delegates_file)
    files = list(dict.fromkeys(stage.model for stage in pipeline.stages))
    base = pipeline.path.parent if pipeline.path is not None else Path()
    opened = {
        model.path.resolve(): model for model in open_models([GivenModel(file) for file in files], base.resolve())
    }
    models = {file: opened[model_path(file).resolve()] for file in files}
    template = first.cases[0]
    for delegate, threads in dict.fromkeys((case.delegate, case.options.num_threads) for case in first.cases):
        numbers = []
        for number, stage in enumerate(pipeline.stages):
            own = delegate
            if stage.delegate is not None:
                try:
                    own = find_delegate(stage.delegate, known)
                    check_delegate(own)
                except InputError as error:
                    at = ("stage", number, "delegate")
                    raise wrong(KIND, pipeline.path or Path(), at, f": {error.what}", error.hint) from None
            count = threads if stage.threads is None else stage.threads
            require = template.require if given.require else own.require
            case = Case(models[stage.model], own, replace(template.options, num_threads=count), require)
            numbers.append(cases.setdefault(case, len(cases)))
        yield PipelineCase(pipeline, delegate.name, threads, tuple(numbers), whole_only)
