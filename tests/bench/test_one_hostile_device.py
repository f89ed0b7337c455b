"""What one device brings about costs its own jobs only; leftovers of dead runs go; a resumed run can end well."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from devbench.bench import runner
from devbench.bench.session import DeviceSession
from devbench.host.locks import hold
from devbench.host.paths import cache_dir
from devbench.results.counting import job_failed
from devbench.results.ending import lock_of
from devbench.results.store import Store
from tests.conftest import DATA
from tests.made.command import devbench, tool

LINE = 'echo "Inference timings in us: Init: 1, First inference: 1, Warmup (avg): 1, Inference (avg): 700"'


def test_an_unexpected_error_on_one_device_leaves_the_other_its_table_report_and_json(
    tmp_path: Path, adb_server_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from devbench.cli.app import application

    prepare = DeviceSession._prepare

    def fail(self: DeviceSession, facts: Any) -> None:
        prepare(self, facts)
        if self._position == 0:
            raise KeyError("what no one\nexpected")

    monkeypatch.setattr(DeviceSession, "_prepare", fail)
    with pytest.raises(SystemExit) as ended:
        application("run")(
            ["run", str(DATA / "tiny_groupnorm.tflite"), "-d", "virtual:2", "-D", "cpu", "--binary",
             tool(tmp_path, LINE), "-r", "2", "--no-profile", "--cold-starts", "0", "--quiet", "--unreliable-retries", "0",
             "--json", str(tmp_path / "out.json"), "--out", str(tmp_path / "report")]
        )  # fmt: skip
    said = capsys.readouterr()
    assert ended.value.code == 1
    (line,) = [line for line in said.err.splitlines() if line]
    assert "KeyError" in line and "expected" in line and "DEVBENCH_DEBUG=1" in line
    assert "tiny_groupnorm" in said.out
    assert (tmp_path / "report" / "report.html").exists()
    assert json.loads((tmp_path / "out.json").read_text())["jobs"]
    with Store() as store:
        view = store.run("latest")
    assert view.status == "done" and "KeyError" in view.end_reason
    assert sorted(len(job.repetitions) for job in view.jobs) == [0, 2]


def test_output_that_never_ends_is_a_failure_of_its_own(tmp_path: Path, adb_server_port: int) -> None:
    done = devbench(
        "run", str(DATA / "tiny_groupnorm.tflite"), "-d", "virtual", "-D", "cpu", "--binary",
        tool(tmp_path, f"{LINE}; while :; do echo again; done"), "-r", "3", "--max-output", "1", "--no-report", "--quiet",
    )  # fmt: skip
    assert done.returncode == 1
    with Store() as store:
        (job,) = store.run("latest").jobs
        (repetition,) = job.repetitions
        raw = store.artifacts.read(repetition.raw_path)
    assert (repetition.failure_kind, repetition.latency_avg_us) == ("output_too_long", None)
    assert repetition.failure_message == "more than 1 MiB of output; ended by devbench"
    assert len(raw) <= 1 << 20


def test_the_next_run_deletes_output_of_dead_runs_and_leaves_that_of_others(tmp_path: Path) -> None:
    incoming = cache_dir() / "incoming"
    incoming.mkdir()
    dead, alive = "20261101-120000-aaaa", "20261101-120000-bbbb"
    for name in (f"{dead}-job0001-latency-000.out", f"{alive}-job0001-latency-000.err", "tmp1234"):
        (incoming / name).write_bytes(b"x")
    with hold(lock_of(alive), held=""):
        runner._delete_output_of_dead_runs(incoming)
    assert sorted(path.name for path in incoming.iterdir()) == [f"{alive}-job0001-latency-000.err", "tmp1234"]


@pytest.mark.parametrize(
    ("made", "failed"),
    [
        ([("latency", 0, "ok", None), ("latency", 1, "failed", "device_lost"), ("latency", 2, "ok", None)], False),
        ([("latency", 0, "ok", None), ("latency", 1, "failed", "device_lost")], True),
        ([("latency", 0, "failed", "device_lost"), ("profile", 0, "ok", None)], True),
        ([("latency", 0, "failed", "crash"), ("latency", 1, "ok", None)], True),
        ([], True),
    ],
)
def test_a_repetition_that_was_lost_and_made_again_is_no_failure(made: list[Any], failed: bool) -> None:
    repetitions: Any = [
        SimpleNamespace(purpose=purpose, index=index, status=status, failure_kind=kind)
        for purpose, index, status, kind in made
    ]
    assert job_failed(repetitions) is failed
