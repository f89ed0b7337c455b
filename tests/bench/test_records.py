"""What the store keeps of a process: which numbers count, by how it ended and what it was for; rows of partitions."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from devbench.analysis.operators import delegate_time_share
from devbench.analysis.reliability import Reliability
from devbench.bench import records
from devbench.bench.records import (
    describe,
    device_record,
    file_records,
    operator_records,
    refused_record,
    repetition_record,
)
from devbench.bench.records import job_record as make_job
from devbench.device.facts import DeviceFacts
from devbench.device.profiles import DeviceProfile
from devbench.notices import Notice, NoticeKind
from devbench.results.records import RepetitionRecord
from devbench.tool.measurement import DelegateUse, Failure, FailureKind, Memory, OpRow, Profile
from devbench.tool.parse import parse_text
from tests.conftest import DATA
from tests.made.bench import BINARY, GPU, case, measured, ran
from tests.made.samples import NOW, RUN, job_record

PROFILE = (
    "Operator-wise Profiling Info for Regular Benchmark Runs:\n============ Run Order ============\n"
    "\t[node type]\t[first]\t[avg ms]\t[%]\t[cdf%]\t[mem KB]\t[times called]\t[Name]\n"
    "\t{name}\t3.0\t3.0\t75.000%\t75.000%\t0.000\t1\t[a]:0\n"
    "\tSOFTMAX\t1.0\t1.0\t25.000%\t100.000%\t0.000\t1\t[b]:1\n"
)


@pytest.mark.parametrize("name", ["TfLiteQnnDelegate", "DispatchDelegate", "MyNpu", "LITERT_CL", "Ethos-U"])
def test_the_row_of_a_delegate_s_partition_is_told_by_the_name_under_which_it_took_nodes(name: str) -> None:
    took = f"INFO: Replacing 9 out of 10 node(s) with delegate ({name}) node, yielding 2 partitions for subgraph 0.\n"
    rows = operator_records(parse_text("STARTING!\n" + took + PROFILE.format(name=name)))
    assert [row.is_partition for row in rows] == [True, False]
    assert delegate_time_share(rows, xnnpack=False, calls_of_all_runs=False) == pytest.approx(0.75)


VALID = Reliability("valid")
FAILURE = Failure(FailureKind.DELEGATE_NOT_APPLIED, "GPU was asked for and not applied")
LATENCY = [
    "latency_avg_us", "latency_min_us", "latency_max_us", "latency_std_us", "latency_median_us", "inferences",
    "warmup_avg_us",
]  # fmt: skip
START_UP = ["init_us", "first_inference_us"]
MEMORY = ["init_memory_mb", "overall_memory_mb", "peak_memory_mb", "vm_hwm_kb"]


def record(purpose: str, failure: Failure | None = None) -> RepetitionRecord:
    found = replace(measured(), memory=Memory(1.0, 2.0, 3.0))
    return repetition_record(job_record(), case(), 4, purpose, ran(failure), found, VALID)  # type: ignore[arg-type]


def given(one: RepetitionRecord, fields: list[str]) -> set[bool]:
    return {getattr(one, field) is not None for field in fields}


@pytest.mark.parametrize("purpose", ["latency", "profile", "cold", "outputs"])
def test_a_failed_repetition_carries_no_latency_no_start_up_time_and_no_memory(purpose: str) -> None:
    failed = record(purpose, FAILURE)
    assert given(failed, LATENCY + START_UP + MEMORY) == {False}
    assert (failed.status, failed.failure_kind, failed.failure_message) == (
        "failed",
        FAILURE.kind.value,
        FAILURE.message,
    )
    assert failed.measurement["inference_avg_us"] == 700.0, "what the tool printed is kept"


def test_operators_and_sampled_memory_count_of_a_process_that_ended_well_only() -> None:
    profiled = replace(parse_text("STARTING!\n" + PROFILE.format(name="CONV_2D")), delegates=())
    for failure, count, pss in ((None, 2, 4096), (FAILURE, 0, None)):
        process = ran(failure)
        process = replace(process, output=replace(process.output, pss_peak_kb=4096))
        one = repetition_record(job_record(), case(), 0, "profile", process, profiled, VALID)
        assert (len(one.operators), one.pss_peak_kb) == (count, pss)


def test_the_share_of_a_delegate_is_of_the_runs_and_not_of_the_start() -> None:
    took = "INFO: Replacing 9 out of 10 node(s) with delegate (GPU) node, yielding 2 partitions for subgraph 0.\n"
    start = PROFILE.replace("Regular Benchmark Runs", "Model Initialization").replace("SOFTMAX", "AllocateTensors")
    start = start.format(name="ModifyGraphWithDelegate")
    found = parse_text("STARTING!\n" + took + start + PROFILE.format(name="GPU"))
    assert found.profile_init is not None and found.profile_runs is not None
    one = repetition_record(job_record(), case(delegate=GPU), 0, "profile", ran(), found, VALID)
    assert {row.phase for row in one.operators} == {"init", "runs"}
    assert one.delegate_time_share == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("purpose", "latency", "start_up", "memory"),
    [
        ("latency", True, True, True),
        ("profile", False, False, True),
        ("cold", False, True, False),
        ("outputs", False, False, False),
    ],
)
def test_a_process_gives_only_the_numbers_that_it_was_run_for(
    purpose: str, latency: bool, start_up: bool, memory: bool
) -> None:
    one = record(purpose)
    assert one.status == "ok"
    assert given(one, LATENCY) == {latency}
    assert given(one, START_UP) == {start_up}
    assert given(one, MEMORY[:3]) == {memory}


def test_a_repetition_has_its_conditions_its_verdict_and_its_caches() -> None:
    busy = Reliability("unreliable", ("other load: 9.0 on 2 CPUs",))
    process = ran(file_cache="cold", kernel_cache="warm")
    one = repetition_record(job_record(number=7), case(), 2, "latency", process, measured(), busy)
    assert (one.job_number, one.index, one.exit_code, one.raw_path) == (7, 2, 0, process.raw_path)
    assert (one.started_utc, one.finished_utc, one.duration_s) == (NOW, process.finished_utc, 1.0)
    assert one.conditions_before is not None and one.conditions_after is not None
    assert (one.conditions_before["load_1min"], one.conditions_after["load_1min"]) == (0.1, 0.2)
    assert (one.verdict, one.verdict_reasons) == ("unreliable", ("other load: 9.0 on 2 CPUs",))
    assert (one.file_cache, one.kernel_cache, one.host_overhead_ms) == ("cold", "warm", 1.0)


def test_a_job_has_what_was_asked_for_and_what_it_is_made_of() -> None:
    delegate = replace(GPU, litert_flags=(("use_gpu", "yes"),))
    one = case(delegate=delegate, operators=77, num_threads=4)
    device = job_record().device
    job = make_job(RUN, 3, one, device, BINARY, "f" * 64)
    assert (job.number, job.delegate, job.delegate_title, job.threads, job.require) == (3, "gpu", "GPU", 4, "any")
    assert (job.binary.sha256, job.binary.name, job.model.operators) == ("f" * 64, BINARY.name, 77)
    assert job.options["delegate_flags"] == {"use_gpu": "true"}
    assert job.options["operator_count"] == 77
    assert job.options["reported_as"] == ["GPU"] and "via" not in job.options and "compiled" not in job.options
    litert = make_job(RUN, 3, one, device, replace(BINARY, tool="litert"), "f" * 64)
    assert litert.options["delegate_flags"] == {"use_gpu": "yes"}
    app = make_job(RUN, 3, one, device, replace(BINARY, flavour="apk"), "f" * 64)
    assert (app.delegate_title, app.options["via"]) == ("GPU · APK", "apk")


def test_a_device_is_virtual_if_it_or_its_profile_is() -> None:
    phone, virtual = DeviceProfile("p", "P"), DeviceProfile("v", "V", virtual=True)
    facts = DeviceFacts("KEY", "SERIAL", model="Phone")
    assert not device_record(facts, phone).virtual
    assert device_record(facts, virtual).virtual
    assert device_record(replace(facts, virtual=True), phone).virtual
    assert device_record(facts, replace(phone, masks={"big": "f0"})).facts["masks"] == {"big": "f0"}


def test_a_device_has_the_key_of_its_history_and_a_shared_serial_number_is_told() -> None:
    facts = DeviceFacts("NEW", "SERIAL", model="Phone", hardware_serial="0123456789ABCDEF")
    asked: list[tuple[str, str]] = []

    def identify(key: str, serial: str) -> tuple[str, list[str]]:
        asked.append((key, serial))
        return "OLD", ["OTHER"]

    store: Any = SimpleNamespace(identify=identify)
    told: list[Notice] = []
    device = describe(facts, DeviceProfile("p", "P"), store, told.append)
    assert asked == [("NEW", "0123456789ABCDEF")]
    assert (device.key, device.serial) == ("OLD", "SERIAL")
    assert [(notice.kind, notice.device_key) for notice in told] == [(NoticeKind.DEVICE_IDENTITY, "OLD")]
    assert "OTHER" in told[0].text


def test_inputs_are_files_of_a_job_with_the_hash_of_their_values() -> None:
    inputs = [np.arange(4, dtype="float32"), np.zeros(2, dtype="int8")]
    specs = [SimpleNamespace(name="image"), SimpleNamespace(name="x" * 300)]
    expected: Any = SimpleNamespace(tensors=SimpleNamespace(inputs=specs), inputs=inputs)
    first, second = file_records(case(), expected)
    assert (first.name, first.role, first.size_bytes) == ("0 image", "input", 16)
    assert first.sha256 == sha256(inputs[0].tobytes()).hexdigest()
    assert (len(second.name), second.size_bytes) == (200, 2)


def test_libraries_of_a_delegate_are_files_of_its_jobs_with_version_and_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(DATA)
    found = [
        SimpleNamespace(name="libA.so", path=folder / "tiny_groupnorm.tflite", product="QNN", version="2.44"),
        SimpleNamespace(name="libB.so", path=folder / "tiny_groupnorm.tflite", product="QNN", version=""),
    ]
    monkeypatch.setattr(records, "delegate_files", lambda delegate: found)
    first, second = file_records(case())
    assert (first.name, first.role, first.version, second.version) == ("libA.so", "delegate", "QNN 2.44", "")
    assert first.size_bytes == (folder / "tiny_groupnorm.tflite").stat().st_size and len(first.sha256) == 64


def test_a_profile_has_the_share_of_the_delegate_and_its_nodes() -> None:
    use = DelegateUse("gpu", "partial", nodes_delegated=9, nodes_total=10, kernels=2)
    found = replace(measured(), delegates=(use,))
    one = repetition_record(job_record(), case(delegate=GPU), 0, "profile", ran(), found, VALID)
    assert (one.delegate_applied, one.nodes_delegated, one.nodes_total, one.partitions) == ("partial", 9, 10, 2)
    other = repetition_record(job_record(), case(), 0, "profile", ran(), found, VALID)
    assert (other.delegate_applied, other.nodes_delegated) == (None, None)


def test_a_row_within_a_delegate_that_the_table_has_too_is_there_once() -> None:
    inner = OpRow("conv 1", avg_ms=2.9)
    rows = operator_records(
        replace(measured(), profile_runs=Profile((OpRow("GPU"), inner), delegate_ops=(inner, OpRow("conv 2"))))
    )
    assert [(row.position, row.type, row.inside_delegate) for row in rows] == [
        (0, "GPU", False), (1, "conv 1", True), (2, "conv 2", True),
    ]  # fmt: skip


def test_a_refused_job_is_a_failure_without_a_process() -> None:
    one = refused_record(job_record(number=3), "latency", FAILURE, ("--x",), "raw", NOW)
    assert (one.job_number, one.index, one.status, one.failure_kind) == (3, 0, "failed", "delegate_not_applied")
    assert (one.duration_s, one.exit_code, one.measurement, one.argv) == (0.0, None, {}, ("--x",))
    assert one.latency_avg_us is None
