"""The time of one more night in a history of 10,000 or 100,000 series.

    python benchmarks/history_at_scale.py [--series 10000] [--nights 200]    # in memory: one new point each
    python benchmarks/history_at_scale.py --store [URL] [--nights 100]       # from a store: whole processes

Prints the time of a look at the new night and, for comparison, of a first look, and the peak memory of the process.
A look reads the history and searches it for changes.
Bars: 10,000 series, one new point each, in 5 s and 1 GiB; 100,000 in 60 s.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from devbench.analysis.changes import ChangeSettings, change_points_of_many
from devbench.findings.changes import ChangesSettings, MeasuredSeries
from devbench.findings.changes_build import find_changes
from devbench.findings.changes_memory import follow_in
from devbench.host.garbage import no_cycle_search
from devbench.results import schema
from devbench.results.column_types import pack
from devbench.results.counting import RunView
from devbench.results.engine import fetch, insert_rows
from devbench.results.history import History
from devbench.results.store import Store
from tests.made.nights import Made, job_view
from tests.made.samples import run_record

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
METRICS = {"latency": 20.0, "init": 5.0, "first_inference": 30.0, "peak_memory": 40.0, "delegated_node_share": 0.9}
DEVICES = 50


def levels(rng: np.random.Generator, series: int, nights: int) -> np.ndarray:
    """Series × nights: noise of 2 %, and a change of 8 % in one of ten series."""
    values = 10.0 * np.exp(rng.normal(0, 0.02, (series, nights)))
    for row in rng.choice(series, series // 10, replace=False):
        values[row, rng.integers(nights // 4, nights) :] *= 1.08
    return values


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_memory(series: int, nights: int) -> None:
    values = levels(np.random.default_rng(1), series, nights + 3)
    rules = ChangeSettings()
    named = [
        MeasuredSeries("device", "device", False, f"case {k}", "model", "cpu", 1, "latency", "ms", "", (), (), (), ())
        for k in range(series)
    ]
    before = peak_mib()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "memory.json")
        for end in range(nights, nights + 4):
            began, cpu = time.perf_counter(), time.process_time()
            found = follow_in(file, named, [row[:end] for row in values], rules)
            took, cpu = time.perf_counter() - began, time.process_time() - cpu
            what = "first look" if end == nights else "one new point each"
            print(f"{series:,} series of {end} points, {what}: {took:.1f} s ({cpu:.1f} s of processor)", flush=True)
        print(f"peak memory {peak_mib():.0f} MiB, {before:.0f} before; file {file.stat().st_size / 1e6:.1f} MB")
    whole = change_points_of_many([row[: nights + 3] for row in values[:2000]], rules)
    alike = sum(
        len(one) == len(other) and all(abs(a.index - b.index) <= 3 for a, b in zip(one, other, strict=True))
        for one, other in zip(found[:2000], whole, strict=True)
    )
    print(f"the same changes as the whole detection finds tonight: {alike} of {len(whole)} series")


def nights_of(store: Store, cases: int, nights: int) -> Iterator[int]:
    """Adds a run per device for each night, with all metrics of `cases` cases; yields the number of each night."""
    rng = np.random.default_rng(2)
    values = levels(rng, DEVICES * cases * len(METRICS), nights).reshape(DEVICES, cases, len(METRICS), nights)
    for device in range(DEVICES):
        run_id = f"20260101-000000-000{device:04x}"
        made = [Made(device=f"D{device:03}", model=f"m{k:03}", delegate="cpu", latencies=(10.0,)) for k in range(cases)]
        views = tuple(job_view(run_id, k + 1, one, START) for k, one in enumerate(made))
        store.add_run(RunView(run_record(run_id, START), "done", START, views))
    store.complete_totals()
    copied = ("documents", "runs", "devices", "jobs", "repetitions")
    with store.database.writing() as connection:
        first = {name: fetch(connection, sa.select(schema.metadata.tables[name])) for name in copied}
        connection.exec_driver_sql("DELETE FROM job_metrics")
    facts = {"title": "Phone", "sdk": 34, "props": {f"ro.property.{k}": f"value of property {k}" for k in range(60)}}
    first["documents"]["id"] = list(range(1000, 1000 + DEVICES))
    for night in range(nights):
        with store.database.writing() as connection:
            shift = night * len(first["jobs"]["id"])
            for name in copied if night else ():
                rows = dict(first[name])
                if name == "documents":
                    # As on a phone, some facts change every night.
                    rows["id"] = [number + night * DEVICES for number in rows["id"]]
                    rows["body"] = [pack({**facts, "storage_free_bytes": number}) for number in rows["id"]]
                if name == "devices":
                    rows["facts_id"] = [number + night * DEVICES for number in first["documents"]["id"]]
                if "run_id" in rows:
                    rows["run_id"] = [f"{run[:16]}{night:03x}{run[-4:]}" for run in rows["run_id"]]
                for time in {"started_utc", "finished_utc"} & rows.keys():
                    rows[time] = [at + night * 86_400_000_000 for at in rows[time]]
                if name == "jobs":
                    rows["id"] = [number + shift for number in rows["id"]]
                if name == "repetitions":
                    rows["id"] = [number + night * len(rows["id"]) for number in rows["id"]]
                    rows["job_id"] = [number + shift for number in rows["job_id"]]
                insert_rows(connection, schema.metadata.tables[name], list(rows), zip(*rows.values(), strict=True))
            flat = values[..., night].reshape(-1, len(METRICS))
            insert_rows(
                connection, schema.job_metrics, ("job_id", "metric", "value", "low", "high", "n", "unreliable"),
                ((job + shift, name, scale * value / 10, scale * value / 10.1, scale * value / 9.9, 5, False)
                 for job, of in zip(first["jobs"]["id"], flat.tolist(), strict=True)
                 for (name, scale), value in zip(METRICS.items(), of, strict=True)),
            )  # fmt: skip
        yield night


def look(url: str, file: str) -> None:
    """Search for changes as `devbench nightly` does, and print the counts."""
    with no_cycle_search(), History(url) as history:
        report = find_changes(history, ChangesSettings(), Path(file))
    changes = sum(len(one.changes) for one in report.series)
    print(f"  {len(report.series):,} series, {report.runs:,} runs, {changes:,} changes", flush=True)


def timed(what: str, *words: str) -> None:
    """Run a command and print time, processor time and peak memory of its process."""
    began = time.perf_counter()
    status, used = os.wait4(subprocess.Popen(words).pid, 0)[1:]
    took, cpu = time.perf_counter() - began, used.ru_utime + used.ru_stime
    print(f"{what}: {took:.1f} s ({cpu:.1f} s of processor), {used.ru_maxrss / 1024:.0f} MiB", flush=True)
    assert not status, words


def of_store(series: int, nights: int, url: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # The copy of the totals is written there.
        os.environ["DEVBENCH_HOME"] = folder
        url = url or str(Path(folder, "results.db"))
        night = (sys.executable, __file__, "--look", url, f"{folder}/memory.json")
        with Store(url) as store:
            for made in nights_of(store, series // DEVICES // len(METRICS), nights):
                if made >= nights - 3:
                    timed("first look" if made == nights - 3 else "a further night", *night)
        timed("nothing new", *night)
        options = ("--json", "--out", f"{folder}/changes.json", "--store", url)
        timed("devbench detect", sys.executable, "-m", "devbench", "detect", *options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--nights", type=int, default=200)
    parser.add_argument(
        "--store", metavar="URL", nargs="?", const="", help="an empty database; by default a new SQLite file"
    )
    parser.add_argument("--look", metavar=("URL", "FILE"), nargs=2, help="one look; FILE has the remembered changes")
    given = parser.parse_args()
    if given.look:
        look(*given.look)
    elif given.store is None:
        in_memory(given.series, given.nights)
    else:
        of_store(given.series, given.nights, given.store)


if __name__ == "__main__":
    main()
