"""The result of a night: which jobs failed, which have no verdict, whose notices are shown, and the exit code."""

from __future__ import annotations

from typing import Any

import pytest

from devbench.errors import DeviceBusy, EnvironmentProblem, InputError
from devbench.findings.night import NightResult, job_key
from devbench.findings.run import ReportData
from devbench.findings.run_build import build_report
from devbench.notices import Effect, Notice, NoticeKind
from devbench.results.counting import JobView, RunView
from devbench.results.records import ModelRecord, RepetitionRecord
from tests.made.comparisons import comparison, failure, row
from tests.made.samples import job_record, repetition, run_record

LOST: dict[str, Any] = {"status": "failed", "failure_kind": "device_lost", "latency_avg_us": None}
CRASH: dict[str, Any] = {**LOST, "failure_kind": "crash"}


def report(*of_jobs: tuple[str, list[RepetitionRecord]], notices: tuple[Notice, ...] = ()) -> ReportData:
    views = [
        JobView(job_record(number=k, threads=None, model=ModelRecord("a" * 64, name, 1)), tuple(rows))
        for k, (name, rows) in enumerate(of_jobs, 1)
    ]
    return build_report(RunView(run_record(), "done", None, tuple(views), notices))


def rows(*changes: dict[str, Any]) -> list[RepetitionRecord]:
    return [repetition(index=k, **{"outputs": ({"against": "host"},), **of}) for k, of in enumerate(changes)]


def night(data: ReportData | None = None, **of: Any) -> NightResult:
    return NightResult("nightly", "2026-11-29", data, **of)


GOOD = report(("unet", rows({}, {}, {})))


def test_a_job_failed_if_a_repetition_did_or_none_was_made() -> None:
    found = night(
        report(
            ("good", rows({}, {})), ("crash", rows(CRASH, {})), ("none", []), ("lost", rows({}, LOST)),
            ("resumed", rows(LOST, {})), ("both", rows(LOST, CRASH, {})),
        )
    )  # fmt: skip
    assert [job.job.model.name for job in found.failed] == ["crash", "none", "lost", "both"]
    assert [job_key(job)[1] for job in found.failed] == ["crash · gpu", "none · gpu", "lost · gpu", "both · gpu"]
    assert (night().failed, night().regressed, night().notices, night().unjudged) == ((), (), (), ())


@pytest.mark.parametrize(
    ("of", "code"),
    [
        ({}, 0),
        ({"comparison": comparison(row("improved"))}, 0),
        ({"comparison": comparison(row("regressed"))}, 1),
        ({"comparison": comparison(failures=(failure("a · gpu"),)), "absent": {"A": InputError("no")}}, 1),
        ({"report": report(("unet", [])), "absent": {"A": InputError("no")}}, 1),
        ({"absent": {"A": InputError("no")}}, 2),
        ({"absent": {"A": EnvironmentProblem("no"), "B": EnvironmentProblem("off")}}, 3),
        ({"absent": {"A": InputError("no"), "B": EnvironmentProblem("off")}}, 3),
    ],
)
def test_the_exit_code_is_that_of_the_worst(of: dict[str, Any], code: int) -> None:
    assert night(of.pop("report", GOOD), **of).exit_code == code


def test_busy_devices_are_those_in_use_by_another_run() -> None:
    busy = DeviceBusy("in use")
    assert night(absent={"A": EnvironmentProblem("off"), "B": busy}).busy == {"B": busy}


UNRELIABLE = {"verdict": "unreliable", "verdict_reasons": ("throttled",)}
BAD = report(("unet", rows(*[UNRELIABLE] * 3)), ("face", rows(*[UNRELIABLE] * 3)), ("good", rows({}, {}, {})))


def test_a_job_without_baseline_is_unjudged_if_a_notice_allows_no_verdict() -> None:
    assert [job_key(job) for job in night(BAD).unjudged] == [("KEY", "unet · gpu"), ("KEY", "face · gpu")]
    assert night(BAD).without_verdict == {("KEY", "unet · gpu"), ("KEY", "face · gpu")}
    compared = night(BAD, comparison=comparison(row("undecided", reason="throttled"), row("regressed", "a · gpu")))
    assert [job_key(job) for job in compared.unjudged] == [("KEY", "face · gpu")]
    assert compared.without_verdict == {("KEY", "unet · gpu"), ("KEY", "face · gpu")}
    assert [one.case for one in compared.regressed] == ["a · gpu"]


def test_notices_of_the_comparison_come_first_and_unreliable_jobs_that_it_counts_allow_a_verdict() -> None:
    drift = Notice(NoticeKind.DRIFT_REMOVED, "Phone (KEY)", "drifted", device_key="KEY")
    found = night(BAD, comparison=comparison(row("improved"), notices=(drift,)))
    assert [(one.kind, one.subject, one.effect) for one in found.notices] == [
        (NoticeKind.DRIFT_REMOVED, "Phone (KEY)", Effect.INFORMATION),
        (NoticeKind.ALL_UNRELIABLE, "unet · gpu", Effect.INFORMATION),
        (NoticeKind.ALL_UNRELIABLE, "face · gpu", Effect.UNDECIDED),
    ]
    assert found.undecided == {NoticeKind.ALL_UNRELIABLE}
    assert night(GOOD).undecided == frozenset()
    only = night(report(("unet", rows(*[UNRELIABLE] * 3))), comparison=comparison(row("improved")))
    assert only.undecided == frozenset()


def test_titles_of_devices_are_those_of_the_run_and_of_the_comparison() -> None:
    assert night(GOOD, comparison=comparison(row("improved", device="B"))).device_titles == {
        "KEY": "Phone (KEY)", "B": "Phone (B)"
    }  # fmt: skip
    assert night().device_titles == {}
