"""The changes of a history with what is remembered of it: the same as without, and nothing is evaluated twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devbench.analysis import following
from devbench.analysis.changes import ChangeSettings
from devbench.findings import changes_memory
from devbench.findings.changes import ChangesSettings
from devbench.findings.changes_build import find_changes
from devbench.results.history import History
from devbench.results.kept import memory_file
from devbench.results.store import Store
from tests.made import store as made


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("store") / "results.db")
    with Store(path) as store:
        made.make(store)
    return path


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many series each look evaluated."""
    found: list[int] = []

    def counted(*words: object) -> following.Followed:
        done = following.follow(*words)  # type: ignore[arg-type]
        found.append(done.evaluated)
        return done

    monkeypatch.setattr(changes_memory, "follow", counted)
    return found


def test_a_second_look_evaluates_nothing_and_finds_the_same(path: str, tmp_path: Path, counts: list[int]) -> None:
    with History(path) as history:
        plain = find_changes(history)
        first = find_changes(history, memory=tmp_path / "memory.json")
        second = find_changes(history, memory=tmp_path / "memory.json")
    # By their texts: intervals that are not known are NaN.
    assert repr(plain) == repr(first) == repr(second)
    assert any(one.changes for one in plain.series)
    assert counts == [len(plain.series), 0]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"of": 1}', '{"series": {"a": {}}}', "of another devbench"])
def test_a_file_that_cannot_be_used_is_as_none(path: str, tmp_path: Path, counts: list[int], damage: str) -> None:
    file = tmp_path / "memory.json"
    with History(path) as history:
        plain = find_changes(history, memory=file)
        text = json.dumps({**json.loads(file.read_text()), "of": "0.1"}) if "another" in damage else damage
        file.write_text(text)
        assert repr(find_changes(history, memory=file)) == repr(plain)
    assert counts[0] == counts[1] == len(plain.series)


def test_other_settings_begin_anew(path: str, tmp_path: Path, counts: list[int]) -> None:
    settings = ChangesSettings(changes=ChangeSettings(smallest=0.2))
    with History(path) as history:
        find_changes(history, memory=tmp_path / "memory.json")
        again = find_changes(history, settings, tmp_path / "memory.json")
        assert repr(again) == repr(find_changes(history, settings))
    assert counts[0] == counts[1] > 0


def test_each_history_has_a_file_of_its_own() -> None:
    names = {memory_file(*of).name for of in (("a", "b"), ("a", "c"), ("ab",), ("a", "b\x00"), ("\udcff",))}
    assert len(names) == 5
    assert memory_file("a").parent.is_dir()
