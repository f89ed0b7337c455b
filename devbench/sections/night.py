"""What is shown of a night, and in which order: its findings as lines, its jobs as cases of a test; knows no form."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from devbench.findings.comparison import CaseFailure, CaseOnDevice, ComparedRow
from devbench.findings.night import NightResult, has_failed, job_key
from devbench.findings.run import JobReport
from devbench.notices import Effect
from devbench.sections.changes import changes_data
from devbench.sections.changes_cells import changes_lines
from devbench.sections.comparison import comparison_data
from devbench.sections.comparison_cells import (
    explanation_words,
    failure_words,
    open_words,
    row_words,
    small_words,
    summary_words,
)
from devbench.sections.document import (
    JUNIT,
    NIGHT,
    CheckedJob,
    Document,
    Facts,
    Fault,
    Kind,
    Line,
    Lines,
    Part,
    Section,
    SectionOf,
    sections_for,
)
from devbench.sections.figures import interval, ms
from devbench.sections.notices import KINDS, notice_data, notice_lines
from devbench.sections.tables import Form

# Of what is undecided, so many lines a job.
_MAX_UNDECIDED = 20


def night_document(result: NightResult, form: Form, kinds: Sequence[SectionOf[NightResult]] | None = None) -> Document:
    """The night as a form shows it."""
    kind: Kind = "bad" if result.exit_code else "warn" if result.undecided else "good"
    lines = tuple(Line(one.text_and_step, KINDS[one.effect], one.subject) for one in notice_lines(result))
    return Document(
        f"{result.suite} · {result.night}",
        result.headline,
        kind,
        head=_properties(result) if form == "junit" else _head(result),
        notices=(Lines(lines, "notices"),) if lines else (),
        sections=sections_for(form, result, SECTIONS if kinds is None else kinds),
        data=_data(result) if form == "json" else {},
    )


def _head(result: NightResult) -> tuple[Part, ...]:
    lines = []
    if result.report is not None:
        devices = ", ".join(device.title for device in result.report.devices)
        lines.append(Line(f"Run {result.report.run_id} on {devices}."))
    if result.comparison is not None:
        lines.append(Line(f"Compared with {result.comparison.baseline.title}: {summary_words(result.comparison)}."))
    return tuple(lines)


def _findings(result: NightResult) -> Iterator[Section]:
    """What a reader has to know, each with its lines."""

    def on_case(case: CaseOnDevice, *words: str) -> Line:
        return Line("; ".join(words), subject=f"{case.device} · {case.case}")

    failed = []
    for job in result.failed:
        why = "; ".join(f"{kind} ({count}×): {message}" for kind, message, count in job.failures) or "not run"
        failed.append(Line(why, subject=f"{job.job.device.title} · {job.subject} · {job.title}"))
    absent = {name: Line(str(error), subject=name) for name, error in result.absent.items()}
    compared, changes = result.comparison, result.changes
    found = {
        "Regressions": [on_case(row, row_words(row), *explanation_words(row)) for row in result.regressed],
        "Failed jobs": failed,
        "Missing devices": [line for name, line in absent.items() if name not in result.busy],
        "Busy devices": [line for name, line in absent.items() if name in result.busy],
        "Worked before": [on_case(one, failure_words(one)) for one in (compared.failures if compared else ())],
        "Improved": [on_case(row, row_words(row)) for row in (compared.of("improved") if compared else ())],
        "Changed by less than the threshold": [
            on_case(row, row_words(row)) for row in (compared.small if compared else ())
        ],
        "Changes over the nights": [Line(words) for words in (changes_lines(changes) if changes else ())],
    }
    for title, lines in found.items():
        yield Section(title.lower().replace(" ", "-"), title, (Lines(tuple(lines), "in the report"),) if lines else ())


# -- cases of a test --------------------------------------------------------------------------------------------------


def _properties(result: NightResult) -> tuple[Part, ...]:
    report = result.report
    if report is None:
        return ()
    known = {"run": report.run_id, "night": result.night, **report.labels}
    known |= {"virtual": report.virtual_note} if report.virtual else {}
    return (Facts((("timestamp", f"{report.started_utc:%Y-%m-%dT%H:%M:%S}"), *known.items())),)


def _cases(result: NightResult) -> Iterator[Section]:
    """Failed and regressed jobs are failures, missing devices errors; jobs without a verdict are skipped."""
    rows: dict[tuple[str, str], list[ComparedRow]] = defaultdict(list)
    newly: dict[tuple[str, str], list[CaseFailure]] = defaultdict(list)
    for row in result.comparison.rows if result.comparison is not None else ():
        rows[row.device_key, row.case].append(row)
    for failure in result.comparison.failures if result.comparison is not None else ():
        newly[failure.device_key, failure.case].append(failure)
    jobs = result.report.jobs if result.report is not None else ()
    cases = [_case(job, rows[job_key(job)], newly[job_key(job)], result) for job in jobs]
    for name, error in result.absent.items():
        kind = "device_busy" if name in result.busy else "device_missing"
        cases.append(CheckedJob("device", f"{result.suite}.{name}", faults=(Fault("error", kind, (str(error),)),)))
    yield Section("cases", result.suite, tuple(cases))


def _case(job: JobReport, rows: Sequence[ComparedRow], newly: Sequence[CaseFailure], result: NightResult) -> CheckedJob:
    failures = [f"{kind} ({count}×): {message}" for kind, message, count in job.failures]
    faults = []
    if has_failed(job) or newly:
        lines = failures + [f"worked in the baseline: {failure_words(failure)}" for failure in newly]
        kind = job.failures[0][0] if job.failures else "not_run"
        faults.append(Fault("failure", kind, tuple(lines or ["no repetition was made"])))
    regressed = [row for row in rows if row.comparison.verdict == "regressed"]
    if regressed:
        found = tuple(line for row in regressed for line in (row_words(row), *explanation_words(row)))
        faults.append(Fault("failure", "regression", found))
    unknown = [row.comparison.reason for row in rows if row.comparison.reason and row.metric == "latency"]
    if not rows:
        unknown += [one.text for one in job.notices if one.effect is Effect.UNDECIDED]
    return CheckedJob(
        f"{job.subject} · {job.title}",
        f"{result.suite}.{job.job.device.title}",
        sum(repetition.duration_s for repetition in job.repetitions),
        tuple(faults),
        f"no verdict: {unknown[0]}" if unknown and not faults else "",
        tuple(_output(job, rows, () if has_failed(job) else failures, result)),
    )


def _output(job: JobReport, rows: Sequence[ComparedRow], failures: Sequence[str], result: NightResult) -> Iterator[str]:
    if job.latency is not None:
        between = f" ({interval(job.latency)})" if interval(job.latency) else ""
        yield f"latency {ms(job.latency.median)} ms{between} of {job.latency.n} processes"
    yield from (one.text for one in job.notices if one.job_number is not None)
    yield from failures
    yield from (small_words(row) for row in rows if row.comparison.small)
    report = result.comparison
    undecided = [open_words(row, report) for row in rows if report and row.comparison.verdict == "undecided"]
    yield from undecided[:_MAX_UNDECIDED]
    if len(undecided) > _MAX_UNDECIDED:
        yield f"{len(undecided) - _MAX_UNDECIDED} more undecided"


SECTIONS: tuple[SectionOf[NightResult], ...] = (SectionOf(_findings, NIGHT), SectionOf(_cases, JUNIT))


# -- JSON -------------------------------------------------------------------------------------------------------------


def _data(result: NightResult) -> dict[str, Any]:
    """The night by the keys of docs/nightly.md; what was measured is in the store by `run_id`."""
    report = result.report
    return {
        **{name: getattr(result, name) for name in ("suite", "night", "due", "exit_code", "headline")},
        "run_id": None if report is None else report.run_id,
        "virtual": report is not None and report.virtual,
        "report": None if result.folder is None else str(result.folder / "report.html"),
        "notices": notice_data(result.notices),
        "missing": {name: str(error) for name, error in result.absent.items()},
        "failed": [
            {
                "device_key": job.job.device.key,
                "device": job.job.device.title,
                "model": job.job.model.name,
                "case": job_key(job)[1],
                "delegate": job.job.delegate,
                "threads": job.job.threads,
                "failures": [{"kind": kind, "message": text, "count": count} for kind, text, count in job.failures],
            }
            for job in result.failed
        ],
        "comparison": None if result.comparison is None else comparison_data(result.comparison),
        "changes": None if result.changes is None else changes_data(result.changes),
    }
