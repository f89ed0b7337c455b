"""A store opens whole, many may open a new one at once, and no heavy library is loaded for it."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from devbench.notices import Effect, Notice, NoticeKind
from devbench.results.store import Store, StoreProblem
from tests.results.samples import RUN, job_record, repetition, run_record


def test_many_may_open_a_new_store_at_once(url: str) -> None:
    errors: list[BaseException] = []
    barrier = threading.Barrier(6)

    def work() -> None:
        try:
            barrier.wait()
            Store(url).close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    with Store(url) as store:
        assert store.runs() == []


def test_a_store_of_a_development_version_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE meta (key TEXT, value TEXT)")
    engine.dispose()
    with pytest.raises(StoreProblem, match="has schema of a development version"):
        Store(str(file))


def test_a_store_opens_without_heavy_libraries(tmp_path: Path) -> None:
    code = (
        "import sys; from devbench.results.store import Store\n"
        f"Store({str(tmp_path / 'r.db')!r}).close()\nStore({str(tmp_path / 'r.db')!r}).close()\n"
        "print([name for name in ('pandas', 'numpy', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_notices_of_a_run_are_kept_once_and_come_back(url: str) -> None:
    shapes = Notice(NoticeKind.OPEN_SHAPES, "unet", "measured at 1x1x1x3", "--input-shape x=1x8x8x3", Effect.EXCLUDED)
    about_a_job = Notice(
        NoticeKind.STEP_NOT_APPLIED, "Phone (KEY)", "governor: needs root", "", device_key="KEY", job_number=1
    )
    with Store(url) as store:
        store.create_run(run_record())
        store.add_job(job_record())
        store.add_repetition(repetition())
        store.add_notices(RUN, [shapes, about_a_job])
        store.add_notices(RUN, [shapes])
        assert store.run().notices == (shapes, about_a_job)
