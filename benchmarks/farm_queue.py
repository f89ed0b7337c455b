"""How far one database goes: a queue of 1,000 hosts, 10,000 phones and 100,000 jobs, simulated.

The database is a real PostgreSQL with the farm's tables and functions. Hosts and jobs are rows; some connections play
the hosts: each takes a job, delivers its results and finishes it, as a worker does, without measuring.

    python benchmarks/farm_queue.py [--hosts 1000] [--phones 10] [--jobs 100000] [--turns 4000] [--lanes 4]

Prints how long it takes to queue, the rate of jobs (and of each call), and the sizes of the tables.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from statistics import fmean, quantiles

from devbench.farm.database import SCHEMA, Farm
from tests.farm.made import made_farm
from tests.results import postgres

# As large as the packed result of a repetition with a profile.
_PAYLOAD = os.urandom(6000)
_TABLES = """
SELECT c.relname AS name, greatest(c.reltuples, 0)::bigint AS rows, pg_table_size(c.oid) AS bytes,
  pg_indexes_size(c.oid) AS indexes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'farm' AND c.relkind = 'r' ORDER BY pg_total_relation_size(c.oid) DESC LIMIT 8
"""


class Times:
    """How long calls took, by name; of several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.seconds: dict[str, list[float]] = defaultdict(list)

    @contextlib.contextmanager
    def of(self, name: str):  # type: ignore[no-untyped-def]
        began = time.perf_counter()
        yield
        with self._lock:
            self.seconds[name].append(time.perf_counter() - began)


def play(url: str, hosts: list[str], phones: int, turns: int, results: int, times: Times) -> None:
    """Be these hosts in turn: each turn is one job of one of them."""
    workers: dict[str, int] = {}
    with Farm(url) as farm:
        for turn in range(turns):
            host = hosts[turn % len(hosts)]
            farm.rows(f'SET SESSION AUTHORIZATION "{host}"')
            if host not in workers:
                with times.of("hello"):
                    workers[host] = farm.call("hello", SCHEMA, "0", "now", 0)
                with times.of("offer"):
                    facts = {f"{host}-p{n}": {"soc": "SM8650", "android": "15"} for n in range(phones)}
                    farm.call("offer", workers[host], json.dumps(facts))
            with times.of("beat"):
                farm.call("beat", workers[host])
            devices = [f"{host}-p{n}" for n in range(phones)]
            with times.of("take"):
                found = farm.rows("SELECT * FROM farm.take(%s, %s)", workers[host], devices)
            if not found:
                continue
            for index in range(results):
                with times.of("deliver"):
                    farm.call("deliver", found[0]["token"], 1, "latency", index, _PAYLOAD, "")
            with times.of("finish"):
                farm.call("finish", found[0]["token"], "done", "", 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {
        "hosts": 1000,
        "phones": 10,
        "jobs": 100_000,
        "turns": 4000,
        "lanes": 4,
        "results": 5,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    names = [f"h{number}" for number in range(given.hosts)]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="devbench-queue-")))
        url, _ = stack.enter_context(postgres.restartable())
        farm = stack.enter_context(made_farm(url, folder, {"submitter": ("ana",), "keeper": ("keep",)}))
        admin = farm.open()
        with admin.connection.transaction():
            for name in names:
                admin.rows(f'CREATE ROLE "{name}" LOGIN IN ROLE devbench_host')
                admin.rows("INSERT INTO farm.hosts (name, role) VALUES (%s, %s)", name, name)
            admin.rows(
                "INSERT INTO farm.phones (device, host, facts) SELECT h.name || '-p' || n, h.name, "
                '\'{"soc": "SM8650", "android": "15"}\' FROM farm.hosts h, generate_series(0, %s - 1) n',
                given.phones,
            )
        suite = json.dumps({"format": "simulated"})
        rounds = given.jobs // (given.hosts * given.phones)
        began = time.perf_counter()
        with Farm(farm.urls["ana"]) as user:
            user.rows("SET statement_timeout = 0")
            for number in range(rounds):
                user.rows(
                    "SELECT * FROM farm.submit(%s, %s, %s, %s, %s, %s, %s, %s)",
                    f"suite{number}", suite, "{}", None, 0, None, "", "",
                )  # fmt: skip
        took = time.perf_counter() - began
        queued = admin.rows("SELECT count(*) AS n FROM farm.jobs")[0]["n"]
        print(f"{given.hosts:,} hosts, {given.hosts * given.phones:,} phones")
        print(f"{queued:,} jobs queued in {took:.1f} s, {queued / took:,.0f} per second", flush=True)
        admin.rows("ANALYZE")
        times = Times()
        lanes = [
            threading.Thread(
                target=play,
                args=(
                    farm.admin_url,
                    names[k :: given.lanes],
                    given.phones,
                    given.turns // given.lanes,
                    given.results,
                    times,
                ),
            )
            for k in range(given.lanes)
        ]
        began = time.perf_counter()
        for lane in lanes:
            lane.start()
        for lane in lanes:
            lane.join()
        took = time.perf_counter() - began
        done = admin.rows("SELECT count(*) AS n FROM farm.jobs WHERE ended_utc IS NOT NULL")[0]["n"]
        print(f"{done:,} jobs with {given.results} results each in {took:.1f} s: {done / took:,.0f} jobs per second")
        for name, of in times.seconds.items():
            print(f"  {name:8} {1000 * fmean(of):7.2f} ms, 95 % within {1000 * quantiles(of, n=20)[-1]:7.2f} ms")
        admin.rows("ANALYZE")
        print("largest tables:")
        for row in admin.rows(_TABLES):
            size, indexes = row["bytes"] / 1e6, row["indexes"] / 1e6
            print(f"  {row['name']:24} {row['rows']:>9,} rows {size:8.1f} MB, indexes {indexes:7.1f} MB")
        each = admin.rows("SELECT pg_database_size(current_database()) AS bytes")[0]["bytes"]
        print(f"database {each / 1e6:,.0f} MB, {each / max(queued, 1):,.0f} bytes per job that waits or is done")


if __name__ == "__main__":
    main()
