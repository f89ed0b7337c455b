"""Totals of jobs cost work in proportion to the number of repetitions, and are complete whenever they are read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from devbench.results import totals
from devbench.results.counting import total
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


@pytest.mark.campaign
def test_the_work_of_totals_grows_in_proportion_to_the_repetitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = 0

    def counting(repetitions: Sequence[Any]) -> Any:
        nonlocal looked_at
        looked_at += len(repetitions)
        return total(repetitions)

    monkeypatch.setattr(totals, "total", counting)
    work = []
    for count in (250, 1000):
        looked_at = 0
        filled(str(tmp_path / f"{count}.db"), count).close()
        work.append(looked_at / count)
    assert max(work) < 40
    assert work[1] < 1.5 * work[0]


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
