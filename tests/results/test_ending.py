"""A run that ends on a full disk is not left running."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devbench.results import ending
from devbench.results.store import Store, StoreProblem
from tests.made.samples import NOW, RUN, run_record

FULL = "results store x: the disk is full"


@pytest.fixture
def url(tmp_path: Path) -> str:
    with Store(str(tmp_path / "results.db")) as store:
        store.create_run(run_record())
    return str(tmp_path / "results.db")


def full_until(monkeypatch: pytest.MonkeyPatch, root: Path, enough: int) -> None:
    """The disk takes the end of a run when at most `enough` files of it are there."""
    ended = Store._end

    def end(store: Store, *values: Any) -> None:
        if len(list((root / "artifacts" / ".ends").iterdir())) > enough:
            raise StoreProblem(FULL)
        ended(store, *values)

    monkeypatch.setattr(Store, "_end", end)


def test_room_is_kept_for_the_end_of_a_run(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full_until(monkeypatch, tmp_path, 1)
    with Store(url) as store:
        store.finish_run(RUN, "failed", NOW, FULL)
        assert (store.runs()[0].status, store.runs()[0].end_reason) == ("failed", FULL)
    assert list((tmp_path / "artifacts" / ".ends").iterdir()) == []


def test_an_end_that_finds_no_room_is_stored_by_the_next_process(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, Store(url) as store:
        full_until(patch, tmp_path, 0)
        with pytest.raises(StoreProblem, match="the disk is full"):
            store.finish_run(RUN, "done", NOW)
        assert store.runs()[0].status == "running"
    with Store(url) as store:
        found = store.runs()[0]
        assert (found.status, found.end_reason, found.finished_utc) == ("failed", FULL, NOW)
    assert list((tmp_path / "artifacts" / ".ends").iterdir()) == []


def test_a_note_of_an_end_that_is_damaged_does_no_harm(url: str, tmp_path: Path) -> None:
    for data in (b"{", b"[]", b'{"status": 5}', b'{"status": "failed"}', b"\xff" * 10, b""):
        (tmp_path / "artifacts" / ".ends" / f"{RUN}.end").write_bytes(data)
        with Store(url) as store:
            assert store.runs()[0].status == "running"


@pytest.mark.parametrize("character", ["x", "é", "\U0001f525", "\x00", '"'])
def test_the_noted_end_of_a_run_fits_into_its_room_whatever_its_reason(tmp_path: Path, character: str) -> None:
    ending.keep_room(tmp_path, "run")
    ending.note_end(tmp_path, "run", {"status": "failed", "end_reason": 5000 * character})
    ((run_id, values),) = ending.noted_ends(tmp_path)
    assert (run_id, values["status"]) == ("run", "failed")
    assert values["end_reason"].startswith(200 * character)
