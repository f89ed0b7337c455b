"""A store that is opened at its first use: what is true of a store is true of it."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devbench.errors import InputError
from devbench.results import store as stores
from devbench.results.later import StoreLater


def test_a_store_is_opened_once_by_whoever_uses_it_first_and_closed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[stores.Store] = []

    class Counted(stores.Store):
        def __enter__(self) -> Counted:
            made.append(self)
            return super().__enter__()

        def __exit__(self, *error: object) -> None:
            made.remove(self)
            super().__exit__(*error)

    monkeypatch.setattr(stores, "Store", Counted)
    with StoreLater(f"sqlite:///{tmp_path / 'r.db'}") as store:
        assert made == []
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda _: store.runs(1), range(16))) == [[]] * 16
        assert len(made) == 1
    assert made == []


def test_a_file_that_nobody_uses_is_never_opened(tmp_path: Path) -> None:
    with StoreLater(f"sqlite:///{tmp_path / 'gone' / 'r.db'}"):
        pass
    with StoreLater(str(tmp_path / "r.db")):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("by_variable", [False, True])
def test_an_address_that_makes_no_sense_is_told_at_once(monkeypatch: pytest.MonkeyPatch, by_variable: bool) -> None:
    if by_variable:
        monkeypatch.setenv("DEVBENCH_STORE", "nonsense://x")
    with pytest.raises(InputError, match="not the URL of a database"):
        StoreLater(None if by_variable else "nonsense://x").__enter__()


def test_until_its_first_use_nothing_of_it_is_imported() -> None:
    code = (
        "import sys\n"
        "from devbench.results.later import StoreLater\n"
        "import devbench.bench.runner, devbench.bench.session, devbench.bench.planning, devbench.bench.targets\n"
        "import devbench.cli.live\n"
        "with StoreLater(None): pass\n"
        "assert 'sqlalchemy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
