"""A night as JUnit XML, which every CI shows: a test case a job. Knows no store.

The form is that of Jenkins' schema (junit-10.xsd, which Gradle, GitLab and GitHub's viewers read too). XML cannot hold
most control characters, not even escaped; what a device says may hold any.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from devbench.findings.night import has_failed, job_key
from devbench.forms.notices import line_notices
from devbench.notices import Effect
from devbench.sections.comparison_words import explanation_words, failure_words, open_words, row_words, small_words
from devbench.sections.notices import notice_lines
from devbench.sections.words import interval, ms
from devbench.text import clean
from devbench.whole_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from devbench.errors import DevbenchError
    from devbench.findings.comparison import CaseOnDevice, ComparedRow, Failure
    from devbench.findings.night import NightResult
    from devbench.findings.run import JobReport

# What XML 1.0 has no way to write (its production 2, Char); lone surrogates are no text at all.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Of what is undecided, so many lines a job.
_MOST_LINES = 20

# Device and case.
Key = tuple[str, str]


def write_junit(result: NightResult, path: Path) -> None:
    """Write the file whole or not at all.

    Raises:
        EnvironmentProblem: it cannot be written.
    """
    text = render_junit(result)
    write_whole(path, lambda file: file.write(text))


def render_junit(result: NightResult) -> str:
    """The XML: failed and regressed jobs as failures, missing devices as errors, jobs without a verdict as skipped."""
    rows: dict[Key, list[ComparedRow]] = defaultdict(list)
    newly: dict[Key, list[Failure]] = defaultdict(list)
    if result.comparison is not None:
        for row in result.comparison.rows:
            rows[_key(row)].append(row)
        for failure in result.comparison.failures:
            newly[_key(failure)].append(failure)
    jobs = result.report.jobs if result.report is not None else ()
    cases = [_job(job, rows[job_key(job)], newly[job_key(job)], result) for job in jobs]
    cases += [_absent(name, error, result) for name, error in result.absent.items()]
    failures = sum(case.find("failure") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    counts = {"tests": str(len(cases)), "failures": str(failures), "errors": str(len(result.absent))}
    seconds = sum(float(case.get("time", "0")) for case in cases)
    counts["time"] = f"{seconds:.3f}"
    suites = ElementTree.Element("testsuites", {"name": "devbench nightly", **counts})
    suite = ElementTree.SubElement(
        suites, "testsuite", {"name": _line(result.suite), "skipped": str(skipped), **counts}
    )
    if result.report is not None:
        suite.set("timestamp", f"{result.report.started_utc:%Y-%m-%dT%H:%M:%S}")
        properties = ElementTree.SubElement(suite, "properties")
        known = {"run": result.report.run_id, "night": result.night, **result.report.labels}
        if result.report.virtual:
            known["virtual"] = result.report.virtual_note
        for name, value in known.items():
            ElementTree.SubElement(properties, "property", name=_line(name), value=_line(value))
    suite.extend(cases)
    if notices := line_notices(notice_lines(result)):
        ElementTree.SubElement(suite, "system-out").text = _text(notices)
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, "unicode") + "\n"


def _key(row: CaseOnDevice) -> Key:
    return row.device_key, row.case


def _job(
    job: JobReport, rows: Sequence[ComparedRow], newly: Sequence[Failure], result: NightResult
) -> ElementTree.Element:
    seconds = sum(repetition.duration_s for repetition in job.repetitions)
    case = ElementTree.Element(
        "testcase",
        name=_line(f"{job.subject} · {job.title}"),
        classname=_line(f"{result.suite}.{job.job.device.title}"),
        time=f"{seconds:.3f}",
    )
    failures = [f"{kind} ({count}×): {message}" for kind, message, count in job.failures]
    lines = failures + [f"worked in the baseline: {failure_words(failure)}" for failure in newly]
    kind = job.failures[0][0] if job.failures else "not_run"
    if has_failed(job) or newly:
        _fail(case, "failure", kind, lines or ["no repetition was made"])
    regressed = [row for row in rows if row.comparison.verdict == "regressed"]
    if regressed:
        found = [line for row in regressed for line in (row_words(row), *explanation_words(row))]
        _fail(case, "failure", "regression", found)
    unknown = [row.comparison.reason for row in rows if row.comparison.reason and row.metric == "latency"]
    if not rows:
        unknown += [one.text for one in job.notices if one.effect is Effect.UNDECIDED]
    if unknown and case.find("failure") is None:
        ElementTree.SubElement(case, "skipped", message=_line(f"no verdict: {unknown[0]}"))
    said = []
    if job.latency is not None:
        between = f" ({interval(job.latency)})" if interval(job.latency) else ""
        said.append(f"latency {ms(job.latency.median)} ms{between} of {job.latency.n} processes")
    said += [one.text for one in job.notices if one.job_number is not None]
    said += [] if has_failed(job) else failures
    report = result.comparison
    said += [small_words(row) for row in rows if row.comparison.small]
    undecided = [open_words(row, report) for row in rows if report and row.comparison.verdict == "undecided"]
    said += undecided[:_MOST_LINES]
    if len(undecided) > _MOST_LINES:
        said.append(f"{len(undecided) - _MOST_LINES} more undecided")
    if said:
        ElementTree.SubElement(case, "system-out").text = _text(said)
    return case


def _absent(name: str, why: DevbenchError, result: NightResult) -> ElementTree.Element:
    case = ElementTree.Element("testcase", name="device", classname=_line(f"{result.suite}.{name}"), time="0.000")
    _fail(case, "error", "device_busy" if name in result.busy else "device_missing", [str(why)])
    return case


def _fail(case: ElementTree.Element, tag: str, kind: str, lines: Sequence[str]) -> None:
    ElementTree.SubElement(case, tag, type=_line(kind), message=_line(lines[0])).text = _text(lines)


def _line(text: str) -> str:
    return _NOT_XML.sub("", clean(text))


def _text(lines: Sequence[str]) -> str:
    return "\n".join(_line(line) for line in lines)
