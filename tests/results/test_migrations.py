"""Older stores are brought up and keep what they hold, whole or not at all; a store that is up to date opens at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import devbench.results
from devbench.results import migrations, schema
from devbench.results.engine import Database
from devbench.results.migrations import tables3
from devbench.results.pipelines import add_pipeline_session, pipeline_sessions
from devbench.results.records import PipelineSampleRecord, PipelineSessionRecord, PipelineStageRecord
from devbench.results.store import Store
from tests.results.samples import NOW, RUN, job_record, repetition, run_record

# What came to the repetitions with the second schema.
LATER = ("latency_p5_us", "latency_p95_us", "delegate_share", "file_cache", "kernel_cache", "conditions_during")
PIPELINES = ("pipeline_samples", "pipeline_stages", "pipeline_sessions")
SESSION = PipelineSessionRecord(
    RUN, "KEY", "sd", "gpu", None, "resident", 0, 20, True, None, 0, NOW, NOW + timedelta(seconds=9), "ok", None, None,
    "raw", 900.0, stages=(PipelineStageRecord(0, "unet", 1, True, 20, 0, ("/b",), "stop", True),),
    samples=(PipelineSampleRecord(0, 0, 1.5, 2000, 3000),),
)  # fmt: skip


_LISTS = ("argv", "outputs", "verdict_reasons", "conditions_during")


def _fields(record: Any) -> set[str]:
    return {field.name for field in fields(record)}


def as_it_was(url: str, version: int) -> sa.Engine:
    """A store of an older schema with a run, two repetitions, operators, and a pipeline from the third on."""
    engine = sa.create_engine(url if "://" in url else f"sqlite:///{url}")
    if "://" not in url:
        Path(url).parent.mkdir(parents=True, exist_ok=True)
    tables3.metadata.create_all(engine)
    t = tables3.metadata.tables
    run, job = run_record(), job_record()
    with engine.begin() as connection:

        def add(table: str, **values: Any) -> None:
            connection.execute(t[table].insert().values(**values))

        add("meta", key="schema", value=str(version))
        add("runs", run_id=RUN, started_utc=NOW, finished_utc=NOW + timedelta(hours=1), status="done", command=run.command,
            devbench_version="0.1", host="host", options=run.options, labels=run.labels)  # fmt: skip
        device = job.device
        add("devices", run_id=RUN, key=device.key, serial=device.serial, title=device.title, virtual=device.virtual,
            profile=device.profile, facts=device.facts)  # fmt: skip
        add("models", sha256=job.model.sha256, name=job.model.name, size_bytes=job.model.size_bytes)
        add("binaries", sha256=job.binary.sha256, name="tflite", version="2.19", abi="arm64-v8a", flavour="default",
            tool="tflite")  # fmt: skip
        add("jobs", run_id=RUN, number=1, device_key="KEY", model_sha256=job.model.sha256, model_name=job.model.name,
            binary_sha256=job.binary.sha256, delegate="gpu", delegate_title="GPU", threads=4, require="any",
            options={"operator_count": 2})  # fmt: skip
        for number, one in enumerate((repetition(), repetition(purpose="profile", latency_avg_us=None)), 1):
            values = {c.name: getattr(one, c.name) for c in t["repetitions"].c if c.name in _fields(one)}
            values |= {name: list(values[name]) for name in _LISTS}
            add("repetitions", **values)
            for op in one.operators:
                add("operators", repetition_id=number, **asdict(op))
        if version == 3:
            values = {name: getattr(SESSION, name) for name in _fields(SESSION) if name not in ("stages", "samples")}
            add("pipeline_sessions", **{**values, "verdict_reasons": [], "conditions_during": []})
            add("pipeline_stages", session_id=1, **{**asdict(SESSION.stages[0]), "argv": ["/b"]})
            add("pipeline_samples", session_id=1, **asdict(SESSION.samples[0]))
        if version < 3:
            for table in PIPELINES:
                connection.exec_driver_sql(f"DROP TABLE {table}")
        if version < 2:
            for name in LATER:
                connection.exec_driver_sql(f"ALTER TABLE repetitions DROP COLUMN {name}")
    engine.dispose()
    return engine


@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_older_store_is_brought_up_and_keeps_what_it_holds(url: str, version: int) -> None:
    as_it_was(url, version)
    with Store(url) as store:
        view = store.run()
        assert view.run == run_record()
        assert (view.status, view.finished_utc) == ("done", NOW + timedelta(hours=1))
        assert view.jobs[0].job == job_record(options={"operator_count": 2})
        assert view.jobs[0].repetitions == (repetition(), repetition(purpose="profile", latency_avg_us=None))
        assert pipeline_sessions(store, RUN) == ((SESSION,) if version == 3 else ())
        store.add_repetition(repetition(index=1, file_cache="cold", conditions_during=({"t_s": 1.0},)))
        store.add_job(job_record(number=2))
        add_pipeline_session(store, SESSION)
    with devbench.results.open(url) as history:
        assert history.latencies()["latency_ms"].tolist() == [1.2345, 1.2345]
        assert history.series(("latency",))["n"].tolist() == [2]
        assert history.operator_types()["type"].tolist() == ["CONV_2D"]
        assert history.find_runs("build=7") == (RUN,)
    Store(url).close()


def test_a_store_that_was_brought_up_is_like_a_new_one(new_url: Callable[[], str]) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    old, new = new_url(), new_url()
    as_it_was(old, 3)
    for url in (old, new):
        with Store(url) as store, store.database.reading() as connection:
            assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []


def test_a_store_is_brought_up_whole_or_not_at_all(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    as_it_was(url, 3)
    real = migrations.upgrade

    def fail(connection: sa.Connection, found: str) -> None:
        real(connection, found)
        raise KeyboardInterrupt

    monkeypatch.setattr(migrations, "upgrade", fail)
    with pytest.raises(KeyboardInterrupt):
        Database(url)
    monkeypatch.undo()
    with Store(url) as store:
        assert len(store.run().jobs[0].repetitions) == 2


@pytest.mark.parametrize("version", [0, 3])
def test_many_may_open_a_new_or_an_older_store_at_once(url: str, version: int) -> None:
    if version:
        as_it_was(url, version)
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
        assert len(store.runs()) == bool(version)


def test_a_store_that_is_up_to_date_opens_without_alembic(tmp_path: Path) -> None:
    code = (
        "import sys; from devbench.results.store import Store\n"
        f"Store({str(tmp_path / 'r.db')!r}).close()\nStore({str(tmp_path / 'r.db')!r}).close()\n"
        "print([name for name in ('alembic', 'pandas', 'numpy', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
