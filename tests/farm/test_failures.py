"""What a farm does when parts of it die, freeze or go away: every repetition counts exactly once."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devbench.adb.server import find_adb
from devbench.farm import spool
from devbench.farm.database import SCHEMA
from devbench.farm.spool import End
from devbench.results.store import Store
from tests.farm.made import Host, MadeFarm, made_farm
from tests.results import postgres
from tests.waiting import wait_until

pytestmark = pytest.mark.postgres
REPETITIONS = 6


@pytest.fixture
def host(farm: MadeFarm) -> Host:
    """`lab1` with a phone and a job of six repetitions, of which at least one is delivered."""
    return _measuring(farm)


def _measuring(farm: MadeFarm) -> Host:
    host = farm.host("lab1", farm.phone("v1"))
    farm.keeper()
    host.start()
    _present(farm, 1)
    assert farm.submit(farm.suite(repetitions=REPETITIONS, min_secs=0.3))["jobs"] == 1
    farm.wait(lambda job: job["repetitions"] >= 1)
    return host


def _present(farm: MadeFarm, count: int) -> None:
    admin = farm.open()
    wait_until(lambda: admin.rows("SELECT count(*) AS n FROM farm.phones WHERE present")[0]["n"] == count)


def _check(farm: MadeFarm) -> dict[str, Any]:
    """The job, when it is done; every repetition is in the store once, and no two overlap."""
    farm.wait(lambda job: job["stored"], seconds=90)
    (job,) = farm.jobs()
    assert (job["state"], job["end_reason"]) == ("succeeded", "")
    with Store(farm.store) as store:
        view = store.run(job["run_id"])
    repetitions = [one for item in view.jobs for one in item.repetitions]
    assert sorted(one.index for one in repetitions if one.status == "ok") == list(range(REPETITIONS))
    assert view.status == "done"
    times = sorted((one.started_utc, one.finished_utc) for one in repetitions)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(times))
    return job


def test_a_killed_worker_continues_its_job_when_it_is_back(farm: MadeFarm, host: Host) -> None:
    host.signal(signal.SIGKILL)
    assert host.worker is not None
    host.worker.wait(10)
    # What it started ends with it.
    wait_until(lambda: not _processes(host.worker.pid))  # type: ignore[union-attr]
    host.start()
    assert _check(farm)["attempts"] == 2


def _processes(group: int) -> list[str]:
    found = subprocess.run(["ps", "-o", "pid=,stat=", "-s", str(group)], capture_output=True, text=True, check=False)
    return [line for line in found.stdout.splitlines() if "Z" not in line]


@pytest.mark.parametrize("whole", [True, False])
def test_a_frozen_worker_has_lost_its_attempt_when_it_is_back(farm: MadeFarm, host: Host, whole: bool) -> None:
    """Also if the process that measures was not frozen: what it measured meanwhile is refused, and kept on the host."""
    host.signal(signal.SIGSTOP, group=whole)
    wait_until(lambda: farm.jobs()[0]["outcome"] == "the worker was silent")
    if not whole:
        spool = host.home / "farm" / "spool"
        wait_until(lambda: list(spool.glob("*/*.result")))
    host.signal(signal.SIGCONT, group=whole)
    assert _check(farm)["attempts"] == 2
    assert whole or host.superseded


def test_a_drained_worker_finishes_its_repetition_and_gives_the_rest_back(farm: MadeFarm, host: Host) -> None:
    before = farm.jobs()[0]["repetitions"]
    assert host.stop() == 0
    (job,) = farm.jobs()
    assert (job["state"], job["outcome"]) == ("todo", "the worker was stopped")
    assert before <= job["repetitions"] < REPETITIONS
    host.start()
    assert _check(farm)["attempts"] == 2


def test_a_cancelled_job_is_stopped_and_keeps_what_was_measured(farm: MadeFarm, host: Host) -> None:
    farm.command("cancel", farm.jobs()[0]["id"], user="ana")
    farm.wait(lambda job: job["stored"])
    (job,) = farm.jobs()
    assert job["state"] == "aborted"
    with Store(farm.store) as store:
        assert store.run(job["run_id"]).status == "interrupted"


def test_a_killed_adb_server_is_started_again(farm: MadeFarm, host: Host) -> None:
    adb = [str(find_adb()), "-P", str(host.adb_port)]
    subprocess.run([*adb, "kill-server"], check=True, capture_output=True, timeout=30)
    wait_until(lambda: subprocess.run([*adb, "devices"], check=False, capture_output=True).returncode == 0)
    (phone,) = farm.phones
    host.connect(phone)
    _check(farm)


def test_a_job_for_a_phone_at_two_hosts_runs_at_one_of_them(farm: MadeFarm, host: Host) -> None:
    """The phone is given to the other host in the middle of the job: that finishes where it began."""
    (phone,) = farm.phones
    other = farm.host("lab2", phone)
    other.start()
    wait_until(lambda: farm.open().rows("SELECT wanted_by FROM farm.phones")[0]["wanted_by"] == "lab2")
    farm.command("assign", "v1", "lab2")
    job = _check(farm)
    assert (job["attempts"], job["measured_on"]) == (1, "lab1")
    farm.submit(farm.suite("second"))
    farm.wait(lambda job: job["stored"])
    assert farm.jobs()[1]["measured_on"] == "lab2"


@pytest.fixture
def restart(tmp_path: Path) -> Iterator[tuple[MadeFarm, Any]]:
    with postgres.restartable() as (url, restart), made_farm(url, tmp_path) as farm:
        yield farm, restart


def test_a_restarted_database_loses_nothing(restart: tuple[MadeFarm, Any]) -> None:
    farm, again = restart
    _measuring(farm)
    again(1.0)
    _check(farm)


def test_refused_results_stay_on_their_host(farm: MadeFarm) -> None:
    lab = farm.open("lab1")
    worker = lab.call("hello", SCHEMA, "0", "now", 0)
    lab.call("offer", worker, json.dumps({"v1": {}}))
    farm.submit(farm.suite())
    taken = lab.rows("SELECT * FROM farm.take(%s, %s)", worker, ["v1"])[0]
    attempt = spool.new_attempt(taken["job"], taken["attempt"], taken["token"])
    attempt.add(1, "latency", 0, b"in time")
    spool.deliver(lab, attempt, print)
    attempt.add(1, "latency", 1, b"late")
    lab.call("hello", SCHEMA, "0", "now", 0)
    spool.deliver(lab, attempt, print)
    spool.close(lab, attempt, End("done", ""))
    assert spool.attempts() == []
    (file,) = spool.superseded_dir().glob("*/*.result")
    assert file.read_bytes() == b"\nlate"
    assert farm.open().rows("SELECT payload FROM farm.results") == [{"payload": b"in time"}]
    assert farm.jobs()[0]["state"] == "todo"


def test_a_result_of_another_farm_does_not_hold_up_the_others(farm: MadeFarm) -> None:
    attempt = spool.new_attempt(1, 1, "f" * 32)
    attempt.add(1, "latency", 0, b"of another farm")
    spool.deliver(farm.open("lab1"), attempt, print)
    assert [file.read_bytes() for file in spool.superseded_dir().glob("*/*.result")] == [b"\nof another farm"]


def test_a_worker_of_another_schema_refuses(farm: MadeFarm) -> None:
    farm.open().rows("UPDATE farm.version SET number = 99")
    host = farm.host("lab1")
    assert host.start().wait(30) == 3
    assert "update devbench on this host" in host.log.read_text()
