"""Cases, plans and a session without a device, for tests of the programs of `bench/`. Nothing here was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from devbench.analysis.reliability import Around, Reliability
from devbench.bench.command import Command, Commands
from devbench.bench.events import Event
from devbench.bench.plan import Case, JobProgress, Limits, Plan
from devbench.bench.records import ProcessResult, repetition_record
from devbench.bench.script import ScriptOutput
from devbench.models.files import ModelFile
from devbench.results.records import PipelineSessionRecord, Purpose, RepetitionRecord
from devbench.tool.binaries import Binary
from devbench.tool.case import Delegate, ToolOptions
from devbench.tool.measurement import Failure, Measurement, RunStats
from tests.made.samples import NOW, RUN, job_record

AT = NOW.isoformat()
CPU = Delegate("cpu", "CPU", flags=(("use_xnnpack", "false"),))
GPU = Delegate("gpu", "GPU", flags=(("use_gpu", "true"),), reported_as=("GPU",))
BINARY = Binary("tflite-2.19", "tflite", "2.19", "arm64-v8a", "default", "b" * 64, Path("benchmark_model"), 1)


def case(name: str = "model", delegate: Delegate = CPU, operators: int = 10, **options: Any) -> Case:
    model = ModelFile(Path(f"{name}.tflite"), name, name.ljust(64, "0"), 100, operators)
    return Case(model, delegate, ToolOptions(**options), "any")


def plan(*cases: Case, **limits: Any) -> Plan:
    return Plan(cases or (case(),), Limits(**limits))


def ran(failure: Failure | None = None, exit_code: int | None = 0, **changes: Any) -> ProcessResult:
    """A process that ended a second after it began."""
    return replace(
        ProcessResult(
            started_utc=NOW,
            finished_utc=NOW + timedelta(seconds=1),
            duration_s=1.0,
            argv=("/b", "--graph=/m"),
            raw_path=f"{RUN}/raw",
            raw_file=Path("raw"),
            output=ScriptOutput(tool=(0, 0), exit_code=exit_code, vm_hwm_kb=2048),
            around=Around({"taken_utc": AT, "load_1min": 0.1}, {"taken_utc": AT, "load_1min": 0.2}),
            file_cache=None,
            kernel_cache=None,
            host_overhead_ms=1.0,
            failure=failure,
        ),
        **changes,
    )


def measured(us: float = 700.0) -> Measurement:
    return Measurement(
        status="ok",
        init_us=1500.0,
        first_inference_us=900.0,
        warmup_avg_us=800.0,
        inference_avg_us=us,
        runs=RunStats(50, avg_us=us, min_us=us - 50, max_us=us + 50, std_us=9.0, median_us=us),
    )


@dataclass
class FakeSession:
    """A prepared device for a program: its processes end at once, as `result` says.

    Attributes:
        result: from the name of a process to how it ended; raises what the process raises.
        verdict: from the name of a process to whether the device was fit.
        log: what was done, in order: waits, processes by name, stored repetitions and sessions.
    """

    plan: Plan
    result: Callable[[str], ProcessResult | None] = lambda name: ran()
    verdict: Callable[[str], str] = lambda name: "valid"
    can_drop: bool = False
    known_flags: frozenset[str] = frozenset()
    serial: str = "SERIAL"
    outputs: Any = None
    run_id: str = RUN
    pid_file: str = "/data/local/tmp/devbench/run/1.pid"
    stopped: bool = False
    jobs: list[JobProgress] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    repetitions: list[RepetitionRecord] = field(default_factory=list)
    sessions: list[PipelineSessionRecord] = field(default_factory=list)
    commands: Commands = field(init=False)
    raw: Path = Path()
    _last: str = ""

    def __post_init__(self) -> None:
        nothing: Any = None
        self.commands = Commands(nothing, nothing, "/d", BINARY, "/d/b", can_drop=self.can_drop)
        self.jobs = self.jobs or [
            JobProgress(job_record(number=number), one, self.plan.limits.repetitions)
            for number, one in enumerate(self.plan.cases, 1)
        ]

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def expect_restart(self) -> None:
        pass

    def wait_until_fit(self) -> None:
        self.log.append("wait")

    def process(
        self, job: JobProgress, command: Command, *, title: str, name: str, deadline_s: float, memory: bool = False
    ) -> ProcessResult | None:
        self.log.append(name)
        self._last = name
        return self.result(name)

    def judge(self, around: Around) -> Reliability:
        return (
            Reliability("unreliable", ("busy",)) if self.verdict(self._last) == "unreliable" else Reliability("valid")
        )

    def store_repetition(
        self, job: JobProgress, purpose: Purpose, index: int, ran: ProcessResult, out: str = ""
    ) -> RepetitionRecord:
        record = repetition_record(job.record, job.case, index, purpose, ran, measured(), self.judge(ran.around))
        self.repetitions.append(record)
        job.count(record)
        return record

    def write_raw(self, name: str, data: bytes) -> tuple[str, Path]:
        self.log.append(f"raw {name}")
        return name, self.raw

    def store_pipeline_session(self, record: PipelineSessionRecord) -> None:
        self.sessions.append(record)

    @property
    def processes(self) -> list[str]:
        """The names of the processes, in order."""
        return [line for line in self.log if line != "wait" and not line.startswith("raw ")]


def names(purpose: str, *pairs: tuple[int, int]) -> list[str]:
    """Names of processes from their jobs' numbers and their indices."""
    return [f"job{job:04d}-{purpose}-{index:03d}" for job, index in pairs]


def of_type(events: Sequence[Event], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]
