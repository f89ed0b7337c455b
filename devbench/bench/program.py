"""What a device session runs: a program, and what the session offers it; knows no device and no store.

A session prepares the device and owns lease, conditions and storing. A program decides what runs, and in which order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

    from devbench.analysis.reliability import Around, Reliability
    from devbench.bench.command import Command, Commands
    from devbench.bench.events import Listener
    from devbench.bench.job_progress import JobProgress
    from devbench.bench.outputs import DeviceOutputs
    from devbench.bench.plan import Plan
    from devbench.bench.records import ProcessResult
    from devbench.results.records import PipelineSessionRecord, Purpose, RepetitionRecord

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
