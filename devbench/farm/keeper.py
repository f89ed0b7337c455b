"""The keeper of a farm: stores delivered results, requeues the jobs of silent workers, and queues jobs that are due.

The keeper runs next to the database with its own role; several keepers may run. Hosts cannot write to the results
store: the keeper checks each result that they deliver, sets the host from the database, and refuses invalid results.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from devbench.errors import InputError
from devbench.farm.database import Farm, FarmProblem, store_url
from devbench.farm.job import read
from devbench.host.paths import data_dir
from devbench.results.column_types import unpack
from devbench.results.counting import JobView, RunView
from devbench.results.engine import StoreProblem
from devbench.results.histories import current_key
from devbench.results.run_files import read_values
from devbench.results.store import Store

_BATCH = 100
_LONGEST_PAUSE_S = 1.0
_RECONNECT_S = 1.0
# A result that cannot be stored is marked as a problem, so that later turns skip it.
_RESULTS = """
SELECT r.id, r.payload, r.host, r.raw_sha256, r.purpose, j.run_id, j.device, s.suite, s.submitter, s.id AS submission,
  s.night, s.job
FROM farm.results r JOIN farm.jobs j ON j.id = r.job JOIN farm.submissions s ON s.id = j.submission
WHERE NOT r.stored AND r.problem = '' ORDER BY r.id LIMIT %s
"""
_ENDED = """
SELECT n.id, n.run_id, n.state, n.ended_utc, n.end_reason FROM farm.jobs_now n
WHERE NOT n.stored AND n.ended_utc IS NOT NULL AND NOT EXISTS (
  SELECT FROM farm.results r WHERE r.job = n.id AND NOT r.stored AND r.problem = '') LIMIT %s
"""
_RAW_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_STATUS: dict[str, Any] = {"succeeded": "done", "aborted": "interrupted", "cancelled": "interrupted"}


@dataclass(slots=True)
class Keeper:
    """A keeper; call `run`.

    Args:
        url: the farm's address, with a keeper's role.
        silent_s: after this many seconds without a heartbeat of a worker, its jobs go back to the queue.
        artifacts: folder for raw outputs; `None` for devbench's data folder.
        tell: called with each line for the log.
    """

    url: str
    silent_s: float
    tell: Callable[[str], None]
    artifacts: Path | None = None
    _over: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Make `run` return after the current turn."""
        self._over.set()

    def run(self) -> None:
        """Work until `stop`. If the database is lost, wait until it is back.

        Raises:
            FarmProblem: the farm has another schema, or refuses this role.
        """
        told = False
        while not self._over.is_set():
            try:
                with (
                    Farm(self.url) as farm,
                    Store(store_url(self.url), self.artifacts or data_dir() / "artifacts") as store,
                ):
                    farm.rows("LISTEN farm_results")
                    told = False
                    while not self._over.is_set():
                        # An admin may upgrade the farm at any time.
                        farm.check_schema()
                        self.turn(farm, store)
                        farm.wait(_LONGEST_PAUSE_S)
            except (FarmProblem, StoreProblem) as error:
                if isinstance(error, FarmProblem) and not error.transient:
                    raise
                if not told:
                    self.tell(f"{error.what}; waiting for it")
                told = True
                self._over.wait(_RECONNECT_S)

    def turn(self, farm: Farm, store: Store) -> None:
        """Requeue lost jobs, queue due jobs, and store delivered results, once.

        Raises:
            FarmProblem, StoreProblem: the database cannot be reached.
        """
        back = farm.call("requeue", self.silent_s)
        if back:
            self.tell(f"{back} jobs of silent workers are queued again")
        queued = farm.call("queue_due")
        if queued:
            self.tell(f"{queued} jobs are due")
        while rows := farm.rows(_RESULTS, _BATCH):
            for row in rows:
                self._store(farm, store, row)
        for row in farm.rows(_ENDED, _BATCH):
            self._end(farm, store, row)

    def _store(self, farm: Farm, store: Store, row: dict[str, Any]) -> None:
        problem = ""
        try:
            store.add_part(_view(store, row))
        except StoreProblem as error:
            if _is_lost(error):
                raise
            problem = str(error)
        except Exception as error:
            # A malformed or malicious result may raise any error; the keeper must continue.
            problem = str(error) or type(error).__name__
        if problem:
            self.tell(f"a result of {row['host']} is refused: {problem}")
        farm.rows(
            "UPDATE farm.results SET stored = %s, problem = %s WHERE id = %s", not problem, problem[:500], row["id"]
        )

    def _end(self, farm: Farm, store: Store, row: dict[str, Any]) -> None:
        """Store the end of a job's run, and drop the delivered payloads, which are no longer needed."""
        if store.has_run(row["run_id"]):
            status = _STATUS.get(row["state"], "failed")
            store.finish_run(row["run_id"], status, row["ended_utc"], row["end_reason"])
        farm.rows("UPDATE farm.jobs SET stored = true WHERE id = %s", row["id"])
        farm.rows("UPDATE farm.results SET payload = '' WHERE job = %s", row["id"])


def _view(store: Store, row: dict[str, Any]) -> RunView:
    """Return a delivered result as a part of the run. Run id, host, models and labels come from the farm's database.

    Raises:
        InputError: the result is damaged, or belongs to another phone or model.
    """
    try:
        view = read_values(unpack(row["payload"]))
    except ValueError as error:
        raise InputError(f"is not packed JSON: {error}") from None
    job = read(row["job"])
    models = {one.name: one for one in job.models}
    farm = {"submission": row["submission"], "night": row["night"], "suite": row["suite"]}
    run = replace(
        view.run,
        run_id=row["run_id"],
        host=row["host"],
        command=f"devbench farm worker ({row['suite']})",
        options={**view.run.options, "farm": farm},
        labels=dict(job.labels),
    )
    now = datetime.now(timezone.utc)
    if not -3650 < (now - run.started_utc).days < 3650:
        raise InputError("has a time that cannot be right")
    jobs = []
    for item in view.jobs:
        device = item.job.device
        if device.facts.get("key", device.key) != row["device"]:
            raise InputError(f"is of the phone {device.key[:80]}, not of {row['device']}")
        if item.job.model.name not in models:
            raise InputError(f"is of another model: {item.job.model.name[:80]!r}")
        with store.database.reading() as connection:
            device = replace(device, key=current_key(connection, row["device"]))
        repetitions = tuple(
            replace(one, run_id=run.run_id, raw_path=_raw_path(run.run_id, one.raw_path)) for one in item.repetitions
        )
        jobs.append(
            JobView(replace(item.job, run_id=run.run_id, device=device, model=models[item.job.model.name]), repetitions)
        )
    return replace(view, run=run, jobs=tuple(jobs))


def _raw_path(run_id: str, given: str) -> str:
    name = given.rpartition("/")[2]
    if not _RAW_NAME.fullmatch(name):
        raise InputError("has a raw output with a name that cannot be used")
    return f"{run_id}/{name}"


def _is_lost(error: StoreProblem) -> bool:
    """Whether the store cannot be reached, in contrast to having refused a value."""
    cause = getattr(error.__cause__, "orig", None)
    state = getattr(cause, "sqlstate", None) or ""
    return state[:2] in ("", "08", "53", "57") and type(error.__cause__).__name__ in (
        "OperationalError",
        "InterfaceError",
    )
