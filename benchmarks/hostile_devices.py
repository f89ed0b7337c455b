"""What does a hostile device cost? `devbench run` against a device that misbehaves, alone and next to a healthy one.

Each trial is a run of its own with a store of its own, on a virtual device whose adbd answers one kind of request in
one wrong way (`benchmarks/hostile_adbd.py`).

    python benchmarks/hostile_devices.py [--workers 4] [--only WORDS] [--every 1] [--verbose]

Bars, for each trial: the run ends by itself and without a traceback, with at most one error line for the hostile
device and an exit code that fits; the healthy device has all its repetitions, its table, its report and its JSON; at
most 300 MB of memory and 200 MB of disk.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue

from benchmarks.hostile_adbd import MODES, HostilePhone, Mode
from devbench.adb.server import AdbServer, Endpoint
from devbench.errors import DevbenchError
from devbench.results.store import Store
from devbench.virtual.phone import VirtualPhone
from tests.made.adb_servers import adb_server

MODEL = Path(__file__).parents[1] / "tests" / "data" / "tiny_groupnorm.tflite"
MOST_MEMORY_MB, MOST_DISK_MB, MOST_S = 300.0, 200.0, 240.0
REPETITIONS = 2
TOOL = """#!/bin/sh
# devbench-virtual
sleep 0.05
echo "STARTING!"
echo "Inference timings in us: Init: 1000, First inference: 900, Warmup (avg): 800, Inference (avg): 700"
"""
_POLL_S = 0.05


@dataclass(frozen=True)
class Cost:
    """What a trial took, and what was wrong with it."""

    mode: Mode
    together: bool
    seconds: float
    memory_mb: float
    disk_mb: float
    exit_code: int
    line: str
    wrong: list[str] = field(default_factory=list)


def trial(mode: Mode, folder: Path, server_port: int, *, together: bool) -> Cost:
    """One run on a device of that mode, and on a healthy one too if `together`."""
    server = AdbServer(Endpoint("127.0.0.1", server_port))
    tool = folder / "benchmark_model"
    tool.write_text(TOOL, "utf-8")
    tool.chmod(0o755)
    with contextlib.ExitStack() as stack:
        hostile = stack.enter_context(HostilePhone(mode))
        phones: list[VirtualPhone] = [hostile]
        if together:
            phones.append(stack.enter_context(VirtualPhone("healthy")))
        for phone in phones:
            with contextlib.suppress(DevbenchError):
                server.connect(phone.address)
                server.wait_for(phone.address, timeout_s=10)
            stack.callback(_forget, server, phone.address)
        devices = [word for phone in phones for word in ("-d", phone.address)]
        command = [
            sys.executable, "-m", "devbench", "run", str(MODEL), *devices, "-D", "cpu", "--binary", str(tool),
            "-r", str(REPETITIONS), "--no-profile", "--cold-starts", "0", "--unreliable-retries", "0",
            "--cool-down", "0", "--timeout", "8", "--json", str(folder / "out.json"), "--out", str(folder / "report"),
            "--quiet", *(["--check-outputs"] if mode.checks_outputs else []),
        ]  # fmt: skip
        env = {
            **os.environ, "DEVBENCH_HOME": str(folder / "home"), "ANDROID_ADB_SERVER_PORT": str(server_port),
            "TMPDIR": str(folder),
        }  # fmt: skip
        cost = _watched(command, env, folder, mode, together)
        healthy = phones[1].address if together else ""
    cost.wrong.extend(_wrong(cost, folder, healthy))
    return cost


def _watched(command: list[str], env: dict[str, str], folder: Path, mode: Mode, together: bool) -> Cost:
    began = time.monotonic()
    most_disk, memory_kb, wrong = 0, 0, []
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(command, env=env, stdout=out, stderr=err)
        while True:
            if process.poll() is not None:
                break
            memory_kb = max(memory_kb, _peak_kb(process.pid))
            if time.monotonic() - began > MOST_S:
                wrong.append(f"no end after {MOST_S:g} s")
                process.kill()
            most_disk = max(most_disk, _disk_bytes(folder, process.pid))
            time.sleep(_POLL_S)
    most_disk = max(most_disk, _disk_bytes(folder, 0))
    said = (folder / "stderr").read_text("utf-8", "replace")
    line = next((line for line in said.splitlines() if line.startswith("error:")), "")
    seconds = time.monotonic() - began
    return Cost(mode, together, seconds, memory_kb / 1024, most_disk / 1e6, process.returncode, line, wrong)


def _peak_kb(pid: int) -> int:
    """The largest resident memory of a process so far; what the kernel tells at its end contains its parent's."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    return 0


def _disk_bytes(folder: Path, pid: int) -> int:
    """What the run has on disk: its home, its report, and files without a name that it has open."""
    sizes = 0
    for part in ("home", "report"):
        for path in (folder / part).rglob("*"):
            with contextlib.suppress(OSError):
                sizes += path.stat().st_blocks * 512
    with contextlib.suppress(OSError):
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if str(handle.readlink()).endswith("(deleted)"):
                    sizes += handle.stat().st_blocks * 512
    return sizes


def _wrong(cost: Cost, folder: Path, healthy: str) -> Iterator[str]:
    said = (folder / "stderr").read_text("utf-8", "replace") + (folder / "stdout").read_text("utf-8", "replace")
    errors = [line for line in said.splitlines() if line.startswith("error:")]
    if "Traceback" in said:
        yield f"a traceback: {said[-400:]}"
    if len(errors) > 1:
        yield f"{len(errors)} error lines"
    if any(ord(letter) < 32 and letter not in "\n\r" for letter in said):
        yield "control characters on the screen"
    if cost.memory_mb > MOST_MEMORY_MB:
        yield f"{cost.memory_mb:.0f} MB of memory"
    if cost.disk_mb > MOST_DISK_MB:
        yield f"{cost.disk_mb:.0f} MB of disk"
    try:
        with Store(str(folder / "home" / "results.db"), create=False) as store:
            view = store.run(store.newest_run_id() or "latest")
    except DevbenchError as problem:
        yield f"no run in the store: {problem}"
        return
    failed = [r for job in view.jobs for r in job.repetitions if r.status == "failed"]
    fine = not errors and not failed and all(job.repetitions for job in view.jobs)
    if (cost.exit_code == 0) != fine or cost.exit_code not in (0, 1, 2, 3):
        yield f"exit code {cost.exit_code} with {len(errors)} errors and {len(failed)} failed repetitions"
    for job in view.jobs:
        for r in job.repetitions:
            if r.latency_avg_us is not None and not 0 < r.latency_avg_us < 1e12:
                yield f"a latency of {r.latency_avg_us}"
    if not healthy:
        return
    mine = [job for job in view.jobs if job.job.device.serial == healthy]
    good = [r for job in mine for r in job.repetitions if r.status == "ok" and r.purpose == "latency"]
    # With --check-outputs the tool of the healthy device writes none, which is its own failure.
    if len(good) != (0 if cost.mode.checks_outputs else REPETITIONS) or cost.exit_code == 3:
        yield f"{len(good)} repetitions of the healthy device, exit code {cost.exit_code}"
    shown = (folder / "stdout").read_text("utf-8", "replace")
    # On a busy machine the answer is that there is no verdict, without a value.
    if "0.7" not in shown and "no verdict: unreliable" not in shown and not cost.mode.checks_outputs:
        yield "no table"
    if not (folder / "report" / "report.html").exists():
        yield "no report"
    try:
        if not json.loads((folder / "out.json").read_text("utf-8"))["jobs"]:
            yield "no jobs in the JSON"
    except (OSError, ValueError, KeyError) as problem:
        yield f"no JSON: {problem!r}"


def _forget(server: AdbServer, address: str) -> None:
    with contextlib.suppress(DevbenchError):
        server.disconnect(address)


@contextlib.contextmanager
def adb_servers(count: int) -> Iterator[Queue[int]]:
    """Adb servers of our own: devices of one trial are not asked by another."""
    ports: Queue[int] = Queue()
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            ports.put(stack.enter_context(adb_server()))
        yield ports


def run(modes: list[Mode], workers: int, *, verbose: bool = False) -> list[Cost]:
    """All trials of these modes, alone and together."""
    with adb_servers(workers) as ports, ThreadPoolExecutor(workers) as pool:

        def one(asked: tuple[Mode, bool]) -> Cost:
            port = ports.get()
            try:
                with tempfile.TemporaryDirectory(prefix="devbench-hostile-") as folder:
                    cost = trial(asked[0], Path(folder), port, together=asked[1])
            finally:
                ports.put(port)
            if verbose or cost.wrong:
                where = "together" if cost.together else "alone"
                figures = f"{cost.seconds:5.1f} s {cost.memory_mb:4.0f} MB {cost.disk_mb:4.0f} MB"
                print(f"{figures} {cost.exit_code} {cost.mode.name} ({where}) {cost.line[:160]}", flush=True)
                for problem in cost.wrong:
                    print(f"    WRONG: {problem}", flush=True)
            return cost

        return list(pool.map(one, [(mode, together) for mode in modes for together in (False, True)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--only", default="", help="only modes whose name has this text")
    parser.add_argument("--every", type=int, default=1, help="only every n-th mode")
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    modes = [mode for mode in MODES if given.only in mode.name][:: given.every]
    began = time.monotonic()
    costs = run(modes, given.workers, verbose=given.verbose)
    good = [cost for cost in costs if not cost.wrong]
    alone = [cost for cost in costs if not cost.together]
    print(f"modes                        {len(modes):7d}     {time.monotonic() - began:.0f} s in all")
    for title, some in (("alone", alone), ("with a healthy device", [cost for cost in costs if cost.together])):
        print(f"{title:28s} {len([cost for cost in some if not cost.wrong]):7d} of {len(some)}")
    print(f"most memory                  {max(cost.memory_mb for cost in costs):7.0f} MB  (bar: {MOST_MEMORY_MB:g} MB)")
    print(f"most disk                    {max(cost.disk_mb for cost in costs):7.0f} MB  (bar: {MOST_DISK_MB:g} MB)")
    print(f"longest trial                {max(cost.seconds for cost in costs):7.0f} s")
    sys.exit(len(good) != len(costs))


if __name__ == "__main__":
    main()
