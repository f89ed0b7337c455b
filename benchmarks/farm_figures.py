"""Figures of a campaign, from the farm's tables, the store and the logs of the tools: lost tool runs and their causes.

A tool run counts if it began during a repetition that the store has. All times are uptimes of this machine in seconds.
"""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from math import inf
from pathlib import Path
from statistics import median

import psutil

from benchmarks.farm_places import Place
from devbench.farm.database import Farm

Tools = Mapping[str, Sequence[tuple[float, float]]]
"""Start and end of each tool run, by the name of the phone."""
# A result is on the host's disk within this time after its tool, unless the machine is very busy.
_KEPT_S = 1.0
# A tool run without a cause is printed with the failures this close to it, on a line of this length.
_NEAR_S = 10.0
_COLUMNS = 100
# /proc/uptime has hundredths of a second, so comparisons allow a little more.
_CLOCK_S = 0.02


@dataclass(frozen=True, slots=True)
class Event:
    """A failure that was caused on a host, or on the database (no place), with its begin and end."""

    what: str
    begin: float
    end: float
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Try:
    """An attempt of a job. `outcome`: how it ended; empty if everything was measured."""

    begin: float
    end: float
    outcome: str


_ATTEMPTS = """
SELECT j.device, a.began_utc, a.ended_utc, a.outcome FROM farm.attempts a JOIN farm.jobs j ON j.id = a.job
ORDER BY a.began_utc
"""


def uptime_s() -> float:
    return float(Path("/proc/uptime").read_text("ascii").split()[0])


def uptime_of(moment: datetime) -> float:
    """The uptime of this machine at a time of its clock."""
    return moment.timestamp() - time.time() + uptime_s()


def attempts_of(admin_url: str) -> dict[str, list[Try]]:
    """The attempts of each phone, in the order in which they began."""
    found: dict[str, list[Try]] = defaultdict(list)
    with Farm(admin_url) as admin:
        for row in admin.rows(_ATTEMPTS):
            ended = uptime_of(row["ended_utc"]) if row["ended_utc"] else inf
            found[row["device"]].append(Try(uptime_of(row["began_utc"]), ended, row["outcome"]))
    return found


def print_gaps(attempts: Mapping[str, Sequence[Try]], tools: Tools) -> None:
    """Divide the time between the tools of two jobs into parts; for jobs with one repetition and one attempt."""
    before: list[float] = []
    after: list[float] = []
    between: list[float] = []
    for device, of in tools.items():
        mine = attempts[device]
        if len(mine) == len(of):
            before += [start - one.begin for one, (start, _) in zip(mine, of, strict=True)]
            after += [one.end - end for one, (_, end) in zip(mine, of, strict=True)]
            between += [later.begin - one.end for one, later in itertools.pairwise(mine)]
    if between:
        words = f"{median(before):.2f} s from its start to the tool, {median(after):.2f} s from the tool to its end"
        print(f"a job (medians): {words}, {median(between):.2f} s to the next")


def gaps_of(events: Sequence[Event], tools: Tools) -> tuple[list[float], list[float]]:
    """The time from each kill to the next start on a phone of the host, and on the last of its phones.

    A kill is left out if the host or the database failed again meanwhile, or if nothing was left to measure.
    """
    first: list[float] = []
    every: list[float] = []
    for kill in events:
        if kill.what != "kill" or kill.place is None:
            continue
        at = kill.begin
        # Before the restart, tools that the killed worker had sent may still begin.
        phones = [tools[one.name] for one in kill.place.phones]
        later = [min((start for start, _ in of if start > kill.end), default=None) for of in phones]
        gaps = [start - at for start in later if start is not None]
        next_event = min(
            (one.begin for one in events if one.begin > at and one.place in (kill.place, None)), default=1e99
        )
        if gaps and at + min(gaps) < next_event:
            first.append(min(gaps))
        if gaps and at + max(gaps) < next_event:
            every.append(max(gaps))
    return first, every


def print_wasted(
    events: Sequence[Event],
    places: Sequence[Place],
    tools: Tools,
    stored: Mapping[str, Sequence[tuple[float, float]]],
    attempts: Mapping[str, Sequence[Try]],
) -> None:
    """Print how many tool runs do not count, by the failure of their host and the outcome of their attempt.

    Args:
        stored: begin and end of the repetitions that the store has, by phone.
    """
    causes: Counter[str] = Counter()
    for place, phone in ((at, one.name) for at in places for one in at.phones):
        lost = [one for one in tools[phone] if not any(a - _CLOCK_S <= one[0] <= b for a, b in stored.get(phone, ()))]
        for start, end in lost:
            mine = [one for one in events if one.place in (place, None)]
            found = [one.what for one in mine if start < one.end and end > one.begin - _KEPT_S]
            last = next((one for one in reversed(attempts[phone]) if one.begin <= start), None)
            cause = next((what for what in ("kill", "freeze", "database") if what in found), "nothing")
            causes[f"{cause} ({last.outcome if last else 'no attempt'})"] += 1
            if not found and last is not None:
                near = ", ".join(
                    f"{one.what} {one.begin - start:+.1f} to {one.end - start:+.1f} s"
                    for one in mine
                    if one.begin - _NEAR_S < end and one.end + _NEAR_S > start
                )
                line = f"  {phone}: {end - start:.1f} s; {last.outcome} attempt {last.begin - start:+.1f} s; {near}"
                print(line[:_COLUMNS])
    words = ", ".join(f"{count} {what}" for what, count in causes.most_common())
    print(f"tool runs that do not count, by failure and outcome of the attempt: {causes.total()}; {words}")


def run_here(suite: str, address: str, home: str) -> None:
    """Run a suite on a device without a farm; the entry point of a process."""
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


def cpu_s(places: Sequence[Place], port: str) -> dict[str, float]:
    """CPU seconds so far, by part of the farm. Virtual devices and tools belong to the benchmark, not to the farm."""
    me = psutil.Process()
    found: dict[str, float] = defaultdict(float, {"virtual devices": _times(me)})
    for one in psutil.process_iter(["cmdline"]):
        words = one.info["cmdline"] or []
        text = " ".join(words)
        if "fork-server" in words and any(str(place.adb_port) in text for place in places):
            found["adb servers"] += cpu_of(one)
        elif "postgres" in text and "-p" in words and port in words:
            found["PostgreSQL"] += cpu_of(one)
    for child in me.children():
        with suppress(psutil.NoSuchProcess):
            text = " ".join(child.cmdline())
            part = next((name for name in ("worker", "keeper") if f"farm {name}" in text), "")
            if part:
                found[f"{part}s"] += cpu_of(child)
    return dict(found)


def cpu_of(process: psutil.Process) -> float:
    """CPU seconds of a process, of its ended children, and of its running descendants."""
    below: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        below = process.children(recursive=True)
    return sum(map(_times, [process, *below]))


def _times(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        t = process.cpu_times()
        return float(t.user + t.system + t.children_user + t.children_system)
    return 0.0


def load() -> str:
    """The load of the machine, in words."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs"
