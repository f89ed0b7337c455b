"""What a farm adds to a job: jobs through queue, worker and spool, against the same runs without them, by turns.

    python benchmarks/farm_cost.py [JOBS]

Needs PostgreSQL's programs. One virtual device, one process of the tool per job. A local run is `runner.run` in a
process that is forked as the worker's are. Prints medians, their difference, and the memory of the worker.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

from devbench.farm.worker import _PRELOAD
from tests.farm.made import made_farm
from tests.results import postgres


def _local(suite: str, address: str, home: str) -> None:
    from devbench.bench import runner
    from devbench.bench.suite import read_suite, suite_plan
    from devbench.bench.targets import open_names
    from devbench.results.records import new_run_id
    from devbench.results.store import Store

    os.environ["DEVBENCH_HOME"] = home
    plan = suite_plan(read_suite(Path(suite)))
    with Store(str(Path(home) / "local.db")) as store, open_names([address]) as devices:
        found = list(devices.values())
        runner.run(plan, found, store, run_id=new_run_id(datetime.now(timezone.utc)), listener=lambda event: None)


def main(jobs: int) -> None:
    """Measure and print."""
    multiprocessing.set_forkserver_preload([*_PRELOAD, "devbench.bench.suite", "devbench.bench.file_models"])
    context = multiprocessing.get_context("forkserver")
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres.server() as url,
        made_farm(url.replace("+psycopg", ""), Path(folder)) as farm,
    ):
        phone = farm.phone("v1")
        host = farm.host("lab1", phone)
        os.environ["ANDROID_ADB_SERVER_PORT"] = str(host.adb_port)
        suite = farm.suite(repetitions=1)
        worker = host.start("--beat", "2")
        admin = farm.open()
        farm.keeper()
        while not admin.rows("SELECT 1 AS found FROM farm.phones WHERE present"):
            time.sleep(0.1)
        local, remote = [], []
        values = farm.submit(suite)
        for number in range(jobs):
            began = time.monotonic()
            process = context.Process(target=_local, args=(str(suite), phone.address, str(host.home)))
            process.start()
            process.join()
            local.append(time.monotonic() - began)
            began = time.monotonic()
            admin.rows("SELECT farm.queue_round(%s)", values["submission"])
            while admin.rows("SELECT 1 AS found FROM farm.jobs WHERE round = %s AND ended_utc IS NULL", number + 2):
                time.sleep(0.001)
            remote.append(time.monotonic() - began)
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{worker.pid}/status").read_text()
            peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
            print(f"memory of the worker: {int(peak) / 1000:.0f} MB at most (bar: 120 MB)")
    here, there = statistics.median(local[1:]), statistics.median(remote[1:])
    pairs = statistics.median(there - here for here, there in zip(local[1:], remote[1:], strict=True))
    print(f"local run {1000 * here:.0f} ms, job of the farm {1000 * there:.0f} ms (medians of {jobs - 1})")
    print(f"cost of the farm per job: {1000 * pairs:+.0f} ms, the median of the differences (bar: 30 ms)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
