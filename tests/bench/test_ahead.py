"""Modules are imported while devices are prepared, once, and all of them before a process is timed."""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path

import pytest

from devbench.bench.ahead import ImportAhead


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "imports_noted", [], raising=False)
    for name in ("ahead_one", "ahead_two"):
        (tmp_path / f"{name}.py").write_text(
            "import sys, threading\nsys.imports_noted.append(threading.current_thread())\n"
        )
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "ahead_wrong.py").write_text("raise KeyError\n")
    return tmp_path


def test_all_modules_are_imported_once_in_another_thread(modules: Path) -> None:
    ahead = ImportAhead(("ahead_one", "ahead_wrong", "ahead_gone", "ahead_two"))
    before = sys.getswitchinterval()
    for _ in range(3):
        ahead.start()
    ahead.finish()
    assert {"ahead_one", "ahead_two"} <= set(sys.modules)
    noted = sys.imports_noted  # type: ignore[attr-defined]
    assert len(noted) == 2 and threading.main_thread() not in noted
    assert sys.getswitchinterval() == pytest.approx(before)


def test_what_was_never_begun_needs_no_end() -> None:
    ImportAhead(("ahead_gone",)).finish()


def test_what_is_imported_ahead_is_there() -> None:
    from devbench.bench import runner
    from devbench.cli import outcome

    for name in (*runner._AHEAD, *outcome._AFTERWARDS):
        importlib.import_module(name)
