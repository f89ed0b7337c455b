"""Run a suite's nightly measurement on all hosts of a farm: queue it once, wait for it, report it once.

The state of a night is in the database, so any computer with a submitter's role can begin, continue and report it. An
advisory lock of the database ensures that only one computer does so at a time; the lock ends with the connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from devbench.errors import DevbenchError, EnvironmentProblem
from devbench.farm.database import Farm, FarmProblem
from devbench.farm.submit import make_job, submit_job
from devbench.findings.night import NightResult
from devbench.nightly.night import Asked, Screen, analyse, publish
from devbench.results.counting import JobView, RunView

if TYPE_CHECKING:
    from devbench.bench.suite import Suite
    from devbench.results.history import History
    from devbench.results.store import Store

_ASK_S = 2.0
OPTION = "farm"
_JOBS = """
SELECT j.id, j.submission, j.device, j.host, j.state, j.run_id, j.ended_utc, j.end_reason, j.stored, p.present,
  p.quarantine, coalesce(now() - h.seen_utc < interval '60 s', false) AS alive
FROM farm.jobs_now j JOIN farm.phones_now p USING (device) JOIN farm.hosts h ON h.name = p.host
WHERE j.suite = %s AND j.created_utc >= %s AND j.end_reason <> 'a later round replaced it' ORDER BY j.id
"""
_REPORTED = "SELECT max(reported_utc) AS at FROM farm.submissions WHERE suite = %s AND reported_utc >= %s"


def run_farm_night(
    asked: Asked,
    suite: Suite,
    wanted: Mapping[str, str],
    url: str,
    store: Store,
    history: Callable[[], History],
    screen: Screen,
    wait_s: float,
) -> NightResult:
    """Measure a suite on the farm, unless that was already done tonight; compare and report the results.

    Args:
        asked: the settings of the night; its devices are not used.
        suite: the suite, as `read_suite` returns it.
        wanted: which phones to use, as returned by `farm.submit.wanted_of`.
        url: the farm's address, with a submitter's role.
        store, history, screen: as for a night on one host.
        wait_s: how long to wait; phones that are not finished by then are reported as absent.

    Raises:
        InputError: the settings of the night are wrong.
        FarmProblem: the farm refuses the job.
        EnvironmentProblem: no phone matches, or another computer still reports the night.
    """
    began = asked.period.began(datetime.now().astimezone())
    name = f"{began:%Y-%m-%d}"
    deadline = time.monotonic() + wait_s
    job: dict[str, Any] | None = None
    forced = f" {datetime.now():%H:%M:%S}" if asked.settings.force else ""
    while True:
        try:
            with Farm(url) as farm:
                farm.check_schema()
                _lock(farm, f"{suite.name} {name}", screen, deadline)
                jobs = farm.rows(_JOBS, suite.name, began)
                if not jobs or (forced and job is None):
                    job = job or make_job(farm, suite, asked.plan, asked.labels, None)
                    submit_job(farm, suite.name, job, wanted, night=name + forced)
                    if not farm.rows(_JOBS, suite.name, began):
                        raise EnvironmentProblem(
                            "no phone of the farm matches", hint="devbench farm status lists them; see --device"
                        )
                jobs = _wait(farm, suite.name, began, screen, deadline)
                return _report(farm, asked, began, jobs, store, history, screen)
        except FarmProblem as error:
            if not error.transient or time.monotonic() > deadline:
                raise
            screen.tell(f"{error.what}; waiting for it")
            time.sleep(_ASK_S)


def _lock(farm: Farm, name: str, screen: Screen, deadline: float) -> None:
    """Wait for the lock of this night, so that only one computer reports it. The lock ends with its connection."""
    told = False
    while not farm.rows("SELECT pg_try_advisory_lock(hashtextextended(%s, 0)) AS mine", f"devbench night {name}")[0][
        "mine"
    ]:
        if not told:
            screen.tell("another computer waits for this night")
        told = True
        if time.monotonic() > deadline:
            raise EnvironmentProblem(f"another computer still waits for the night {name}", hint="call it again later")
        time.sleep(_ASK_S)


def _wait(farm: Farm, suite: str, began: datetime, screen: Screen, deadline: float) -> list[dict[str, Any]]:
    """Wait until all jobs of the night are stored, or the deadline has passed, and return the jobs."""
    told = -1
    while True:
        jobs = farm.rows(_JOBS, suite, began)
        left = [one for one in jobs if not one["stored"]]
        if not left or time.monotonic() > deadline:
            return jobs
        if len(left) != told:
            told = len(left)
            screen.tell(f"{len(jobs) - told} of {len(jobs)} phones are measured")
        time.sleep(min(_ASK_S, max(0.1, deadline - time.monotonic())))


def _report(
    farm: Farm,
    asked: Asked,
    began: datetime,
    jobs: Sequence[Mapping[str, Any]],
    store: Store,
    history: Callable[[], History],
    screen: Screen,
) -> NightResult:
    """Write one report and JUnit file and send one message for all hosts; do nothing if there are no new results."""
    reported = farm.rows(_REPORTED, asked.suite, began)[0]["at"]
    new = [one for one in jobs if one["ended_utc"] is not None and (reported is None or one["ended_utc"] > reported)]
    due = bool(new) or reported is None
    result = NightResult(asked.suite, f"{began:%Y-%m-%d}", absent=_absent(jobs), due=due)
    if not due:
        return result
    tonight = [one["run_id"] for one in jobs if store.has_run(one["run_id"])]
    if tonight:
        view = united([store.run(run_id) for run_id in tonight], f"{began:%Y%m%d}-farm-{jobs[0]['submission']}")
        result = analyse(asked, store, history, view, tonight, _earlier(store, asked, tonight), result, screen)
    publish(asked, result, screen)
    for submission in {one["submission"] for one in jobs}:
        farm.call("set_reported", submission)
    return result


def _absent(jobs: Sequence[Mapping[str, Any]]) -> dict[str, DevbenchError]:
    """Return the phones on which the night's job did not succeed, each with the reason."""
    found: dict[str, DevbenchError] = {}
    for job in jobs:
        where = f"{job['device']} at {job['host']}"
        if job["state"] == "succeeded":
            found.pop(job["device"], None)
        elif job["ended_utc"] is not None:
            found[job["device"]] = EnvironmentProblem(
                f"{where}: {job['end_reason']}", hint=f"devbench farm logs {job['id']}"
            )
        else:
            reason = next(
                words
                for words, holds in (
                    (f"in quarantine: {job['quarantine']}", job["quarantine"]),
                    ("its host is silent", not job["alive"]),
                    ("is not connected", not job["present"]),
                    ("is still being measured", job["state"] == "doing"),
                    ("has not had its turn yet", True),
                )
                if holds
            )
            found[job["device"]] = EnvironmentProblem(f"{where}: {reason}", hint="devbench farm status")
    return found


def _earlier(store: Store, asked: Asked, tonight: Sequence[str]) -> list[list[str]]:
    """Return the runs of earlier nights of the suite, grouped by night, the newest night first."""
    nights: dict[str, list[str]] = {}
    for run in store.runs_with_option(OPTION):
        if run.run_id not in tonight and run.options[OPTION].get("suite") == asked.suite:
            night = asked.period.began(run.started_utc.astimezone())
            nights.setdefault(f"{night:%Y-%m-%d}", []).append(run.run_id)
    return list(nights.values())


def united(views: Sequence[RunView], run_id: str) -> RunView:
    """Merge the runs of one night into one: renumber the jobs and list all hosts in the host's name.

    Args:
        views: at least one.
        run_id: the id of the merged run.
    """
    first = min(views, key=lambda view: view.run.started_utc)
    jobs: list[JobView] = []
    notices = []
    for view in views:
        numbers = {item.job.number: len(jobs) + place for place, item in enumerate(view.jobs, 1)}
        for item in view.jobs:
            number = numbers[item.job.number]
            repetitions = tuple(replace(one, run_id=run_id, job_number=number) for one in item.repetitions)
            jobs.append(JobView(replace(item.job, run_id=run_id, number=number), repetitions))
        notices += [
            one if one.job_number is None else replace(one, job_number=numbers.get(one.job_number))
            for one in view.notices
        ]
    ends = [view.finished_utc for view in views if view.finished_utc is not None]
    hosts = ", ".join(sorted({view.run.host for view in views}))
    reasons = dict.fromkeys(view.end_reason for view in views if view.end_reason)
    return RunView(
        replace(first.run, run_id=run_id, host=hosts),
        next((view.status for view in views if view.status != "done"), "done"),
        max(ends, default=None),
        tuple(jobs),
        tuple(dict.fromkeys(notices)),
        "; ".join(reasons),
    )
