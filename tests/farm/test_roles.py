"""What a host's role cannot do with the database, whatever statements it sends; and what users of other roles cannot."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from devbench.errors import InputError
from devbench.farm import job as jobs
from devbench.farm.database import SCHEMA, FarmProblem, init
from devbench.results.column_types import pack
from devbench.results.run_files import run_to_json
from devbench.results.store import Store
from tests.farm.calls import JOB, begin, keep, payload, submit, take
from tests.farm.made import MadeFarm
from tests.made.phones import phone_view

pytestmark = pytest.mark.postgres

DELEGATE: dict[str, Any] = {
    "title": "Mine", "reported_as": ["EXTERNAL"], "files": [{"name": "libmine.so", "sha256": "b" * 64}], "flags": {},
    "litert_flags": {}, "env": {"LD_LIBRARY_PATH": "{files}"}, "require": "any", "cache": "kept",
}  # fmt: skip
# Statements of `lab2`, which has the phone v2. {token} and {job} are those of lab1's attempt on v1, {own} is lab2's token.
TRIES = (
    # other hosts' jobs
    "SELECT * FROM farm.take({worker}, ARRAY['v1'])",
    "SELECT * FROM farm.take({other}, ARRAY['v1'])",
    "SELECT farm.finish('{token}', 'done', '', 0)",
    "SELECT farm.finish('{token}', 'back', '', 0)",
    "SELECT * FROM farm.accepted('{token}')",
    "SELECT farm.beat({other})",
    "SELECT farm.offer({other}, '{{\"v1\": {{}}}}')",
    "SELECT farm.hello({schema}, '0', now(), {other})",
    "SELECT farm.set_quarantine('v1', 'mine now', NULL)",
    "SELECT farm.end_quarantine('v1')",
    "SELECT farm.assign('v1', 'lab2')",
    "SELECT farm.drain('lab1', true)",
    "SELECT farm.cancel({job})",
    "SELECT farm.retry({job})",
    "SELECT farm.requeue(0)",
    "SELECT farm.queue_due()",
    "SELECT farm.queue_round(1)",
    "SELECT farm.end_job({job}, 'failed', '')",
    "SELECT farm.end_attempt('{token}', '', true, '0')",
    "SELECT farm.submit('s', '{{}}', '{{}}', NULL, 0, NULL, '', '')",
    "SELECT farm.procrastinate_fetch_job_v2(ARRAY['v1']::varchar[], {worker})",
    "SELECT farm.procrastinate_finish_job_v1({job}, 'succeeded', false)",
    "SELECT farm.procrastinate_retry_job_v2({job}, NULL, NULL, NULL, NULL)",
    "SELECT farm.procrastinate_cancel_job_v1({job}, true, true)",
    "SELECT farm.procrastinate_update_heartbeat_v1({other})",
    "SELECT farm.procrastinate_prune_stalled_workers_v1(0)",
    "SELECT farm.procrastinate_unregister_worker_v1({other})",
    # forged results and tokens
    "SELECT farm.deliver('{token}', 1, 'latency', 0, '\\x00', '')",
    "SELECT farm.deliver('" + "0" * 32 + "', 1, 'latency', 0, '\\x00', '')",
    "SELECT farm.deliver('%', 1, 'latency', 0, '\\x00', '')",
    "INSERT INTO farm.results (job, number, purpose, index, token, host, payload) VALUES ({job}, 1, 'latency', 0, "
    "'{token}', 'lab1', '\\x00')",
    "UPDATE farm.attempts SET host = 'lab2' WHERE token = '{token}'",
    "INSERT INTO farm.attempts (token, job, number, host, worker) VALUES ('x', {job}, 9, 'lab2', 1)",
    "SELECT token FROM farm.attempts",
    "UPDATE farm.hosts SET role = 'lab2' WHERE name = 'lab1'",
    "UPDATE farm.phones SET host = 'lab2'",
    "DELETE FROM farm.quarantine",
    "UPDATE farm.procrastinate_jobs SET status = 'todo'",
    "DELETE FROM farm.procrastinate_workers",
    "INSERT INTO farm.procrastinate_jobs (queue_name, task_name, lock) VALUES ('v1', 'measure', 'v1')",
    "DELETE FROM public.runs",
    "SELECT * FROM public.runs",
    "INSERT INTO public.labels VALUES ('x', 'y', 'z')",
    # SQL
    "SET ROLE devbench_admin",
    "SET SESSION AUTHORIZATION lab1",
    "CREATE FUNCTION farm.my_host() RETURNS text LANGUAGE sql AS $$ SELECT 'lab1' $$",
    "CREATE TABLE public.hosts (name text)",
    "CREATE TEMP TABLE hosts (name text)",
    "ALTER FUNCTION farm.my_host SECURITY INVOKER",
    "GRANT devbench_admin TO lab2",
    "COPY farm.hosts TO PROGRAM 'id'",
    "COPY (SELECT 1) TO '/tmp/devbench-hostile'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT farm.set_quarantine('v1''; DROP TABLE farm.jobs; --', 'x', NULL)",
    # oversized and malformed rows of its own
    "SELECT farm.deliver('{own}', 1, 'latency', 0, decode(repeat('00', 5000000), 'hex'), '')",
    "SELECT farm.deliver('{own}', 1, 'latency', 0, '\\x00', '../../etc/passwd')",
    "SELECT farm.deliver('{own}', 1, 'shell', 0, '\\x00', '')",
    "SELECT farm.deliver('{own}', -1, 'latency', 0, '\\x00', '')",
    "SELECT farm.offer({worker}, (SELECT jsonb_object_agg(n, '{{}}'::jsonb) FROM generate_series(1, 300) n))",
    "SELECT farm.offer({worker}, jsonb_build_object('big', jsonb_build_object('t', (SELECT string_agg(md5(n::text), '') "
    "FROM generate_series(1, 2000) n))))",
    "SELECT farm.set_quarantine('v2', repeat('x', 10000), NULL)",
)
STATE = (
    "SELECT id, device, status::text, attempts, priority FROM farm.jobs JOIN farm.procrastinate_jobs USING (id) ORDER BY id",
    "SELECT token, job, host, ended_utc, outcome FROM farm.attempts ORDER BY token",
    "SELECT job, host, payload FROM farm.results", "SELECT device, host FROM farm.phones ORDER BY device",
    "SELECT name, role, draining, worker FROM farm.hosts ORDER BY name", "SELECT * FROM farm.quarantine",
    "SELECT count(*) FROM public.runs",
)  # fmt: skip


def test_no_try_of_a_hostile_host_succeeds(farm: MadeFarm) -> None:
    lab1, other = begin(farm, "lab1", "v1")
    lab2, worker = begin(farm, "lab2", "v2")
    submit(farm)
    taken, own = take(lab1, other, "v1"), take(lab2, worker, "v2")
    words = {
        "worker": worker, "other": other, "token": taken["token"], "job": taken["job"], "own": own["token"], "schema": SCHEMA,
    }  # fmt: skip
    admin = farm.open()
    before = [admin.rows(one) for one in STATE]
    succeeded = []
    for text in TRIES:
        try:
            found = lab2.rows(text.format(**words))
        except FarmProblem:
            continue
        if any(value not in (None, False) for row in found for value in row.values()) or not found:
            succeeded.append((text, found))
    assert len(TRIES) >= 50
    # Nothing to take, and nothing accepted, are empty answers.
    assert [one for one in succeeded if one[1]] == []
    assert [admin.rows(one) for one in STATE] == before


def test_a_phone_of_another_host_waits_for_an_admin(farm: MadeFarm) -> None:
    begin(farm, "lab1", "v1")
    lab2, worker = begin(farm, "lab2", "v1")
    assert lab2.call("offer", worker, '{"v1": {}}') == []
    assert "moved to lab2" in farm.command("status", user="ana")
    farm.command("assign", "v1", "lab2")
    assert lab2.call("offer", worker, '{"v1": {}}') == ["v1"]


def test_a_superseded_token_is_refused_by_the_database(farm: MadeFarm) -> None:
    lab, worker = begin(farm, "lab1", "v1")
    submit(farm)
    first = take(lab, worker, "v1")
    assert lab.call("deliver", first["token"], 1, "latency", 0, b"one", "") == "stored"
    assert lab.call("deliver", first["token"], 1, "latency", 0, b"one", "") == "stored"
    worker = lab.call("hello", SCHEMA, "0", "now", 0)
    lab.call("offer", worker, '{"v1": {}}')
    second = take(lab, worker, "v1")
    assert (second["job"], second["attempt"]) == (first["job"], 2)
    assert lab.call("deliver", first["token"], 1, "latency", 1, b"late", "") == "superseded"
    assert lab.call("deliver", second["token"], 1, "latency", 0, b"twice", "") == "superseded"
    assert [row["payload"] for row in lab.rows("SELECT * FROM farm.accepted(%s)", second["token"])] == [b"one"]
    assert lab.call("finish", first["token"], "done", "", 0) is False
    assert lab.call("finish", second["token"], "done", "", 0) is True


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"\x80\x04.", pack({"format": "x"}), pack([1]), pack({}), payload(jobs=[{}]), payload(devices=[]),
        payload(run={**json.loads(json.dumps(run_to_json(phone_view(rounds=1))["run"])), "started_utc": "0001-01-01T00:00:00"}),
    ],
)  # fmt: skip
def test_the_keeper_refuses_what_is_no_result(farm: MadeFarm, payload: bytes) -> None:
    lab, worker = begin(farm, "lab1", "37021JE")
    submit(farm)
    lab.call("deliver", take(lab, worker, "37021JE")["token"], 1, "latency", 0, payload, "")
    keep(farm)
    assert farm.open().rows("SELECT stored, problem <> '' AS problem FROM farm.results") == [
        {"stored": False, "problem": True}
    ]
    assert farm.open().rows("SELECT * FROM public.runs") == []


def test_the_keeper_stores_what_the_farm_knows_instead_of_what_a_host_says(farm: MadeFarm) -> None:
    lab, worker = begin(farm, "lab1", "37021JE")
    submit(farm)
    taken = take(lab, worker, "37021JE")
    lab.call("deliver", taken["token"], 1, "latency", 0, payload(), "")
    lab.call("finish", taken["token"], "done", "", 0)
    keep(farm)
    with Store(farm.store) as store:
        view = store.run(taken["run_id"])
    assert (view.run.host, dict(view.run.labels), view.status) == ("lab1", {"branch": "main"}, "done")
    assert {item.job.model.sha256 for item in view.jobs} == {"a" * 64}


_HOSTILE: tuple[Any, ...] = (
    None, -1, 1e400, float("nan"), 2**80, "", "x" * 5000, "\x00", "\ud800", "../../etc/passwd", [], {}, [[]], True,
    {"__class__": "x"}, "0001-01-01T00:00:00", "9999-12-31T23:59:59+00:00",
)  # fmt: skip


def test_no_changed_result_stops_the_keeper(farm: MadeFarm) -> None:
    """A value of a good result is replaced by a hostile one, in sixty ways."""
    rng = random.Random(7)
    lab, worker = begin(farm, "lab1", "37021JE")
    submit(farm)
    token = take(lab, worker, "37021JE")["token"]
    good = json.dumps(run_to_json(phone_view(rounds=1)))
    for number in range(60):
        values = json.loads(good)
        at: Any = values
        while True:
            key = rng.choice(list(at) if isinstance(at, dict) else range(len(at)))
            if not isinstance(at[key], (dict, list)) or not at[key] or rng.random() < 0.15:
                break
            at = at[key]
        at[key] = rng.choice(_HOSTILE)
        lab.call("deliver", token, number, "latency", 0, pack(values), "")
    lab.call("finish", token, "done", "", 0)
    keep(farm)
    (counts,) = farm.open().rows(
        "SELECT count(*) FILTER (WHERE stored) AS stored, count(*) FILTER (WHERE problem <> '') AS refused FROM farm.results"
    )
    assert counts["stored"] + counts["refused"] == 60
    assert counts["refused"] > 10
    with Store(farm.store) as store:
        assert store.run(farm.jobs()[0]["run_id"]).run.host == "lab1"


def test_a_user_of_the_database_is_never_taken_over(farm: MadeFarm) -> None:
    for name in ("devbench", "ana", "a b", "x" * 50, '";--'):
        with pytest.raises(InputError, match=r"another user|cannot be the name"):
            init(farm.admin_url, {"host": [name]}, None)
    (login,) = init(farm.admin_url, {"host": ["lab2"]}, None)
    assert login.url.startswith("postgresql://lab2:")


def test_a_result_of_another_phone_or_model_is_refused(farm: MadeFarm) -> None:
    lab, worker = begin(farm, "lab1", "v1")
    submit(farm)
    lab.call("deliver", take(lab, worker, "v1")["token"], 1, "latency", 0, payload(), "")
    keep(farm)
    assert "not of v1" in farm.open().rows("SELECT problem FROM farm.results")[0]["problem"]


def test_users_take_turns_and_a_priority_comes_first(farm: MadeFarm) -> None:
    lab, worker = begin(farm, "lab1", "v1")
    for number in range(3):
        submit(farm, "ana", f"ana{number}")
    for number in range(2):
        submit(farm, "bo", f"bo{number}")
    values = ("urgent", json.dumps(JOB), "{}", None, 5, None, "", "")
    farm.open("bo").rows("SELECT * FROM farm.submit(%s, %s, %s, %s, %s, %s, %s, %s)", *values)
    order = []
    for _ in range(6):
        taken = take(lab, worker, "v1")
        order.append(taken["suite"])
        lab.call("finish", taken["token"], "done", "", 0)
    assert order == ["urgent", "ana0", "bo0", "ana1", "bo1", "ana2"]


def test_any_phones_are_the_same_ones_each_night(farm: MadeFarm) -> None:
    lab = farm.open("lab1")
    worker = lab.call("hello", SCHEMA, "0", "now", 0)
    lab.call("offer", worker, json.dumps({f"v{n}": {} for n in range(20)}))
    values = ("camera", json.dumps(JOB), "{}", 3, 0, None, "night", "")
    farm.open("ana").rows("SELECT * FROM farm.submit(%s, %s, %s, %s, %s, %s, %s, %s)", *values)
    admin, rounds = farm.open(), []
    for number in range(1, 4):
        found = admin.rows("SELECT device FROM farm.jobs WHERE round = %s ORDER BY device", number)
        rounds.append([row["device"] for row in found])
        lab.call("offer", worker, json.dumps({f"v{n}": {} for n in range(20 + 5 * number)}))
        admin.rows("UPDATE farm.submissions SET due_utc = now()")
        assert farm.open("keep").call("queue_due") == 3
    assert len(rounds[0]) == 3
    assert rounds[0] == rounds[1] == rounds[2]
    waiting = admin.rows("SELECT count(*) AS n FROM farm.jobs_now WHERE state = 'todo'")
    assert waiting == [{"n": 3}], "a round that still waits is replaced"


def test_a_job_is_cancelled_by_its_user_alone_and_retried_when_it_failed(farm: MadeFarm) -> None:
    lab, worker = begin(farm, "lab1", "v1")
    submit(farm)
    taken = take(lab, worker, "v1")
    with pytest.raises(FarmProblem, match="submitted by ana"):
        farm.open("bo").call("cancel", taken["job"])
    assert farm.open("ana").call("cancel", taken["job"]) is True
    assert lab.call("beat", worker)["cancelled"] == [taken["token"]]
    lab.call("finish", taken["token"], "back", "stopped", 0)
    assert farm.jobs()[0]["state"] == "aborted"
    submit(farm, suite="other")
    for _ in range(3):
        taken = take(lab, worker, "v1")
        lab.call("finish", taken["token"], "again", "no such file", 0)
    assert farm.jobs()[1]["state"] == "failed"
    assert "no such file" in farm.jobs()[1]["end_reason"]
    assert farm.open("ana").call("retry", taken["job"]) is True
    assert take(lab, worker, "v1")["attempt"] == 4


def test_the_keeper_gives_jobs_of_a_silent_worker_back(farm: MadeFarm) -> None:
    lab, worker = begin(farm, "lab1", "v1")
    submit(farm)
    first = take(lab, worker, "v1")
    keep = farm.open("keep")
    assert keep.call("requeue", 1000.0) == 0
    farm.open().rows("UPDATE farm.procrastinate_workers SET last_heartbeat = now() - interval '1 hour'")
    # A server that has just started has heard nobody.
    assert keep.call("requeue", 1e9) == 0
    farm.open().rows("SELECT pg_sleep(0.1)")
    assert keep.call("requeue", 0.05) == 1
    with pytest.raises(FarmProblem, match="silent for too long"):
        lab.call("beat", worker)
    worker = lab.call("hello", SCHEMA, "0", "now", worker)
    lab.call("offer", worker, '{"v1": {}}')
    assert take(lab, worker, "v1")["job"] == first["job"]


def test_a_second_worker_of_a_host_ends_the_first(farm: MadeFarm) -> None:
    lab, first = begin(farm, "lab1", "v1")
    second = lab.call("hello", SCHEMA, "0", "now", 0)
    with pytest.raises(FarmProblem, match="another worker"):
        lab.call("hello", SCHEMA, "0", "now", first)
    lab.call("beat", second)


@pytest.mark.parametrize(
    "change",
    [
        {"options": {"delegates_file": "/etc/passwd"}}, {"options": {"binary": "../../bin/sh"}}, {"options": {"out": "/tmp"}},
        {"options": {"delegate": ["external:/tmp/evil.so"]}}, {"options": {"tool_flag": ["graph=/data/x"]}},
        {"options": {"tool_flag": ["x=$(reboot)"]}}, {"options": {"repetitions": 10**9}}, {"options": {"repetitions": True}},
        {"options": {"repetitions": "5"}}, {"options": {"min_secs": float("nan")}}, {"options": {"threads": "1;reboot"}},
        {"models": [{"name": "a", "sha256": "../x", "size_bytes": 1, "operators": None}]}, {"models": []},
        {"models": [{"name": "a", "url": "http://evil/", "sha256": "a" * 64, "size_bytes": 1}]}, {"extra": 1},
        {"labels": {"a": ["b"]}}, {"labels": {"a": "x" * 5000}}, {"inputs": [{"name": "x", "path": "/etc/passwd"}]},
        {"limits": {"float32": {"most_steps": "x"}}}, {"limits": {"__class__": {}}}, {"suite": "a\nb"}, {"suite": None},
        {"format": "pickle"}, {"binary": "/bin/sh"}, {"binary": {"name": "../x", "version": "1", "flavour": "a", "sha256": "a" * 64}},
        {"delegates": {"x": {}}}, {"delegates": {"../x": DELEGATE}}, {"delegates": {"x": {**DELEGATE, "requires": {}}}},
        {"delegates": {"x": {**DELEGATE, "files": [{"name": "../../x.so", "sha256": "a" * 64}]}}},
        {"delegates": {"x": {**DELEGATE, "files": ["/etc/passwd"]}}}, {"delegates": {"x": {**DELEGATE, "env": {"LD_PRELOAD": "/x"}}}},
        {"delegates": {"x": {**DELEGATE, "flags": {"a": "$(reboot)"}}}}, {"delegates": {"x": {**DELEGATE, "title": "a\n[b]"}}},
    ],
)  # fmt: skip
def test_a_hostile_job_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="is refused"):
        jobs.read({**JOB, **change})


def test_a_job_is_the_same_after_it_was_sent() -> None:
    options = {
        "repetitions": 3,
        "delegate": ["cpu"],
        "input_shape": [["x=1x2"]],
        "check_outputs": True,
        "precision": "2%",
    }
    job = jobs.read({**JOB, "options": options, "limits": {"float32": {"least_snr_db": 20.0}}})
    assert jobs.read(json.loads(json.dumps(jobs.to_json(job)))) == job


def test_another_schema_is_refused_with_the_way_out(farm: MadeFarm) -> None:
    farm.open().rows("UPDATE farm.version SET number = 99")
    with pytest.raises(FarmProblem, match=r"has schema 99.*update devbench on this host"):
        farm.open("lab1").check_schema()
    with pytest.raises(FarmProblem, match="has schema 99"):
        farm.open("lab1").call("hello", SCHEMA, "0", "now", 0)
    farm.open().rows("UPDATE farm.version SET number = 0")
    with pytest.raises(FarmProblem, match="an admin updates the farm"):
        farm.open("ana").check_schema()
