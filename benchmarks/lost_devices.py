"""Does a run survive lost devices and kill -9? Both happen at random moments, and then everything must be there once.

Each trial is a run of its own on a virtual device with a short tool. A third of the disconnects are of a cable that is
back soon, a third of one that stays out until the run has ended, a third of a device that stays out and a run of two
devices. After a lost device or a kill the same command is called with `--resume`.

    python benchmarks/lost_devices.py [--disconnects 72] [--kills 35] [--seed 1] [--workers 4]

Bars: no repetition lost, none doubled, what was stored is as it was, and exit codes as documented: 0 where all was
measured, 3 where the only device was lost, 1 where one of two was, 0 after `--resume`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.hostile_devices import adb_servers
from devbench.adb.server import AdbServer, Endpoint
from devbench.errors import DevbenchError
from devbench.results.counting import RunView
from devbench.results.store import Store
from devbench.virtual.phone import VirtualPhone

DATA = Path(__file__).parents[1] / "tests" / "data"
MODELS = [str(DATA / "tiny_groupnorm.tflite"), str(DATA / "tiny_conv.tflite")]
REPETITIONS = 4
TOOL = """#!/bin/sh
# devbench-virtual
sleep 0.3
echo "Inference timings in us: Init: 1000, First inference: 900, Warmup (avg): 800, Inference (avg): 700"
"""
_MOST_S = 180.0
# How long a run takes on an idle machine to be in the store, and from then on to its end.
_START_S, _MEASURING_S = 1.5, 4.5


@dataclass
class Trial:
    """One run that is disturbed once.

    Attributes:
        how: "back", "away", "one of two" or "kill".
        at: when, as a part of the start or of the measuring.
        early: while the run starts, before it is in the store.
    """

    how: str
    at: float
    early: bool = False
    codes: list[int] = field(default_factory=list)
    phase: str = ""
    wrong: list[str] = field(default_factory=list)


def disturb(trial: Trial, folder: Path, port: int) -> Trial:
    """Run, disturb, resume, and look at what is stored."""
    server = AdbServer(Endpoint("127.0.0.1", port))
    tool = folder / "benchmark_model"
    tool.write_text(TOOL, "utf-8")
    tool.chmod(0o755)
    count = 2 if trial.how == "one of two" else 1
    with contextlib.ExitStack() as stack:
        phones = [stack.enter_context(VirtualPhone(f"phone-{n}")) for n in range(count)]
        for phone in phones:
            _connect(server, phone)
            stack.callback(_forget, server, phone.address)
        devices = [word for phone in phones for word in ("-d", phone.address)]
        command = [
            sys.executable, "-m", "devbench", "run", *MODELS, *devices, "-D", "cpu", "--binary", str(tool), "-r",
            str(REPETITIONS), "--no-profile", "--cold-starts", "0", "--unreliable-retries", "0", "--cool-down", "0",
            "--no-report", "--quiet",
        ]  # fmt: skip
        env = {**os.environ, "DEVBENCH_HOME": str(folder / "home"), "ANDROID_ADB_SERVER_PORT": str(port)}
        with (folder / "said").open("wb") as said:
            process = subprocess.Popen(command, env=env, stdout=said, stderr=said)
            if not trial.early:
                while process.poll() is None and _phase(folder) == "before the run":
                    time.sleep(0.05)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(trial.at * (_START_S if trial.early else _MEASURING_S))
            trial.phase = "after the end" if process.poll() is not None else _phase(folder)
            if trial.how == "kill":
                process.kill()
            else:
                phones[0].unplug()
                if trial.how == "back":
                    time.sleep(1.0)
                    phones[0].plug_in()
            trial.codes.append(process.wait(_MOST_S))
        if trial.how in ("away", "one of two"):
            phones[0].plug_in()
        for phone in phones:
            _connect(server, phone)
        before = _stored(folder)
        if trial.how != "kill" and trial.codes[0] not in _documented(trial, before):
            trial.wrong.append(f"exit code {trial.codes[0]}: {(folder / 'said').read_text('utf-8', 'replace')[-300:]}")
        again = [*command, *(["--resume", "latest"] if before is not None else [])]
        done = subprocess.run(again, env=env, capture_output=True, text=True, timeout=_MOST_S, check=False)
        trial.codes.append(done.returncode)
        if done.returncode != 0:
            trial.wrong.append(f"resumed with exit code {done.returncode}: {done.stderr[-300:]}")
    trial.wrong += _wrong(before, _stored(folder), 2 * count)
    left = list((folder / "home" / "cache" / "incoming").glob("*"))
    if left:
        trial.wrong.append(f"left behind: {left}")
    return trial


def _documented(trial: Trial, view: RunView | None) -> tuple[int, ...]:
    if trial.phase == "after the end":
        return (0,)
    if trial.how == "one of two":
        # Lost before the run had begun, there is nothing to run on; else one device was measured.
        return (3,) if view is None else (0, 1)
    return (0, 3)


def _phase(folder: Path) -> str:
    view = _stored(folder)
    if view is None:
        return "before the run"
    return "measuring" if any(job.repetitions for job in view.jobs) else "preparing"


def _stored(folder: Path) -> RunView | None:
    file = folder / "home" / "results.db"
    if not file.exists():
        return None
    try:
        with Store(str(file), create=False) as store:
            newest = store.newest_run_id()
            return None if newest is None else store.run(newest)
    except DevbenchError:
        return None  # killed while the store was made


def _wrong(before: RunView | None, view: RunView | None, jobs: int) -> list[str]:
    if view is None:
        return ["nothing is stored"]
    found = [] if view.status == "done" else [f"the run is {view.status}"]
    if len(view.jobs) != jobs:
        found.append(f"{len(view.jobs)} jobs, not {jobs}")
    for job in view.jobs:
        made = Counter(r.index for r in job.repetitions)
        good = [r for r in job.repetitions if r.status == "ok"]
        if max(made.values(), default=0) > 1 or len(good) != REPETITIONS:
            found.append(f"job {job.job.number}: {len(good)} of {REPETITIONS}, by index {dict(made)}")
        found += [
            f"{r.failure_kind}" for r in job.repetitions if r.status == "failed" and r.failure_kind != "device_lost"
        ]
    if before is not None:
        kept = {r.raw_path: r for job in view.jobs for r in job.repetitions}
        lost = [r for job in before.jobs for r in job.repetitions if kept.get(r.raw_path) != r]
        if lost:
            found.append(f"{len(lost)} stored repetitions are lost or were made again")
    return found


def _connect(server: AdbServer, phone: VirtualPhone) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            server.connect(phone.address)
            server.wait_for(phone.address, timeout_s=10)
            return
        except DevbenchError:
            if time.monotonic() > deadline:
                raise
            _forget(server, phone.address)
            time.sleep(0.2)


def _forget(server: AdbServer, address: str) -> None:
    with contextlib.suppress(DevbenchError):
        server.disconnect(address)


def run(disconnects: int, kills: int, seed: int, workers: int) -> list[Trial]:
    """All trials: one in six is disturbed while the run starts, the others while it prepares and measures."""
    draw = random.Random(seed)
    hows = [("back", "away", "one of two")[number % 3] for number in range(disconnects)]
    trials = [Trial(how, draw.random(), early=n % 6 == n // 6 % 6) for n, how in enumerate(hows)]
    trials += [Trial("kill", (number + draw.random()) / kills, early=number % 6 == 0) for number in range(kills)]
    with adb_servers(workers) as ports, ThreadPoolExecutor(workers) as pool:

        def one(trial: Trial) -> Trial:
            port = ports.get()
            try:
                with tempfile.TemporaryDirectory(prefix="devbench-lost-") as folder:
                    disturb(trial, Path(folder), port)
            except Exception as error:
                trial.wrong.append(f"the benchmark failed: {error!r}")
            finally:
                ports.put(port)
            for problem in trial.wrong:
                print(f"  {trial.how} at {trial.at:.2f} ({trial.phase}): {problem}", flush=True)
            return trial

        return list(pool.map(one, trials))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--disconnects", type=int, default=72)
    parser.add_argument("--kills", type=int, default=35)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=4)
    given = parser.parse_args()
    began = time.monotonic()
    trials = run(given.disconnects, given.kills, given.seed, given.workers)
    for title, some in (
        ("disconnects", [trial for trial in trials if trial.how != "kill"]),
        ("kills", [trial for trial in trials if trial.how == "kill"]),
    ):
        good = sum(not trial.wrong for trial in some)
        phases = Counter(trial.phase for trial in some)
        print(f"{title:14s} {good:4d} of {len(some):3d}   " + ", ".join(f"{n} {phase}" for phase, n in phases.items()))
        codes = Counter(" then ".join(map(str, trial.codes)) for trial in some)
        print(f"  exit codes   {', '.join(f'{code}: {n}' for code, n in codes.most_common())}")
    print(f"took           {time.monotonic() - began:4.0f} s")
    sys.exit(any(trial.wrong for trial in trials))


if __name__ == "__main__":
    main()
