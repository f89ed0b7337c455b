"""The copy of a store's totals gives the same results as the store, and later only changed runs are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devbench.findings.changes import ChangesSettings
from devbench.findings.changes_build import find_changes
from devbench.results import histories, kept
from devbench.results.history import History
from devbench.results.queries import series
from devbench.results.selection import Selection
from devbench.results.store import Store
from tests.made.nights import START, Made, night
from tests.made.samples import job_record, repetition, run_record

MODELS, DEVICES, NIGHTS = ("a", "b"), ("D1", "D2"), 12


def jobs(number: int, devices: tuple[str, ...] = DEVICES) -> list[Made]:
    """The cases of a night; one model is slower after night 6."""
    rng = np.random.default_rng(number + 100)
    return [
        Made((rng.normal(12.0 if number > 6 and model == "b" else 10.0, 0.05),), model, device=device)
        for device in devices
        for model in MODELS
    ]


class Looks:
    """Searches a store with a copy; `read` has the runs of each reading of the store, an empty list for all runs."""

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url, self.monkeypatch, self.read = url, monkeypatch, list[list[str]]()
        whole = kept._from_store

        def noted(connection: Any, selection: Selection, metrics: Any) -> Any:
            self.read.append(list(selection.runs))
            return whole(connection, selection, metrics)

        monkeypatch.setattr(kept, "_from_store", noted)

    def look(self, **settings: Any) -> list[list[str]]:
        """The runs of each reading by one search; checks that the search finds the same without the copy."""
        self.read.clear()
        with History(self.url) as history:
            self.monkeypatch.setattr(kept, "LEAST_REPETITIONS", 0)
            found = find_changes(history, ChangesSettings(**settings))
            self.monkeypatch.setattr(kept, "LEAST_REPETITIONS", 10**9)
            # Compared as texts: unknown intervals are NaN, which differs from itself.
            assert repr(found) == repr(find_changes(history, ChangesSettings(**settings)))
        assert found.series
        return list(self.read)


@pytest.fixture
def full(store: Store) -> Store:
    """A store of some nights."""
    for number in range(NIGHTS):
        night(store, number, jobs(number), {"suite": "even" if number % 2 == 0 else "odd"})
    return store


@pytest.fixture
def looks(full: Store, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Looks]:
    found = Looks(url, monkeypatch)
    assert found.look() == [[]]
    yield found


ALL: list[list[str]] = [[]]


def test_a_second_search_reads_only_new_runs(full: Store, looks: Looks) -> None:
    assert looks.look() == []
    new = night(full, NIGHTS, jobs(NIGHTS))
    assert looks.look() == [[new]]
    # An older run, as an import adds it, with a new device.
    older = night(full, -3, jobs(-3, ("D3", *DEVICES)))
    assert looks.look() == [[older]]
    assert looks.look() == []


def test_filters_of_runs_and_metrics_are_those_of_the_store(looks: Looks) -> None:
    for settings in (
        {"labels": {"suite": "odd"}},
        {"since": START + timedelta(days=2), "until": START + timedelta(days=12)},
        {"metrics": ("latency", "peak_memory")},
        {"metrics": ("operator_time", "init")},
        {"devices": ("D2",), "models": ("b",)},
        {"labels": {"suite": "even"}, "changed_since": START + timedelta(days=9)},
    ):
        assert looks.look(**settings) == []


def test_a_run_that_continues_is_read_again(full: Store, looks: Looks) -> None:
    run_id = "20261001-000000-aaaa"
    full.create_run(run_record(run_id, START + timedelta(days=20)))
    full.add_job(job_record(run_id))
    for index in range(3):
        full.add_repetition(repetition(run_id, 1, index, latency_avg_us=1000.0 * (index + 1)))
        assert looks.look() == [[run_id]]
    full.finish_run(run_id, "done", START + timedelta(days=20))
    assert looks.look() == []


def test_a_run_with_incomplete_totals_is_read_again(full: Store, looks: Looks, url: str) -> None:
    run_id = "20261001-000000-aaaa"
    full.create_run(run_record(run_id, START + timedelta(days=20)))
    full.add_job(job_record(run_id))
    full.add_repetition(repetition(run_id, 1, 0))
    looks.monkeypatch.setattr(kept, "LEAST_REPETITIONS", 0)
    with full.database.reading() as connection:
        # Another process reads while the run is active, so the totals do not have its repetition.
        series(connection, (), Selection(), full.database.shown)
    assert looks.look() == [[run_id]]
    assert looks.look() == []


def test_runs_that_were_deleted_are_not_in_the_copy(full: Store, looks: Looks) -> None:
    last = full.newest_run_id()
    assert last is not None
    full.drop_run(last)
    # SQLite uses the ids of deleted repetitions again for the next run.
    night(full, 30, jobs(NIGHTS - 1))
    assert looks.look() == ALL
    full.drop_host("host")
    night(full, 31, jobs(31))
    assert looks.look() == ALL


def test_merged_devices_are_one_in_the_copy(full: Store, looks: Looks) -> None:
    night(full, 40, [replace(made, device="D9") for made in jobs(40, ("D2",))])
    looks.look()
    with full.database.writing() as connection:
        histories.merge(connection, histories.plan_merge(connection, "D2", "D9"))
    assert looks.look() == ALL
    with full.database.writing() as connection:
        histories.split(connection, histories.plan_split(connection, "D2"))
    assert looks.look() == ALL


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"\x00" * 500])
def test_a_damaged_copy_is_ignored(looks: Looks, damage: Callable[[bytes], bytes]) -> None:
    file = copy_of(looks)
    file.write_bytes(damage(file.read_bytes()))
    assert looks.look() == ALL
    assert looks.look() == []


def test_a_copy_of_another_version_of_devbench_is_ignored(looks: Looks) -> None:
    looks.monkeypatch.setattr(kept, "__version__", "0.0.1")
    assert looks.look() == ALL


def test_if_many_runs_changed_all_runs_are_read(full: Store, looks: Looks) -> None:
    looks.monkeypatch.setattr(kept, "_MOST_RUNS", 2)
    for number in range(3):
        night(full, 50 + number, jobs(50))
    assert looks.look() == ALL


def test_a_folder_that_cannot_be_written_costs_only_time(
    full: Store, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(kept, "cache_dir", lambda: tmp_path / "file")
    looks = Looks(url, monkeypatch)
    assert looks.look() == looks.look() == ALL


def copy_of(looks: Looks) -> Path:
    """The file of the copy."""
    with Store(looks.url) as store:
        return kept.memory_file(store.database.shown, ending="npz")
