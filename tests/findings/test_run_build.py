"""What a report shows of a job, from hand-made repetitions: which count, start-up, operators, delegation, failures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from devbench.analysis.operators import TypeTotal
from devbench.analysis.stats import ProcessSpread, estimate
from devbench.findings.run import FallenBack, JobReport, OperatorRow, ReportData, StartUp
from devbench.findings.run_build import build_report
from devbench.notices import Effect, Notice, NoticeKind
from devbench.results.counting import JobView, RunView
from devbench.results.records import DeviceRecord, JobRecord, ModelRecord, OperatorRecord, RepetitionRecord
from tests.made.samples import job_record, repetition, run_record

FAILED: dict[str, Any] = {"status": "failed", "failure_kind": "crash", "failure_message": "boom"}


def op(position: int, kind: str, ms: float, calls: float = 1.0, phase: str = "runs") -> OperatorRecord:
    return OperatorRecord(phase, position, kind, f"[{kind}]", position, ms, ms, None, None, calls)


def rep(index: int, **changes: Any) -> RepetitionRecord:
    values: dict[str, Any] = {"latency_avg_us": None, "operators": (), "verdict": "valid", "conditions_before": None}
    return repetition(index=index, **{**values, **changes})


def report(*jobs: JobView, notices: tuple[Notice, ...] = ()) -> ReportData:
    return build_report(RunView(run_record(), "done", None, jobs, notices, "battery low"))


def job(*repetitions: RepetitionRecord, **changes: Any) -> JobReport:
    (found,) = report(JobView(job_record(**changes), repetitions)).jobs
    return found


def estimated(*values: float) -> Any:
    return estimate(values)


# One value is an outlier, and one is unreliable.
TIMED = [
    rep(0, latency_avg_us=1000.0, latency_std_us=100.0, inferences=5, latency_median_us=900.0, latency_p95_us=2000.0),
    rep(1, latency_avg_us=1010.0, latency_std_us=None, inferences=5, latency_median_us=910.0, latency_p95_us=2010.0),
    rep(2, latency_avg_us=1020.0, latency_std_us=500.0, inferences=None),
    rep(3, latency_avg_us=1030.0, latency_median_us=930.0, latency_p95_us=2030.0),
    rep(4, latency_avg_us=9000.0, latency_std_us=900.0, inferences=5, latency_median_us=940.0, latency_p95_us=2040.0),
    rep(5, latency_avg_us=500.0, latency_std_us=1.0, inferences=99, latency_median_us=1.0, verdict="unreliable"),
]


def test_the_latency_is_that_of_reliable_processes_outliers_included() -> None:
    found = job(*TIMED)
    assert found.latency == estimated(1.0, 1.01, 1.02, 1.03, 9.0)
    assert [(p.repetition.index, p.latency_ms, p.unreliable, p.counts, p.outlier) for p in found.processes] == [
        (0, 1.0, False, True, False), (1, 1.01, False, True, False), (2, 1.02, False, True, False),
        (3, 1.03, False, True, False), (4, 9.0, False, True, True), (5, 0.5, True, False, False),
    ]  # fmt: skip
    assert (found.outliers, found.inferences, found.all_unreliable, found.status) == (1, 15, False, "ok")
    # Pooled over the two processes with a deviation and a count: 5·0.1² of each, 4 + 4 degrees of freedom.
    assert found.spread.within_pct == pytest.approx(100 * (0.1 / 8) ** 0.5)
    assert found.spread.between_mad_pct == pytest.approx(100 * 10 / 0.6744898 / 1020)
    assert (found.p50, found.p95) == (pytest.approx(0.92), pytest.approx(2.02))
    assert found.figures == {"latency": 1.02}


def test_if_all_processes_are_unreliable_they_are_shown() -> None:
    bad = [replace(one, verdict="unreliable") for one in TIMED[:2]]
    found = job(*bad)
    assert found.all_unreliable and found.latency == estimated(1.0, 1.01)
    assert [(one.counts, one.unreliable) for one in found.processes] == [(True, True)] * 2
    nothing = job()
    assert (nothing.latency, nothing.processes, nothing.spread, nothing.status) == (
        None,
        (),
        ProcessSpread(),
        "not run",
    )
    assert not nothing.all_unreliable and nothing.warm is None and nothing.cold is None
    assert (nothing.delegation, nothing.nodes, nothing.fallback, nothing.operators) == ("", "", (), ())


def test_start_up_is_shown_for_each_state_of_the_caches_the_warmest_first() -> None:
    warm: dict[str, Any] = {"latency_avg_us": 1000.0, "file_cache": "warm", "kernel_cache": "warm"}
    found = job(
        rep(0, purpose="cold", file_cache="cold", kernel_cache="cold", first_inference_us=9000.0),
        rep(1, **{**warm, "kernel_cache": None}, init_us=7000.0),
        rep(2, **warm, init_us=4000.0, first_inference_us=3000.0, warmup_avg_us=2000.0),
        rep(3, **warm, init_us=6000.0, first_inference_us=5000.0),
        rep(4, purpose="cold", file_cache="warm", kernel_cache="cold", warmup_avg_us=8000.0),
        rep(5, purpose="cold", file_cache="cold", kernel_cache=None),
    )
    assert found.startups == (
        StartUp("warm", "warm", False, 2, estimated(4.0, 6.0), estimated(3.0, 5.0), estimated(2.0)),
        StartUp("warm", None, False, 1, estimated(7.0), None, None),
        StartUp("warm", "cold", True, 1, None, None, estimated(8.0)),
        StartUp("cold", "cold", True, 1, None, estimated(9.0), None),
    )
    assert [one.caches for one in found.startups] == [
        "file cache and kernel cache warm", "file cache warm", "file cache warm, kernel cache cold",
        "file cache and kernel cache cold",
    ]  # fmt: skip
    assert StartUp(None, None, False, 1, None, None, None).caches == "caches as found"
    assert (found.warm, found.cold) == (found.startups[0], found.startups[3])
    assert found.figures == {"latency": 1.0, "init": 5.0, "first_inference": 4.0}


def profile(index: int, **changes: Any) -> RepetitionRecord:
    return rep(index, purpose="profile", **changes)


PARTLY: dict[str, Any] = {
    "delegate_applied": "partial", "nodes_delegated": 9, "nodes_total": 180, "partitions": 1,
    "delegate_time_share": 0.6,
}  # fmt: skip


def test_memory_is_the_largest_of_the_profile_and_that_of_the_device_of_all() -> None:
    found = job(
        rep(0, latency_avg_us=1.0, vm_hwm_kb=4096, init_memory_mb=99.0, peak_memory_mb=30.0, **PARTLY),
        profile(0, init_memory_mb=5.0, overall_memory_mb=7.0, peak_memory_mb=20.0, vm_hwm_kb=2048, pss_peak_kb=3072),
        profile(1, init_memory_mb=6.0, overall_memory_mb=8.0, peak_memory_mb=25.0, delegate_time_share=0.5),
        profile(2, **FAILED, init_memory_mb=70.0, overall_memory_mb=70.0, peak_memory_mb=70.0, pss_peak_kb=1024),
    )
    assert (found.init_memory_mb, found.overall_memory_mb, found.vm_hwm_mb, found.pss_mb) == (6.0, 8.0, 4.0, 3.0)
    assert found.peak_memory_mb == found.figures["peak_memory"] == 30.0
    assert found.on_delegate is None, "the profile that counts, the last good one, was on no delegate"
    timed = job(rep(0, latency_avg_us=1.0, init_memory_mb=3.0, overall_memory_mb=4.0))
    assert (timed.init_memory_mb, timed.overall_memory_mb, timed.vm_hwm_mb) == (3.0, 4.0, None)


OPERATORS = (
    op(0, "ADD", 0.5, calls=2), op(1, "Delegate/CONV_2D 3", 1.0), op(2, "TfLiteGpuDelegateV2", 6.0),
    op(3, "ADD", 1.0), op(4, "TILE", 1.0), op(5, "INIT", 50.0, phase="init"), op(6, "TfLiteGpuDelegateV2", 0.0),
)  # fmt: skip
REFUSED = [
    {"op": "tile", "reason": "no tiles"}, {"op": "TILE", "reason": "5D"}, {"op": "Gather", "reason": "only 4D"},
    {"op": "GATHER", "reason": "only 4D"},
]  # fmt: skip


def test_operators_are_sorted_by_time_and_summed_by_type() -> None:
    found = job(profile(0, operators=(op(0, "OLD", 5.0),)), profile(1, operators=OPERATORS, **PARTLY))
    conv = ("CONV_2D 3", "[Delegate/CONV_2D 3]", 1, 1.0, 0.1, "delegate")
    assert found.operators == (
        OperatorRow("TfLiteGpuDelegateV2", "[TfLiteGpuDelegateV2]", 2, 6.0, 0.6, "delegate"),
        OperatorRow("ADD", "[ADD]", 0, 1.0, 0.1, "cpu"), OperatorRow(*conv), OperatorRow("ADD", "[ADD]", 3, 1.0, 0.1, "cpu"),
        OperatorRow("TILE", "[TILE]", 4, 1.0, 0.1, "cpu"),
        OperatorRow("TfLiteGpuDelegateV2", "[TfLiteGpuDelegateV2]", 6, 0.0, 0.0, "delegate"),
    )  # fmt: skip
    assert found.by_type == (
        TypeTotal("TfLiteGpuDelegateV2", "delegate", 2, 6.0, 0.6), TypeTotal("ADD", "cpu", 2, 2.0, 0.2),
        TypeTotal("CONV_2D", "delegate", 1, 1.0, 0.1), TypeTotal("TILE", "cpu", 1, 1.0, 0.1),
    )  # fmt: skip
    assert (found.partitions_ms, found.on_delegate) == (7.0, 0.6)
    assert job(profile(0, operators=(op(0, "ADD", 0.0),))).operators[0].share == 0.0
    litert = replace(job_record().binary, tool="litert")
    assert job(profile(0, operators=OPERATORS), binary=litert).by_type[1].total_ms == 1.5, "calls of all runs"


def test_operators_that_fell_back_are_those_on_the_cpu_and_those_that_were_refused() -> None:
    refused = {"status": "ok", "unsupported_ops": REFUSED}
    found = job(profile(0, operators=OPERATORS, measurement=refused, **PARTLY))
    assert found.fallback == (
        FallenBack("ADD", "cpu", 2, 2.0, 0.2, ()),
        FallenBack("TILE", "cpu", 1, 1.0, 0.1, ("no tiles", "5D")),
        FallenBack("Gather", "", None, None, None, ("only 4D",)),
    )
    on_cpu = (op(0, "ADD", 0.5),)
    assert job(profile(0, operators=on_cpu, **PARTLY)).fallback == (), (
        "the profile does not show what the delegate took"
    )
    not_applied = {**PARTLY, "delegate_applied": "none"}
    assert job(profile(0, operators=OPERATORS, **not_applied)).fallback == ()
    assert job(profile(0, operators=OPERATORS, measurement=refused)).fallback == (), "no delegate was asked for"


@pytest.mark.parametrize(
    ("changes", "delegation", "nodes"),
    [
        ({}, "partial (9 of 180 nodes, 1 partition)", "9/180, 1 part"),
        ({"partitions": 3}, "partial (9 of 180 nodes, 3 partitions)", "9/180, 3 parts"),
        ({"partitions": None}, "partial (9 of 180 nodes)", "9/180"),
        ({"nodes_delegated": None}, "partial (1 partition)", "partial, 1 part"),
        ({"nodes_delegated": None, "partitions": None, "delegate_applied": "full"}, "full", "full"),
        ({"nodes_delegated": 0}, "partial (0 of 180 nodes, 1 partition)", "0/180, 1 part"),
        ({"delegate_applied": "none"}, "not applied", "not applied"),
        ({"delegate_applied": None}, "", ""),
    ],
)
def test_the_delegation_is_shown_in_words(changes: dict[str, Any], delegation: str, nodes: str) -> None:
    of = {**PARTLY, **changes}
    for found in (job(profile(0, **of), rep(0, latency_avg_us=1.0)), job(rep(0, **FAILED), rep(1, **FAILED, **of))):
        assert (found.delegation, found.nodes) == (delegation, nodes)
    timed = job(rep(0, latency_avg_us=1.0), rep(1, latency_avg_us=1.0, **of), rep(2, **FAILED))
    assert timed.delegation == delegation, "without a profile: the last timed process"


def test_failures_are_counted_by_kind_and_message() -> None:
    silent = {**FAILED, "failure_message": None}
    rows = [rep(0, **FAILED), rep(1, **silent), rep(2, **FAILED), rep(3, latency_avg_us=1.0)]
    found = job(*rows)
    assert found.failures == (("crash", "boom", 2), ("crash", "", 1))
    assert (found.status, job(*rows[:3]).status, job(rows[3]).status) == ("partly failed", "failed", "ok")


@pytest.mark.parametrize(
    ("threads", "title", "text"), [(None, "GPU", ""), (1, "GPU · 1 thread", "1"), (2, "GPU · 2 threads", "2")]
)
def test_a_job_is_titled_by_its_delegate_and_threads(threads: int | None, title: str, text: str) -> None:
    found = job(threads=threads)
    assert (found.title, found.threads, found.subject) == (title, text, "model")


def test_outputs_are_judged_against_those_of_this_computer() -> None:
    def verdict(*rows: dict[str, Any]) -> str:
        return job(rep(0, outputs=rows[:1]), rep(1, outputs=rows[1:])).output_verdict

    good, better = ({"against": "host", "snr_db": db, "deterministic": True} for db in (61.4, 80.0))
    assert verdict() == verdict({"against": "cpu", "wrong": "NaN"}) == ""
    assert verdict(better, good, {"against": "cpu", "snr_db": 5.0}) == "ok, SNR 61 dB"
    assert verdict({"against": "host", "snr_db": None}) == "ok, equal"
    assert verdict(good, {**good, "deterministic": False}) == "not deterministic"
    assert verdict(good, {**good, "deterministic": False, "wrong": "NaN"}) == "wrong"


def a_job(number: int, key: str, model: str, delegate: str, *, virtual: bool = False) -> JobRecord:
    device = DeviceRecord(key, "127.0.0.1:1", f"Phone ({key})", virtual, "p", {})
    return job_record(number=number, device=device, model=ModelRecord("a" * 64, model, 1), delegate=delegate)


JOBS = [a_job(1, "A", "unet", "gpu"), a_job(2, "A", "unet", "cpu"), a_job(3, "B", "face", "gpu", virtual=True)]


def test_a_report_has_the_jobs_devices_and_notices_of_the_run() -> None:
    about = [
        Notice(NoticeKind.OPEN_SHAPES, "unet", "of the model", effect=Effect.EXCLUDED),
        Notice(NoticeKind.THERMAL_STATUS, "Phone (A)", "of the device", device_key="A"),
        Notice(NoticeKind.OPEN_SHAPES, "face", "of job 3", device_key="B", job_number=3),
    ]
    found = report(*(JobView(one, (rep(0, latency_avg_us=1.0),)) for one in JOBS), notices=tuple(about))
    told = [[one.text for one in item.notices if one.text.startswith("of ")] for item in found.jobs]
    assert told == [["of the model", "of the device"]] * 2 + [["of job 3"]]
    assert [item.case for item in found.jobs] == [
        "unet · gpu · 4 threads",
        "unet · cpu · 4 threads",
        "face · gpu · 4 threads",
    ]
    assert found.jobs[1].excluded and "of the model" in [one.text for one in found.jobs[1].limits]
    assert "of the device" not in [one.text for one in found.jobs[1].limits]
    assert found.device_titles == {"A": "Phone (A)", "B": "Phone (B)"} and len(found.devices) == 2
    assert (found.run_id, found.status, found.end_reason) == (run_record().run_id, "done", "battery low")
    assert (found.labels, found.command, found.finished_utc) == ({"build": "7"}, "devbench run", None)
    assert [one.device.key for one in found.timelines] == ["A", "B"]
    assert [(name, device.key, len(those)) for name, device, those in found.groups] == [
        ("unet", "A", 2), ("face", "B", 1)
    ]  # fmt: skip


def test_a_report_can_be_narrowed_to_devices_models_and_delegates() -> None:
    found = report(*(JobView(one, (rep(0, latency_avg_us=1.0),)) for one in JOBS))

    def numbers(*chosen: tuple[str, ...]) -> tuple[list[int], list[str]]:
        narrowed = found.only(*chosen)
        return [item.job.number for item in narrowed.jobs], [one.device.key for one in narrowed.timelines]

    assert numbers((), (), ()) == ([1, 2, 3], ["A", "B"])
    assert numbers(("A",), (), ()) == ([1, 2], ["A"])
    assert numbers((), ("face",), ()) == ([3], ["B"])
    assert numbers((), (), ("gpu",)) == ([1, 3], ["A", "B"])
    assert numbers(("A",), ("unet",), ("cpu",)) == ([2], ["A"])
    assert numbers(("B",), ("unet",), ()) == ([], [])


def test_the_note_on_virtual_devices_says_whether_all_are() -> None:
    some, none, every = (
        report(*(JobView(one, ()) for one in JOBS)),
        report(JobView(JOBS[0], ())),
        report(JobView(JOBS[2], ())),
    )
    assert (some.virtual, some.all_virtual, none.virtual, none.all_virtual, every.all_virtual) == (
        True, False, False, False, True
    )  # fmt: skip
    assert some.virtual_note.startswith("some of these devices are virtual: ")
    assert (none.virtual_note, every.virtual_note.split(":")[0]) == ("", "virtual")
    assert [item.virtual for item in some.jobs] == [False, False, True]
