"""A store in a process of its own: what is true of a store is true of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devbench.errors import DevbenchError, EnvironmentProblem, InputError
from devbench.results import store_server
from devbench.results.store import Store
from devbench.results.store_process import StoreProcess
from tests.made.samples import RUN, add_run, run_record


def test_what_is_stored_is_in_the_store_for_others_and_read_as_it_is_there(tmp_path: Path) -> None:
    file = str(tmp_path / "r.db")
    with StoreProcess(file) as store:
        add_run(store)
        path = store.artifacts.write(RUN, "job0001-latency-000", b"raw")
        assert store.artifacts.read(path) == b"raw"
        found = store.run(RUN)
        with Store(file) as other:
            assert other.run(RUN) == found
            assert other.artifacts.root == store.artifacts.root


def test_several_threads_get_the_answers_of_their_own_calls(tmp_path: Path) -> None:
    with StoreProcess(f"sqlite:///{tmp_path / 'r.db'}") as store:
        store.create_run(run_record())
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda limit: (limit, len(store.runs(limit))), [0, 1] * 16))
    assert found == [(0, 0), (1, 1)] * 16


def test_a_file_that_nobody_uses_is_never_opened(tmp_path: Path) -> None:
    with StoreProcess(f"sqlite:///{tmp_path / 'gone' / 'r.db'}"):
        pass
    with StoreProcess(str(tmp_path / "r.db")):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("by_variable", [False, True])
def test_an_address_that_makes_no_sense_is_told_at_once(monkeypatch: pytest.MonkeyPatch, by_variable: bool) -> None:
    if by_variable:
        monkeypatch.setenv("DEVBENCH_STORE", "nonsense://x")
    with pytest.raises(InputError, match="not the URL of a database"):
        StoreProcess(None if by_variable else "nonsense://x").__enter__()


def test_an_error_comes_with_its_hint_and_the_store_goes_on(tmp_path: Path) -> None:
    with StoreProcess(str(tmp_path / "r.db")) as store:
        with pytest.raises(InputError, match="no run 'never'") as found:
            store.run("never")
        assert found.value.hint
        with pytest.raises(DevbenchError, match="the results store failed: AttributeError"):
            store.no_such_call()  # type: ignore[attr-defined]
        assert store.runs() == []


@pytest.mark.parametrize("gone", [False, True])
def test_a_killed_store_process_is_an_error_of_one_line(tmp_path: Path, gone: bool) -> None:
    process = StoreProcess(str(tmp_path / "r.db"))
    with process as store:
        assert store.runs() == []
        os.kill(process._process.pid, signal.SIGKILL)
        if gone:
            process._process.wait(10)
        with pytest.raises(EnvironmentProblem, match=r"the process of the results store ended \(exit code -9\)"):
            store.runs()


def test_a_process_that_was_started_ahead_is_the_one_that_is_used(tmp_path: Path) -> None:
    store_server.start()
    ahead = store_server._STARTED[-1]
    process = StoreProcess(str(tmp_path / "r.db"))
    with process as store:
        assert store.runs() == []
        assert process._process is ahead
    assert ahead.returncode == 0
    assert store_server._STARTED == []


def test_an_unused_process_that_was_started_ahead_ends_without_output(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "devbench", "run", "--no-such-option"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [done.stderr.strip()]
    assert list(tmp_path.iterdir()) == []


def test_a_closed_store_ends_by_itself_with_everything_stored(tmp_path: Path) -> None:
    process = StoreProcess(str(tmp_path / "r.db"))
    with process as store:
        store.create_run(run_record())
        store.close()
        assert process._process.wait(60) == 0
        with Store(str(tmp_path / "r.db")) as other:
            assert [run.run_id for run in other.runs()] == [RUN]


def test_the_process_of_a_run_does_not_import_the_database() -> None:
    code = (
        "import sys\n"
        "from devbench.results.store_process import StoreProcess\n"
        "import devbench.bench.runner, devbench.bench.session, devbench.bench.planning, devbench.bench.targets\n"
        "import devbench.cli.live, devbench.results.run_files\n"
        "from devbench.cli.outcome import _AFTERWARDS\n"
        "for name in _AFTERWARDS: __import__(name)\n"
        "assert 'sqlalchemy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
