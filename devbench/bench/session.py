"""One device from facts to its last process: prepares it, runs a program there, stores the results, cleans up.

A session prepares the device and owns lease, conditions and storing. A program decides what runs, and in which order;
it has no device and no store. A session is used by one thread; only `interrupt` may be called from another. Raw
output is on this machine's disk before it is parsed.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from devbench.analysis.reliability import Around, Fitness, Reliability, judge
from devbench.bench import apk
from devbench.bench.care import check_battery, prepare
from devbench.bench.command import Command, Commands
from devbench.bench.events import (
    DeviceReady,
    FilePushed,
    Listener,
    NoticeGiven,
    RepetitionDone,
    RepetitionStarted,
    Waiting,
)
from devbench.bench.lease_keeper import LeaseKeeper
from devbench.bench.notices import changed_files, invalid_readings, lease_lost, replaced_files, steps_not_applied
from devbench.bench.outputs import DeviceOutputs, Expected
from devbench.bench.plan import Called, Earlier, JobProgress, Plan
from devbench.bench.process import Processes, ProcessSpec
from devbench.bench.records import ProcessResult, describe, file_records, job_record, refused_record, repetition_record
from devbench.bench.refusals import purposes_of, read_flags, refusals
from devbench.bench.stabilise import Stabiliser
from devbench.bench.waiting import Reconnector, cool_down, limits_passed
from devbench.device import gauge
from devbench.device.conditions import ThermalLimits, from_json, over_limits, to_json
from devbench.device.depot import Depot
from devbench.device.facts import DeviceFacts, read_facts
from devbench.device.health import explaining
from devbench.device.lease import ROOT, LeaseLost, new_request
from devbench.device.profiles import DeviceProfile, match_profile
from devbench.errors import InputError
from devbench.host.hashing import sha256_of
from devbench.tool.binaries import Binary, choose

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.notices import Notice
    from devbench.results.records import DeviceRecord, PipelineSessionRecord, Purpose, RepetitionRecord
    from devbench.results.store import Store

DEPOT_ROOT = ROOT
WORK_DIR = f"{DEPOT_ROOT}/work"

# Long enough for a pipeline of several gigabytes over a slow cable.
_MAX_PUSH_S = 3600.0
_ENTER_S = 15.0


class Program(Protocol):
    """Decides what runs on a prepared device. One program serves all devices of a run, each in its own thread."""

    def steps(self, session: DeviceSession) -> int:
        """How many processes are planned on the device."""

    def steps_of(self, session: DeviceSession, job: JobProgress) -> int:
        """How many of these processes belong to a job."""

    def run(self, session: DeviceSession) -> None:
        """Run everything.

        Raises:
            DevbenchError: the connection to the device or the lease was lost; what was measured until then is stored.
        """


class DeviceSession:
    """Everything that a run does with one device.

    Attributes:
        serial, plan, facts: the device's serial, the plan to measure, and the device's facts (`None` until prepared).
        jobs: the device's jobs, one per case of the plan and in that order.
        commands: makes the command lines.
        outputs: the check of outputs, if one was requested.
        known_flags: the flags that the tool takes; empty if they are not known.
        tell: is called with every event.

    Args:
        device: an adb connection; nothing is sent before `prepare`.
        plan: cases and limits; every case runs on this device.
        store: where jobs and repetitions go, thread-safe.
        run_id: the run that the jobs belong to.
        program: what runs on the prepared device.
        position: this device's place among those of the run, from 0.
        earlier: what the run has stored already; those repetitions are not measured again.
        profiles: the device profiles that are known.
        expected: inputs and expected outputs by `Case.called`, if outputs are checked.
        listener: gets every event, from this session's thread.
        incoming: a folder on this machine for output that is still arriving.
        imported: done when the modules that are needed later are imported; no process of the tool starts before.
        stored: done when the run is stored; false if it could not be. The session stores nothing before.
        wait_s: how long to wait for the device if another run uses it.
    """

    def __init__(
        self,
        device: Device,
        plan: Plan,
        store: Store,
        run_id: str,
        *,
        program: Program,
        position: int,
        earlier: Earlier,
        profiles: Sequence[DeviceProfile],
        expected: Mapping[Called, Expected],
        listener: Listener,
        incoming: Path,
        imported: Future[None],
        stored: Future[bool],
        wait_s: float = 0.0,
    ) -> None:
        self.serial = device.serial
        self.plan = plan
        self.run_id = run_id
        self.tell = listener
        self.jobs: list[JobProgress] = []
        self.outputs: DeviceOutputs | None = None
        self.known_flags: frozenset[str] = frozenset()
        self.commands: Commands
        self._program = program
        self._device = device
        self._store = store
        self._position = position
        self._imported = imported
        self._stored = stored
        self._earlier = earlier
        self._profiles = profiles
        self._expected = expected
        self._stop = threading.Event()
        self._keeper = LeaseKeeper(device, DEPOT_ROOT, new_request())
        self._entered = False
        self._cared: Mapping[str, Mapping[str, float]] = {}
        self._wait_s = wait_s
        self._stabiliser = Stabiliser(device, DEPOT_ROOT, plan.stabilising)
        self.facts: DeviceFacts | None = None
        self._noted: list[Notice] = []
        self._limits = ThermalLimits()
        self._depot = Depot(device, root=DEPOT_ROOT)
        device.recover = self._reconnector = Reconnector(device, self._stop, listener)
        self._processes = Processes(
            device, store, run_id, incoming, WORK_DIR, self._keeper, self._reconnector, plan.limits.max_output_bytes
        )

    # -- life cycle ---------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Prepare the device, run the program, clean up.

        Raises:
            DevbenchError: the device cannot be prepared, or its connection was lost; what was measured until then is
                stored.
        """
        try:
            with explaining(self._device):
                self._enter()
                facts = read_facts(self._device)
                if not self._stored.result():
                    return
                self._prepare(facts)
            self._imported.result()
            self._program.run(self)
            self._check_depot()
        except LeaseLost as error:
            self._notice(lease_lost(error, self._described))
            raise
        finally:
            self._reconnector.give_up()
            self._leave()

    def interrupt(self) -> None:
        """End what runs on the device now and start nothing more; for use from another thread."""
        self._stop.set()
        if self._entered:
            self._keeper.end_process()

    def _notice(self, *notices: Notice) -> None:
        """Store notices and show them."""
        if notices:
            self._store.add_notices(self.run_id, notices)
        for notice in notices:
            self.tell(NoticeGiven(self.serial, notice))

    # -- preparing ----------------------------------------------------------------------------------------------

    def _prepare(self, facts: DeviceFacts) -> None:
        self._reconnector.facts = facts
        profile = match_profile(facts, self._profiles)
        record = describe(facts, profile, self._store, self._notice)
        self._limits = profile.limits
        self._processes.fitness = Fitness(cpu_count=facts.cpu_count, thermal_status=profile.limits.thermal_status)
        self._processes.gauge = gauge.recall(facts, profile)
        self.facts, self._described = facts, record
        binary = choose(facts.abis, name=self.plan.binary_name, via=self.plan.via)
        assert binary.path is not None  # `choose` returns only installed binaries, which have a path
        steadied = self._stabiliser.start(_MAX_PUSH_S)
        depot = self._depot
        binary_sha256 = sha256_of(binary.path)
        if binary.is_apk:
            remote = apk.install(self._device, depot, DEPOT_ROOT, binary)
        else:
            remote = depot.ensure(binary.path, sha256=binary_sha256, mode=0o755).remote
        mask = self.plan.stabilising.mask(record.facts["masks"])
        # A virtual device's file cache is this machine's, which others use.
        can_drop = bool(facts.root) and not record.virtual
        self.commands = Commands(self._device, depot, DEPOT_ROOT, binary, remote, cpu_mask=mask, can_drop=can_drop)
        self.jobs = self._make_jobs(record, binary, binary_sha256, {**steadied, "affinity": mask})
        if self.plan.output_check is not None:
            self.outputs = DeviceOutputs(self._device, depot, WORK_DIR, self.plan.output_check, self._expected)
        self.tell(DeviceReady(self.serial, record, self._program.steps(self)))
        self._notice(*steps_not_applied(steadied, self.plan.stabilising, record, via=self.plan.via))
        self._refuse(binary, facts)
        self._push_models()
        self._notice(*replaced_files(depot.replaced, record.key))

    def _enter(self) -> None:
        """Take the lease, make the folders, and undo changes that an earlier run left because it died."""
        self._take()
        self._entered = True
        self._cared = prepare(self._device, self.plan.care, self._stop, self.tell, self._take)
        script = (
            f"mkdir -p {shlex.quote(WORK_DIR)} {shlex.quote(f'{DEPOT_ROOT}/run')} || exit 1\n"
            # Try to run a file: in a folder mounted noexec every job would fail, each with a different message.
            f"t={WORK_DIR}/.try-$$; echo : > $t && chmod 755 $t && $t; e=$?; rm -f $t; [ $e = 0 ] || exit 1\n"
            f"[ -f {shlex.quote(f'{DEPOT_ROOT}/run/undo.sh')} ] && echo undo; true"
        )
        done = self._device.shell(script, timeout_s=_ENTER_S, check=True, doing="preparing its folders")
        if done.stdout.strip() == b"undo":
            self._stabiliser.recover()

    def _take(self) -> None:
        """Take the lease; wait for it at most `wait_s` seconds."""
        serial = self.serial
        self._keeper.take_within(
            self._wait_s, self._stop, lambda words, left_s: self.tell(Waiting(serial, f"waiting for {words}", left_s))
        )

    def _make_jobs(
        self, record: DeviceRecord, binary: Binary, binary_sha256: str, steadied: Mapping[str, bool | str]
    ) -> list[JobProgress]:
        """The jobs of this device, each with its stored repetitions."""
        first, stored = self._earlier.claim(record.key, self.serial, self._position)
        stabilised = {name: value for name, value in steadied.items() if value != ""}
        found = []
        for number, case in enumerate(self.plan.cases, first):
            files = file_records(case, self._expected.get(case.called))
            job = job_record(self.run_id, number, case, record, binary, binary_sha256, files)
            job = replace(job, options={**job.options, "stabilised": stabilised, **self._cared})
            before = stored.get(number)
            if before is None:
                self._store.add_job(job)
            elif (before.job.binary.sha256, set(before.job.files)) != (binary_sha256, set(files)):
                what = f"another {job.binary.name} or other files of {case.delegate.name}"
                raise InputError(f"{self.serial}: run {self.run_id} began with {what}", hint="start a new run")
            progress = JobProgress(job, case, self.plan.limits.repetitions)
            for repetition in before.repetitions if before is not None else ():
                progress.count(repetition, earlier=True)
            found.append(progress)
        return found

    def _refuse(self, binary: Binary, facts: DeviceFacts) -> None:
        """Store a failure for each job that the device cannot run, before anything is sent for it."""
        self.known_flags = read_flags(self._device, binary)
        purposes = purposes_of(self.plan.limits)
        for job, failure in refusals(
            self._device, self.commands, self.jobs, purposes, facts=facts, binary=binary, flags=self.known_flags
        ):
            purpose = purposes[0]
            raw_path, _ = self.write_raw(f"job{job.record.number:04d}-{purpose}-000", b"")
            record = refused_record(job.record, purpose, failure, (), raw_path, datetime.now(timezone.utc))
            self._store.add_repetition(record)
            job.count(record)
            self.tell(RepetitionStarted(self.serial, job.record, purpose, 0, 1))
            skipped = self._program.steps_of(self, job) - 1
            self.tell(RepetitionDone(self.serial, job.record, record, skipped))

    def _push_models(self) -> None:
        remote: dict[str, str] = {}
        for job in self.jobs:
            if job.stopped:
                continue
            model = job.case.model
            if model.sha256 not in remote and not self.stopped:

                def progress(done: int, total: int, name: str = model.name) -> None:
                    self._keeper.raise_if_lost()
                    self.tell(FilePushed(self.serial, name, done, total))

                remote[model.sha256] = self._depot.ensure(model.path, sha256=model.sha256, progress=progress).remote
            job.graph = remote.get(model.sha256, "")
            self.commands.prepare(job.case, job.record.files)

    def _check_depot(self) -> None:
        """Give a notice for each file that was changed on the device while it was measured."""
        changed = [] if self.stopped else self._depot.changed_in_use()
        self._notice(*changed_files(changed, [job.record for job in self.jobs]))

    def _leave(self) -> None:
        if self._entered:
            self._entered = False
            # Only with the lease: otherwise this would undo another run's changes, or end its app.
            if (self.plan.via == "apk" or self._stabiliser.started) and self._keeper.is_held():
                if self.plan.via == "apk":
                    apk.stop(self._device)
                self._stabiliser.stop()
            self._keeper.leave()
            if self.facts is not None:
                gauge.remember(self.facts, self._processes.gauge)

    # -- for the program ----------------------------------------------------------------------------------------

    @property
    def stopped(self) -> bool:
        """Whether the user has ended the run: nothing more is started."""
        return self._stop.is_set()

    @property
    def pid_file(self) -> str:
        """The file on the device with the id of the running process; files with similar names may be next to it."""
        return self._keeper.lease.pid_file

    def expect_restart(self) -> None:
        """From now on, wait for a lost device as long as a restart takes."""
        self._reconnector.expect_restart()

    def wait_until_fit(self) -> None:
        """Wait until the device is within its thermal limits, at most for the plan's `cool_down_s`.

        Raises:
            LeaseLost: another run took the device.
            DeviceLost, ShellTimeout: the device does not answer any more.
        """
        last = self._processes.last_conditions
        deadline_s = self.plan.limits.cool_down_s
        if deadline_s > 0 and (last is None or over_limits(from_json(last[1]), self._limits)):
            now = cool_down(self._device, self._limits, deadline_s, self._stop, self.tell)
            (now,) = self._processes.gauge.settle([now])
            self._processes.last_conditions = (time.monotonic(), to_json(now))
        check_battery(self._device, self.plan.care, last)
        self._keeper.raise_if_lost()

    def process(
        self, job: JobProgress, command: Command, *, title: str, name: str, deadline_s: float, memory: bool = False
    ) -> ProcessResult | None:
        """Run one process; `None` if the user ended it, which is neither a measurement nor a failure.

        Args:
            job: the job that the process belongs to.
            title, name: the name for messages, and that of its raw output.
            deadline_s: it is ended after this time.
            memory: whether to sample the memory of the process while it runs.

        Raises:
            LeaseLost: another run took the device.
        """
        alive = self._stabiliser.alive(deadline_s + self.plan.limits.cool_down_s)
        command = replace(command, prelude="\n".join(filter(None, (alive, command.prelude))))
        ran = self._processes.run(command, ProcessSpec(title, name, job.case.model.sha256, memory, deadline_s))
        ended_by_user = self.stopped and (ran.failure is not None or ran.output.exit_code != 0)
        return None if ended_by_user else ran

    def judge(self, around: Around) -> Reliability:
        """Judge by the conditions around a measurement whether it is reliable."""
        new = [notice for notice in invalid_readings(around, self._described) if notice not in self._noted]
        self._noted += new
        self._notice(*new)
        return judge(around, self._processes.fitness, over_limits=limits_passed(around, self._limits))

    def store_repetition(
        self, job: JobProgress, purpose: Purpose, index: int, ran: ProcessResult, out: str = ""
    ) -> RepetitionRecord:
        """Parse, classify, judge and store what a process printed; `out` is the device's file of its outputs."""
        from devbench.tool.failures import classify
        from devbench.tool.parse import parse_file

        measured = parse_file(ran.raw_file)
        case, failure = job.case, ran.failure
        if failure is None:
            failure = classify(
                measured, delegate=case.delegate, require=case.require, exit_code=ran.output.exit_code, argv=ran.argv,
                latency_needed=purpose == "latency",
            )  # fmt: skip
        outputs: list[dict[str, Any]] = []
        if purpose == "outputs" and failure is None and self.outputs is not None:
            outputs, failure = self.outputs.judge(case, out)
        record = repetition_record(
            job.record, case, index, purpose, replace(ran, failure=failure), measured, self.judge(ran.around), outputs
        )
        self._store.add_repetition(record)
        job.count(record)
        return record

    def write_raw(self, name: str, data: bytes) -> tuple[str, Path]:
        """Keep raw output; gives its name in the store, and the file."""
        path = self._store.artifacts.write(self.run_id, name, data)
        return path, self._store.artifacts.root / path

    def store_pipeline_session(self, record: PipelineSessionRecord) -> None:

        self._store.add_pipeline_session(record)
