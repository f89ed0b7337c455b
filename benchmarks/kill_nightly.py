"""Does a nightly survive kill -9? It is killed at random moments and called again, and then everything must be there.

Each moment is a night of its own in one store: `devbench nightly --force` on a virtual device with a short tool run is
killed, and the same command is called again. Moments are drawn at random, one from each of as many equal parts of an
undisturbed night, so that planning, pushing, measuring, comparing, report and webhook are all hit.

    python benchmarks/kill_nightly.py [--moments 50] [--seed 1]

Bars, for each moment: every job exactly once in the store, with each of its repetitions exactly once; nothing that was
stored is lost or changed; all files whole; the message sent; no lock, no process and no directory left behind.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil

from devbench.nightly.due import OPTION
from devbench.nightly.night import only_nightly
from devbench.results.counting import RunView
from devbench.results.store import Store

MODELS = Path(__file__).parents[1] / "tests" / "data"
SUITE = """
name = "killed"
models = ["{models}/tiny_groupnorm.tflite", "{models}/tiny_conv.tflite"]
devices = ["virtual:2"]
delegates = ["cpu"]
binary = "benchmark_model"
repetitions = 2
unreliable_retries = 0
cool_down = 0
[nightly]
reports = "reports"
baseline_nights = 3
keep_raw_days = 1
"""
# Two devices, two models, two latencies and a profile.
JOBS, REPETITIONS = 4, 12
TOOL = """#!/bin/sh
# devbench-virtual
sleep 0.1
echo "Inference timings in us: Init: 1000, First inference: 900, Warmup (avg): 800, Inference (avg): 700"
"""
_VIRTUAL = "devbench-virtual-"
_GONE_S = 10.0
_WEBHOOK_S = 0.4


class Hook(ThreadingHTTPServer):
    """Takes messages, slowly enough to be killed in the middle of."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.messages: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        time.sleep(_WEBHOOK_S / 2)
        self.server.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
        time.sleep(_WEBHOOK_S / 2)
        try:
            self.send_response(200)
            self.end_headers()
        except OSError:
            pass  # it was killed

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def listening() -> Iterator[Hook]:
    """A webhook on loopback."""
    with Hook() as hook:
        threading.Thread(target=hook.serve_forever, args=(0.05,), daemon=True).start()
        yield hook
        hook.shutdown()


@dataclass
class Farm:
    """A folder with a suite, a tool, a store and reports.

    Attributes:
        wrong: what was found wrong so far.
        phases: how often it was killed in which phase.
        told: what was left behind by earlier moments.
    """

    folder: Path
    hook: Hook
    wrong: list[str] = field(default_factory=list)
    phases: Counter[str] = field(default_factory=Counter)
    told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        (self.folder / "suite.toml").write_text(SUITE.format(models=MODELS), "utf-8")
        tool = self.folder / "benchmark_model"
        tool.write_text(TOOL, "utf-8")
        tool.chmod(0o755)

    def start(self) -> subprocess.Popen[bytes]:
        words = ["-m", "devbench.cli.app", "nightly", "suite.toml", "--force"]
        address = f"http://127.0.0.1:{self.hook.server_port}/secret"
        env = {**os.environ, "DEVBENCH_WEBHOOK": address, "NO_PROXY": "127.0.0.1", "TMPDIR": str(self.folder)}
        with (self.folder / "said").open("wb") as said:
            return subprocess.Popen([sys.executable, *words], cwd=self.folder, env=env, stdout=said, stderr=said)

    def whole_night(self) -> float:
        """A night that nobody kills; gives its seconds."""
        began = time.perf_counter()
        process = self.start()
        if process.wait(120) != 0:
            sys.exit(f"a night that nobody killed ended with {process.returncode}:\n{self.said()}")
        return time.perf_counter() - began

    def said(self) -> str:
        return (self.folder / "said").read_text("utf-8", "replace")

    def kill_at(self, moment_s: float) -> None:
        """Kill a night at that moment of its life, call it again, and look at everything."""
        before = runs_of()
        messages = len(self.hook.messages)
        process = self.start()
        try:
            process.wait(moment_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        after = runs_of()
        new = [run_id for run_id in after if run_id not in before]
        self.phases[self._phase(after, new)] += 1
        left = self._leftovers()
        again = self.start()
        code = again.wait(120)
        where = f"killed after {moment_s:.2f} s"
        if code != 0:
            self.wrong.append(f"{where}: the next call ended with {code}: {self.said()[-500:]}")
        if left:
            self.wrong.append(f"{where}: left behind {left}")
        self._check(where, before, after, new)
        if len(self.hook.messages) == messages:
            self.wrong.append(f"{where}: no message was sent")

    def _phase(self, after: dict[str, RunView], new: list[str]) -> str:
        """What it was doing when it was killed."""
        said = self.said()
        for line, phase in (("posting", "webhook"), ("writing the report", "report"), ("comparing", "compare")):
            if line in said:
                return "after the end" if new and is_reported(after[new[0]]) else phase
        if not new:
            return "planning"
        jobs = after[new[0]].jobs
        return "measuring" if any(job.repetitions for job in jobs) else "preparing and pushing"

    def _leftovers(self) -> list[str]:
        """Processes and directories of its virtual devices, after a moment in which they can go."""
        deadline = time.monotonic() + _GONE_S
        while True:
            found = [f"process {process.pid}" for process in psutil.process_iter() if self._is_of_device(process)]
            found += [str(path) for path in self.folder.glob(f"{_VIRTUAL}*")]
            found = [one for one in found if one not in self.told]
            if not found or time.monotonic() > deadline:
                self.told |= set(found)
                return found
            time.sleep(0.05)

    def _is_of_device(self, process: psutil.Process) -> bool:
        try:
            return str(process.cwd()).startswith(str(self.folder / _VIRTUAL))
        except psutil.Error:
            return False

    def _check(self, where: str, before: dict[str, RunView], killed: dict[str, RunView], new: list[str]) -> None:
        """The store, the files and the lock after the second call."""
        now = runs_of()
        # Where the night was through already, the same command is one more night.
        expected = len(before) + (2 if new and is_reported(killed[new[0]]) else 1)
        if len(now) != expected:
            self.wrong.append(f"{where}: {len(now)} runs in the store, not {expected}")
        for run_id, view in before.items():
            if now.get(run_id) != view:
                self.wrong.append(f"{where}: run {run_id} of an earlier night is not what it was")
        for run_id in new:
            kept = {r.raw_path: r for job in now[run_id].jobs for r in job.repetitions}
            lost = [r for job in killed[run_id].jobs for r in job.repetitions if kept.get(r.raw_path) != r]
            if lost:
                self.wrong.append(f"{where}: {len(lost)} stored repetitions are lost or were made again")
        for run_id in set(now) - set(before):
            self.wrong += [f"{where}: {problem}" for problem in wrong_with(now[run_id])]
            self.wrong += [f"{where}: {problem}" for problem in wrong_files(self.folder / "reports" / run_id)]
            if not is_reported(now[run_id]):
                self.wrong.append(f"{where}: run {run_id} is not marked as reported")
        locks = list((Path(os.environ["DEVBENCH_HOME"]) / "locks").glob("*"))
        if locks:
            self.wrong.append(f"{where}: locks left behind: {locks}")
        with only_nightly(0.0):
            pass
        incoming = list((Path(os.environ["DEVBENCH_HOME"]) / "cache" / "incoming").glob("*"))
        if incoming:
            self.wrong.append(f"{where}: output that never arrived: {incoming}")


def is_reported(view: RunView) -> bool:
    """Whether the night had come to its end."""
    return bool(view.run.options[OPTION]["reported"])


def runs_of() -> dict[str, RunView]:
    """Everything that is stored."""
    with Store() as store:
        return {run.run_id: store.run(run.run_id) for run in store.runs(1000)}


def wrong_with(view: RunView) -> list[str]:
    """What is wrong with a finished night: jobs and repetitions that are missing or there twice, raw output gone."""
    found = []
    if view.status != "done":
        found.append(f"run {view.run.run_id} is {view.status}")
    numbers = [item.job.number for item in view.jobs]
    if numbers != list(range(1, JOBS + 1)):
        found.append(f"jobs {numbers}")
    made = Counter((item.job.number, r.purpose, r.index) for item in view.jobs for r in item.repetitions)
    twice = [key for key, count in made.items() if count > 1]
    if twice or len(made) != REPETITIONS:
        found.append(f"{len(made)} of {REPETITIONS} repetitions, twice: {twice}")
    with Store() as store:
        for item in view.jobs:
            for repetition in item.repetitions:
                if b"Inference (avg)" not in store.artifacts.read(repetition.raw_path):
                    found.append(f"{repetition.raw_path} is not whole")
        parts = list((store.artifacts.root / view.run.run_id).glob(".*"))
    return found + [f"left in the artifacts: {parts}"] * bool(parts)


def wrong_files(folder: Path) -> list[str]:
    """What is wrong with the files of a night."""
    found: list[Any] = [f"left in the report: {path.name}" for path in folder.glob(".*")]
    try:
        suite = ElementTree.parse(folder / "junit.xml").getroot()
        if suite.get("tests") != str(JOBS) or suite.get("failures") != "0":
            found.append(f"junit.xml says {suite.attrib}")
        if "</html>" not in (folder / "report.html").read_text("utf-8"):
            found.append("report.html is not whole")
        text = (folder / "summary.md").read_text("utf-8")
        if not text.startswith("## ") or "Nightly “" not in text:
            found.append("summary.md is not whole")
    except (OSError, ElementTree.ParseError) as problem:
        found.append(f"the report: {problem}")
    return found


def run(moments: int, seed: int, folder: Path) -> Farm:
    """Kill so many nights in a folder; the environment says which home and which adb server are theirs."""
    draw = random.Random(seed)
    with listening() as hook:
        farm = Farm(folder, hook)
        farm.whole_night()
        # The second has a baseline, as all that follow.
        whole_s = farm.whole_night()
        parts = list(range(moments))
        draw.shuffle(parts)
        for part in parts:
            farm.kill_at((part + draw.random()) / moments * whole_s)
    return farm


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        os.environ["DEVBENCH_HOME"] = str(Path(name) / "home")
        farm = run(given.moments, given.seed, Path(name).resolve())
        runs = runs_of()
    stored = sum(len(job.repetitions) for view in runs.values() for job in view.jobs)
    print(f"moments                      {given.moments:7d}")
    for phase, count in farm.phases.most_common():
        print(f"  {phase:26s} {count:7d}")
    print(f"nights in the store          {len(runs):7d}     with {stored} repetitions")
    took_s = time.perf_counter() - began
    print(f"took                         {took_s:7.0f} s   {took_s / given.moments:.1f} s a moment")
    for problem in farm.wrong:
        print(f"  {problem}")
    print("every job exactly once, nothing lost, nothing left behind" if not farm.wrong else "FAILED")
    sys.exit(bool(farm.wrong))


if __name__ == "__main__":
    main()
