"""`devbench farm init` upgrades a farm with an older schema, without losing its queue or results."""

from __future__ import annotations

from typing import Any

import pytest

from devbench.farm import database
from devbench.farm.database import NOT_CURRENT, SCHEMA, FarmProblem, init
from tests.farm.calls import begin, keep, payload, submit, take
from tests.farm.made import MadeFarm

pytestmark = pytest.mark.postgres

COUNTS = """
SELECT (SELECT count(*) FROM farm.jobs_now WHERE state = 'todo') AS waiting,
  (SELECT count(*) FROM farm.results) AS results, (SELECT count(*) FROM farm.quarantine) AS quarantined
"""
# All functions and views with their rights, to compare them with those of a new farm.
RIGHTS = """
SELECT p.oid::regprocedure::text AS name, p.prosrc, p.proacl::text AS rights FROM pg_proc p
WHERE p.pronamespace = 'farm'::regnamespace
UNION ALL SELECT c.oid::regclass::text, pg_get_viewdef(c.oid), c.relacl::text FROM pg_class c
WHERE c.relnamespace = 'farm'::regnamespace AND c.relkind = 'v' ORDER BY 1
"""


def _next_version(monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
    monkeypatch.setattr(database, "_UPGRADES", (*database._UPGRADES, sql))
    monkeypatch.setattr(database, "SCHEMA", SCHEMA + 1)


def test_an_upgrade_keeps_the_queue_and_stops_older_workers(farm: MadeFarm, monkeypatch: pytest.MonkeyPatch) -> None:
    lab, worker = begin(farm, "lab1", "v1")
    for suite in ("one", "two", "three"):
        submit(farm, suite=suite)
    taken = take(lab, worker, "v1")
    lab.call("deliver", taken["token"], 1, "latency", 0, payload(), "")
    admin = farm.open()
    admin.call("set_quarantine", "v1", "battery", None)
    before, rights = admin.rows(COUNTS), admin.rows(RIGHTS)
    _next_version(
        monkeypatch, "ALTER TABLE jobs ADD COLUMN note text NOT NULL DEFAULT 'none'; DROP FUNCTION is_wanted;"
    )
    assert init(farm.admin_url, {}, None) == []
    assert admin.rows("SELECT number FROM farm.version") == [{"number": SCHEMA + 1}]
    assert {row["note"] for row in admin.rows("SELECT note FROM farm.jobs")} == {"none"}
    # The job that ran waits again; its delivered results are still there.
    assert admin.rows(COUNTS) == [{**before[0], "waiting": 3}]
    assert admin.rows(RIGHTS) == rights
    # Calls of the older worker are refused; when it starts again, the message says what to do.
    with pytest.raises(FarmProblem) as refused:
        lab.call("beat", worker)
    assert refused.value.sqlstate == NOT_CURRENT
    with pytest.raises(FarmProblem, match=f"has schema {SCHEMA + 1}, this worker knows {SCHEMA}"):
        lab.call("hello", SCHEMA, "0", "now", 0)
    # A worker of the new version resumes the job, and everything is stored.
    worker = lab.call("hello", SCHEMA + 1, "0", "now", 0)
    lab.call("offer", worker, '{"v1": {}}')
    admin.call("end_quarantine", "v1")
    again = take(lab, worker, "v1")
    assert (again["job"], again["attempt"]) == (taken["job"], 2)
    lab.call("finish", again["token"], "done", "", 0)
    keep(farm)
    assert farm.jobs()[0]["stored"]
    assert take(lab, worker, "v1")["suite"] == "two"


def test_an_upgrade_that_fails_changes_nothing(farm: MadeFarm, monkeypatch: pytest.MonkeyPatch) -> None:
    lab, worker = begin(farm, "lab1", "v1")
    submit(farm)
    _next_version(monkeypatch, "ALTER TABLE jobs ADD COLUMN note text; ALTER TABLE nothing ADD COLUMN note text;")
    with pytest.raises(FarmProblem, match='relation "nothing" does not exist'):
        init(farm.admin_url, {}, None)
    assert farm.open().rows("SELECT number FROM farm.version") == [{"number": SCHEMA}]
    assert take(lab, worker, "v1")["suite"] == "camera"


def test_an_older_devbench_does_not_touch_a_newer_farm(farm: MadeFarm, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = farm.open()
    before: list[dict[str, Any]] = admin.rows(RIGHTS)
    admin.rows("UPDATE farm.version SET number = number + 1")
    with pytest.raises(FarmProblem, match="update devbench on this host"):
        init(farm.admin_url, {"host": ["lab9"]}, None)
    assert admin.rows(RIGHTS) == before
    assert not admin.rows("SELECT 1 AS found FROM farm.hosts WHERE name = 'lab9'")
