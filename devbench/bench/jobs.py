"""What a device session runs: a program, what the session offers it, and the program of a run of jobs.

A session prepares the device and owns lease, conditions and storing. A program decides what runs, and in which order;
it has no device and no store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from devbench.analysis.stats import estimate
from devbench.bench.events import MoreSteps, RepetitionDone, RepetitionStarted
from devbench.bench.plan import repetition_deadline_s
from devbench.tool.measurement import FailureKind

if TYPE_CHECKING:
    from pathlib import Path

    from devbench.analysis.reliability import Around, Reliability
    from devbench.bench.command import Command, Commands
    from devbench.bench.events import Listener
    from devbench.bench.outputs import DeviceOutputs
    from devbench.bench.plan import Case, Limits, Plan
    from devbench.bench.records import ProcessResult
    from devbench.results.records import JobRecord, PipelineSessionRecord, Purpose, RepetitionRecord


T = TypeVar("T")


class Session(Protocol):
    """A prepared device, as a program sees it.

    Attributes:
        serial, plan: the device and what is to be measured there.
        jobs: the device's jobs, one per case of the plan and in that order.
        commands: makes the command lines.
        outputs: the check of outputs, if one was requested.
        known_flags: the flags that the tool takes; empty if they are not known.
        tell: is called with every event.
    """

    serial: str
    plan: Plan
    jobs: list[JobProgress]
    commands: Commands
    outputs: DeviceOutputs | None
    known_flags: frozenset[str]
    tell: Listener

    @property
    def run_id(self) -> str: ...

    @property
    def stopped(self) -> bool:
        """Whether the user has ended the run: nothing more is started."""

    @property
    def pid_file(self) -> str:
        """The file on the device that names the running process; others may be put next to it."""

    def wait_until_fit(self) -> None:
        """Wait until the device is within its limits, for a while.

        Raises:
            LeaseLost: another run took the device.
            DeviceLost, ShellTimeout: the device does not answer any more.
        """

    def process(
        self, job: JobProgress, command: Command, *, title: str, name: str, deadline_s: float, memory: bool = False
    ) -> ProcessResult | None:
        """Run one process; `None` if the user ended it, which is neither a measurement nor a failure.

        Args:
            job: whose process it is.
            title, name: for messages, and for its raw output.
            deadline_s: it is ended after this time.
            memory: whether to sample the memory of the process while it runs.

        Raises:
            LeaseLost: another run took the device.
        """

    def judge(self, around: Around) -> Reliability:
        """Whether the device was fit for a measurement, by the conditions around it."""

    def store_repetition(
        self, job: JobProgress, purpose: Purpose, index: int, ran: ProcessResult, out: str = ""
    ) -> RepetitionRecord:
        """Parse, classify, judge and store what a process printed; `out` is the device's file of its outputs."""

    def write_raw(self, name: str, data: bytes) -> tuple[str, Path]:
        """Keep raw output; gives its name in the store, and the file."""

    def store_pipeline_session(self, record: PipelineSessionRecord) -> None:
        """Store a session of a pipeline."""


class Program(Protocol):
    """What runs on a prepared device. One program serves all devices of a run, each in a thread of its own."""

    def steps(self, session: Session) -> int:
        """How many processes are planned on the device."""

    def steps_of(self, session: Session, job: JobProgress) -> int:
        """How many of them belong to a job."""

    def run(self, session: Session) -> None:
        """Run everything.

        Raises:
            DevbenchError: the device went away, or the lease was lost; what was measured until then is stored.
        """


def in_turn(items: Sequence[T], number: int) -> list[T]:
    """The items of a round: each round starts with the next one, since the first finds the device as others left it."""
    start = number % max(1, len(items))
    return [*items[start:], *items[:start]]


# Failures that chance, load or memory pressure can cause; every other kind would only come again.
_MAY_PASS_NEXT_TIME = frozenset({FailureKind.CRASH, FailureKind.KILLED, FailureKind.OUTPUT_INCOMPLETE})
_MAX_FAILURES_IN_A_JOB = 2
_CONFIDENCE = 0.95


@dataclass(slots=True)
class JobProgress:
    """A job on its device.

    Attributes:
        record: the job as the store keeps it.
        asked: latency repetitions that were asked for; those beyond are for unreliable ones or for the precision.
        graph: the model's path on the device.
        stopped: no repetition of it runs any more.
        retried: latency repetitions beyond those asked for.
        valid_us: the latencies that count.
        done: stored repetitions by purpose; their indices count from 0 without a gap.
        lost: of these, those in which the device was lost before the run was resumed; each is replaced.
    """

    record: JobRecord
    case: Case
    asked: int
    graph: str = ""
    failures: int = 0
    stopped: bool = False
    retried: int = 0
    valid_us: list[float] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)

    def wants(self, purpose: str, index: int, asked: int) -> bool:
        """Whether the repetition of that index is still to be made, of `asked` in all."""
        return self.done.get(purpose, 0) <= index < asked + self.lost.get(purpose, 0)

    def needs_more(self, limits: Limits) -> bool:
        """Whether another latency repetition is needed: for an unreliable one, or for the requested precision."""
        if self.stopped or not limits.repetitions:
            return False
        if len(self.valid_us) < limits.repetitions and self.retried < limits.unreliable_retries:
            return True
        if limits.precision_pct is None or self.done.get("latency", 0) >= limits.max_repetitions:
            return False
        found = estimate(self.valid_us)
        if found is None or found.half_width_pct is None or (found.coverage or 0.0) < _CONFIDENCE:
            return True
        return found.half_width_pct > limits.precision_pct

    def left(self, planned: int) -> int:
        """How many of the planned repetitions have not run; of a stopped job they never will."""
        return max(0, planned + sum(self.lost.values()) - sum(self.done.values()))

    def count(self, record: RepetitionRecord, *, earlier: bool = False) -> None:
        """Take a stored repetition into account, and decide whether the job continues.

        `earlier`: it was stored before the run was resumed. That the device was lost then is no fault of the job.
        """
        self.done[record.purpose] = self.done.get(record.purpose, 0) + 1
        if record.latency_avg_us is not None:
            if record.verdict != "unreliable":
                self.valid_us.append(record.latency_avg_us)
            # It replaces an unreliable one, whether it is reliable itself or not.
            self.retried += record.index >= self.asked + self.lost.get("latency", 0)
        if record.failure_kind is None:
            return
        kind = FailureKind(record.failure_kind)
        if earlier and kind is FailureKind.DEVICE_LOST:
            self.lost[record.purpose] = self.lost.get(record.purpose, 0) + 1
            return
        self.failures += 1
        self.stopped |= kind not in _MAY_PASS_NEXT_TIME or self.failures >= _MAX_FAILURES_IN_A_JOB


@dataclass(frozen=True, slots=True)
class JobProgram:
    """Runs every job of a device; see `Program`.

    Outputs come first: a number of a delegate that computes wrong values is not worth its time. Profiles come after the
    latencies: they cost time, and their heat would be in the latencies after them. Cold starts come last: all processes
    use the file cache that they empty.
    """

    def steps(self, session: Session) -> int:
        return sum(job.left(self.steps_of(session, job)) for job in session.jobs if not job.stopped)

    def steps_of(self, session: Session, job: JobProgress) -> int:
        return session.plan.limits.steps + _cold_starts(session, job)

    def run(self, session: Session) -> None:
        limits = session.plan.limits
        self._rounds(session, "outputs", limits.output_repetitions)
        self._rounds(session, "latency", limits.repetitions)
        self._until_enough(session)
        self._rounds(session, "profile", limits.profile_repetitions)
        self._rounds(session, "cold", limits.cold_starts)

    def _rounds(self, session: Session, purpose: Purpose, count: int) -> None:
        lost = max((job.lost.get(purpose, 0) for job in session.jobs), default=0)
        for index in range(count + lost):
            for job in in_turn(session.jobs, index):
                if session.stopped:
                    return
                possible = purpose != "cold" or _cold_starts(session, job)
                if possible and not job.stopped and job.wants(purpose, index, count):
                    self._repeat(session, job, purpose, index, count)

    def _until_enough(self, session: Session) -> None:
        """More latency repetitions for jobs with unreliable ones, or with a confidence interval that is too wide."""
        limits = session.plan.limits
        number = limits.repetitions
        while any(job.needs_more(limits) for job in session.jobs):
            for job in in_turn(session.jobs, number):
                if session.stopped:
                    return
                if job.needs_more(limits):
                    session.tell(MoreSteps(session.serial))
                    done = job.done.get("latency", 0)
                    self._repeat(session, job, "latency", done, done + 1)
            number += 1

    def _repeat(self, session: Session, job: JobProgress, purpose: Purpose, index: int, of: int) -> None:
        session.wait_until_fit()
        session.tell(RepetitionStarted(session.serial, job.record, purpose, index, of))
        command = session.commands.build(job.case, purpose, job.graph, session.outputs)
        ran = session.process(
            job,
            command,
            title=job.case.title,
            name=f"job{job.record.number:04d}-{purpose}-{index:03d}",
            deadline_s=repetition_deadline_s(job.case.options, session.plan.limits),
            memory=purpose == "profile" and not command.shell,
        )
        if ran is None:
            return
        repetition = session.store_repetition(job, purpose, index, ran, command.out)
        skipped = job.left(self.steps_of(session, job)) if job.stopped else 0
        session.tell(RepetitionDone(session.serial, job.record, repetition, skipped))
        if ran.lost is not None:
            raise ran.lost


def _cold_starts(session: Session, job: JobProgress) -> int:
    return session.plan.limits.cold_starts if session.commands.can_be_cold(job.case) else 0
