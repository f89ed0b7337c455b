"""The store: whole or not at all, readable while a run writes, found again by short names."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from devbench.errors import EnvironmentProblem, InputError
from devbench.results.records import OperatorRecord, new_run_id
from devbench.results.run_files import REPETITION_COLUMNS, read_run, repetition_rows, write_json
from devbench.results.store import Store, StoreProblem
from tests.made.samples import NOW, add_run, job_record, repetition, run_record


def test_what_goes_in_comes_out_the_same(store: Store) -> None:
    store.create_run(run_record())
    store.add_job(job_record())
    store.add_repetition(repetition())
    store.finish_run("20261123-120000-aaaa", "done", NOW)
    view = store.run("latest")
    assert view.run == run_record()
    assert (view.status, view.finished_utc) == ("done", NOW)
    assert view.jobs[0].job == job_record()
    assert view.jobs[0].repetitions == (repetition(),)


def test_a_repetition_is_stored_whole_or_not_at_all(store: Store, tmp_path: Path) -> None:
    store.create_run(run_record())
    store.add_job(job_record())
    twice = OperatorRecord("runs", 0, "ADD", "", None, None, None, None, None, None)
    with pytest.raises(StoreProblem):
        store.add_repetition(repetition(operators=(twice, twice)))
    assert store.run(run_record().run_id).jobs[0].repetitions == ()


def test_a_run_is_found_by_the_start_of_its_id(store: Store) -> None:
    for name, seconds in (("20261123-120000-aaaa", 0), ("20261123-130000-bbbb", 3600)):
        store.create_run(run_record(name, NOW + timedelta(seconds=seconds)))
    assert store.run("20261123-13").run.run_id == "20261123-130000-bbbb"
    assert store.newest_run_id() == "20261123-130000-bbbb"
    for name, words in (("20261123", "not the only one"), ("1999", "no run"), ("2", "too short"), ("%%%%", "no run")):
        with pytest.raises(InputError, match=words):
            store.run(name)


def test_an_empty_store_says_what_to_do(store: Store) -> None:
    with pytest.raises(InputError) as caught:
        store.run("latest")
    assert "devbench run" in caught.value.hint
    assert store.runs() == []


def test_a_summary_counts_and_names(store: Store) -> None:
    store.create_run(run_record())
    store.add_job(job_record())
    store.add_job(job_record(number=2, delegate="cpu"))
    store.add_repetition(repetition())
    store.add_repetition(repetition(number=2, status="failed", failure_kind="crash", latency_avg_us=None))
    summary = store.runs()[0]
    assert (summary.jobs, summary.repetitions, summary.failed) == (2, 2, 1)
    assert (summary.devices, summary.models, summary.labels) == (("Phone (KEY)",), ("model",), {"build": "7"})


def test_many_threads_write_at_once_and_a_reader_reads(store: Store, url: str) -> None:
    store.create_run(run_record())
    for number in range(1, 9):
        store.add_job(job_record(number=number))
    errors: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for index in range(25):
                store.add_repetition(repetition(number=number, index=index))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    with Store(url) as reader:
        assert reader.runs()[0].jobs == 8
    for thread in threads:
        thread.join()
    assert not errors
    assert store.runs()[0].repetitions == 200


def test_raw_outputs_are_compressed_and_come_back(store: Store, tmp_path: Path) -> None:
    path = store.artifacts.write("20261123-120000-aaaa", "job0001-latency-000", b"text\n" * 10_000)
    assert store.artifacts.read(path) == b"text\n" * 10_000
    assert (tmp_path / "artifacts" / path).stat().st_size < 2000
    with pytest.raises(InputError, match="not a raw output"):
        store.artifacts.read("../../etc/passwd")
    with pytest.raises(InputError, match="cannot be read"):
        store.artifacts.read("none/none.txt.gz")


def test_a_damaged_or_newer_store_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "bad.db").write_bytes(b"this is no database, it only looks like a file" * 50)
    with pytest.raises(EnvironmentProblem, match=r"bad\.db"):
        Store(str(tmp_path / "bad.db"))
    Store(str(tmp_path / "new.db")).close()
    with sqlite3.connect(tmp_path / "new.db") as raw:
        raw.execute("update alembic_version set version_num = 'later'")
    with pytest.raises(StoreProblem, match="has schema later"):
        Store(str(tmp_path / "new.db"))
    with pytest.raises(InputError, match="not the URL of a database"):
        Store("://")


def test_a_repetition_is_a_row_with_the_documented_columns(store: Store) -> None:
    store.create_run(run_record())
    store.add_job(job_record())
    store.add_repetition(repetition())
    (row,) = repetition_rows(store.run())
    assert list(row) == list(REPETITION_COLUMNS)
    assert row["latency_avg_us"] == 1234.5


def test_run_ids_sort_by_time() -> None:
    early, late = new_run_id(NOW), new_run_id(NOW + timedelta(seconds=1))
    assert early < late
    assert early.startswith("20261123-120000-")


def test_latest_is_never_a_run_that_ended_before_it_measured_anything(store: Store) -> None:
    add_run(store)
    measured = store.runs()[0].run_id
    later = NOW + timedelta(days=1)
    empty = replace(run_record(), run_id="20261124-120000-dead", started_utc=later)
    store.create_run(empty)
    store.finish_run(empty.run_id, "failed", later, "KEY: device lost\nwhile it was prepared")
    assert store.run("latest").run.run_id == measured
    assert store.newest_run_id() == empty.run_id
    view, summary = store.run(empty.run_id), store.runs()[0]
    assert (view.status, view.end_reason) == ("failed", "KEY: device lost while it was prepared")
    assert (summary.run_id, summary.end_reason) == (empty.run_id, view.end_reason)


def test_a_store_whose_runs_measured_nothing_says_so(store: Store) -> None:
    store.create_run(run_record())
    with pytest.raises(InputError, match="has measured anything yet"):
        store.run("latest")


def test_why_a_run_ended_travels_with_its_file(store: Store, tmp_path: Path) -> None:
    add_run(store)
    run_id = store.runs()[0].run_id
    store.finish_run(run_id, "interrupted", NOW, "stopped by Ctrl-C")
    write_json(store.run(run_id), tmp_path / "run.json")
    assert read_run(tmp_path / "run.json").end_reason == "stopped by Ctrl-C"
    with Store(str(tmp_path / "other.db")) as other:
        other.add_run(read_run(tmp_path / "run.json"))
        assert other.run(run_id).end_reason == "stopped by Ctrl-C"
