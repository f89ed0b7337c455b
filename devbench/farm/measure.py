"""Measure one attempt of a job in a separate process, with the same code as `devbench run`; without the database.

The process is forked from one that has imported everything. It writes results to the spool, from which the worker
delivers them. It ends when the worker ends. Its lease on the phone has the token of the attempt.
"""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone
from multiprocessing import connection, parent_process
from typing import Any

from devbench import __version__
from devbench.bench import runner
from devbench.bench.events import (
    DeviceReady,
    Event,
    FilePushed,
    NoticeGiven,
    RepetitionDone,
    RepetitionStarted,
    Waiting,
)
from devbench.bench.plan import PLAN, Plan, fingerprint
from devbench.bench.targets import open_names
from devbench.device import lease
from devbench.errors import DevbenchError, DeviceBusy, EnvironmentProblem, InputError
from devbench.farm.job import FarmJob, plan_of, read
from devbench.farm.order import Order
from devbench.farm.spool import Attempt, End
from devbench.farm.storage import Storage
from devbench.host.paths import cache_dir, data_dir
from devbench.notices import Notice
from devbench.results.column_types import pack, unpack
from devbench.results.counting import JobView, RunView
from devbench.results.records import RunRecord
from devbench.results.run_files import read_values, run_to_json
from devbench.results.store import Store

# How long to wait for a phone that another run uses, and how long a job that waited in vain stays in the queue.
_WAIT_S, _BUSY_S = 600.0, 15.0
_AGAIN_S = 5.0


class Drained(DevbenchError):
    """The worker is stopping: the current repetition is finished, the rest goes back to the queue."""


def main(order: Order, begins: connection.Connection) -> None:
    """Measure, and write the results and the outcome to the spool. This is the entry point of the process.

    `begins` is closed when the tool begins or the run waits for its phone. The worker may then start another job.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    draining = threading.Event()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda number, frame: draining.set())
    os.environ[lease.TOKEN_VARIABLE] = order.token
    os.environ[lease.JOB_VARIABLE] = f"farm-{order.job}"
    os.environ[lease.ATTEMPT_VARIABLE] = str(order.attempt)
    attempt = Attempt(order.folder)
    try:
        end = _measure(order, attempt, draining, begins)
    except KeyboardInterrupt:
        end = End("back", "cancelled, or stopped on its host")
    except DevbenchError as error:
        end = _end_of(error)
    attempt.finish(end)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)


def _end_of(error: DevbenchError) -> End:
    if isinstance(error, Drained):
        return End("back", "the worker was stopped")
    if isinstance(error, DeviceBusy):
        return End("back", str(error), _BUSY_S)
    if isinstance(error, InputError):
        return End("failed", str(error))
    return End("again", str(error), _AGAIN_S if isinstance(error, EnvironmentProblem) else 0.0)


def _measure(order: Order, attempt: Attempt, draining: threading.Event, begins: connection.Connection) -> End:
    job = read(order.body)
    files = Storage(order.storage, cache_dir() / "farm", order.cache_bytes)
    plan = plan_of(job, files)
    with Store(str(data_dir() / "farm" / "results.db")) as store, ThreadPoolExecutor(1) as pool:
        run = RunRecord(
            run_id=order.run_id,
            started_utc=datetime.now(timezone.utc),
            command="devbench farm worker",
            devbench_version=__version__,
            host="",  # the keeper stores the host that the farm knows
            options={"farm": {"job": order.job, "attempt": order.attempt}, PLAN: fingerprint(plan)},
            labels=dict(job.labels),
        )
        if order.attempt > 1:
            store.drop_run(order.run_id)
        for payload in order.accepted:
            view = read_values(unpack(payload))
            store.add_part(replace(view, run=run))
        spooler = _Spooler(order, attempt, draining, run, store, files, pool, begins)
        outcome = _run(order, job, plan, store, spooler, run)
        status: Any = outcome.status
        error = next(iter(outcome.errors.values()), None)
        if status == "interrupted":
            raise KeyboardInterrupt
        if error is not None:
            return _end_of(error)
        for one in spooler.pending:
            one.result()
        end = RunView(run, status, datetime.now(timezone.utc), (), tuple(spooler.notices))
        attempt.add(0, "end", 0, pack(run_to_json(end)))
    return End("done", "")


def _run(order: Order, job: FarmJob, plan: Plan, store: Store, spooler: _Spooler, run: RunRecord) -> runner.RunOutcome:
    with open_names([order.name]) as devices:
        return runner.run(
            plan,
            list(devices.values()),
            store,
            run_id=order.run_id,
            listener=spooler.take,
            labels=job.labels,
            options=run.options,
            resume=bool(order.accepted),
            wait_s=_WAIT_S,
        )


class _Spooler:
    """Handle the events of the run: write repetitions to the spool in a background thread; end the run on a drain.

    The run ends between two repetitions.
    """

    def __init__(
        self, order: Order, attempt: Attempt, draining: threading.Event, run: RunRecord, store: Store, files: Storage,
        pool: ThreadPoolExecutor, begins: connection.Connection,
    ) -> None:  # fmt: skip
        self.notices: list[Notice] = []
        self.pending: list[Future[None]] = []
        self._order, self._attempt, self._draining, self._run = order, attempt, draining, run
        self._store, self._files, self._pool, self._begins = store, files, pool, begins

    def take(self, event: Event) -> None:
        if isinstance(event, (RepetitionStarted, Waiting, FilePushed)):
            self._begins.close()
        if isinstance(event, DeviceReady) and event.device.facts.get("key", event.device.key) != self._order.device:
            raise EnvironmentProblem(f"{self._order.name} is {event.device.key} now, not {self._order.device}")
        if isinstance(event, NoticeGiven):
            self.notices.append(event.notice)
        if isinstance(event, RepetitionDone):
            self.pending.append(self._pool.submit(self._spool, event, tuple(self.notices)))
        if isinstance(event, (RepetitionDone, RepetitionStarted, Waiting)) and self._draining.is_set():
            raise Drained("the worker is stopped")

    def _spool(self, event: RepetitionDone, notices: tuple[Notice, ...]) -> None:
        one = event.repetition
        try:
            raw = self._files.put(self._store.artifacts.root / one.raw_path)
        except DevbenchError:
            raw = ""  # it stays on this host
        view = RunView(self._run, "running", None, (JobView(event.job, (one,)),), notices)
        self._attempt.add(event.job.number, one.purpose, one.index, pack(run_to_json(view)), raw)
