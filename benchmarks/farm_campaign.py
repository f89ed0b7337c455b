"""A farm of hosts whose workers, database and networks fail: checks that each repetition counts exactly once.

Hosts are network namespaces with adb servers of their own (as root on Linux, else adb servers alone), each with virtual
devices. While jobs run, workers are killed, the database is killed and started again, and hosts are frozen for longer
than the keeper waits for a sign of life. A killed worker is started again after a second, as by systemd. When all jobs
are done, the script checks the results store, the farm's tables and the log that the tools wrote on each device.

    python benchmarks/farm_campaign.py                                                     # takes hours
    python benchmarks/farm_campaign.py --jobs 100 --kills 10 --databases 2 --freezes 5
    python benchmarks/farm_campaign.py --jobs 160 --kills 0 --databases 0 --freezes 0 --tool-s 20 --repetitions 1

Bars: each repetition counts exactly once; never two tools at once on a device; a host measures again at most 10 s after
a kill. Without failures, the script measures the utilisation: time of tools / time from the first to the last start,
over all devices (bar with tools of 20 s: 95 %).
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import nan
from pathlib import Path
from statistics import median

from benchmarks.farm_figures import (
    Event,
    attempts_of,
    cpu_s,
    gaps_of,
    load,
    print_gaps,
    print_wasted,
    uptime_of,
    uptime_s,
)
from benchmarks.farm_places import (
    MODEL,
    Place,
    Relay,
    can_have_namespaces,
    namespace,
    overlaps,
    phone,
    tools_of,
    write_tool,
)
from devbench.farm.database import Farm, FarmProblem
from devbench.results.store import Store
from tests.farm.made import MadeFarm, made_farm
from tests.results import postgres

BAR_S = 10.0
SILENT_S, FROZEN_S, RESTART_S, BEAT_S = 3.0, 5.0, 1.0, 0.5
SUITE = """
name = "{name}"
models = ["{model}"]
delegates = ["cpu"]
repetitions = {repetitions}
profile = false
cold_starts = 0
[conditions]
unreliable_retries = 0
cool_down = 0
"""


@dataclass
class Campaign:
    """A farm, its hosts, and what was done to them."""

    farm: MadeFarm
    places: list[Place]
    restart_database: Callable[[float], None]
    random: random.Random
    events: list[Event] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def kill(self) -> None:
        place = self._free()
        # A tool that the worker has already sent to a phone may still begin.
        self.events.append(Event("kill", uptime_s(), uptime_s() + RESTART_S, place))
        place.kill()
        self._later(place, partial(self._start, place))

    def _start(self, place: Place) -> None:
        time.sleep(RESTART_S)
        place.start()

    def freeze(self) -> None:
        place = self._free()
        self.events.append(Event("freeze", uptime_s(), uptime_s() + FROZEN_S + BEAT_S, place))
        place.signal(signal.SIGSTOP)

        def back() -> None:
            time.sleep(FROZEN_S)
            place.signal(signal.SIGCONT)

        self._later(place, back)

    def database(self) -> None:
        began = uptime_s()
        self.restart_database(self.random.uniform(0.5, 2.0))
        self.events.append(Event("database", began, uptime_s() + SILENT_S))

    def _free(self) -> Place:
        while not (free := [place for place in self.places if not place.busy]):
            time.sleep(0.1)
        return self.random.choice(free)

    def _later(self, place: Place, what: Callable[[], None]) -> None:
        place.busy = True

        def run() -> None:
            what()
            place.busy = False

        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def numbers(self) -> tuple[int, int]:
        """How many jobs have ended, and how many are stored; none while the database is away."""
        try:
            with Farm(self.farm.admin_url) as farm:
                row = farm.rows("SELECT count(ended_utc) AS ended, count(*) FILTER (WHERE stored) AS n FROM farm.jobs")[
                    0
                ]
            return int(row["ended"]), int(row["n"])
        except FarmProblem:
            return 0, 0

    def run(self, events: Sequence[Callable[[], None]], jobs: int, limit_s: float) -> bool:
        """Let each event happen at an equal share of the jobs; whether all jobs were done in time."""
        left = list(events)
        began = time.monotonic()
        measured_s = 0.0
        while time.monotonic() < began + limit_s:
            ended, stored = self.numbers()
            if ended == jobs and not measured_s:
                measured_s = time.monotonic() - began
            if stored == jobs and not left:
                break
            for place in self.places:
                # A worker that starts while the database is away ends with an error; systemd starts it again.
                if not place.busy and place.worker is not None and place.worker.poll() is not None:
                    self._later(place, partial(self._start, place))
            if left and ended >= (len(events) - len(left)) * jobs / (len(events) + 1):
                left.pop(0)()
            time.sleep(self.random.uniform(0.1, 0.3))
        for thread in self.threads:
            thread.join(60)
        print(f"all jobs had ended after {measured_s:.0f} s, and were stored after {time.monotonic() - began:.0f} s")
        return self.numbers()[1] == jobs and not left


def check(campaign: Campaign, repetitions: int) -> tuple[int, int]:
    """Print what the store and the devices say; jobs with a problem, and overlaps."""
    farm = campaign.farm
    jobs = farm.jobs()
    wrong: list[str] = []
    stored: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with Store(farm.store) as store:
        for job in jobs:
            if job["state"] != "succeeded":
                wrong.append(f"job {job['id']}: {job['state']} {job['end_reason']}")
                continue
            rows = [one for item in store.run(job["run_id"]).jobs for one in item.repetitions]
            stored[job["device"]] += [(uptime_of(one.started_utc), uptime_of(one.finished_utc)) for one in rows]
            got = Counter((one.purpose, one.index) for one in rows)
            want = Counter({("latency", index): 1 for index in range(repetitions)})
            if got != want or any(one.status != "ok" for one in rows):
                wrong.append(f"job {job['id']}: repetitions {dict(got)}, {[one.failure_message for one in rows]}")
    tools = {one.name: tools_of(one) for place in campaign.places for one in place.phones}
    both = sum(map(overlaps, tools.values()))
    ran, attempts = sum(map(len, tools.values())), Counter(job["attempts"] for job in jobs)
    counted = repetitions * len(jobs)
    print(f"{len(jobs)} jobs, {counted} repetitions; the tool ran {ran} times")
    print(f"attempts per job: {dict(sorted(attempts.items(), key=str))}")
    print(f"{len(wrong)} jobs with a wrong number of repetitions or another problem, {both} overlaps")
    for line in wrong[:20]:
        print(f"  {line}")
    tried = attempts_of(farm.admin_url)
    print_wasted(campaign.events, campaign.places, tools, stored, tried)
    first, every = gaps_of(campaign.events, tools)
    if first:
        late = sum(gap > BAR_S for gap in first)
        words = f"its host measures again after {median(first):.1f} s (median), at most {max(first):.1f} s"
        words = f"{words}, {late} of {len(first)} above {BAR_S:.0f} s"
        print(f"kills: {words}; all phones after {median(every or [nan]):.1f} s, at most {max(every or [nan]):.1f} s")
    starts = [[one[0] for one in of] for of in tools.values() if len(of) > 1]
    spans = sum(of[-1] - of[0] for of in starts)
    used = sum(sum(end - start for start, end in of[:-1]) for of in tools.values() if len(of) > 1)
    print(f"utilisation: {100 * used / spans:.1f} % of {len(starts)} devices")
    pauses = [[later[0] - one[1] for one, later in itertools.pairwise(of)] for of in tools.values()]
    turns = [[one for one in turn if one is not None] for turn in itertools.zip_longest(*pauses)]
    print("seconds between two tools of a device, in order: " + ", ".join(f"{median(turn):.2f}" for turn in turns[:20]))
    print_gaps(tried, tools)
    return len(wrong), both


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (
        ("jobs", 2000),
        ("kills", 100),
        ("databases", 20),
        ("freezes", 50),
        ("hosts", 4),
        ("phones", 8),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--tool-s", type=float, default=0.3)
    parser.add_argument("--limit-s", type=float, default=6 * 3600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-namespaces", action="store_true")
    given = parser.parse_args()
    names = [f"lab{number}" for number in range(1, given.hosts + 1)]
    users = {"host": names, "submitter": ("ana",), "keeper": ("keep",)}
    own_networks = can_have_namespaces() and not given.no_namespaces
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="devbench-campaign-")))
        os.environ["DEVBENCH_HOME"] = str(folder / "home")
        url, restart = stack.enter_context(postgres.restartable())
        port = url.rsplit(":", 1)[1].split("/")[0]
        farm = stack.enter_context(made_farm(url, folder, users))
        tool, relay = write_tool(folder, given.tool_s), Relay()
        stack.callback(relay.close)
        places = []
        for number, name in enumerate(names, 1):
            phones = [stack.enter_context(phone(f"{name}-{k}", tool)) for k in range(1, given.phones + 1)]
            place = Place(name, farm.urls[name], folder / name, phones)
            place.home.mkdir()
            if own_networks:
                place.namespace, place.address = stack.enter_context(namespace(number))
                place.url = place.url.replace("127.0.0.1", place.address)
                for open_port in (int(port), *(one.port for one in phones)):
                    relay.open(place.address, open_port)
            stack.callback(place.end)
            place.begin()
            places.append(place)
        farm.keeper(SILENT_S)
        campaign = Campaign(farm, places, restart, random.Random(given.seed))
        for place in places:
            place.start()
        phones_there = given.hosts * given.phones
        admin = farm.open()
        until = time.monotonic() + 120
        while admin.rows("SELECT count(*) AS n FROM farm.phones WHERE present")[0]["n"] < phones_there:
            assert time.monotonic() < until, "the phones did not come"
            time.sleep(0.2)
        kind = "in network namespaces" if own_networks else "with adb servers"
        print(f"{given.hosts} hosts {kind}, {phones_there} phones", flush=True)
        left, number = given.jobs, 0
        while left > 0:
            number += 1
            suite = folder / f"suite{number}.toml"
            suite.write_text(SUITE.format(name=f"suite{number}", model=MODEL, repetitions=given.repetitions))
            words = ["--any", min(left, phones_there)]
            left -= farm.submit(suite, *words)["jobs"]
        events = (
            [campaign.kill] * given.kills + [campaign.database] * given.databases + [campaign.freeze] * given.freezes
        )
        campaign.random.shuffle(events)
        before = cpu_s(places, port)
        finished = campaign.run(events, given.jobs, given.limit_s)
        if not events:
            after = cpu_s(places, port)
            used = ", ".join(f"{part} {1000 * (after[part] - before[part]) / given.jobs:.0f}" for part in before)
            print(f"CPU in ms per job: {used}; {load()}")
        done = f"{given.kills} kills, {given.databases} of the database, {given.freezes} freezes"
        print(done)
        print(f"largest worker: {max(place.memory_mb() for place in places):.0f} MB resident")
        wrong, both = check(campaign, given.repetitions)
        if not finished or wrong or both:
            if not finished:
                print("not all jobs were done in time")
            for place in places:
                print(place.name, (place.home / "worker.log").read_text()[-1500:])
            sys.exit(1)


if __name__ == "__main__":
    main()
