"""Histories of devices are joined and parted without losing anything, in SQLite and PostgreSQL, and travel that way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

import devbench.results
from devbench.errors import InputError
from devbench.notices import Notice, NoticeKind
from devbench.results import histories, schema
from devbench.results.exchange.folder import export_store, import_folder, merge_store, open_folder
from devbench.results.pipeline_schema import pipeline_sessions
from devbench.results.records import DeviceRecord
from devbench.results.selection import Selection
from devbench.results.store import Store
from tests.made.samples import NOW, SESSION, job_record, repetition, run_record

A, B = "SERIAL-aaaaaa", "SERIAL-bbbbbb"
RUNS = ["20261101-000000-0001", "20261102-000000-0002", "20261103-000000-0003"]


def device(key: str) -> DeviceRecord:
    return DeviceRecord(key, "usb", f"Phone ({key})", False, "generic-phone", {"key": key})


def fill(store: Store, owners: dict[str, list[str]]) -> None:
    """A run for each entry, which measures the devices of those keys, with all that refers to a device."""
    for number, (run_id, keys) in enumerate(owners.items()):
        store.create_run(run_record(run_id, NOW + timedelta(days=number)))
        for at, key in enumerate(keys, 1):
            store.add_job(job_record(run_id, at, device=device(key)))
            store.add_repetition(repetition(run_id, at, started_utc=NOW + timedelta(days=number, hours=at)))
            store.add_notices(run_id, [Notice(NoticeKind.STEP_NOT_APPLIED, "Phone", "clock", device_key=key)])
            store.add_pipeline_session(replace(SESSION, run_id=run_id, device_key=key, raw_path=f"raw{key}"))


def keys(store: Store) -> dict[str, set[str]]:
    """By table, the keys of devices in it."""
    columns = (
        schema.devices.c.key,
        schema.jobs.c.device_key,
        pipeline_sessions.c.device_key,
        schema.notices.c.device_key,
    )
    with store.database.reading() as connection:
        return {
            column.table.name: set(connection.execute(sa.select(column).distinct()).scalars()) for column in columns
        }


def everything(store: Store) -> dict[str, list[str]]:
    """All rows of all tables but what was decided about keys."""
    with store.database.reading() as connection:
        return {
            table.name: sorted(map(str, connection.execute(sa.select(table))))
            for table in schema.metadata.sorted_tables
            if table is not schema.device_aliases
        }


def merge(store: Store, into: str, other: str) -> None:
    with store.database.writing() as connection:
        histories.merge(connection, histories.plan_merge(connection, into, other))


def split(store: Store, key: str, original: str = "") -> None:
    with store.database.writing() as connection:
        histories.split(connection, histories.plan_split(connection, key, original))


@pytest.fixture
def two(store: Store) -> Store:
    fill(store, {RUNS[0]: [A], RUNS[1]: [B], RUNS[2]: [B]})
    return store


def test_a_merged_history_is_one_and_nothing_is_lost(two: Store) -> None:
    before = everything(two)
    merge(two, A, B)
    assert all(found == {A} for found in keys(two).values())
    after = everything(two)
    assert {name: len(rows) for name, rows in after.items() if name != "device_moves"} == {
        name: len(rows) for name, rows in before.items() if name != "device_moves"
    }
    with devbench.results.open_history(two.database.url.render_as_string(hide_password=False)) as history:
        assert history.jobs(devices=[A])["run_id"].nunique() == 3
    assert [one.text for one in two.run(RUNS[2]).notices] == ["clock"]


def test_split_undoes_a_merge_completely(two: Store) -> None:
    before = everything(two)
    merge(two, A, B)
    split(two, A)
    assert everything(two) == before
    with two.database.reading() as connection:
        assert histories.current_key(connection, B) == B
        with pytest.raises(InputError, match="nothing of"):
            histories.plan_split(connection, A)


def test_what_is_measured_after_a_merge_belongs_to_it_and_can_be_split_again(two: Store) -> None:
    merge(two, A, B)
    key, others = two.identify(B, "SERIAL")
    assert (key, others) == (A, [])
    run_id = "20261104-000000-0004"
    two.create_run(run_record(run_id, NOW + timedelta(days=9)))
    two.add_job(job_record(run_id, 1, device=replace(device(B), key=key)))
    assert keys(two)["jobs"] == {A}
    split(two, A, B)
    assert two.run(run_id).jobs[0].job.device.key == B
    assert two.run(RUNS[0]).jobs[0].job.device.key == A
    assert two.identify(B, "SERIAL") == (B, [A])


def test_merges_of_merges_come_apart_into_what_was_measured(store: Store) -> None:
    fill(store, {RUNS[0]: [A], RUNS[1]: [B], RUNS[2]: ["C"]})
    before = everything(store)
    merge(store, A, B)
    merge(store, "C", A)
    assert keys(store)["devices"] == {"C"}
    assert [store.identify(key, "")[0] for key in (A, B, "C")] == ["C", "C", "C"]
    split(store, "C", A)
    assert keys(store)["devices"] == {"C", A}
    split(store, "C")
    assert everything(store) == before
    merge(store, A, B)
    merge(store, B, A) if B in keys(store)["devices"] else split(store, A)
    assert everything(store) == before


def test_a_run_that_measured_both_forbids_the_merge(store: Store) -> None:
    fill(store, {RUNS[0]: [A, B]})
    before = everything(store)
    with pytest.raises(InputError, match=rf"run {RUNS[0]} measured .* they are two devices"):
        merge(store, A, B)
    assert everything(store) == before


def test_a_part_becomes_a_history_of_its_own_and_merge_undoes_it(store: Store) -> None:
    fill(store, {run_id: [A] for run_id in RUNS})
    before = everything(store)
    with store.database.writing() as connection:
        move = histories.plan_part(connection, A, Selection(runs=[RUNS[1]]))
        assert (move.target, move.runs, move.jobs) == (f"{A}.2", (RUNS[1],), 1)
        histories.apply(connection, move)
    assert store.run(RUNS[1]).jobs[0].job.device.key == f"{A}.2"
    assert store.run(RUNS[1]).jobs[0].job.device.title.endswith(f"({A}.2)"), "the title has the key of today"
    assert store.run(RUNS[2]).jobs[0].job.device.key == A
    merge(store, A, f"{A}.2")
    assert everything(store) == before
    with store.database.reading() as connection:
        for selection, words in ((Selection(runs=RUNS), "all runs"), (Selection(runs=["none"]), "no run")):
            with pytest.raises(InputError, match=words):
                histories.plan_part(connection, A, selection)


def test_an_export_from_before_a_merge_can_be_read_again(two: Store, tmp_path: Path) -> None:
    export_store(two, tmp_path / "before", Selection())
    merge(two, A, B)
    rows = everything(two)
    loaded = import_folder(two, open_folder(tmp_path / "before"))
    assert loaded.conflicts == []
    assert everything(two) == rows


def test_another_store_s_runs_join_the_merged_history(two: Store, new_url: Callable[[], str], tmp_path: Path) -> None:
    merge(two, A, B)
    with Store(new_url(), tmp_path / "other") as other:
        fill(other, {"20261105-000000-0005": [B], "20261106-000000-0006": [A, B]})
        assert merge_store(two, other).conflicts == []
    assert two.run("20261105-000000-0005").jobs[0].job.device.key == A
    both = {job.job.device.key for job in two.run("20261106-000000-0006").jobs}
    assert both == {A, B}, "a run that measured both measured two devices"


def test_a_merged_history_travels_and_can_be_split_where_it_arrives(
    two: Store, new_url: Callable[[], str], tmp_path: Path
) -> None:
    before = everything(two)
    merge(two, A, B)
    with Store(new_url(), tmp_path / "other") as other:
        merge_store(other, two)
        assert keys(other)["jobs"] == {A}
        split(other, A)
        assert everything(other)["devices"] == before["devices"]
        assert merge_store(other, two).conflicts == [], "the same runs, whatever was decided about them"


def test_a_word_of_the_store_means_one_device_or_is_an_error_that_lists_them(two: Store) -> None:
    with two.database.reading() as connection:
        assert histories.find_device(connection, "bbbbbb") == B
        assert histories.find_device(connection, A) == A
        with pytest.raises(InputError, match=f"means 2 devices of the store: {A}, {B}"):
            histories.find_device(connection, "phone")
        with pytest.raises(InputError, match="no device 'nobody'"):
            histories.find_device(connection, "nobody")


# -- the command line ---------------------------------------------------------------------------------------------


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "devbench.cli.app", "devices", *words]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip


def test_the_commands_say_what_they_do_ask_and_undo(tmp_path: Path) -> None:
    url = str(tmp_path / "results.db")
    with Store(url) as store:
        fill(store, {RUNS[0]: [A], RUNS[1]: [B], RUNS[2]: [B]})
        before = everything(store)
    shown = run("merge", A, B, "--dry-run", "--store", url)
    assert shown.returncode == 0
    assert f"2 runs with 2 jobs (2026-11-24 to 2026-11-25): {B} → {A}" in shown.stdout
    refused = run("merge", A, B, "--store", url)
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert run("merge", A, "nobody", "--yes", "--store", url).returncode == 2
    with Store(url) as store:
        assert everything(store) == before
    done = run("merge", A, B, "--yes", "--json", "--store", url)
    assert json.loads(done.stdout)["moves"][0]["runs"] == RUNS[1:]
    with Store(url) as store:
        assert keys(store)["devices"] == {A}
    assert run("split", A, "--yes", "--store", url).returncode == 0
    with Store(url) as store:
        assert everything(store) == before
    parted = run("split", B, "rig-2", "--run", RUNS[2], "--yes", "--store", url)
    assert parted.returncode == 0, parted.stderr
    with Store(url) as store:
        assert keys(store)["devices"] == {A, B, "rig-2"}
