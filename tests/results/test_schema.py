"""A store opens whole, many may open a new one at once, and no heavy library is loaded for it."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

import devbench.results
from devbench.notices import Effect, Notice, NoticeKind
from devbench.results.run_files import read_run, write_json
from devbench.results.store import Store, StoreProblem
from tests.made.samples import FILES, RUN, job_record, repetition, run_record


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


def test_every_file_that_took_part_is_kept_and_comes_back(url: str, tmp_path: Path) -> None:
    with Store(url) as store:
        store.create_run(run_record())
        store.add_job(job_record(files=FILES))
        store.add_job(job_record(number=2, files=FILES[:1]))
        assert [job.job.files for job in store.run(RUN).jobs] == [FILES, FILES[:1]]
        write_json(store.run(RUN), tmp_path / "run.json")
        again = read_run(tmp_path / "run.json")
        assert [job.job.files for job in again.jobs] == [FILES, FILES[:1]]
    with devbench.results.open_history(url) as history:
        rows = history.files()[["job", "role", "name", "version"]].to_dict("records")
        each_once = {(file.role, file.name, file.version) for file in history.used_files()}
        assert each_once == {(row["role"], row["name"], row["version"]) for row in rows}
        assert len(history.used_files()) == len(each_once)
    assert {(row["job"], row["role"], row["name"], row["version"]) for row in rows} == {
        (1, "tool", "tflite", "2.19"), (2, "tool", "tflite", "2.19"), (2, "delegate", "libQnnHtp.so", "QNN 2.44.0"),
        *((1, one.role, one.name, one.version) for one in FILES),
    }  # fmt: skip


def test_long_names_of_delegates_and_operators_come_back(url: str) -> None:
    delegate = "external:/" + "a/" * 100 + "libdelegate.so"
    with Store(url) as store:
        store.create_run(run_record())
        store.add_job(job_record(delegate=delegate))
        one = repetition().operators[0]
        long = [replace(one, type="C" * 300 + end, position=place) for place, end in enumerate("ab")]
        store.add_repetition(repetition(purpose="profile", operators=tuple(long)))
        (job,) = store.run().jobs
        assert job.job.delegate == delegate
        assert [op.type for op in job.repetitions[0].operators] == [op.type for op in long]
    with devbench.results.open_history(url) as history:
        (row,) = history.operator_types().to_dict("records")
    assert (row["type"], row["count"]) == ("C" * 200, 2)
