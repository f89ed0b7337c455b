"""One device from facts to its last repetition: prepares it, runs its jobs interleaved, leaves nothing running.

A session is used by one thread; only `interrupt` may be called from another. Raw output is on this machine's disk
before anybody parses it.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbench.adb.errors import DeviceLost, ShellTimeout
from devbench.bench import occupancy
from devbench.bench.command import Command, Commands
from devbench.bench.enough import cool_down, needs_more
from devbench.bench.events import DeviceReady, FilePushed, Listener, MoreSteps, RepetitionDone, RepetitionStarted
from devbench.bench.outputs import DeviceOutputs, Expected
from devbench.bench.plan import Case, Plan, repetition_deadline_s
from devbench.bench.records import Ran, device_record, job_record, refused_record, repetition_record
from devbench.bench.script import build_script, split_output
from devbench.bench.stabilise import Stabiliser
from devbench.bench.tool_help import read_flags
from devbench.device import conditions as device_conditions
from devbench.device.depot import Depot
from devbench.device.facts import DeviceFacts, read_facts
from devbench.device.profiles import DeviceProfile, match_profile
from devbench.hashing import sha256_of
from devbench.tool.binaries import Binary, choose
from devbench.tool.failures import classify
from devbench.tool.flags import command_line
from devbench.tool.manifest import VIRTUAL_ABI
from devbench.tool.measurement import Failure, FailureKind
from devbench.tool.parse import parse_bytes

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.results.records import DeviceRecord, JobRecord, Purpose, RepetitionRecord
    from devbench.results.store import Store

DEPOT_ROOT = "/data/local/tmp/devbench"
_WORK_DIR = f"{DEPOT_ROOT}/work"

# Failures that chance, load or memory pressure can cause; every other kind would only come again.
_MAY_PASS_NEXT_TIME = frozenset({FailureKind.CRASH, FailureKind.KILLED, FailureKind.OUTPUT_INCOMPLETE})
_MOST_FAILURES_IN_A_JOB = 2
# Conditions read this long ago still describe the device before the next repetition.
_CONDITIONS_FRESH_S = 2.0
_RAW_SPLIT = b"==> standard error <==\n"


@dataclass(slots=True)
class _Work:
    """A job and how far it is."""

    job: JobRecord
    case: Case
    graph: str = ""
    failures: int = 0
    stopped: bool = False
    retried: int = 0
    valid_us: list[float] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)


class DeviceSession:
    """Everything that a run does with one device.

    Args:
        device: an adb connection; nothing is sent before `prepare`.
        plan: cases and limits; every case runs on this device.
        store: where jobs and repetitions go, thread-safe.
        run_id: the run that the jobs belong to.
        first_number: number of this device's first job within the run.
        profiles: the device profiles that are known.
        expected: inputs and right outputs by the model's hash, where outputs are checked.
        listener: is told of every step, from this session's thread.
        incoming: a folder on this machine for output that is still arriving.
    """

    def __init__(
        self,
        device: Device,
        plan: Plan,
        store: Store,
        run_id: str,
        *,
        first_number: int,
        profiles: Sequence[DeviceProfile],
        expected: Mapping[str, Expected],
        listener: Listener,
        incoming: Path,
    ) -> None:
        self.serial = device.serial
        self._device = device
        self._plan = plan
        self._store = store
        self._run_id = run_id
        self._first_number = first_number
        self._profiles = profiles
        self._expected = expected
        self._outputs: DeviceOutputs | None = None
        self._tell = listener
        self._incoming = incoming
        self._stop = threading.Event()
        self._pid_file = f"{DEPOT_ROOT}/run/{run_id}-{secrets.token_hex(3)}.pid"
        self._owner = f"{socket.gethostname()}:{os.getpid()}".replace(" ", "_")
        self._occupied = False
        self._stabiliser = Stabiliser(device, DEPOT_ROOT, plan.stabilising)
        self._steadied: Mapping[str, bool] = {}
        self._work: list[_Work] = []
        self._last_conditions: tuple[float, Mapping[str, Any]] | None = None

    # -- life cycle ---------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Prepare the device, run every repetition, tidy up.

        Raises:
            DevbenchError: the device cannot be prepared, or went away; what was measured until then is stored.
        """
        try:
            self._prepare()
            self._run_all()
        finally:
            self._leave()

    def interrupt(self) -> None:
        """End what runs on the device now and start nothing more; for use from another thread."""
        self._stop.set()
        if self._occupied:
            occupancy.end_process(self._device, self._pid_file)

    @property
    def measured(self) -> int:
        """Repetitions stored so far."""
        return sum(sum(work.done.values()) for work in self._work)

    # -- preparing ----------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        facts = read_facts(self._device)
        record = device_record(facts, match_profile(facts, self._profiles))
        binary = choose(facts.abis, name=self._plan.binary_name)
        assert binary.path is not None  # choose gives installed binaries only
        left_changes = occupancy.enter(
            self._device, root=DEPOT_ROOT, work_dir=_WORK_DIR, pid_file=self._pid_file, owner=self._owner
        )
        self._occupied = True
        if left_changes:
            self._stabiliser.recover()
        self._steadied = self._stabiliser.start()
        depot = Depot(self._device, root=DEPOT_ROOT)
        binary_sha256 = sha256_of(binary.path)
        remote = depot.ensure(binary.path, sha256=binary_sha256, mode=0o755).remote
        mask = self._plan.stabilising.cpu_mask
        self._commands = Commands(self._device, depot, DEPOT_ROOT, binary, remote, cpu_mask=mask)
        self._work = self._make_work(record, binary, binary_sha256)
        if self._plan.output_check is not None:
            self._outputs = DeviceOutputs(self._device, depot, _WORK_DIR, self._plan.output_check)
        self._tell(DeviceReady(self.serial, record, len(self._work) * self._plan.limits.steps))
        self._refuse(binary)
        self._push_models(depot, facts)

    def _make_work(self, record: DeviceRecord, binary: Binary, binary_sha256: str) -> list[_Work]:
        work = []
        for offset, case in enumerate(self._plan.cases):
            job = job_record(self._run_id, self._first_number + offset, case, record, binary, binary_sha256)
            steady = {**self._steadied, "affinity": self._plan.stabilising.cpu_mask}
            job = replace(job, options={**job.options, "stabilised": {k: v for k, v in steady.items() if v != ""}})
            self._store.add_job(job)
            work.append(_Work(job, case))
        return work

    def _refuse(self, binary: Binary) -> None:
        """Jobs with flags that the binary does not take are failures before anything is timed; the others go on.

        The virtual device's tool is not asked: its flags are not remembered, and it says itself which it ignored.
        """
        known = read_flags(self._device, binary) if binary.abi != VIRTUAL_ABI else frozenset()
        limits = self._plan.limits
        counts: list[tuple[Purpose, int]] = [
            ("outputs", limits.output_repetitions),
            ("latency", limits.repetitions),
            ("profile", limits.profile_repetitions),
        ]
        purposes = [purpose for purpose, count in counts if count]
        for work in self._work:
            failure = self._commands.refusal(work.case, purposes, known)
            if failure is None:
                continue
            purpose = purposes[0]
            raw_path = self._store.write_raw(self._run_id, f"job{work.job.number:04d}-{purpose}-000", b"")
            record = refused_record(work.job, purpose, failure, (), raw_path, datetime.now(timezone.utc))
            self._store.add_repetition(record)
            work.stopped = True
            work.done[purpose] = 1
            self._tell(RepetitionStarted(self.serial, work.job, purpose, 0, 1))
            self._tell(RepetitionDone(self.serial, work.job, record, limits.steps - 1))

    def _push_models(self, depot: Depot, facts: DeviceFacts) -> None:
        remote: dict[str, str] = {}
        for work in self._work:
            if work.stopped:
                continue
            model = work.case.model
            if model.sha256 not in remote and not self._stop.is_set():

                def progress(done: int, total: int, name: str = model.name) -> None:
                    self._tell(FilePushed(self.serial, name, done, total))

                remote[model.sha256] = depot.ensure(model.path, sha256=model.sha256, progress=progress).remote
            work.graph = remote.get(model.sha256, "")
            self._commands.prepare(work.case)

    def _leave(self) -> None:
        if self._occupied:
            self._stabiliser.stop()
            occupancy.leave(self._device, self._pid_file)
            self._occupied = False

    # -- running ------------------------------------------------------------------------------------------------

    def _run_all(self) -> None:
        """Repetitions of all jobs in turn, so that heat and background load do not pick a winner.

        Each round starts with the next job, since whoever comes first after another finds the device as that left it.
        Outputs come first: a number of a delegate that computes nonsense is not worth its time. Profiles come last:
        they cost time, and their heat would be in the latencies after them.
        """
        limits = self._plan.limits
        self._rounds("outputs", limits.output_repetitions)
        self._rounds("latency", limits.repetitions)
        self._until_enough()
        self._rounds("profile", limits.profile_repetitions)

    def _rounds(self, purpose: Purpose, count: int) -> None:
        for index in range(count):
            self._turn(index, lambda work, index=index: self._repeat(work, purpose, index, count))  # type: ignore[misc]

    def _turn(self, number: int, do: Callable[[_Work], None]) -> None:
        """Every job once, beginning with another one each time."""
        start = number % max(1, len(self._work))
        for work in self._work[start:] + self._work[:start]:
            if self._stop.is_set():
                return
            if not work.stopped:
                do(work)

    def _until_enough(self) -> None:
        """More latency repetitions for jobs with suspect ones, or whose interval is still too wide."""

        def once_more(work: _Work) -> None:
            if self._needs_more(work):
                self._tell(MoreSteps(self.serial))
                done = work.done.get("latency", 0)
                self._repeat(work, "latency", done, done + 1)

        number = self._plan.limits.repetitions
        while not self._stop.is_set() and any(self._needs_more(work) for work in self._work):
            self._turn(number, once_more)
            number += 1

    def _needs_more(self, work: _Work) -> bool:
        done = work.done.get("latency", 0)
        return not work.stopped and needs_more(
            self._plan.limits, done=done, retried=work.retried, valid_us=work.valid_us
        )

    def _repeat(self, work: _Work, purpose: Purpose, index: int, of: int) -> None:
        self._cool_down()
        self._tell(RepetitionStarted(self.serial, work.job, purpose, index, of))
        began = time.monotonic()
        outputs = (self._outputs, self._expected[work.case.model.sha256]) if self._outputs is not None else None
        command = self._commands.build(work.case, purpose, work.graph, outputs)
        ran, failure, lost = self._run_tool(work, purpose, index, began, command)
        if self._stop.is_set() and (failure is not None or ran.output.exit_code != 0):
            return  # ended by the user in the middle: not a measurement, and not a failure of the device either
        record = self._judge(work, purpose, index, ran, failure, command.out)
        self._store.add_repetition(record)
        work.done[purpose] = work.done.get(purpose, 0) + 1
        if record.latency_avg_us is not None:
            if record.verdict != "suspect":
                work.valid_us.append(record.latency_avg_us)
            # Counted when it is run for a suspect one, whatever its own verdict.
            work.retried += index >= self._plan.limits.repetitions
        self._tell(RepetitionDone(self.serial, work.job, record, self._skip_rest(work, record)))
        if lost is not None:
            raise lost

    def _skip_rest(self, work: _Work, record: RepetitionRecord) -> int:
        """Decide whether the job goes on after this repetition; gives the number of those that will not run."""
        if record.failure_kind is None:
            return 0
        work.failures += 1
        may_pass = FailureKind(record.failure_kind) in _MAY_PASS_NEXT_TIME
        if may_pass and work.failures < _MOST_FAILURES_IN_A_JOB:
            return 0
        work.stopped = True
        return self._plan.limits.steps - sum(work.done.values())

    def _run_tool(
        self, work: _Work, purpose: Purpose, index: int, began: float, command: Command
    ) -> tuple[Ran, Failure | None, DeviceLost | None]:
        """One process of the tool; its output is in the artifacts when this returns, whatever happened."""
        marker = f"@@{secrets.token_hex(8)}"
        before = self._fresh_conditions(began)
        script = build_script(
            command_line(command.argv, command.env),
            prelude=command.prelude,
            marker=marker,
            pid_file=self._pid_file,
            owner=self._owner,
            work_dir=_WORK_DIR,
            conditions_command=device_conditions.CONDITIONS_COMMAND,
            before=before is None,
            sample_memory=purpose == "profile",
        )
        name = f"job{work.job.number:04d}-{purpose}-{index:03d}"
        out, err = self._incoming / f"{self._run_id}-{name}.out", self._incoming / f"{self._run_id}-{name}.err"
        deadline_s = repetition_deadline_s(work.case.options, self._plan.limits)
        failure: Failure | None = None
        lost: DeviceLost | None = None
        started_utc = datetime.now(timezone.utc)
        shell_began = time.monotonic()
        try:
            self._device.shell_to_file(script, out, err, timeout_s=deadline_s, doing=f"running {work.case.title}")
        except ShellTimeout:
            failure = Failure(FailureKind.TIMEOUT, f"not done after {deadline_s:g} s; ended by devbench")
        except DeviceLost as error:
            failure, lost = Failure(FailureKind.DEVICE_LOST, error.what), error
        shell_ended = time.monotonic()
        finished_utc = datetime.now(timezone.utc)
        output = split_output(_read(out), marker)
        raw = join_streams(output.tool_stdout, _read(err))
        raw_path = self._store.write_raw(self._run_id, name, raw)
        out.unlink(missing_ok=True)
        err.unlink(missing_ok=True)
        after = self._conditions(output.conditions_after, finished_utc)
        self._last_conditions = (time.monotonic(), after) if after is not None else None
        ran = Ran(
            started_utc=started_utc,
            finished_utc=finished_utc,
            duration_s=shell_ended - shell_began,
            argv=command.argv,
            raw_path=raw_path,
            output=output,
            conditions_before=before or self._conditions(output.conditions_before, started_utc),
            conditions_after=after,
            host_overhead_ms=(time.monotonic() - began - (shell_ended - shell_began)) * 1000,
        )
        self._raw = raw
        return ran, failure, lost

    def _judge(
        self, work: _Work, purpose: Purpose, index: int, ran: Ran, failure: Failure | None, out: str
    ) -> RepetitionRecord:
        measured = parse_bytes(self._raw)
        case = work.case
        if failure is None:
            failure = classify(
                measured, delegate=case.delegate, require=case.require, exit_code=ran.output.exit_code, argv=ran.argv
            )
        outputs: list[dict[str, Any]] = []
        if purpose == "outputs" and failure is None and self._outputs is not None:
            expected = self._expected[case.model.sha256]
            is_cpu = not case.delegate.reported_as
            outputs, failure = self._outputs.judge(case.model, expected, out, is_cpu=is_cpu)
        return repetition_record(work.job, case, index, purpose, ran, measured, failure, outputs)

    def _cool_down(self) -> None:
        """Wait for a device that throttles, for a while; what it then measures is marked suspect."""
        last = self._last_conditions
        deadline_s = self._plan.limits.cool_down_s
        if last is not None and last[1].get("thermal_status") and deadline_s > 0:
            now = cool_down(self._device, deadline_s, self._stop, self._tell)
            self._last_conditions = (time.monotonic(), device_conditions.to_json(now))

    # -- conditions ---------------------------------------------------------------------------------------------

    def _fresh_conditions(self, now: float) -> Mapping[str, Any] | None:
        """The conditions after the last repetition, where they still hold: reading them twice costs the device time."""
        if self._last_conditions is None or now - self._last_conditions[0] > _CONDITIONS_FRESH_S:
            return None
        return self._last_conditions[1]

    def _conditions(self, text: str | None, taken_utc: datetime) -> Mapping[str, Any] | None:
        if text is None:
            return None
        return device_conditions.to_json(device_conditions.parse_conditions(text, taken_utc))


def join_streams(stdout: bytes, stderr: bytes) -> bytes:
    """Both streams of the tool as one text, as they are kept and parsed.

    A stream that was cut in the middle of a line comes last: a number at its end must not look whole because another
    line follows.
    """
    if not stderr:
        return stdout
    if stdout and not stdout.endswith(b"\n"):
        return _RAW_SPLIT + stderr + (b"" if stderr.endswith(b"\n") else b"\n") + b"==> standard output <==\n" + stdout
    return stdout + _RAW_SPLIT + stderr


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
