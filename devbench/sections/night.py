"""Makes the document of a night: its findings as lines, its jobs as cases of a test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from devbench.findings.choice import choices
from devbench.findings.comparison import CaseFailure, ComparedRow
from devbench.findings.night import NightResult, job_key
from devbench.findings.run import JobReport
from devbench.grouped import grouped
from devbench.sections.answer import answer, latency_table, matrix, short_titles
from devbench.sections.changes import changes_data, changes_lines
from devbench.sections.comparison import comparison_data, counts, decided, sentence_kind
from devbench.sections.comparison_cells import (
    case_words,
    explanation_words,
    failure_words,
    open_words,
    row_words,
    sentence,
    signed,
)
from devbench.sections.document import (
    JUNIT,
    NIGHT,
    CheckedJob,
    Document,
    Facts,
    Fault,
    Fold,
    Kind,
    Line,
    Lines,
    Part,
    Section,
    SectionOf,
    sections_for,
)
from devbench.sections.figures import interval, metric_words, ms
from devbench.sections.notices import notice_data, notice_parts
from devbench.sections.tables import MARKDOWN, TEXT, Form

# The largest number of lines about undecided checks per job.
_MAX_UNDECIDED = 20
_MAX_CAUSES = 2


def night_sentence(result: NightResult) -> str:
    """Return the night in one sentence: changes or the best delegate; failures, missing devices, missing verdicts."""
    failed = len([job for job in result.failed if job_key(job) not in _newly(result)])
    parts = [f"{failed} failed job{'' if failed == 1 else 's'}"] if failed else []
    if result.comparison is not None:
        parts.append(sentence(result.comparison))
    elif result.report is not None:
        parts.append(answer(choices(result.report)))
    new = len(result.unjudged)
    worse = sum(one.worse for one in result.changes.told) if result.changes is not None else 0
    counted = (
        (len(result.absent) - len(result.busy), "device", " missing"),
        (len(result.busy), "device", " busy"),
        (new if result.comparison is not None else 0, "new case", " not judged"),
        (worse, "change", " for the worse over the nights"),
    )
    parts += [f"{count} {what}{'' if count == 1 else 's'}{state}" for count, what, state in counted if count]
    if result.undecided and not result.without_verdict:
        parts.append("no verdict, see the notices")
    if result.report is not None and result.comparison is None:
        parts.append("nothing to compare with yet")
    return "; ".join(parts) or "Nothing was measured"


def _newly(result: NightResult) -> dict[tuple[str, str], CaseFailure]:
    """Return the cases that worked and now fail, by device and case."""
    failures = result.comparison.failures if result.comparison is not None else ()
    return {one.key: one for one in failures}


def night_kind(result: NightResult) -> Kind:
    """Return whether the night is good or bad; "good" only if everything has a verdict."""
    if result.exit_code:
        return "bad"
    if result.undecided or result.unjudged or result.report is None:
        return "warn"
    if result.comparison is not None:
        return sentence_kind(result.comparison)
    poor = {one.reason for one in choices(result.report)} & {"few", "unreliable", "failed", "rival"}
    return "warn" if poor else "good"


def night_document(result: NightResult, form: Form, kinds: Sequence[SectionOf[NightResult]] | None = None) -> Document:
    """Return the night as a form shows it."""
    return Document(
        f"{result.suite} · {result.night}",
        night_sentence(result),
        night_kind(result),
        head=_properties(result) if form == "junit" else _head(result),
        lead=() if result.comparison is None else (counts(result.comparison),),
        notices=notice_parts(form, result),
        sections=sections_for(form, result, SECTIONS if kinds is None else kinds),
        data=_data(result) if form == "json" else {},
    )


def _head(result: NightResult) -> tuple[Part, ...]:
    words = f"Nightly “{result.suite}”, {result.night}"
    if result.comparison is not None:
        words += f", compared with {result.comparison.baseline.title}"
    if result.report is not None:
        words += f" · run {result.report.run_id}"
    return (Line(words, "soft"),)


def _changed(result: NightResult) -> Iterator[Section]:
    if result.comparison is not None:
        yield from decided(result.comparison)


def _latency_first(rows: Sequence[ComparedRow]) -> list[ComparedRow]:
    return sorted(rows, key=lambda row: row.metric != "latency")


def _regressions(result: NightResult) -> Iterator[Section]:
    """Yield a line for each regressed case: its latency if that regressed, other metrics, and the first causes."""
    rows = grouped((row.key, row) for row in result.regressed)
    titles = short_titles(dict.fromkeys(result.device_titles.values()))
    lines = []
    for those in rows.values():
        first, *others = _latency_first(those)
        words = [row_words(first), *explanation_words(first)[:_MAX_CAUSES]]
        words += [
            f"also {metric_words(row.metric, row.operator_type)} {signed(row.comparison.change, row.unit)}"
            for row in others
        ]
        lines.append(Line("; ".join(words), subject=case_words(first, titles)))
    yield Section("regressions", "Regressions", (Lines(tuple(lines), "in the report"),) if lines else ())


def _findings(result: NightResult) -> Iterator[Section]:
    """Yield sections of further information."""
    failed, newly = [], _newly(result)
    for job in result.failed:
        worked = "; it worked before" if newly.pop(job_key(job), None) else ""
        why = "; ".join(f"{kind} ({count}×): {message}" for kind, message, count in job.failures) or "not run"
        failed.append(Line(why + worked, subject=f"{job.job.device.title} · {job.subject} · {job.title}"))
    absent = {name: Line(str(error), subject=name) for name, error in result.absent.items()}
    found = {
        "Failed jobs": failed,
        "Missing devices": [line for name, line in absent.items() if name not in result.busy],
        "Busy devices": [line for name, line in absent.items() if name in result.busy],
        "Worked before": [Line(failure_words(one), subject=f"{one.device} · {one.case}") for one in newly.values()],
        "Changes over the nights": [Line(words) for words in (changes_lines(result.changes) if result.changes else ())],
    }
    for title, lines in found.items():
        yield Section(title.lower().replace(" ", "-"), title, (Lines(tuple(lines), "in the report"),) if lines else ())


def _best(result: NightResult) -> Iterator[Section]:
    """Yield the best delegates, and below them all latencies, folded."""
    found = choices(result.report, result.comparison) if result.report is not None else ()
    if not found:
        return
    yield Section("best", "Best delegate", (matrix(found),))
    latencies = latency_table(found)
    fold = Fold(f"{latencies.caption}", lambda: (latencies,), forms=MARKDOWN)
    yield Section("latencies", "", (fold,))


# -- cases of a test --------------------------------------------------------------------------------------------------


def _properties(result: NightResult) -> tuple[Part, ...]:
    report = result.report
    if report is None:
        return ()
    known = {"result": night_sentence(result), "run": report.run_id, "night": result.night, **report.labels}
    known |= {"virtual": report.virtual_note} if report.virtual else {}
    return (Facts((("timestamp", f"{report.started_utc:%Y-%m-%dT%H:%M:%S}"), *known.items())),)


def _cases(result: NightResult) -> Iterator[Section]:
    """Yield test cases:

    failed and regressed jobs are failures, missing devices errors; jobs without a verdict skipped.
    """
    rows = grouped((row.key, row) for row in (result.comparison.rows if result.comparison is not None else ()))
    newly, outcomes = _newly(result), result.comparison.cases if result.comparison is not None else {}
    jobs = result.report.jobs if result.report is not None else ()
    cases = [
        _case(job, rows.get(key, ()), newly.get(key), outcomes.get(key, ""), result)
        for job in jobs
        for key in [job_key(job)]
    ]
    for name, error in result.absent.items():
        kind = "device_busy" if name in result.busy else "device_missing"
        cases.append(CheckedJob("device", f"{result.suite}.{name}", faults=(Fault("error", kind, (str(error),)),)))
    yield Section("cases", result.suite, tuple(cases))


def _case(
    job: JobReport, rows: Sequence[ComparedRow], newly: CaseFailure | None, outcome: str, result: NightResult
) -> CheckedJob:
    failures = [f"{kind} ({count}×): {message}" for kind, message, count in job.failures]
    faults = []
    if job.failed or newly:
        lines = failures + ([f"worked in the baseline: {failure_words(newly)}"] if newly else [])
        kind = job.failures[0][0] if job.failures else "not_run"
        faults.append(Fault("failure", kind, tuple(lines or ["no repetition was made"])))
    regressed = _latency_first([row for row in rows if row.comparison.verdict == "regressed"])
    if regressed:
        found = tuple(line for row in regressed for line in (row_words(row), *explanation_words(row)))
        faults.append(Fault("failure", "regression", found))
    unknown = [row.comparison.reason for row in rows if row.comparison.reason and row.metric == "latency"]
    if not unknown and (not rows or outcome == "not judged"):
        unknown += [one.text for one in job.limits]
        unknown += ["too few processes on one of the sides"] if rows else []
    return CheckedJob(
        f"{job.subject} · {job.title}",
        f"{result.suite}.{job.job.device.title}",
        sum(repetition.duration_s for repetition in job.repetitions),
        tuple(faults),
        f"no verdict: {unknown[0]}" if unknown and not faults else "",
        tuple(_output(job, rows, () if job.failed else failures, result)),
    )


def _output(job: JobReport, rows: Sequence[ComparedRow], failures: Sequence[str], result: NightResult) -> Iterator[str]:
    if job.latency is not None:
        between = f" ({interval(job.latency)})" if interval(job.latency) else ""
        yield f"latency {ms(job.latency.median)} ms{between} of {job.latency.n} processes"
    yield from (one.text for one in job.notices if one.job_number is not None)
    yield from failures
    report = result.comparison
    undecided = [open_words(row, report) for row in rows if report and row.comparison.verdict == "undecided"]
    yield from undecided[:_MAX_UNDECIDED]
    if len(undecided) > _MAX_UNDECIDED:
        yield f"{len(undecided) - _MAX_UNDECIDED} more undecided"


SECTIONS: tuple[SectionOf[NightResult], ...] = (
    SectionOf(_changed, TEXT), SectionOf(_regressions, frozenset(["message"])), SectionOf(_findings, NIGHT),
    SectionOf(_best, TEXT), SectionOf(_cases, JUNIT),
)  # fmt: skip


# -- JSON -------------------------------------------------------------------------------------------------------------


def _data(result: NightResult) -> dict[str, Any]:
    """Return the night by the keys of docs/nightly.md; what was measured is in the store by `run_id`."""
    report = result.report
    return {
        **{name: getattr(result, name) for name in ("suite", "night", "due", "exit_code")},
        "headline": night_sentence(result),
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
