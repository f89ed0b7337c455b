"""The program of a run of jobs: repetitions of all jobs in turn, until there are enough; knows no device or store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from devbench.bench.events import MoreSteps, RepetitionDone, RepetitionStarted
from devbench.bench.plan import repetition_deadline_s
from devbench.bench.program import in_turn

if TYPE_CHECKING:
    from devbench.bench.job_progress import JobProgress
    from devbench.bench.program import Session
    from devbench.results.records import Purpose


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
