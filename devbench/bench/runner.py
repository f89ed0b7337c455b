"""A whole run: devices in parallel, each in a thread of its own; stores everything, prints nothing.

Ctrl-C ends the processes on the devices, keeps what was measured and closes the run as interrupted. A run whose process
died can be resumed (`bench/plan.py`).
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import shlex
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbench import __version__
from devbench.adb.errors import DeviceLost, DeviceOffline, ShellTimeout
from devbench.bench.events import DeviceFinished, Listener, MoreSteps, NoticeGiven, RepetitionDone, RepetitionStarted
from devbench.bench.notices import plan_notices
from devbench.bench.outputs import expect
from devbench.bench.plan import (
    PLAN,
    Earlier,
    JobProgress,
    Plan,
    check_same_plan,
    fingerprint,
    in_turn,
    repetition_deadline_s,
)
from devbench.bench.session import DeviceSession, Program
from devbench.device.lease import REFUSALS
from devbench.device.profiles import load_profiles
from devbench.device.quarantine import note_fault
from devbench.errors import DevbenchError
from devbench.frozen import dataclass
from devbench.host.locks import hold, is_held
from devbench.host.masking import mask_words
from devbench.host.paths import cache_dir
from devbench.results.ending import lock_of
from devbench.results.records import Purpose, RunRecord, RunStatus
from devbench.text import clean

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.results.counting import RunView
    from devbench.results.store import Store

# Modules that are needed later: for the lock of a stored run, and after the first process of the tool.
_AHEAD = ("filelock", "devbench.tool.parse", "devbench.tool.failures")
_FAULTS = (DeviceLost, DeviceOffline, ShellTimeout)
_POLL_S = 0.2
# How often the imports let a device's thread run; Python's default is 5 ms.
_SWITCH_S = 0.0002
# Commands that check whether the run is still being measured hold its lock for a moment.
_LOCK_WAIT_S = 0.5
# After Ctrl-C, a device that does not answer is given up after this time; the next run on it tidies up.
_LEAVE_BEHIND_S = 10.0
# Incoming output whose name has no run id is from a dead process once it is this old.
_SURELY_LEFT_S = 86_400.0
_RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4,}")


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended. `errors`: what ended a device early, by serial."""

    run_id: str
    status: RunStatus
    errors: Mapping[str, DevbenchError]

    @property
    def nothing_ran(self) -> bool:
        """Whether every device was refused, because others use it, before anything of the run was done there."""
        return self.status == "failed" and all(isinstance(error, REFUSALS) for error in self.errors.values())


def run(
    plan: Plan,
    devices: Sequence[Device],
    store: Store,
    *,
    run_id: str,
    listener: Listener,
    labels: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    program: Program | None = None,
    resume: bool = False,
    wait_s: float = 0.0,
    ahead: Sequence[str] = (),
) -> RunOutcome:
    """Run the plan on all devices at once and store every repetition as it ends.

    Args:
        plan: what to measure; each device runs all of it.
        devices: connected devices.
        store: where results go; written by one thread per device.
        run_id: id of the new run, or of the one to resume.
        listener: gets the event of every step, from the devices' threads.
        labels: names and values of the user's choice, stored with the run.
        options: the options of the command that started the run, stored with it.
        program: what runs on each device; by default the jobs.
        resume: resume the stored run of that id: repetitions that it has stored are not measured again. Its labels and
            options stay as they are.
        wait_s: how long to wait for a device that another run uses.
        ahead: modules that the caller needs afterwards; they are imported while devices are prepared.

    Raises:
        InputError: the run to resume had another plan.
        Held: another process measures that run.
    """
    check = plan.output_check
    # Before anything is stored: outputs cannot be checked if this machine cannot compute the expected ones.
    called = {case.called: case for case in plan.cases} if check is not None else {}
    expected = {key: expect(case, check) for key, case in called.items()} if check is not None else {}
    incoming = cache_dir() / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    stored: Future[bool] = Future()
    imported: Future[None] = Future()

    def begin(view: RunView | None) -> _Team:
        earlier, profiles = Earlier(len(plan.cases), view), load_profiles()
        sessions = [
            DeviceSession(
                device,
                plan,
                store,
                run_id,
                program=program or JobProgram(),
                position=position,
                earlier=earlier,
                profiles=profiles,
                expected=expected,
                listener=listener,
                incoming=incoming,
                imported=imported,
                stored=stored,
                wait_s=wait_s,
            )
            for position, device in enumerate(devices)
        ]
        return _Team(sessions, stored, listener)

    # While a new run is stored, devbench already takes the leases and prepares the devices.
    team = None if resume else begin(None)
    # Only the start of the first process waits for these imports.
    threading.Thread(target=_import, args=((*_AHEAD, *ahead), imported), daemon=True).start()
    try:
        if not resume:
            # The run is stored before it is locked: resuming then always finds the lock that a killed process left.
            store.create_run(
                RunRecord(
                    run_id=run_id,
                    started_utc=datetime.now(timezone.utc),
                    # The command line is stored without secrets.
                    command=shlex.join(["devbench", *mask_words(sys.argv[1:])]),
                    devbench_version=__version__,
                    host=socket.gethostname(),
                    options={**(options or {}), PLAN: fingerprint(plan)},
                    labels=dict(labels or {}),
                )
            )
        held = f"run {run_id} is still being measured"
        with hold(lock_of(run_id), held=held, hint="wait for that process to end", wait_s=_LOCK_WAIT_S):
            view = store.run(run_id) if resume else None
            if view is not None:
                check_same_plan(view, plan)
            try:
                _delete_output_of_dead_runs(incoming)
                if view is not None:
                    store.reopen_run(run_id)
                if team is None:
                    team = begin(view)
                notices = plan_notices(plan, expected)
                if notices:
                    store.add_notices(run_id, notices)
                for notice in notices:
                    listener(NoticeGiven(devices[0].serial, notice))
                status = team.measure()
                reason = _end_reason(status, team.errors, len(devices))
                store.finish_run(run_id, status, datetime.now(timezone.utc), reason)
                return RunOutcome(run_id, status, dict(team.errors))
            except (DevbenchError, OSError) as error:
                store.finish_run(run_id, "failed", datetime.now(timezone.utc), str(error))
                raise
    finally:
        if team is not None and not stored.done():
            team.abandon()


def _import(names: Sequence[str], imported: Future[None]) -> None:
    """Import modules while devices are prepared, which is mostly waiting. No process is timed before the end of it."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        for name in names:
            # The error is raised again by the import that needs the module.
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    finally:
        sys.setswitchinterval(before)
        imported.set_result(None)


class _Team:
    """The devices of a run, each in a separate thread. A thread starts at once and waits until the run is stored.

    Attributes:
        errors: why a device's part ended early, by serial.
    """

    def __init__(self, sessions: Sequence[DeviceSession], stored: Future[bool], listener: Listener) -> None:
        self.errors: dict[str, DevbenchError] = {}
        self._sessions, self._stored, self._listener = sessions, stored, listener
        # Not `Thread.join`: if Ctrl-C interrupts it, Python 3.11 and older take the thread for ended (bpo-45274).
        self._ended = [threading.Event() for _ in sessions]
        for session, ended in zip(sessions, self._ended, strict=True):
            threading.Thread(target=self._work, args=(session, ended), daemon=True).start()

    def measure(self) -> RunStatus:
        """Start the measurement on all devices; returns when all have ended or Ctrl-C has ended them."""
        try:
            self._stored.set_result(True)
            for ended in self._ended:
                while not ended.wait(_POLL_S):
                    pass
        except KeyboardInterrupt:
            _stop(self._sessions, self._ended)
            return "interrupted"
        return "failed" if self.errors and len(self.errors) == len(self._sessions) else "done"

    def abandon(self) -> None:
        """Leave the devices as they were: the run could not be stored."""
        self._stored.set_result(False)
        _stop(self._sessions, self._ended)

    def _work(self, session: DeviceSession, ended: threading.Event) -> None:
        problem: DevbenchError | None = None
        try:
            session.run()
        except DevbenchError as error:
            problem = self.errors[session.serial] = error
            _note_fault(session, error)
        except Exception as error:
            # An unexpected error on one device ends its own jobs only.
            problem = self.errors[session.serial] = _crash(session.serial, error)
        try:
            self._listener(DeviceFinished(session.serial, str(problem) if problem else ""))
        finally:
            ended.set()


def _note_fault(session: DeviceSession, error: DevbenchError) -> None:
    """A device that is lost or hangs again and again is left out for a while. A virtual device is never at fault."""
    if isinstance(error, _FAULTS) and session.facts is not None and not session.facts.virtual:
        # If it cannot be stored, the run continues.
        with contextlib.suppress(DevbenchError):
            note_fault(session.facts.key, error.what)


def _delete_output_of_dead_runs(incoming: Path) -> None:
    """Delete incoming output of runs that are not being measured any more: their processes died."""
    for left in list(incoming.iterdir()):
        with contextlib.suppress(OSError):
            found = _RUN_ID.match(left.name)
            old = time.time() - left.stat().st_mtime > _SURELY_LEFT_S
            if old if found is None else not is_held(lock_of(found.group())):
                left.unlink()


def _crash(serial: str, error: Exception) -> DevbenchError:
    """The one line for an error that devbench did not expect; with DEVBENCH_DEBUG its traceback is shown."""
    if os.environ.get("DEVBENCH_DEBUG"):
        traceback.print_exception(error)
    what = f"devbench failed on {serial}: {type(error).__name__}: {clean(error)}"
    return DevbenchError(what, hint="report this; DEVBENCH_DEBUG=1 shows where it happened")


def _end_reason(status: RunStatus, errors: Mapping[str, DevbenchError], devices: int) -> str:
    """Why the run ended, in one line; empty if everything was done."""
    reasons = ["stopped by Ctrl-C or a signal"] if status == "interrupted" else []
    if errors and devices > 1:
        reasons.append(f"{len(errors)} of {devices} devices failed")
    reasons += [str(error) if serial in str(error) else f"{serial}: {error}" for serial, error in errors.items()]
    return "; ".join(reasons)


def _stop(sessions: Sequence[DeviceSession], ended: Sequence[threading.Event]) -> None:
    """End the work on all devices at once; a second Ctrl-C stops the waiting."""
    stoppers = [threading.Thread(target=session.interrupt, daemon=True) for session in sessions]
    try:
        for stopper in stoppers:
            stopper.start()
        for stopper in stoppers:
            stopper.join(_LEAVE_BEHIND_S)
        for one in ended:
            one.wait(_LEAVE_BEHIND_S)
    except KeyboardInterrupt:
        return


@dataclass(frozen=True, slots=True)
class JobProgram:
    """Runs every job of a device; see `Program`.

    Outputs come first, since latencies of a delegate with wrong outputs are useless. Profiles come after the latencies,
    which their heat would affect. Cold starts come last, since they empty the file cache that all processes use.
    """

    def steps(self, session: DeviceSession) -> int:
        return sum(job.left(self.steps_of(session, job)) for job in session.jobs if not job.stopped)

    def steps_of(self, session: DeviceSession, job: JobProgress) -> int:
        return session.plan.limits.steps + _cold_starts(session, job)

    def run(self, session: DeviceSession) -> None:
        limits = session.plan.limits
        self._rounds(session, "outputs", limits.output_repetitions)
        self._rounds(session, "latency", limits.repetitions)
        self._until_enough(session)
        self._rounds(session, "profile", limits.profile_repetitions)
        self._rounds(session, "cold", limits.cold_starts)

    def _rounds(self, session: DeviceSession, purpose: Purpose, count: int) -> None:
        lost = max((job.lost.get(purpose, 0) for job in session.jobs), default=0)
        for index in range(count + lost):
            for job in in_turn(session.jobs, index):
                if session.stopped:
                    return
                possible = purpose != "cold" or _cold_starts(session, job)
                if possible and not job.stopped and job.wants(purpose, index, count):
                    self._repeat(session, job, purpose, index, count)

    def _until_enough(self, session: DeviceSession) -> None:
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

    def _repeat(self, session: DeviceSession, job: JobProgress, purpose: Purpose, index: int, of: int) -> None:
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


def _cold_starts(session: DeviceSession, job: JobProgress) -> int:
    return session.plan.limits.cold_starts if session.commands.can_be_cold(job.case) else 0
