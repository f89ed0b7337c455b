"""The cost of a farm per job: a job through queue, worker and spool, compared in pairs with the same run without them.

    python benchmarks/farm_cost.py [PAIRS]

Needs PostgreSQL's programs. One virtual device, whose tool takes 0.1 s; one process of the tool per job. A local run is
`runner.run` in a process that is forked as the worker's are. In each pair, the order is random. Prints the median of
the differences with a 95 % interval, the CPU time of each part, and the memory of the worker. Other work on the machine
makes elapsed times longer, but not CPU times.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path

import psutil

from benchmarks.farm_campaign import SUITE
from benchmarks.farm_figures import cpu_of, load, run_here
from benchmarks.farm_places import MODEL, phone, write_tool
from devbench.analysis.stats import estimate
from devbench.farm.worker import _PRELOAD
from tests.farm.made import MadeFarm, made_farm
from tests.results import postgres

BAR_MS = 30.0
TOOL_S = 0.1
_OF_SUITES = ("devbench.bench.suite", "devbench.bench.file_models")


def _clock_s(do: Callable[[], None]) -> float:
    began = time.monotonic()
    do()
    return time.monotonic() - began


def _words(values: list[float]) -> str:
    """Median and interval, in ms."""
    found = estimate([1000 * value for value in values])
    assert found is not None
    return f"{found.median:.0f} ms (95 % interval {found.low:.0f} to {found.high:.0f})"


class _Queue:
    """Runs one job after the other through the farm, and waits for the end of each."""

    def __init__(self, farm: MadeFarm, suite: Path) -> None:
        self._admin = farm.open()
        while not self._admin.rows("SELECT 1 AS found FROM farm.phones WHERE present"):
            time.sleep(0.1)
        self._submission = farm.submit(suite)["submission"]
        self._admin.rows("LISTEN farm_results")
        self._wait()

    def run(self) -> None:
        self._admin.rows("SELECT farm.queue_round(%s)", self._submission)
        self._wait()

    def _wait(self) -> None:
        while self._admin.rows("SELECT 1 AS found FROM farm.jobs WHERE ended_utc IS NULL"):
            self._admin.wait(1.0)


def main(pairs: int) -> None:
    """Measure and print."""
    # Otherwise each process would import this file again; processes of a worker do not.
    del sys.modules["__main__"].__file__
    multiprocessing.set_forkserver_preload([*_PRELOAD, *_OF_SUITES, "benchmarks.farm_figures"])
    context = multiprocessing.get_context("forkserver")
    forkserver.ensure_running()
    with (
        tempfile.TemporaryDirectory() as name,
        postgres.server() as url,
        made_farm(url.replace("+psycopg", ""), Path(name)) as farm,
        phone("v1", write_tool(Path(name), TOOL_S)) as device,
    ):
        host = farm.host("lab1", device)
        os.environ["ANDROID_ADB_SERVER_PORT"] = str(host.adb_port)
        suite = Path(name) / "suite.toml"
        suite.write_text(SUITE.format(name="cost", model=MODEL, repetitions=1))
        worker = host.start("--beat", "2")
        farm.keeper()
        local: list[float] = []
        remote: list[float] = []
        queue = _Queue(farm, suite)

        def local_run() -> None:
            process = context.Process(target=run_here, args=(str(suite), device.address, str(host.home)))
            process.start()
            process.join()

        queue.run()
        local_run()
        parts = {"worker": psutil.Process(worker.pid), "local": psutil.Process(_forkserver_pid())}
        cpu = {part: cpu_of(one) for part, one in parts.items()}
        for _ in range(pairs):
            both = [(local, local_run), (remote, queue.run)]
            random.shuffle(both)
            for times, do in both:
                times.append(_clock_s(do))
        cpu = {part: cpu_of(one) - cpu[part] for part, one in parts.items()}
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{worker.pid}/status").read_text()
            peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
            print(f"memory of the worker: {int(peak) / 1000:.0f} MB at most (bar: 120 MB)")
    print(f"{pairs} pairs, {load()}; medians: local run {_words(local)}, job of the farm {_words(remote)}")
    differences = [there - here for here, there in zip(local, remote, strict=True)]
    print(
        f"cost of the farm per job: {_words(differences)} elapsed, the median of the differences (bar: {BAR_MS:.0f} ms)"
    )
    used = {part: 1000 * value / pairs for part, value in cpu.items()}
    print(f"CPU per job: worker and its process {used['worker']:.0f} ms, local run {used['local']:.0f} ms")


def _forkserver_pid() -> int:
    return int(forkserver._forkserver._forkserver_pid)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
