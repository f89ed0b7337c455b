"""Records for tests of the store: a run, its jobs and repetitions."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

from devbench.results.records import (
    BinaryRecord,
    DeviceRecord,
    FileRecord,
    JobRecord,
    ModelRecord,
    OperatorRecord,
    PipelineSampleRecord,
    PipelineSessionRecord,
    PipelineStageRecord,
    RepetitionRecord,
    RunRecord,
)
from devbench.results.store import Store

FILES = (
    FileRecord("libQnnHtp.so", "delegate", "c" * 64, 1_000_000, "QNN 2.44.0"),
    FileRecord("libQnnSystem.so", "delegate", "d" * 64, 2_000_000, "QNN 2.44.0"),
    FileRecord("0 image", "input", "e" * 64, 3_000),
)
NOW = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=timezone.utc)
RUN = "20261123-120000-aaaa"
SESSION = PipelineSessionRecord(
    RUN, "KEY", "sd", "gpu", None, "resident", 0, 20, True, None, 0, NOW, NOW + timedelta(seconds=9), "ok", None, None,
    "raw", 900.0, stages=(PipelineStageRecord(0, "unet", 1, True, 20, 0, ("/b",), "stop", True),),
    samples=(PipelineSampleRecord(0, 0, 1.5, 2000, 3000),),
)  # fmt: skip


def run_record(run_id: str = RUN, at: datetime = NOW) -> RunRecord:
    return RunRecord(run_id, at, "devbench run", "0.1", "host", {"a": 1}, {"build": "7"})


def job_record(run_id: str = RUN, number: int = 1, **changes: object) -> JobRecord:
    job = JobRecord(
        run_id=run_id,
        number=number,
        device=DeviceRecord("KEY", "127.0.0.1:1", "Phone (KEY)", False, "generic-phone", {"abis": ["arm64-v8a"]}),
        model=ModelRecord("a" * 64, "model", 3_000_000_000, 2),
        binary=BinaryRecord("b" * 64, "tflite", "2.19", "arm64-v8a", "default", "tflite"),
        delegate="gpu",
        delegate_title="GPU",
        threads=4,
        require="any",
    )
    return replace(job, **changes)  # type: ignore[arg-type]


def repetition(run_id: str = RUN, number: int = 1, index: int = 0, **changes: object) -> RepetitionRecord:
    record = RepetitionRecord(
        run_id=run_id,
        job_number=number,
        index=index,
        purpose="latency",
        started_utc=NOW,
        finished_utc=NOW + timedelta(seconds=1),
        duration_s=1.0,
        argv=("/b", "--graph=/m"),
        status="ok",
        failure_kind=None,
        failure_message=None,
        exit_code=0,
        raw_path="x",
        measurement={"status": "ok"},
        latency_avg_us=1234.5,
        conditions_before={"load_1min": 0.5},
        operators=(OperatorRecord("runs", 0, "CONV_2D", "[a]", 0, 1.0, 1.1, 100.0, 0.0, 1.0),),
    )
    return replace(record, **changes)  # type: ignore[arg-type]


def add_run(
    store: Store, nights: int = 0, latencies: tuple[float, ...] = (1000.0, 1100.0, 1200.0), **job: object
) -> str:
    """A run with a job of these latencies (µs) and a profile, so many nights after the first; gives its id."""
    at = NOW + timedelta(days=nights)
    run_id = f"{at:%Y%m%d-%H%M%S}-aaaa"
    store.create_run(replace(run_record(run_id, at), labels={"build": str(7 + nights), "branch": "main"}))
    store.add_job(job_record(run_id, **job))
    for index, latency in enumerate(latencies):
        store.add_repetition(
            repetition(
                run_id, index=index, started_utc=at + timedelta(seconds=index), latency_avg_us=latency, init_us=5000.0,
                first_inference_us=2 * latency, file_cache="warm", verdict="valid", delegate_applied="partial",
                nodes_delegated=3, nodes_total=4, partitions=1, operators=(), raw_path=f"{run_id}/job0001-{index}.txt.gz",
            )
        )  # fmt: skip
    operators = (
        OperatorRecord("runs", 0, "TfLiteGpuDelegateV2", "Delegate/0", 0, 0.9, 0.9, 90.0, 0.0, 1.0),
        OperatorRecord("runs", 1, "SOFTMAX", "[s]", 1, 0.1, 0.1, 10.0, 0.0, 1.0),
        OperatorRecord("runs", 2, "softmax 3", "Delegate/1", 2, 0.4, 0.4, 0.0, 0.0, 1.0, inside_delegate=True),
    )
    store.add_repetition(
        repetition(
            run_id, purpose="profile", started_utc=at + timedelta(minutes=1), latency_avg_us=None, peak_memory_mb=80.0,
            operators=operators, raw_path=f"{run_id}/job0001-p.txt.gz",
            conditions_before={"taken_utc": at.isoformat(), "load_1min": 0.5, "temperatures_c": {"CPU0": 40.0, "skin": 30.0}},
        )
    )  # fmt: skip
    store.finish_run(run_id, "done", at + timedelta(minutes=2))
    return run_id
