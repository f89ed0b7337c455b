"""Read the state of a farm as JSON-ready data, and run the checks of `devbench farm doctor`. Changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbench import __version__
from devbench.errors import DevbenchError, EnvironmentProblem, InputError, system_errors
from devbench.farm.database import Farm, store_url
from devbench.host.checks import Check
from devbench.host.paths import cache_dir

if TYPE_CHECKING:
    from devbench.farm.storage import Storage
    from devbench.findings.device_health import DeviceHealth

# A host counts as away after this many seconds of silence.
AWAY_S = 30.0
_MOST_CLOCK_S = 2.0
_CACHE_BYTES = 1 << 30
_HOSTS = """
SELECT h.name, h.role, h.seen_utc, h.devbench, h.clock_offset_s, h.draining,
  coalesce(now() - h.seen_utc < make_interval(secs => %s), false) AS alive,
  (SELECT count(*) FROM farm.phones p WHERE p.host = h.name) AS phones,
  (SELECT count(*) FROM farm.phones p WHERE p.host = h.name AND p.present) AS present
FROM farm.hosts h ORDER BY h.name
"""
# The expected duration of a job: the mean of its suite's last ten jobs on the phone, or, without any, on all phones.
_EXPECTED = """
WITH done AS (
  SELECT suite, device, extract(epoch FROM ended_utc - began_utc)::float8 AS seconds,
    row_number() OVER (PARTITION BY suite, device ORDER BY id DESC) AS n
  FROM farm.jobs_now WHERE state = 'succeeded'
)
SELECT suite, device, avg(seconds) AS seconds FROM done WHERE n <= 10 GROUP BY GROUPING SETS ((suite, device), (suite))
"""
_PHONES = """
SELECT p.device, p.host, p.wanted_by, p.present, p.seen_utc, p.facts, p.quarantine,
  p.quarantined_utc, p.quarantine_until_utc
FROM farm.phones_now p ORDER BY p.host, p.device
"""
_JOBS = """
SELECT j.id, j.submission, j.round, j.suite, j.device, j.host, j.submitter, j.run_id, j.priority, j.state, j.cancelling,
  j.attempts, j.measured_on, j.repetitions, j.created_utc, j.began_utc, j.ended_utc, j.end_reason, j.outcome, j.stored,
  extract(epoch FROM now() - j.began_utc)::float8 AS since_s
FROM farm.jobs_now j
WHERE j.state IN ('todo', 'doing') OR j.ended_utc > now() - make_interval(secs => %s)
ORDER BY j.state <> 'doing', j.state <> 'todo', j.priority DESC, j.id LIMIT %s
"""
_LATER = """
SELECT id, suite, submitter, wanted, phones, priority, every, due_utc FROM farm.submissions
WHERE due_utc > now() ORDER BY due_utc
"""
_WAITING, _RUNNING = "todo", "doing"


def read_status(farm: Farm, *, ended_s: float = 86_400.0, most: int = 1000) -> dict[str, Any]:
    """Return the hosts, phones, jobs and scheduled submissions of a farm; times are UTC.

    Args:
        farm: a connection as a submitter, keeper or admin.
        ended_s: jobs that ended within the last `ended_s` seconds are included.
        most: the largest number of jobs to return.

    Raises:
        FarmProblem: the farm cannot be read.
    """
    farm.check_schema()
    expected = {(row["suite"], row["device"]): row["seconds"] for row in farm.rows(_EXPECTED)}
    hosts, jobs = farm.rows(_HOSTS, AWAY_S), farm.rows(_JOBS, ended_s, most)
    left: dict[str, float] = {}
    for job in jobs:
        seconds = expected.get((job["suite"], job["device"]), expected.get((job["suite"], None)))
        since_s = job.pop("since_s")
        job["expected_s"] = seconds
        if seconds is not None and job["state"] in (_WAITING, _RUNNING):
            spent = since_s or 0.0 if job["state"] == _RUNNING else 0.0
            left[job["device"]] = left.get(job["device"], 0.0) + max(0.0, seconds - spent)
    phones = farm.rows(_PHONES)
    for phone in phones:
        of = [job for job in jobs if job["device"] == phone["device"]]
        phone["job"] = next((job["id"] for job in of if job["state"] == _RUNNING), None)
        phone["waiting"] = sum(job["state"] == _WAITING for job in of)
        phone["left_s"] = left.get(phone["device"])
        phone["state"] = _state(phone)
    return {"hosts": hosts, "phones": phones, "jobs": jobs, "later": farm.rows(_LATER)}


def add_health(url: str, phones: list[dict[str, Any]]) -> None:
    """Set `health` of each phone from the results of the last 30 days; `None` if there are none or reading fails."""
    from devbench.findings.device_health import device_health
    from devbench.results.store import Store

    found: Mapping[str, DeviceHealth] = {}
    with suppress(DevbenchError), Store(store_url(url), create=False) as store:
        found = device_health(store, datetime.now(timezone.utc))
    for phone in phones:
        health = found.get(phone["device"])
        phone["health"] = {"score": health.score, **asdict(health)} if health else None


def _state(phone: dict[str, Any]) -> str:
    if phone["wanted_by"]:
        return f"moved to {phone['wanted_by']}: waits for an admin"
    if phone["quarantine"]:
        return "quarantine"
    return "away" if not phone["present"] else "measuring" if phone["job"] is not None else "idle"


def read_log(farm: Farm, job: int) -> dict[str, Any]:
    """Return what happened to a job: its row, attempts, events and refused results.

    Raises:
        InputError: there is no such job.
    """
    farm.check_schema()
    found = farm.rows("SELECT * FROM farm.jobs_now WHERE id = %s", job)
    if not found:
        raise InputError(f"there is no job {job}", hint="devbench farm status lists them")
    return {
        "job": found[0],
        "attempts": farm.rows(
            "SELECT number, host, began_utc, ended_utc, outcome, failed FROM farm.attempts WHERE job = %s ORDER BY 1",
            job,
        ),
        "events": farm.rows("SELECT type::text, at FROM farm.procrastinate_events WHERE job_id = %s ORDER BY id", job),
        "refused": farm.rows(
            "SELECT number, purpose, index, host, problem FROM farm.results WHERE job = %s AND problem <> ''", job
        ),
    }


def open_storage(farm: Farm, given: str | None) -> Storage:
    """Open the storage at the given address, or at the address configured in the farm.

    Raises:
        InputError: no address is given and the farm has none.
    """
    from devbench.farm.storage import Storage

    found = farm.rows("SELECT value FROM farm.settings WHERE name = 'storage'")
    address = given or (found[0]["value"] if found else "")
    if not address:
        raise InputError("the farm has no storage of files", hint="an admin: devbench farm init --storage URL")
    return Storage(address, cache_dir() / "farm", _CACHE_BYTES)


def copy_raw(farm: Farm, job: int, folder: Path, storage: str | None) -> int:
    """Copy the raw outputs of a job to a folder and return their number.

    Raises:
        EnvironmentProblem: a raw output cannot be fetched or written.
    """
    files = open_storage(farm, storage)
    rows = farm.rows(
        "SELECT number, purpose, index, raw_sha256 FROM farm.results WHERE job = %s AND raw_sha256 <> '' ORDER BY id",
        job,
    )
    with system_errors(f"cannot write to {folder}", kind=EnvironmentProblem):
        folder.mkdir(parents=True, exist_ok=True)
        for row in rows:
            name = f"job{row['number']:04d}-{row['purpose']}-{row['index']:03d}.txt.gz"
            shutil.copyfile(files.fetch(row["raw_sha256"]), folder / name)
    return len(rows)


def examine(farm: Farm, storage: str = "") -> Iterator[Check]:
    """Check the database, the role, hosts, clocks, versions, the keeper and the storage.

    Args:
        farm: a connection.
        storage: the storage's address; empty to use the one configured in the farm.
    """
    row = farm.rows(
        "SELECT session_user::text AS name, r.rolsuper, s.ssl, "
        "inet_server_addr() IS NULL OR inet_server_addr() << '127.0.0.0/8' AS local "
        "FROM pg_roles r LEFT JOIN pg_stat_ssl s ON s.pid = pg_backend_pid() WHERE r.rolname = session_user"
    )[0]
    yield Check("database", "ok", farm.shown)
    if row["ssl"] or row["local"]:
        yield Check("TLS", "ok", "the connection is encrypted" if row["ssl"] else "the database is on this computer")
    else:
        yield Check("TLS", "warning", "the connection is not encrypted", "add ?sslmode=verify-full to the URL")
    if row["ssl"] and "sslmode=verify-full" not in farm.url:
        yield Check("TLS", "warning", "the server's certificate is not checked", "add ?sslmode=verify-full to the URL")
    roles = [
        one["role"]
        for one in farm.rows(
            "SELECT g.rolname AS role FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid "
            "JOIN pg_roles u ON u.oid = m.member WHERE u.rolname = session_user AND g.rolname LIKE 'devbench\\_%%' "
            "ORDER BY 1"
        )
    ]
    if row["rolsuper"]:
        yield Check("role", "warning", f"{row['name']} is a superuser", "use it for `devbench farm init` alone")
    elif not roles:
        yield Check(
            "role", "bad", f"{row['name']} has no role in the farm", "an admin: devbench farm init --submitter NAME"
        )
    else:
        yield Check("role", "ok", f"{row['name']}: {', '.join(one.removeprefix('devbench_') for one in roles)}")
    try:
        farm.check_schema()
        if roles == ["devbench_host"]:
            return
        yield from _hosts(farm)
        yield _keeper(farm)
        open_storage(farm, storage)
        yield Check("storage", "ok", "it can be opened from here")
    except DevbenchError as error:
        yield Check("farm", "bad", error.what, error.hint)


def _hosts(farm: Farm) -> Iterator[Check]:
    hosts = farm.rows(_HOSTS, AWAY_S)
    if not hosts:
        yield Check("hosts", "bad", "there are none", "devbench farm init --host NAME")
    for host in hosts:
        subject = f"host {host['name']}"
        if host["seen_utc"] is None:
            yield Check(subject, "warning", "was never seen", "start it there: devbench farm worker")
            continue
        words = f"devbench {host['devbench']}, {host['present']} of {host['phones']} phones connected"
        if not host["alive"]:
            yield Check(
                subject, "bad", f"silent since {host['seen_utc']:%Y-%m-%d %H:%M:%S %Z}", "is its worker running?"
            )
        elif abs(host["clock_offset_s"] or 0.0) > _MOST_CLOCK_S:
            yield Check(subject, "warning", f"its clock is {host['clock_offset_s']:+.1f} s off", "let NTP set it")
        elif host["devbench"] != __version__:
            yield Check(subject, "warning", f"{words}; this is devbench {__version__}", "use one version on all hosts")
        else:
            yield Check(subject, "ok", words + (", draining" if host["draining"] else ""))
    for phone in farm.rows(
        "SELECT device, host, wanted_by FROM farm.phones WHERE wanted_by IS NOT NULL ORDER BY device"
    ):
        words = f"is connected to {phone['wanted_by']}, but belongs to {phone['host']}"
        yield Check(
            f"phone {phone['device']}", "warning", words, f"devbench farm assign {phone['device']} {phone['wanted_by']}"
        )


def _keeper(farm: Farm) -> Check:
    late = farm.rows(
        "SELECT count(*) AS n FROM farm.results "
        "WHERE NOT stored AND problem = '' AND received_utc < now() - interval '30 s'"
    )[0]["n"]
    if late:
        return Check("keeper", "bad", f"{late} results wait to be stored", "start one: devbench farm keeper")
    return Check("keeper", "ok", "no result waits to be stored")
