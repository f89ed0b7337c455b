"""Exports and stores from elsewhere, and damaged ones of one's own: the short form of two benchmarks, and each kind."""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import zlib
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks import damaged_stores, hostile_imports
from devbench.errors import InputError
from devbench.results import engine
from devbench.results.engine import DamagedStore
from devbench.results.exchange.folder import import_folder, merge_store, open_folder
from devbench.results.salvage import salvage, shown_without_damage
from devbench.results.store import Store, StoreProblem
from tests.made.samples import NOW, RUN, add_run, repetition


@pytest.fixture
def base(tmp_path: Path) -> Path:
    hostile_imports.made(tmp_path)
    return tmp_path


@pytest.mark.campaign
def test_hostile_exports_and_stores_are_refused_in_one_line_or_read_back_by_every_command() -> None:
    figures = hostile_imports.tried(22, 7)
    assert figures.problems == []
    assert figures.refused + figures.taken == 22
    assert min(figures.refused, figures.taken) > 0


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("repetitions", "duration_s", -1.0), ("repetitions", "latency_avg_us", 0), ("repetitions", "latency_avg_us", -22.8),
        ("repetitions", "latency_avg_us", 1e300), ("repetitions", "verdict", 5), ("models", "size_bytes", -1),
        ("repetitions", "vm_hwm_kb", 2**70), ("details", "argv", [1]), ("details", "outputs", [5]),
        ("conditions", "during", [{"temperatures_c": {"a": "hot"}}]), ("documents", "body", {"notes": 7}),
        ("runs", "status", "gone"), ("repetitions", "started_utc", "2026-13-01T00:00:00+00:00"),
        ("runs", "devbench_version", "x" * 41),
    ],
)  # fmt: skip
def test_a_row_that_its_column_refuses_is_named_with_file_and_line(
    base: Path, table: str, column: str, value: object
) -> None:
    rows = hostile_imports.rows_of(base / "jsonl", table)
    rows[-1][column] = value
    hostile_imports.write_rows(base / "jsonl", table, rows)
    hostile_imports.sign(base / "jsonl")
    with Store(str(base / "own.db")) as store:
        with pytest.raises(InputError, match=rf"{table}\.jsonl:{len(rows)}: {table}\.{column}: "):
            import_folder(store, open_folder(base / "jsonl"))
        assert store.runs() == []


def test_a_run_is_held_to_the_same_declaration_as_an_import(tmp_path: Path) -> None:
    with Store(str(tmp_path / "a.db")) as store:
        add_run(store)
        with pytest.raises(StoreProblem, match=r"-22.8 is not a finite number in the range"):
            store.add_repetition(repetition(index=9, latency_avg_us=-22.8))


@pytest.mark.parametrize("value", [b"\xff\xfe", b"", zlib.compress(b"[]"), zlib.compress(b"{}") + b"x"])
def test_blobs_in_json_columns_are_refused_at_the_merge(base: Path, value: bytes) -> None:
    with closing(sqlite3.connect(base / "good" / "results.db")) as connection, connection:
        connection.execute("UPDATE documents SET body = ?", (value,))
    with Store(str(base / "good" / "results.db"), foreign=True) as other, Store(str(base / "own.db")) as store:
        with pytest.raises(InputError, match=r"documents, row 1: documents.body: "):
            merge_store(store, other)
        assert store.runs() == []


@pytest.mark.parametrize("kind", ["trigger", "view", "computed", "virtual table", "other schema"])
def test_a_store_with_more_than_tables_of_rows_is_not_read(base: Path, kind: str) -> None:
    for number in range(6):
        hostile_imports.STORES[kind](base / "good" / "results.db", random.Random(number))
        with pytest.raises((StoreProblem, InputError)):
            Store(str(base / "good" / "results.db"), create=False, foreign=True)
        (base / "good" / "results.db").unlink()
        hostile_imports.shutil.rmtree(base / "jsonl")
        hostile_imports.shutil.rmtree(base / "parquet")
        hostile_imports.shutil.rmtree(base / "secret")
        hostile_imports.made(base)


def test_another_state_of_the_tables_is_said_as_such(base: Path) -> None:
    with closing(sqlite3.connect(base / "good" / "results.db")) as connection, connection:
        connection.execute("ALTER TABLE runs DROP COLUMN host")
    with pytest.raises(StoreProblem, match="runs has no column host") as caught:
        Store(str(base / "good" / "results.db"))
    assert "devbench that wrote it" in caught.value.hint


def test_a_file_that_is_no_database_is_said_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"not a database at all" * 400)
    with pytest.raises(StoreProblem, match="is not an SQLite database") as caught:
        Store(str(tmp_path / "a.db"))
    assert "a.db" not in shown_without_damage(caught.value)


def test_a_store_on_read_only_media_is_read(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = base / "good" / "results.db"
    access = os.access

    def read_only(path: object, mode: int) -> bool:
        return access(path, mode) and not (mode & os.W_OK and str(path).startswith(str(base)))  # type: ignore[arg-type]

    monkeypatch.setattr(os, "access", read_only)
    before = {path: path.stat().st_mtime_ns for path in file.parent.iterdir()}
    with Store(str(file)) as store:
        assert len(store.runs()) == 2
        with pytest.raises(StoreProblem, match="no right to write to it"):
            store.add_repetition(repetition(index=77, started_utc=NOW))
    assert {path: path.stat().st_mtime_ns for path in file.parent.iterdir()} == before


def test_a_damaged_row_costs_its_own_place(base: Path) -> None:
    file = base / "good" / "results.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE repetitions SET latency_avg_us = 'x' WHERE id = 1")
        connection.execute("UPDATE details SET measurement = x'ff' WHERE repetition_id = 2")
    with Store(str(file)) as store, pytest.raises(DamagedStore):
        store.run(RUN)
    found = salvage(file)
    assert dict(found.lost) == {"repetitions": 1, "details": 1}
    with Store(str(file)) as store, Store(str(found.path), file.parent / "artifacts") as rest:
        with pytest.raises(DamagedStore):
            store.run(RUN)
        view = rest.run(RUN)
        first, second, *others = view.jobs[0].repetitions
        assert (first.status, first.failure_kind, first.latency_avg_us) == ("failed", "damaged", None)
        assert (second.status, second.latency_avg_us, second.measurement) == ("ok", 1100.0, {})
        assert [r.latency_avg_us for r in others][:1] == [1200.0]
        assert any(notice.kind.value == "store_damaged" for notice in view.notices)


def test_what_is_made_of_a_damaged_store_is_not_searched_for_damage(base: Path) -> None:
    salvage(base / "good" / "results.db")
    assert all("devbench-" not in path.parent.name for path in engine.opened)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="texts of errors differ")
def test_pages_that_cannot_be_read_cost_their_own_rows(tmp_path: Path) -> None:
    damaged_stores.made(tmp_path)
    file = tmp_path / "results.db"
    data = bytearray(file.read_bytes())
    with closing(sqlite3.connect(file)) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'details'").fetchone()[0]
    data[(root - 1) * 4096 : root * 4096] = bytes(4096)
    file.write_bytes(data)
    found = salvage(file)
    assert set(found.lost) <= {"details"}
    with Store(str(found.path)) as rest:
        assert len(rest.runs()) == 2


@pytest.mark.parametrize("place", [0, 100, 108, "second page of the list"])
def test_a_damaged_list_of_tables_costs_nothing_else(tmp_path: Path, place: int | str) -> None:
    damaged_stores.made(tmp_path)
    file = tmp_path / "results.db"
    data = bytearray(file.read_bytes())
    if isinstance(place, str):
        # The rightmost page below the first one.
        place = (int.from_bytes(data[108:112], "big") - 1) * 4096
    data[place : place + 600] = bytes(600)
    file.write_bytes(data)
    found = salvage(file)
    assert dict(found.lost) == {"the list of tables": 1}
    with Store(str(found.path)) as rest:
        assert [run.repetitions for run in rest.runs()] == [14, 14]


def test_a_changed_name_in_the_list_of_tables_is_told_from_another_state(tmp_path: Path) -> None:
    for name, statement, lost in (
        (
            "damaged",
            "UPDATE sqlite_master SET sql = replace(sql, 'raw_path', 'raw-path') WHERE name = 'repetitions'",
            1,
        ),
        ("other", "UPDATE sqlite_master SET sql = 'CREATE TABLE jobs (id INTEGER)' WHERE name = 'jobs'", 1),
    ):
        (tmp_path / name).mkdir()
        damaged_stores.made(tmp_path / name)
        file = tmp_path / name / "results.db"
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("PRAGMA writable_schema=ON")
            connection.execute(statement)
        with pytest.raises(StoreProblem) as caught:
            Store(str(file)).runs()
        assert str(file) in shown_without_damage(caught.value)
        assert sum(salvage(file, other_tables=True).lost.values()) == lost
    damaged_stores.made(tmp_path)
    with closing(sqlite3.connect(tmp_path / "results.db")) as connection, connection:
        connection.execute("ALTER TABLE repetitions DROP COLUMN duration_s")
    with pytest.raises(StoreProblem, match="has no column duration_s") as caught:
        Store(str(tmp_path / "results.db"))
    assert str(tmp_path / "results.db") not in shown_without_damage(caught.value)


def test_a_lost_document_is_damage_and_not_a_run_without_jobs(base: Path) -> None:
    file = base / "good" / "results.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE documents SET id = id + 1")
    with Store(str(file)) as store, pytest.raises(DamagedStore, match="refers to rows that are not there"):
        store.run(RUN)
    found = salvage(file)
    assert found.lost["documents"] > 0
    with Store(str(found.path)) as rest:
        assert [r.latency_avg_us for r in rest.run(RUN).jobs[0].repetitions][:3] == [1000.0, 1100.0, 1200.0]


@pytest.mark.parametrize("table", ["cases", "binaries", "devices", "operator_names", "runs"])
def test_a_lost_name_does_not_take_the_numbers_with_it(base: Path, table: str) -> None:
    file = base / "good" / "results.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(f"DELETE FROM {table}")
    found = salvage(file)
    with Store(str(found.path)) as rest:
        view = rest.run(RUN)
        assert [r.latency_avg_us for r in view.jobs[0].repetitions][:3] == [1000.0, 1100.0, 1200.0]
        assert "damaged" in str(view)


@pytest.mark.campaign
def test_every_command_answers_for_a_damaged_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    figures = damaged_stores.tried(3, 5)
    assert figures.problems == []
    assert figures.answers == 24
