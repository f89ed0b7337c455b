"""The worker of a host: one process that offers the host's phones, takes jobs, starts measurements, delivers results.

The worker runs one loop in one thread, and therefore needs no locks. Each job is measured in a separate process
(`measure.py`), which writes its results to files (`spool.py`). If the database is unreachable, running jobs continue,
and their results are delivered later. A worker that was silent for too long loses its attempts, and stops them.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from multiprocessing import connection, forkserver
from multiprocessing.process import BaseProcess
from typing import Any

from devbench import __version__
from devbench.device.quarantine import in_quarantine
from devbench.errors import InputError
from devbench.farm import spool
from devbench.farm.database import NOT_CURRENT, OTHER_SCHEMA, OTHER_WORKER, SCHEMA, Farm, FarmProblem, other_schema
from devbench.farm.order import Order
from devbench.farm.phones import Phone, Phones, Waker
from devbench.farm.spool import Attempt, End

# Pauses before the next attempt to reach the database: longer after each failure.
_RECONNECT_S = (0.2, 0.5, 1.0, 2.0)
# A process that was told to stop and is still running after this time is killed.
_STOP_S = 20.0
# Modules imported once, by the fork server from which the measuring processes are forked. Missing ones are skipped.
_PRELOAD = (
    "devbench.farm.measure", "devbench.tool.parse", "devbench.tool.failures", "devbench.results.store",
    "devbench.results.histories", "devbench.bench.planning", "sqlalchemy.dialects.sqlite", "devbench.results.ending",
    "devbench.farm.storage", "devbench.virtual.benchmark_model.flags", "fsspec.implementations.local", "filelock",
    "encodings.idna", "s3fs", "gcsfs",
)  # fmt: skip
# The largest number of jobs prepared at once. With more, all would share the CPUs, and every tool would start late.
# A job that still prepares after this time is assumed to wait for its phone and is no longer counted.
_AT_ONCE, _PREPARING_S = os.cpu_count() or 1, 5.0


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a worker.

    Attributes:
        beat_s: seconds between two signs of life (beats).
        phones: keys of the phones to offer; empty for all.
        cache_bytes: the largest size of this host's cache of the storage's files.
        storage: the storage's address; empty to use the one configured in the farm.
    """

    beat_s: float = 2.0
    phones: tuple[str, ...] = ()
    cache_bytes: int = 20 << 30
    storage: str = ""


@dataclass(slots=True)
class _Running:
    """A measuring process. It is killed at `stop_by`, and closes the pipe `preparing` when the tool begins."""

    attempt: Attempt
    job: int
    process: BaseProcess
    preparing: connection.Connection
    began: float = field(default_factory=time.monotonic)
    stop_by: float | None = None


@dataclass(slots=True)
class Worker:
    """A worker; call `run`.

    Args:
        url: the farm's address, with the host's role.
        settings: the worker's settings.
        tell: called with each line for the log.
    """

    url: str
    settings: Settings
    tell: Callable[[str], None]
    _waker: Waker = field(default_factory=Waker)
    _farm: Farm | None = None
    _worker: int = 0
    _running: dict[str, _Running] = field(default_factory=dict)
    _draining: bool = False
    _offered: tuple[Phone, ...] | None = None
    _assigned: frozenset[str] = frozenset()
    _next_beat: float = 0.0
    _failures: int = 0
    _phones: Phones | None = None
    _began: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    _reported: dict[str, datetime] = field(default_factory=dict)

    def run(self) -> None:
        """Work until SIGTERM or Ctrl-C. Then finish the current repetitions and give the rest back to the queue.

        Raises:
            FarmProblem: the farm does not know this host, has another schema, or another worker serves the host.
        """
        multiprocessing.set_forkserver_preload(list(_PRELOAD))
        context = multiprocessing.get_context("forkserver")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._drain)
        forkserver.ensure_running()
        # Import psycopg here while the fork server imports its modules. If it is missing, `_connect` reports that.
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module("psycopg")
        # Start an empty process: this waits for the fork server's imports, which would otherwise delay the first job.
        first = context.Process(target=_import_modules)
        first.start()
        self._connect()
        self._phones = Phones(self._waker.wake)
        while not (self._draining and not self._running):
            try:
                self._serve(context)
                self._failures = 0
            except FarmProblem as error:
                self._disconnect(error)
            self._wait()
            self._reap()
        try:
            if self._farm is not None:
                self._finish_all()
                self._farm.call("bye", self._worker)
                self._farm.close()
            self.tell("stopped; what was not finished is given back")
        except FarmProblem as error:
            self.tell(f"stopped; {error.what}; what is left here is delivered at the next start")

    def _drain(self, number: int, frame: object) -> None:
        self._draining = True
        self._waker.wake()

    # -- the database -------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        """Connect, deliver results in the spool, end attempts that no longer run, and register as the host's worker.

        Raises:
            FarmProblem: the devbench version or the role is wrong, or the farm refuses the worker.
        """
        farm = Farm(self.url)
        try:
            farm.check_schema()
            for attempt in spool.attempts():
                spool.deliver(farm, attempt, self.tell)
                if attempt.token not in self._tokens:
                    spool.close(farm, attempt, attempt.end() or End("back", "the worker was restarted"))
            if not self._worker or not self._is_current(farm):
                self._worker = self._hello(farm)
            farm.rows('LISTEN "procrastinate_any_queue_v1"')
        except BaseException:
            farm.close()
            raise
        if self._failures:
            self.tell("the farm is reached again")
        self._farm, self._offered, self._next_beat = farm, None, 0.0

    def _hello(self, farm: Farm) -> int:
        self._stop(self._running.values(), "its attempt is over", kill=True)
        try:
            worker = int(farm.call("hello", SCHEMA, __version__, datetime.now(timezone.utc), self._worker))
        except FarmProblem as error:
            raise other_schema(farm.shown, "another") if error.sqlstate == OTHER_SCHEMA else error from None
        self.tell(f"{socket.gethostname()} serves the farm {farm.shown}")
        return worker

    def _is_current(self, farm: Farm) -> bool:
        try:
            farm.call("beat", self._worker)
        except FarmProblem as error:
            if error.sqlstate != NOT_CURRENT:
                raise
            return False
        return True

    def _disconnect(self, error: FarmProblem) -> None:
        """Close the connection and continue without the database.

        Raises:
            FarmProblem: another worker serves the host, or a non-transient error has occurred several times.
        """
        if self._farm is not None:
            self._farm.close()
            self._farm = None
        if not self._failures:
            self.tell(f"{error.what}; what runs continues, and is delivered later" if error.transient else error.what)
        self._failures += 1
        if error.sqlstate == OTHER_WORKER or (not error.transient and self._failures > len(_RECONNECT_S)):
            raise error

    @property
    def _tokens(self) -> set[str]:
        return {one.attempt.token for one in self._running.values()}

    # -- one turn -----------------------------------------------------------------------------------------------

    def _serve(self, context: Any) -> None:
        if self._farm is None:
            self._connect()
        assert self._farm is not None and self._phones is not None
        farm = self._farm
        farm.wait(0)
        for running in self._running.values():
            spool.deliver(farm, running.attempt, self.tell)
        self._finish_all()
        if time.monotonic() >= self._next_beat:
            self._beat(farm)
            self._report_quarantine(farm)
        present = tuple(
            one for one in self._phones.present if not self.settings.phones or one.device in self.settings.phones
        )
        if present != self._offered:
            offered = json.dumps({one.device: dict(one.facts) for one in present})
            mine = farm.call("offer", self._worker, offered)
            self._assigned, self._offered = self._assigned | frozenset(mine), present
        self._take(farm, context, present)

    def _report_quarantine(self, farm: Farm) -> None:
        """Report to the farm the phones that went into quarantine on this host since this worker started."""
        try:
            quarantined = in_quarantine()
        except InputError:
            return  # the quarantine file is damaged, which `devbench devices` reports; continue with all phones
        for device, found in quarantined.items():
            if device in self._assigned and found.since > max(self._began, self._reported.get(device, self._began)):
                farm.call("set_quarantine", device, found.why, found.until)
                self._reported[device] = found.since
                self.tell(f"{device} is {found.words}")

    def _beat(self, farm: Farm) -> None:
        state = farm.call("beat", self._worker)
        self._next_beat = time.monotonic() + self.settings.beat_s
        if frozenset(state["assigned"]) != self._assigned:
            # An admin has moved a phone to or from this host.
            self._assigned, self._offered = frozenset(state["assigned"]), None
        invalid = [one for one in self._running.values() if one.attempt.token not in state["valid"]]
        self._stop(invalid, "its attempt is over", kill=True)
        self._stop([one for one in self._running.values() if one.attempt.token in state["cancelled"]], "cancelled")

    def _take(self, farm: Farm, context: Any, present: tuple[Phone, ...]) -> None:
        free = {one.device: one for one in present if one.device in self._assigned and one.device not in self._running}
        while free and not self._draining and len(self._preparing()) < _AT_ONCE:
            found = farm.rows("SELECT * FROM farm.take(%s, %s)", self._worker, list(free))
            if not found:
                return
            self._start(farm, context, found[0], free.pop(found[0]["device"]))

    def _preparing(self) -> list[_Running]:
        """Return the processes that still prepare their job; each is counted for at most `_PREPARING_S`."""
        now, running = time.monotonic(), self._running.values()
        return [one for one in running if now < one.began + _PREPARING_S and not one.preparing.poll()]

    def _start(self, farm: Farm, context: Any, job: dict[str, Any], phone: Phone) -> None:
        accepted = ()
        if job["attempt"] > 1:
            accepted = tuple(row["payload"] for row in farm.rows("SELECT * FROM farm.accepted(%s)", job["token"]))
        attempt = spool.new_attempt(job["job"], job["attempt"], job["token"])
        order = Order(
            job["job"], job["attempt"], job["token"], job["run_id"], phone.device, phone.name, job["body"], accepted,
            attempt.folder, self.settings.storage or job["storage"] or "", self.settings.cache_bytes,
        )  # fmt: skip
        preparing, begins = context.Pipe(duplex=False)
        process = context.Process(target=_measure, args=(order, begins), daemon=True)
        process.start()
        begins.close()
        self._running[phone.device] = _Running(attempt, job["job"], process, preparing)
        self.tell(f"job {job['job']} ({job['suite']}) begins on {phone.device}, attempt {job['attempt']}")

    # -- processes ----------------------------------------------------------------------------------------------

    def _stop(self, some: Any, why: str, *, kill: bool = False) -> None:
        """Stop processes: at the next turn with `kill`, otherwise with SIGINT and a grace period."""
        for one in list(some):
            if one.stop_by is None:
                self.tell(f"job {one.job} is stopped: {why}")
                one.stop_by = time.monotonic() + (0 if kill else _STOP_S)
                if one.process.pid is not None and not kill:
                    _signal(one.process, signal.SIGINT)

    def _reap(self) -> None:
        """Record the end of processes that have ended; kill those whose time to stop is over."""
        for device, one in list(self._running.items()):
            if one.stop_by is not None and time.monotonic() >= one.stop_by:
                one.process.kill()
            elif self._draining:
                _signal(one.process, signal.SIGTERM)
            if one.process.exitcode is None:
                continue
            if one.attempt.end() is None:
                code = one.process.exitcode
                end = "back" if one.stop_by is not None else "again"
                one.attempt.finish(End(end, f"its process ended with {code}", 1.0))
            one.process.join()
            one.preparing.close()
            del self._running[device]
            outcome = one.attempt.end()
            self.tell(
                f"job {one.job} on {device}: {outcome.end if outcome else ''} {outcome.outcome if outcome else ''}"
            )

    def _finish_all(self) -> None:
        """Deliver the results of attempts whose processes have ended, and report the end of the attempts."""
        assert self._farm is not None
        for attempt in spool.attempts():
            end = attempt.end()
            if end is not None and attempt.token not in self._tokens:
                spool.deliver(self._farm, attempt, self.tell)
                spool.close(self._farm, attempt, end)

    def _wait(self) -> None:
        """Wait until something happens, at most until the next heartbeat."""
        again = _RECONNECT_S[min(self._failures, len(_RECONNECT_S) - 1)]
        left_s = max(0.0, self._next_beat - time.monotonic()) if self._farm is not None else again
        if any(one.stop_by is not None for one in self._running.values()):
            left_s = min(left_s, 0.2)
        waited: list[Any] = [self._waker.reader, *(one.process.sentinel for one in self._running.values())]
        if len(preparing := self._preparing()) >= _AT_ONCE:
            waited += [one.preparing for one in preparing]
            left_s = min(left_s, _PREPARING_S)
        if self._farm is not None:
            waited.append(self._farm.connection.fileno())
        connection.wait(waited, left_s)
        self._waker.clear()


def _import_modules() -> None:
    """Do nothing. Starting a process with this function makes the fork server import its modules."""


def _measure(order: Order, begins: connection.Connection) -> None:
    """Run the measuring process. The import is here because the worker itself does not need these modules."""
    from devbench.farm.measure import main

    main(order, begins)


def _signal(process: BaseProcess, number: int) -> None:
    if process.pid is not None and process.exitcode is None:
        os.kill(process.pid, number)
