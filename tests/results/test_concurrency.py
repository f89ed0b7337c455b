"""Two runs write and a report reads the same store at once, as processes: no error, no lost row, on both databases."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

import devbench.results
from devbench.results.store import Store
from tests.made.samples import NOW, job_record, repetition, run_record
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
JOBS, REPETITIONS = 4, 25
RUN_IDS = ("20261123-120000-aaaa", "20261123-120000-bbbb")


def write(url: str, run_id: str) -> None:
    """What a run does to a store."""
    with Store(url) as store:
        store.create_run(run_record(run_id))
        for number in range(1, JOBS + 1):
            store.add_job(job_record(run_id, number))
        print("began", flush=True)
        for index in range(REPETITIONS):
            for number in range(1, JOBS + 1):
                profile = index == REPETITIONS - 1
                store.add_repetition(
                    repetition(
                        run_id, number, index, purpose="profile" if profile else "latency", verdict="valid",
                        started_utc=NOW + timedelta(seconds=index), latency_avg_us=None if profile else 1000.0 + index,
                    )
                )  # fmt: skip
        store.finish_run(run_id, "done", NOW + timedelta(hours=1))


def read(url: str) -> None:
    """What a report does, until both runs are done; each reading is of one moment."""
    with devbench.results.open_history(url) as history:

        def both_are_done() -> bool:
            for run_id in RUN_IDS:
                for job in history.store.run(run_id).jobs:
                    indices = [one.index for one in job.repetitions]
                    assert indices == list(range(len(indices)))
                    assert all(one.operators for one in job.repetitions)
            latencies = history.latencies().groupby(["run_id", "job"]).size()
            counts = history.series(("latency",)).set_index(["run_id", "job"])["n"]
            assert (counts.reindex(latencies.index) >= latencies).all()
            return bool((history.runs()["status"] == "done").all())

        wait_until(both_are_done, pause_s=0)


def start(url: str, call: str) -> subprocess.Popen[str]:
    code = f"from tests.results.test_concurrency import read, write; {call}"
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def began(writer: subprocess.Popen[str]) -> None:
    assert writer.stdout is not None
    assert writer.stdout.readline() == "began\n"


@pytest.mark.campaign
def test_two_runs_write_and_a_report_reads_at_once(url: str) -> None:
    Store(url).close()
    writers = [start(url, f"write({url!r}, {run_id!r})") for run_id in RUN_IDS]
    for writer in writers:
        began(writer)
    readers = [start(url, f"read({url!r})")]
    for process in (*writers, *readers):
        out, err = process.communicate(timeout=100)
        assert process.returncode == 0, out + err
    with devbench.results.open_history(url) as history:
        for run_id in RUN_IDS:
            view = history.store.run(run_id)
            assert [len(job.repetitions) for job in view.jobs] == [REPETITIONS] * JOBS
        assert history.series(("latency",))["n"].tolist() == [REPETITIONS - 1] * 2 * JOBS
        assert len(history.operator_types()) == 2 * JOBS


def test_a_run_that_is_killed_leaves_what_it_stored_and_no_lock(url: str) -> None:
    Store(url).close()
    writer = start(url, f"write({url!r}, {RUN_IDS[0]!r})")
    began(writer)
    with devbench.results.open_history(url) as history:
        wait_until(lambda: len(history.latencies()) >= 5, pause_s=0.01)
    writer.kill()
    writer.communicate()
    with Store(url) as store:
        jobs = store.run(RUN_IDS[0]).jobs
        assert sum(len(job.repetitions) for job in jobs) >= 5
        assert all(one.operators for job in jobs for one in job.repetitions)
        store.finish_run(RUN_IDS[0], "interrupted", NOW)
    with devbench.results.open_history(url) as history:
        counts = history.series(("latency",))["n"].sum()
        assert counts == len(history.latencies())
