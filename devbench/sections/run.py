"""Makes the document of a run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from devbench.analysis.operators import TypeTotal
from devbench.findings.choice import choices, winner_of
from devbench.findings.run import MEMORY_NOTE, JobReport
from devbench.sections.answer import answer, matrix
from devbench.sections.document import (
    Document,
    Facts,
    Image,
    Kind,
    Line,
    Lines,
    Part,
    Section,
    SectionOf,
    parts_for,
    sections_for,
)
from devbench.sections.figures import (
    coverage_note,
    failed_words,
    fallback_words,
    interval,
    ms,
    percent,
    spread_words,
    startup_words,
)
from devbench.sections.notices import notice_parts
from devbench.sections.run_page import PAGE_SECTIONS, figure_columns, median
from devbench.sections.subjects import RunSubject
from devbench.sections.tables import MARKDOWN, PAGE, TERMINAL, TEXT, Cell, Column, Form, Table, table

_MAX_TYPES = 10
_MAX_REASONS = 20


def run_document(
    subject: RunSubject,
    form: Form,
    kinds: Sequence[SectionOf[RunSubject]] | None = None,
    images: Sequence[tuple[str, str, str]] = (),
) -> Document:
    """Return the run as a form shows it; `images` are charts by title, file and note."""
    report = subject.report
    found = choices(report)
    ended = report.status + (f" ({report.end_reason})" if report.end_reason else "")
    end = f" to {report.finished_utc:%H:%M:%S}" if report.finished_utc else ""
    when = f"Run {report.run_id} · {report.started_utc:%Y-%m-%d %H:%M:%S}{end} UTC · {ended}"
    head: list[Part] = [Line(f"{when} · devbench {report.devbench_version}", "soft", forms=PAGE | MARKDOWN)]
    head += [Facts(tuple(report.labels.items()), forms=MARKDOWN)] if report.labels else []
    head += [Image(*image) for image in images]
    headline, kind, lead = answer(found), "", list[Part]()
    if subject.comparison is not None:
        from devbench.sections import comparison
        from devbench.sections.comparison_cells import sentence

        lead.append(Line(headline))
        headline, kind = sentence(subject.comparison), comparison.sentence_kind(subject.comparison)
        lead.append(comparison.counts(subject.comparison))
    if len(found) > 1:
        lead.append(matrix(found, TEXT))
    elif found and not subject.operators:
        lead.append(replace(_latencies(report.jobs), forms=TEXT))
    return Document(
        f"Run {report.run_id}",
        headline,
        kind,  # type: ignore[arg-type]
        parts_for(form, head),
        parts_for(form, lead),
        notice_parts(form, subject.comparison, report, subject.changes, subject.pipelines),
        sections_for(form, subject, SECTIONS if kinds is None else kinds),
    )


def _groups(subject: RunSubject) -> Iterator[Section]:
    """Yield tables of the jobs of one model on one device. With several models, the table above has all jobs."""
    groups = subject.report.groups
    listed = TEXT if len(groups) == 1 or subject.operators else MARKDOWN
    for number, (model, device, jobs) in enumerate(groups, start=1):
        alone = len(groups) == 1 and not subject.operators
        parts: list[Part] = [] if alone else [replace(_latencies(jobs), forms=listed)]
        parts += [replace(line, forms=line.forms & listed) for job in jobs for line in _job(job, subject.operators)]
        profiled = [job for job in jobs if job.by_type and subject.operators]
        parts += [_operators(profiled), *map(_operators_of, profiled)] if profiled else []
        yield Section(f"group-{number}", f"{model} on {device.title}", tuple(parts))


def _job(job: JobReport, details: bool) -> Iterator[Line]:
    for failure in job.failures:
        yield Line(failed_words(*failure), "bad", job.title)
    if details and spread_words(job):
        yield Line(spread_words(job), "soft", job.title)
    if words := fallback_words(job):
        yield Line(words, "soft", job.title)
    reasons = dict.fromkeys(f"{op.type}: {why}" for op in job.fallback for why in op.reasons if why)
    yield from (Line(reason, "below", forms=MARKDOWN) for reason in list(reasons)[:_MAX_REASONS])


def _failures(subject: RunSubject) -> Iterator[Section]:
    """Yield what failed, if the cases are not listed one by one."""
    groups = subject.report.groups
    if len(groups) > 1 and not subject.operators:
        lines = [
            Line(failed_words(*failure), "bad", f"{model} with {job.title} on {device.title}")
            for model, device, jobs in groups
            for job in jobs
            for failure in job.failures
        ]
        yield Section("failures", "", (Lines(tuple(lines), "failures", limited=False),) if lines else ())


def _latencies(jobs: Sequence[JobReport]) -> Table:
    best = winner_of(jobs)
    plain = [job.latency.median for job in jobs if job.job.delegate == "cpu" and job.latency and not job.excluded]

    def latency(job: JobReport) -> Cell:
        """Return the median; it is marked if all its processes are unreliable."""
        if job.latency is None:
            return Cell("–")
        return Cell(ms(job.latency.median), kind="unreliable" if job.all_unreliable else "best" if job is best else "")

    def gain(job: JobReport) -> str:
        known = plain and job.latency and job.latency.median and not job.excluded
        return f"{min(plain) / job.latency.median:.2f}" if known and job.latency else ""

    columns: tuple[Column[JobReport], ...] = (
        Column("delegate", lambda job: job.job.delegate_title, forms=TERMINAL),
        Column("delegate", lambda job: job.title, forms=MARKDOWN),
        Column("threads", lambda job: job.threads or "default", True, only_if=lambda job: job.threads, forms=TERMINAL),
        Column("latency ms", latency, numeric=True),
        Column("interval", lambda job: interval(job.latency), numeric=True, hidden=5),
        Column("× CPU", gain, numeric=True, hidden=7, only_if=lambda job: len(jobs) > 1 and gain(job)),
        Column("cold init ms", lambda job: median(job.cold.init if job.cold else None), numeric=True, hidden=4,
               only_if=lambda job: job.cold),
        *figure_columns(only_known=True),
        Column("warm-up ms", lambda job: median(job.warm.warmup if job.warm else None), numeric=True, forms=MARKDOWN),
        Column("nodes", lambda job: job.nodes, hidden=3, only_if=lambda job: job.nodes, forms=TERMINAL),
        Column("delegation", lambda job: job.delegation, only_if=lambda job: job.delegation, forms=MARKDOWN),
        Column("outputs", lambda job: Cell(job.output_verdict, kind=_wrong(job.output_verdict == "wrong")),
               only_if=lambda job: job.output_verdict),
        Column("conditions", lambda job: job.conditions, forms=MARKDOWN),
        Column("status", _status, only_if=lambda job: job.status != "ok"),
    )  # fmt: skip
    return table("latencies", "latencies", columns, jobs, notes=tuple(startup_words(jobs)))


def _wrong(wrong: bool) -> Kind:
    return "bad" if wrong else "good"


def _status(job: JobReport) -> Cell:
    if job.status == "ok":
        return Cell("ok", kind="good")
    kinds = ", ".join(dict.fromkeys(kind for kind, _, _ in job.failures))
    if job.status == "failed":
        return Cell(kinds or job.status, kind="bad")
    return Cell(f"{job.status}: {kinds}", kind="warn")


# -- operators --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Type:
    """Operators of one type, by the number of the job: time in ms and count."""

    name: str
    jobs: Mapping[int, tuple[float, int]]
    rest: bool = False


def _operators(jobs: Sequence[JobReport]) -> Table:
    """Return a table of operator types (rows) and delegates (columns), sorted by their highest share."""
    shares: dict[str, float] = {}
    cells: dict[str, dict[int, tuple[float, int]]] = {}
    for k, job in enumerate(jobs):
        for kind in job.by_type:
            shares[kind.type] = max(shares.get(kind.type, 0.0), kind.share)
            total, count = cells.setdefault(kind.type, {}).get(k, (0.0, 0))
            cells[kind.type][k] = (total + kind.total_ms, count + kind.count)
    order = sorted(shares, key=lambda name: -shares[name])
    rows = [_Type(name, cells[name]) for name in order[:_MAX_TYPES]]
    rest = order[_MAX_TYPES:]
    if rest:
        sums = {k: (sum(op.total_ms for op in job.by_type if op.type in rest), 0) for k, job in enumerate(jobs)}
        rows.append(_Type(f"{len(rest)} more types", sums, rest=True))

    def column(k: int, job: JobReport) -> Column[_Type]:
        return Column(job.title, lambda row: _taken(row, row.jobs.get(k)), numeric=True)

    columns: tuple[Column[_Type], ...] = (
        Column("operator type", lambda row: Cell(row.name, kind="soft" if row.rest else "")),
        *(column(k, job) for k, job in enumerate(jobs)),
    )
    title = "Operators by time, ms per inference (profiled processes)"
    return table("types", title, columns, rows, title=title, forms=TERMINAL)


def _taken(row: _Type, taken: tuple[float, int] | None) -> Cell:
    if taken is None:
        return Cell("")
    return Cell(ms(taken[0]), kind="soft") if row.rest else Cell(ms(taken[0]), aside=f"×{taken[1]}")


def _operators_of(job: JobReport) -> Table:
    columns: tuple[Column[TypeTotal], ...] = (
        Column("type", lambda op: op.type),
        Column("ran on", lambda op: op.place),
        Column("operators", lambda op: str(op.count), numeric=True),
        Column("ms", lambda op: ms(op.total_ms), numeric=True),
        Column("share", lambda op: percent(op.share), numeric=True),
    )
    rows, title = job.by_type[:_MAX_TYPES], f"Operators under {job.title}"
    return table("types", title, columns, rows, title=title, forms=MARKDOWN)


# -- the rest ---------------------------------------------------------------------------------------------------------


def _notes(subject: RunSubject) -> Iterator[Section]:
    """Yield notes for all cases: about the devices, the intervals, and where to find more."""
    report = subject.report
    lines = [
        Line(str(note), "soft", device.title)
        for device in report.devices if not device.virtual for note in device.facts.get("notes") or []
    ]  # fmt: skip
    if report.jobs:
        lines.append(Line(f"{coverage_note([job.latency for job in report.jobs])} {MEMORY_NOTE}", "soft"))
    yield Section("notes", "", tuple(lines))


def _next(subject: RunSubject) -> Iterator[Section]:
    """Yield the commands that would decide what is undecided, and those that show more."""
    report, found = subject.report, choices(subject.report)
    commands = [("report", f"devbench report {report.run_id} --open")]
    again = report.command.startswith("devbench run ") and not re.search(
        r" --(suite|pipeline|resume)\b", report.command
    )
    more = [one.more + max(job.latency.n for job in one.measured if job.latency) for one in found if one.more]
    if again and more:
        commands.append(("decide", f"{report.command} --repetitions {max(more)}"))
    elif again and any(job.all_unreliable for job in report.jobs):
        commands.append(("repeat", report.command))
    if any(job.by_type for job in report.jobs) and not subject.operators:
        commands.append(("details", f"devbench show {report.run_id} --operators"))
    yield Section("next", "Next", (Facts(tuple(commands)),))


SECTIONS: tuple[SectionOf[RunSubject], ...] = (
    SectionOf(_failures, TERMINAL), SectionOf(_groups, TEXT), *PAGE_SECTIONS, SectionOf(_notes, TEXT),
    SectionOf(_next, TERMINAL),
)  # fmt: skip
