"""One device from facts to its last repetition: prepares it, runs its jobs interleaved, leaves nothing running.

A session is used by one thread; only `interrupt` may be called from another. Raw output is on this machine's disk
before anybody parses it.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbench.analysis.verdict import Around, Fitness, Verdict, judge
from devbench.bench import apk, file_notices
from devbench.bench.command import Commands
from devbench.bench.describe import describe
from devbench.bench.device_notices import lease_lost, readings_that_are_none, steps_not_applied
from devbench.bench.enough import cool_down, limits_passed, needs_more
from devbench.bench.events import (
    DeviceReady,
    FilePushed,
    Listener,
    MoreSteps,
    NoticeGiven,
    RepetitionDone,
    RepetitionStarted,
    WaitingForDevice,
)
from devbench.bench.lease_keeper import LeaseKeeper
from devbench.bench.outputs import DeviceOutputs, Expected
from devbench.bench.plan import Called, Plan, repetition_deadline_s
from devbench.bench.process import Processes, ProcessSpec
from devbench.bench.reconnect import Reconnector
from devbench.bench.records import Ran, file_records, job_record, refused_record, repetition_record
from devbench.bench.refusals import known_flags, purposes_of, refusals
from devbench.bench.resume import Earlier
from devbench.bench.stabilise import Stabiliser
from devbench.bench.work import Work
from devbench.device import gauge
from devbench.device.conditions import from_json, to_json
from devbench.device.depot import Depot
from devbench.device.facts import read_facts
from devbench.device.health import explaining
from devbench.device.lease import ROOT, LeaseLost, new_request
from devbench.device.limits import ThermalLimits, over_limits
from devbench.device.profiles import DeviceProfile, match_profile
from devbench.errors import InputError
from devbench.hashing import sha256_of
from devbench.tool.binaries import Binary, choose
from devbench.tool.failures import classify
from devbench.tool.measurement import Failure
from devbench.tool.parse import parse_file

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.device.facts import DeviceFacts
    from devbench.notices import Notice
    from devbench.results.records import DeviceRecord, Purpose, RepetitionRecord
    from devbench.results.store import Store

DEPOT_ROOT = ROOT
WORK_DIR = f"{DEPOT_ROOT}/work"

# A pipeline of several gigabytes over a slow cable.
_MOST_PUSH_S = 3600.0
_ENTER_S = 15.0


class DeviceSession:
    """Everything that a run does with one device.

    Args:
        device: an adb connection; nothing is sent before `prepare`.
        plan: cases and limits; every case runs on this device.
        store: where jobs and repetitions go, thread-safe.
        run_id: the run that the jobs belong to.
        position: this device's place among those of the run, from 0.
        earlier: what the run has stored already; those repetitions are not made again.
        profiles: the device profiles that are known.
        expected: inputs and right outputs by what is computed (`Case.called`), where outputs are checked.
        listener: is told of every step, from this session's thread.
        incoming: a folder on this machine for output that is still arriving.
        wait_s: how long to wait for the device if another run has it.
    """

    def __init__(
        self,
        device: Device,
        plan: Plan,
        store: Store,
        run_id: str,
        *,
        position: int,
        earlier: Earlier,
        profiles: Sequence[DeviceProfile],
        expected: Mapping[Called, Expected],
        listener: Listener,
        incoming: Path,
        wait_s: float = 0.0,
    ) -> None:
        self.serial = device.serial
        self._device = device
        self._plan = plan
        self._store = store
        self._run_id = run_id
        self._position = position
        self._earlier = earlier
        self._profiles = profiles
        self._expected = expected
        self._outputs: DeviceOutputs | None = None
        self._tell = listener
        self._stop = threading.Event()
        self._keeper = LeaseKeeper(device, DEPOT_ROOT, new_request())
        self._entered = False
        self._wait_s = wait_s
        self._stabiliser = Stabiliser(device, DEPOT_ROOT, plan.stabilising)
        self._steadied: Mapping[str, bool] = {}
        self._facts: DeviceFacts | None = None
        self._noted: list[Notice] = []
        self._mask = ""
        self._limits = ThermalLimits()
        self._work: list[Work] = []
        self._depot = Depot(device, root=DEPOT_ROOT)
        self._known_flags: frozenset[str] = frozenset()
        device.recover = self._reconnector = Reconnector(device, self._stop, listener)
        self._processes = Processes(device, store, run_id, incoming, WORK_DIR, self._keeper, self._reconnector)

    # -- life cycle ---------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Prepare the device, run every repetition, tidy up.

        Raises:
            DevbenchError: the device cannot be prepared, or went away; what was measured until then is stored.
        """
        try:
            with explaining(self._device):
                self._prepare()
            self._run_all()
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
        """Store what limits the use of the numbers, and show it."""
        if notices:
            self._store.add_notices(self._run_id, notices)
        for notice in notices:
            self._tell(NoticeGiven(self.serial, notice))

    # -- preparing ----------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self._enter()
        facts = self._reconnector.facts = read_facts(self._device)
        profile = match_profile(facts, self._profiles)
        record = describe(facts, profile, self._store, self._notice)
        self._limits = profile.limits
        self._processes.fitness = Fitness(cpu_count=facts.cpu_count, thermal_status=profile.limits.thermal_status)
        self._processes.gauge = gauge.recall(facts, profile)
        self._facts, self._described = facts, record
        binary = choose(facts.abis, name=self._plan.binary_name, via=self._plan.via)
        assert binary.path is not None  # choose gives installed binaries only
        self._steadied = self._stabiliser.start(_MOST_PUSH_S)
        depot = self._depot
        binary_sha256 = sha256_of(binary.path)
        if binary.is_apk:
            remote = apk.install(self._device, depot, DEPOT_ROOT, binary)
        else:
            remote = depot.ensure(binary.path, sha256=binary_sha256, mode=0o755).remote
        self._mask = self._plan.stabilising.mask(record.facts["masks"])
        # A virtual device's file cache is that of this machine and everybody on it.
        can_drop = bool(facts.root) and not record.virtual
        self._commands = Commands(
            self._device, depot, DEPOT_ROOT, binary, remote, cpu_mask=self._mask, can_drop=can_drop
        )
        self._work = self._make_work(record, binary, binary_sha256)
        if self._plan.output_check is not None:
            self._outputs = DeviceOutputs(self._device, depot, WORK_DIR, self._plan.output_check)
        self._tell(DeviceReady(self.serial, record, self._all_steps()))
        self._notice(*steps_not_applied(self._steadied, self._plan.stabilising, record, via=self._plan.via))
        self._refuse(binary, facts)
        self._push_models(depot)
        self._notice(*file_notices.replaced(depot.replaced, record.key))

    def _enter(self) -> None:
        """Take the device, make the folders there, and undo what a run that died has left changed."""
        serial = self.serial
        self._keeper.take_within(
            self._wait_s, self._stop, lambda words, left_s: self._tell(WaitingForDevice(serial, words, left_s))
        )
        self._entered = True
        script = (
            f"mkdir -p {shlex.quote(WORK_DIR)} {shlex.quote(f'{DEPOT_ROOT}/run')} || exit 1\n"
            # A folder mounted noexec would fail every job, each with words of its own.
            f"t={WORK_DIR}/.try-$$; echo : > $t && chmod 755 $t && $t; e=$?; rm -f $t; [ $e = 0 ] || exit 1\n"
            f"[ -f {shlex.quote(f'{DEPOT_ROOT}/run/undo.sh')} ] && echo undo; true"
        )
        done = self._device.shell(script, timeout_s=_ENTER_S, check=True, doing="preparing its folders")
        if done.stdout.strip() == b"undo":
            self._stabiliser.recover()

    def _make_work(self, record: DeviceRecord, binary: Binary, binary_sha256: str) -> list[Work]:
        """The jobs of this device, each as far as it is stored already."""
        first, stored = self._earlier.claim(record.key, self.serial, self._position)
        found = []
        for number, case in enumerate(self._plan.cases, first):
            files = file_records(case, self._expected.get(case.called))
            job = job_record(self._run_id, number, case, record, binary, binary_sha256, files)
            steady = {**self._steadied, "affinity": self._mask}
            job = replace(job, options={**job.options, "stabilised": {k: v for k, v in steady.items() if v != ""}})
            before = stored.get(number)
            if before is None:
                self._store.add_job(job)
            elif (before.job.binary.sha256, set(before.job.files)) != (binary_sha256, set(files)):
                what = f"another {job.binary.name} or other files of {case.delegate.name}"
                raise InputError(f"{self.serial}: run {self._run_id} began with {what}", hint="start a new run")
            work = Work(job, case, self._plan.limits.repetitions)
            for repetition in before.repetitions if before is not None else ():
                work.count(repetition, earlier=True)
            found.append(work)
        return found

    def _all_steps(self) -> int:
        """Processes that the device is planned to have yet."""
        return sum(work.left(self._steps(work)) for work in self._work if not work.stopped)

    def _steps(self, work: Work) -> int:
        """Processes that the job is planned to have."""
        return self._plan.limits.steps + self._cold_starts(work)

    def _cold_starts(self, work: Work) -> int:
        return self._plan.limits.cold_starts if self._commands.can_be_cold(work.case) else 0

    def _refuse(self, binary: Binary, facts: DeviceFacts) -> None:
        """Jobs that are known not to run there are failures before anything is sent for them; the others continue."""
        self._known_flags = known_flags(self._device, binary)
        purposes = purposes_of(self._plan.limits)
        for work, failure in refusals(
            self._device, self._commands, self._work, purposes, facts=facts, binary=binary, flags=self._known_flags
        ):
            purpose = purposes[0]
            raw_path = self._store.write_raw(self._run_id, f"job{work.job.number:04d}-{purpose}-000", b"")
            record = refused_record(work.job, purpose, failure, (), raw_path, datetime.now(timezone.utc))
            self._store.add_repetition(record)
            work.stopped = True
            work.done[purpose] = 1
            self._tell(RepetitionStarted(self.serial, work.job, purpose, 0, 1))
            self._tell(RepetitionDone(self.serial, work.job, record, self._steps(work) - 1))

    def _push_models(self, depot: Depot) -> None:
        remote: dict[str, str] = {}
        for work in self._work:
            if work.stopped:
                continue
            model = work.case.model
            if model.sha256 not in remote and not self._stop.is_set():

                def progress(done: int, total: int, name: str = model.name) -> None:
                    self._keeper.raise_if_lost()
                    self._tell(FilePushed(self.serial, name, done, total))

                remote[model.sha256] = depot.ensure(model.path, sha256=model.sha256, progress=progress).remote
            work.graph = remote.get(model.sha256, "")
            self._commands.prepare(work.case, work.job.files)

    def _check_depot(self) -> None:
        """Say which files were changed on the device while they were measured."""
        changed = [] if self._stop.is_set() else self._depot.changed_in_use()
        self._notice(*file_notices.changed(changed, [work.job for work in self._work]))

    def _leave(self) -> None:
        if self._entered:
            self._entered = False
            # What another run has changed meanwhile is not undone here, nor its app ended.
            if (self._plan.via == "apk" or self._stabiliser.started) and self._keeper.is_held():
                if self._plan.via == "apk":
                    apk.stop(self._device)
                self._stabiliser.stop()
            self._keeper.leave()
            if self._facts is not None:
                gauge.remember(self._facts, self._processes.gauge)

    # -- running ------------------------------------------------------------------------------------------------

    def _run_all(self) -> None:
        """Repetitions of all jobs in turn, so that heat and background load do not pick a winner.

        Each round starts with the next job, since whoever comes first after another finds the device as that left it.
        Outputs come first: a number of a delegate that computes nonsense is not worth its time. Profiles come after
        the latencies: they cost time, and their heat would be in the latencies after them. Cold starts come last: the
        cache that they empty is everybody's.
        """
        limits = self._plan.limits
        self._rounds("outputs", limits.output_repetitions)
        self._rounds("latency", limits.repetitions)
        self._until_enough()
        self._rounds("profile", limits.profile_repetitions)
        self._rounds("cold", limits.cold_starts)

    def _rounds(self, purpose: Purpose, count: int) -> None:
        lost = max((work.lost.get(purpose, 0) for work in self._work), default=0)
        for index in range(count + lost):

            def once(work: Work, index: int = index) -> None:
                if work.wants(purpose, index, count) and (purpose != "cold" or self._cold_starts(work)):
                    self._repeat(work, purpose, index, count)

            self._turn(index, once)

    def _turn(self, number: int, do: Callable[[Work], None]) -> None:
        """Every job once, beginning with another one each time."""
        start = number % max(1, len(self._work))
        for work in self._work[start:] + self._work[:start]:
            if self._stop.is_set():
                return
            if not work.stopped:
                do(work)

    def _until_enough(self) -> None:
        """More latency repetitions for jobs with unreliable ones, or whose interval is still too wide."""

        def once_more(work: Work) -> None:
            if self._needs_more(work):
                self._tell(MoreSteps(self.serial))
                done = work.done.get("latency", 0)
                self._repeat(work, "latency", done, done + 1)

        number = self._plan.limits.repetitions
        while not self._stop.is_set() and any(self._needs_more(work) for work in self._work):
            self._turn(number, once_more)
            number += 1

    def _needs_more(self, work: Work) -> bool:
        done = work.done.get("latency", 0)
        return not work.stopped and needs_more(
            self._plan.limits, done=done, retried=work.retried, valid_us=work.valid_us
        )

    def _repeat(self, work: Work, purpose: Purpose, index: int, of: int) -> None:
        self._cool_down()
        self._keeper.raise_if_lost()
        self._tell(RepetitionStarted(self.serial, work.job, purpose, index, of))
        outputs = (self._outputs, self._expected[work.case.called]) if self._outputs is not None else None
        command = self._commands.build(work.case, purpose, work.graph, outputs)
        deadline_s = repetition_deadline_s(work.case.options, self._plan.limits)
        alive = self._stabiliser.alive(deadline_s + self._plan.limits.cool_down_s)
        command = replace(command, prelude="\n".join(filter(None, (alive, command.prelude))))
        spec = ProcessSpec(
            work.case.title, f"job{work.job.number:04d}-{purpose}-{index:03d}", work.case.model.sha256,
            sample_memory=purpose == "profile" and not command.shell, deadline_s=deadline_s,
            most_output_bytes=self._plan.limits.most_output_bytes,
        )  # fmt: skip
        ran, failure, lost = self._processes.run(command, spec)
        if self._stop.is_set() and (failure is not None or ran.output.exit_code != 0):
            return  # ended by the user in the middle: not a measurement, and not a failure of the device either
        record = self._record(work, purpose, index, ran, failure, command.out)
        self._store.add_repetition(record)
        work.count(record)
        skipped = work.left(self._steps(work)) if work.stopped else 0
        self._tell(RepetitionDone(self.serial, work.job, record, skipped))
        if lost is not None:
            raise lost

    def _record(
        self, work: Work, purpose: Purpose, index: int, ran: Ran, failure: Failure | None, out: str
    ) -> RepetitionRecord:
        measured = parse_file(ran.raw_file)
        case = work.case
        if failure is None:
            failure = classify(
                measured, delegate=case.delegate, require=case.require, exit_code=ran.output.exit_code, argv=ran.argv,
                latency_needed=purpose == "latency",
            )  # fmt: skip
        outputs: list[dict[str, Any]] = []
        if purpose == "outputs" and failure is None and self._outputs is not None:
            expected = self._expected[case.called]
            is_cpu = not case.delegate.reported_as
            outputs, failure = self._outputs.judge(expected, out, is_cpu=is_cpu)
        verdict = self._judge(ran.around)
        return repetition_record(work.job, case, index, purpose, ran, measured, failure, verdict, outputs)

    def _judge(self, around: Around) -> Verdict:
        """Whether the device was fit; says once what it reports without having read it."""
        new = [notice for notice in readings_that_are_none(around, self._described) if notice not in self._noted]
        self._noted += new
        self._notice(*new)
        return judge(around, self._processes.fitness, over_limits=limits_passed(around, self._limits))

    def _cool_down(self) -> None:
        """Wait for a device that is over its limits, for a while; what it then measures is marked unreliable."""
        last = self._processes.last_conditions
        deadline_s = self._plan.limits.cool_down_s
        if deadline_s > 0 and (last is None or over_limits(from_json(last[1]), self._limits)):
            now = cool_down(self._device, self._limits, deadline_s, self._stop, self._tell)
            (now,) = self._processes.gauge.settle([now])
            self._processes.last_conditions = (time.monotonic(), to_json(now))
