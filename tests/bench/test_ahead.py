"""Modules are imported while devices are prepared, once, and all of them before a process is timed."""

from __future__ import annotations

import importlib
import sys
from concurrent.futures import Future
from pathlib import Path

import pytest

from devbench.bench import runner


def test_all_modules_are_imported_and_the_errors_of_some_end_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("ahead_one", "ahead_two"):
        (tmp_path / f"{name}.py").touch()
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "ahead_wrong.py").write_text("raise KeyError\n")
    before, imported = sys.getswitchinterval(), Future[None]()
    runner._import(("ahead_one", "ahead_wrong", "ahead_gone", "ahead_two"), imported)
    assert imported.done()
    assert {"ahead_one", "ahead_two"} <= set(sys.modules)
    assert sys.getswitchinterval() == pytest.approx(before)


def test_what_is_imported_ahead_is_there() -> None:
    from devbench.cli import outcome

    for name in (*runner._AHEAD, *outcome._AFTERWARDS):
        importlib.import_module(name)
