"""Totals of jobs are complete whenever a history is read."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from devbench.results.history import History
from devbench.results.store import Store
from tests.made.samples import NOW, RUN, job_record, repetition, run_record


def filled(url: str, count: int) -> Store:
    store = Store(url)
    store.create_run(run_record())
    store.add_job(job_record())
    for index in range(count):
        at = NOW + timedelta(seconds=index)
        latency = 1000.0 + index * 7 % 50
        store.add_repetition(repetition(index=index, started_utc=at, latency_avg_us=latency, operators=()))
    return store


def test_a_history_of_a_run_that_goes_on_has_all_repetitions(tmp_path: Path) -> None:
    url = str(tmp_path / "results.db")
    filled(url, 200).close()
    with History(url) as history:
        row = history.series(["latency"]).iloc[0]
        assert row["n"] == 200
        assert len(history.latencies()) == 200


def test_totals_at_the_end_of_a_run_are_those_of_all_its_repetitions(tmp_path: Path) -> None:
    url = str(tmp_path / "results.db")
    with filled(url, 200) as store:
        store.finish_run(RUN, "done", NOW + timedelta(hours=1))
        with store.database.reading() as connection:
            found = connection.exec_driver_sql("SELECT value, n FROM job_metrics WHERE metric = 'latency'").one()
            assert found == (pytest.approx(1.0245), 200)
            assert not connection.exec_driver_sql("SELECT * FROM open_totals").all()
