"""How far a job is: what its repetitions so far mean for those to come; knows no device and no store."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from devbench.analysis.stats import estimate
from devbench.tool.measurement import FailureKind

if TYPE_CHECKING:
    from devbench.bench.plan import Case, Limits
    from devbench.results.records import JobRecord, RepetitionRecord

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
