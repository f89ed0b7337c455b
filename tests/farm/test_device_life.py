"""Files and phones of a farm over time: what is removed from the storage, and which phones are left out."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from devbench.device import quarantine
from devbench.errors import InputError
from devbench.farm.storage import Storage
from tests.farm.made import MadeFarm
from tests.waiting import wait_until

pytestmark = pytest.mark.postgres


def _objects(farm: MadeFarm) -> set[str]:
    return {path.name for path in farm.storage.rglob("*") if path.is_file()}


def _wait_for_beats(farm: MadeFarm) -> None:
    seen: set[object] = set()

    def beat() -> bool:
        seen.update(row["seen_utc"] for row in farm.open().rows("SELECT seen_utc FROM farm.hosts WHERE name = 'lab1'"))
        return len(seen) > 3

    wait_until(beat)


def test_files_that_nothing_refers_to_are_removed_when_they_are_old(farm: MadeFarm, tmp_path: Path) -> None:
    farm.open().rows("INSERT INTO farm.hosts (name, role) VALUES ('lab1', 'lab1') ON CONFLICT DO NOTHING")
    farm.open().rows("INSERT INTO farm.phones (device, host) VALUES ('v1', 'lab1')")
    assert farm.submit(farm.suite())["jobs"] == 1
    (model,) = _objects(farm)
    (tmp_path / "other").write_bytes(b"other")
    other = Storage(str(farm.storage), tmp_path / "cache", 1 << 20).put(tmp_path / "other")
    for path in farm.storage.rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))
    said = json.loads(farm.command("prune", "--older-than", "30d", "--dry-run", "--json"))
    assert (said["files"], said["size_bytes"], said["dry_run"]) == (1, 5, True) and _objects(farm) == {model, other}
    assert "1 files: freed" in farm.command("prune", "--older-than", "30d")
    assert _objects(farm) == {model}, "a job that waits needs it"
    farm.command("cancel", farm.jobs()[0]["id"], user="ana")
    assert "1 files: freed" in farm.command("prune", "--older-than", "30d")
    assert _objects(farm) == set()


def test_raw_outputs_of_results_and_models_of_the_store_stay(farm: MadeFarm) -> None:
    host = farm.host("lab1", farm.phone("v1"))
    farm.keeper()
    host.start()
    wait_until(lambda: any(row["present"] for row in farm.open().rows("SELECT present FROM farm.phones")))
    farm.submit(farm.suite(repetitions=1))
    farm.wait(lambda job: job["stored"])
    before = _objects(farm)
    assert len(before) >= 2
    for path in farm.storage.rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))
    farm.command("prune", "--older-than", "30d")
    assert _objects(farm) == before
    assert host.stop() == 0


def test_a_phone_that_a_host_leaves_out_is_left_out_by_the_farm(
    farm: MadeFarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = farm.host("lab1", farm.phone("v1"))
    host.start()
    wait_until(lambda: any(row["present"] for row in farm.open().rows("SELECT present FROM farm.phones")))
    monkeypatch.setenv("DEVBENCH_HOME", str(host.home))
    quarantine.put("v1", "3 faults within a day", None)
    rows = "SELECT quarantine FROM farm.phones_now WHERE quarantine IS NOT NULL"
    wait_until(lambda: farm.open().rows(rows), seconds=30)
    assert farm.open().rows(rows)[0]["quarantine"] == "3 faults within a day"
    # An admin's word is the last: the same quarantine is not reported again.
    farm.command("quarantine", "v1", "--end")
    _wait_for_beats(farm)
    assert farm.open().rows(rows) == []
    # A damaged file does not end the worker.
    quarantine.quarantine_file().write_text("{")
    with pytest.raises(InputError):
        quarantine.in_quarantine()
    _wait_for_beats(farm)
    assert host.stop() == 0
