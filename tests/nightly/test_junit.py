"""JUnit and summary: what a CI shows of a night, and that no text from outside can break or steer it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from devbench.analysis.compare import Pair, compare_all
from devbench.analysis.explain import Cause, Explanation
from devbench.errors import EnvironmentProblem, InputError
from devbench.findings.comparison import ComparedRow, ComparedRuns, ComparisonReport
from devbench.findings.night import NightResult
from devbench.findings.run_build import build_report
from devbench.notices import Notice, NoticeKind
from devbench.results.counting import JobView, RunView
from devbench.results.records import BinaryRecord, DeviceRecord, JobRecord, ModelRecord, RepetitionRecord, RunRecord
from devbench.sections.night import night_sentence
from tests.made.night_forms import night_junit, night_lines, night_message, night_summary

_REGRESSED = "1 regression: unet with GPU on unet takes 1.10 ms instead of 1.00 ms (+10 %)"
NOW = datetime(2026, 11, 26, 2, tzinfo=timezone.utc)
HOSTILE = "<script>&\"'\x00\x1b[31m\u202e]]>\ufffe\ud800*_`|<!channel>"
# What Jenkins' junit-10.xsd allows below what, and the attributes that it requires.
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testsuite", "properties", "testcase", "system-out", "system-err"},
    "properties": {"property"},
    "testcase": {"skipped", "error", "failure", "system-out", "system-err"},
}
NEEDS = {
    "testsuite": {"name", "tests", "failures", "errors"},
    "testcase": {"name"},
    "property": {"name", "value"},
}
MAY = {
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "time", "skipped", "timestamp"},
    "testcase": {"name", "time", "classname"},
    "failure": {"type", "message"},
    "error": {"type", "message"},
    "property": {"name", "value"},
}


def _repetition(index: int, failed: bool, message: str) -> RepetitionRecord:
    return RepetitionRecord(
        run_id="r", job_number=1, index=index, purpose="latency", started_utc=NOW, finished_utc=NOW, duration_s=1.25,
        argv=(), status="failed" if failed else "ok", failure_kind="crash" if failed else None,
        failure_message=message if failed else None, exit_code=0, raw_path="r/x", measurement={},
        latency_avg_us=None if failed else 1000.0 + index, verdict="valid",
    )  # fmt: skip


def night(
    name: str = "unet", *, failed: bool = False, change: float = 1.0, noise: float = 0.001, **changes: Any
) -> NightResult:
    """A night of one job, compared with one whose latency is `1 / change` of its own."""
    device = DeviceRecord("KEY", "SERIAL", name, False, "phone", {})
    binary = BinaryRecord("b" * 64, "benchmark_model", "2.1", "arm64-v8a", "stock", "tflite")
    job = JobRecord("r", 1, device, ModelRecord("a" * 64, name, 1), binary, "gpu", name, None, "any", {})
    repetitions = tuple(_repetition(index, failed and index == 0, name) for index in range(5))
    view = RunView(
        RunRecord("r", NOW, "devbench", "1", "host", {}, {name: name}), "done", NOW, (JobView(job, repetitions),)
    )
    values = [1.0 + noise * step for step in (0, 1, 2, -1, 0)]
    (verdict,) = compare_all([Pair("k", "latency", values, [value * change for value in values])])
    cause = Cause("slower", name, 1.0, 1.5, 0.5, 1.0)
    row = ComparedRow(
        "KEY", name, False, f"{name} · gpu", name, "gpu", None, "latency", "ms", "", verdict,
        Explanation(causes=(cause,), change_ms=0.5, unexplained_ms=0.1) if verdict.verdict == "regressed" else None,
    )  # fmt: skip
    runs = ComparedRuns(name, ("q",), NOW, NOW, {})
    comparison = ComparisonReport(
        baseline=runs, candidate=replace(runs, title="tonight"), rows=(row,), failures=(), fixed=(), one_sided=(),
        drifts=(), notices=(Notice(NoticeKind.OPEN_SHAPES, name, name),), medians=False, virtual=False,
    )  # fmt: skip
    return NightResult(name, "2026-11-25", build_report(view), comparison, **changes)


def _checked(result: NightResult) -> ElementTree.Element:
    root = ElementTree.fromstring(night_junit(result))
    for element in root.iter():
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
        assert NEEDS.get(element.tag, set()) <= set(element.attrib) <= MAY.get(element.tag, set())
        if "time" in element.attrib:
            assert float(element.attrib["time"]) >= 0
    return root


def test_a_job_is_a_test_case() -> None:
    root = _checked(night())
    (case,) = root.iter("testcase")
    assert case.attrib == {"name": "unet · unet", "classname": "unet.unet", "time": "6.250"}
    assert case.find("failure") is None
    assert "latency 1.00 ms" in str(case.findtext("system-out"))
    assert (root.get("tests"), root.get("failures"), root.get("errors"), root.get("time")) == ("1", "0", "0", "6.250")


def test_a_failed_job_fails_with_the_tool_s_own_line() -> None:
    result = night(failed=True)
    (failure,) = _checked(result).iter("failure")
    assert (failure.get("type"), failure.get("message")) == ("crash", "crash (1×): unet")
    assert (result.exit_code, night_sentence(result)) == (1, "1 failed job; No regressions against unet (1 case)")


def test_a_regression_fails_with_its_explanation() -> None:
    result = night(change=1.1)
    (failure,) = _checked(result).iter("failure")
    assert failure.get("type") == "regression"
    assert str(failure.get("message")).startswith("latency 1.00 ms → 1.10 ms, +10.0 % (")
    assert "unet slower: 1.00 → 1.50 ms (+0.500 ms)" in str(failure.text)
    assert "not explained by the profile: +0.100 ms" in str(failure.text)
    assert (result.exit_code, night_sentence(result)) == (1, _REGRESSED)


def test_a_failure_begins_with_the_latency_whatever_changed_most() -> None:
    result = night(change=1.1)
    assert result.comparison is not None
    (row,) = result.comparison.rows
    (larger,) = compare_all([Pair("k", "init", [1.0, 1.001, 1.002], [1.8, 1.801, 1.802])])
    rows = (replace(row, metric="init", comparison=larger), row)
    (failure,) = _checked(replace(result, comparison=replace(result.comparison, rows=rows))).iter("failure")
    assert str(failure.get("message")).startswith("latency 1.00 ms → 1.10 ms")
    assert "init 1.00 ms → 1.80 ms" in str(failure.text)


def test_what_is_undecided_is_said_and_fails_nothing() -> None:
    result = night(change=1.008, noise=0.02)
    root = _checked(result)
    assert root.get("failures") == "0"
    assert "no verdict: latency" in str(root.findtext(".//system-out"))
    assert result.exit_code == 0


def test_a_missing_device_is_an_error_and_a_failed_job_counts_for_more() -> None:
    absent = {"R5": EnvironmentProblem("R5 is not connected")}
    result = night(absent=absent)
    (error,) = _checked(result).iter("error")
    assert error.get("message") == "R5 is not connected"
    assert (result.exit_code, night_sentence(result)) == (3, "No regressions against unet (1 case); 1 device missing")
    assert night(absent=absent, failed=True).exit_code == 1
    assert night(absent={"R5": InputError("no such binary")}).exit_code == 2
    assert _checked(NightResult("s", "2026-11-25", absent=absent)).get("errors") == "1"


@pytest.mark.parametrize("changes", [{"failed": True}, {"change": 1.2}, {"absent": {HOSTILE: InputError(HOSTILE)}}])
def test_hostile_text_is_text(changes: dict[str, Any], tmp_path: Path) -> None:
    result = night(HOSTILE, **changes)
    _checked(result)
    (tmp_path / "junit.xml").write_text(night_junit(result), "utf-8")
    ElementTree.parse(tmp_path / "junit.xml")
    markdown, chat = night_summary(result), night_message(result)
    for text in (markdown, chat, "\n".join(night_lines(result))):
        assert not set(text) & {"\x00", "\x1b", "\u202e"}
    assert "<script>" not in markdown.replace("\\<script\\>", "")
    assert "<" not in chat
    for text in (markdown, chat):
        text.encode("utf-8")


def test_the_message_is_short_and_says_where_the_report_is() -> None:
    text = night_message(night(change=1.1), "https://ci/1")
    assert text.splitlines()[0] == f"❌ *{_REGRESSED}*"
    assert text.splitlines()[-1] == "<https://ci/1|Report>"
