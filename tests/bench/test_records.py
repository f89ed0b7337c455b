"""What the store keeps of a process: which numbers count, by how it ended and what it was for; rows of partitions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devbench.analysis.operators import delegate_time_share
from devbench.analysis.reliability import Reliability
from devbench.bench.records import operator_records, refused_record, repetition_record
from devbench.results.records import RepetitionRecord
from devbench.tool.measurement import Failure, FailureKind, Memory
from devbench.tool.parse import parse_text
from tests.made.bench import case, measured, ran
from tests.made.samples import NOW, job_record

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


def test_a_refused_job_is_a_failure_without_a_process() -> None:
    one = refused_record(job_record(number=3), "latency", FAILURE, ("--x",), "raw", NOW)
    assert (one.job_number, one.index, one.status, one.failure_kind) == (3, 0, "failed", "delegate_not_applied")
    assert (one.duration_s, one.exit_code, one.measurement, one.argv) == (0.0, None, {}, ("--x",))
    assert one.latency_avg_us is None
