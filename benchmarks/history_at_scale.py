"""What a further night costs in a history of 10,000 series, or 100,000.

    python benchmarks/history_at_scale.py [--series 10000] [--nights 200]    # in memory: one new point each
    python benchmarks/history_at_scale.py --store [--nights 100]             # in a store: from the query to events

Prints the time of a look at the new night and of a first look, for comparison, and the largest memory of the process.
Bars: 10,000 series, one new point each, in 5 s and 1 GiB; 100,000 in 60 s.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from devbench.analysis.changes import ChangeSettings, change_points_of_many
from devbench.findings.changes import ChangesSettings, MeasuredSeries
from devbench.findings.changes_build import find_changes
from devbench.findings.changes_memory import follow_in
from devbench.results import schema
from devbench.results.counting import RunView
from devbench.results.engine import insert_rows
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


def fill(store: Store, cases: int, nights: int) -> None:
    """A run per night and device with that many cases and all metrics; later nights are copies of the first."""
    rng = np.random.default_rng(2)
    values = levels(rng, DEVICES * cases * len(METRICS), nights).reshape(DEVICES, cases, len(METRICS), nights)
    for device in range(DEVICES):
        run_id = f"20260101-000000-{device:04x}"
        made = [Made(device=f"D{device:03}", model=f"m{k:03}", delegate="cpu", latencies=(10.0,)) for k in range(cases)]
        views = tuple(job_view(run_id, k + 1, one, START) for k, one in enumerate(made))
        store.add_run(RunView(run_record(run_id, START), "done", START, views))
    store.complete_totals()
    with store.transaction() as connection:

        def rows(query: str) -> list[tuple[object, ...]]:
            return [tuple(row) for row in connection.exec_driver_sql(query)]

        columns = {
            name: [str(row[1]) for row in rows(f"PRAGMA table_info({name})")] for name in ("runs", "devices", "jobs")
        }
        runs, devices, jobs = (rows(f"SELECT * FROM {name}") for name in ("runs", "devices", "jobs"))
        connection.exec_driver_sql("DELETE FROM job_metrics")
        micros = int(START.timestamp() * 1e6)
        count = len(jobs)

        def later(old: list[tuple[object, ...]], names: list[str], night: int) -> Iterator[tuple[object, ...]]:
            for row in old:
                new = dict(zip(names, row, strict=True))
                new["run_id"] = (
                    f"{str(new['run_id'])[:-4]}{night:02x}{str(new['run_id'])[-2:]}" if night else new["run_id"]
                )
                if "started_utc" in new:
                    new["started_utc"] = micros + night * 86_400_000_000
                if "id" in new:
                    new["id"] = int(str(new["id"])) + night * count
                yield tuple(new[name] for name in names)

        for night in range(nights):
            if night:
                for name, old in (("runs", runs), ("devices", devices), ("jobs", jobs)):
                    insert_rows(
                        connection, schema.metadata.tables[name], columns[name], later(old, columns[name], night)
                    )
            flat = values[..., night].reshape(-1, len(METRICS))
            ids = [int(str(row[columns["jobs"].index("id")])) + night * count for row in jobs]
            insert_rows(
                connection, schema.job_metrics, ("job_id", "metric", "value", "low", "high", "n", "unreliable"),
                ((job, name, scale * value / 10, None, None, 5, 0) for job, of in zip(ids, flat, strict=True)
                 for (name, scale), value in zip(METRICS.items(), of.tolist(), strict=True)),
            )  # fmt: skip


def of_store(series: int, nights: int) -> None:
    cases = series // DEVICES // len(METRICS)
    with tempfile.TemporaryDirectory() as folder:
        path, file = str(Path(folder, "results.db")), Path(folder, "memory.json")
        began = time.perf_counter()
        with Store(path) as store:
            fill(store, cases, nights)
        print(
            f"store of {Path(path).stat().st_size / 1e6:.0f} MB made in {time.perf_counter() - began:.0f} s", flush=True
        )
        before = peak_mib()
        last = START + timedelta(days=nights - 1, hours=-1)
        for what, until in (("first look", last), ("a further night", None), ("nothing new", None)):
            began, cpu = time.perf_counter(), time.process_time()
            with History(path) as history:
                report = find_changes(history, ChangesSettings(until=until), file)
            took, cpu = time.perf_counter() - began, time.process_time() - cpu
            print(
                f"{len(report.series):,} series, {report.runs:,} runs, {what}: {took:.1f} s ({cpu:.1f} s of processor)",
                flush=True,
            )
        print(f"peak memory {peak_mib():.0f} MiB, {before:.0f} before")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--nights", type=int, default=200)
    parser.add_argument("--store", action="store_true")
    given = parser.parse_args()
    (of_store if given.store else in_memory)(given.series, given.nights)
    sys.exit(0)


if __name__ == "__main__":
    main()
