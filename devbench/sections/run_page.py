"""Makes the sections of a run's page with their tables. Details of jobs are in `run_job`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from devbench.analysis.operators import TypeTotal
from devbench.analysis.stats import Estimate
from devbench.findings.choice import choices, winner_of
from devbench.findings.run import MEMORY_NOTE, FallenBack, JobReport, ReportData, StartUp
from devbench.metrics import METRICS
from devbench.notices import Effect
from devbench.sections.answer import page_matrix, processes_words
from devbench.sections.document import (
    Charts,
    Facts,
    Fold,
    Folds,
    Heading,
    Line,
    Part,
    Section,
    SectionOf,
)
from devbench.sections.figures import (
    coverage_note,
    failed_words,
    figure,
    interval,
    job_figures,
    mb,
    ms,
    percent,
    rough_percent,
    spread_percent,
)
from devbench.sections.row_charts import job_charts
from devbench.sections.run_job import job_fold
from devbench.sections.subjects import RunSubject
from devbench.sections.tables import LONG, PAGE, Cell, Column, Table, number, table
from devbench.sections.time_charts import condition_charts
from devbench.text import clean

_MAX_TYPES = 12
_STATUS = {"ok": "good", "failed": "bad"}
_JOB: tuple[Column[JobReport], ...] = (
    Column("device", lambda job: job.job.device.title, choose=True),
    Column("model", lambda job: job.subject, choose=True),
    Column("delegate", lambda job: Cell(job.title, link=f"#job-{job.job.number}"), choose=True),
)


def median(value: Estimate | None, kind: str = "") -> Cell:
    """Return the median of an estimate in ms."""
    return Cell(ms(value.median), value.median, kind) if value else Cell("")


def low(value: Estimate | None) -> Cell:
    """Return the interval of an estimate, sorted by its lower end."""
    return Cell(interval(value), value.low if value else None)


def share(value: float | None) -> Cell:
    """Return a share in whole percent."""
    return number(value, rough_percent(value))


def figure_columns(*, only_known: bool = False) -> tuple[Column[JobReport], ...]:
    """Return a column for each metric of the table of jobs; with `only_known` those that any job has."""

    def column(name: str) -> Column[JobReport]:
        return Column(
            METRICS[name].heading,
            lambda job: number(job.figures.get(name), figure(job.figures.get(name), name)),
            numeric=True,
            hidden=METRICS[name].hidden,
            only_if=(lambda job: name in job.figures) if only_known else None,
        )

    return tuple(map(column, job_figures()))


# -- jobs -------------------------------------------------------------------------------------------------------------


def jobs_table(report: ReportData) -> Table:
    """Return a row for each job."""
    best = {id(winner_of(those)) for _, _, those in report.groups}

    def latency(job: JobReport) -> Cell:
        kind = "best" if id(job) in best else "warn" if job.all_unreliable else ""
        text = ("⚠ " if job.all_unreliable else "") + ms(job.latency.median) if job.latency else "–"
        return Cell(text, job.latency.median if job.latency else None, kind)

    columns: tuple[Column[JobReport], ...] = (
        Column("job", lambda job: Cell(str(job.job.number), job.job.number, link=f"#job-{job.job.number}"), True),
        *_JOB,
        Column("latency ms", latency, numeric=True),
        Column("interval", lambda job: low(job.latency), numeric=True),
        Column("processes", lambda job: _count(job.latency.n if job.latency else 0), numeric=True),
        *figure_columns(),
        Column("delegation", lambda job: job.delegation),
        Column("outputs", lambda job: Cell(job.output_verdict, kind="bad" if job.output_verdict == "wrong" else "")),
        Column("status", lambda job: Cell(job.status, kind=_STATUS.get(job.status, "warn")), choose=True),
        Column("warnings", lambda job: Cell(_warning_text(job), kind="bad" if job.failures else "warn"), wide=True),
    )
    return table("jobs", "all jobs; follow a job to its details and raw outputs", columns, report.jobs, LONG)


def _count(value: int) -> Cell:
    return Cell(str(value), value)


def _warning_text(job: JobReport) -> str:
    words = [failed_words(*failure) for failure in job.failures]
    words += [one.text for one in job.notices if one.effect is not Effect.INFORMATION or one.tally]
    return "; ".join(words)


def spread_table(report: ReportData) -> Table:
    """Return the scatter of processes, and of inferences within them; percentiles if the tool printed any."""
    columns: tuple[Column[JobReport], ...] = (
        *_JOB,
        Column("between", lambda job: _spread(job.spread.between_cv_pct), numeric=True),
        Column("robust", lambda job: _spread(job.spread.between_mad_pct), numeric=True),
        Column("within", lambda job: _spread(job.spread.within_pct), numeric=True),
        Column("p50 ms", lambda job: number(job.p50, ms(job.p50)), numeric=True, only_if=_percentiles),
        Column("p95 ms", lambda job: number(job.p95, ms(job.p95)), numeric=True, only_if=_percentiles),
        Column("outliers", lambda job: Cell(str(job.outliers or ""), job.outliers), numeric=True),
    )
    caption = (
        "spread between processes: standard deviation and, robust against single slow ones, scaled median deviation; "
        "within: between the inferences of one process"
    )
    return table("spread", caption, columns, [job for job in report.jobs if job.latency])


def _percentiles(job: JobReport) -> bool:
    return job.p50 is not None or job.p95 is not None


def _spread(value: float | None) -> Cell:
    return number(value, spread_percent(value))


def memory_table(report: ReportData) -> Table:
    """Return a row for each job of which any memory is known."""
    titles = {
        "peak (tool)": "peak_memory_mb", "VmHWM (/proc)": "vm_hwm_mb", "PSS (/proc)": "pss_mb",
        "init": "init_memory_mb", "overall": "overall_memory_mb",
    }  # fmt: skip

    def column(title: str, name: str) -> Column[JobReport]:
        return Column(title, lambda job: number(getattr(job, name), mb(getattr(job, name))), numeric=True)

    columns = (*_JOB, *(column(title, name) for title, name in titles.items()))
    rows = [job for job in report.jobs if any(getattr(job, name) is not None for name in titles.values())]
    caption = "MB; peak, VmHWM and PSS are absolute, init and overall are growths of the high-water mark"
    return table("memory", caption, columns, rows)


# -- parts of jobs ----------------------------------------------------------------------------------------------------


def _of_job() -> tuple[Column[tuple[JobReport, Any]], ...]:
    """Return the columns of a job, for rows that are a job and something of it."""

    def column(of: Column[JobReport]) -> Column[tuple[JobReport, Any]]:
        return Column(of.title, lambda row: of.cell(row[0]), choose=of.choose)

    return tuple(map(column, _JOB))


def startup_table(report: ReportData) -> Table:
    """Return a row for each job and state of the caches."""
    rows: list[tuple[JobReport, StartUp]] = [(job, start) for job in report.jobs for start in job.startups]
    columns: tuple[Column[tuple[JobReport, StartUp]], ...] = (
        *_of_job(),
        Column("caches", lambda row: Cell(row[1].caches, kind="cold" if row[1].cold else ""), choose=True),
        Column("processes", lambda row: _count(row[1].processes), numeric=True),
        Column("init", lambda row: median(row[1].init), numeric=True),
        Column("interval", lambda row: low(row[1].init), numeric=True),
        Column("first inference", lambda row: median(row[1].first_inference), numeric=True),
        Column("warm-up", lambda row: median(row[1].warmup), numeric=True),
        Column("steady", lambda row: median(row[0].latency if row[1] is row[0].warm else None), numeric=True),
    )
    caption = "ms, medians over processes; the warm-up's average holds the first inference; steady is the latency"
    return table("startup", caption, columns, rows)


def operators_table(report: ReportData) -> Table:
    """Return the most expensive operator types of each profiled job."""
    rows: list[tuple[JobReport, TypeTotal]] = [(job, op) for job in report.jobs for op in job.by_type[:_MAX_TYPES]]
    columns: tuple[Column[tuple[JobReport, TypeTotal]], ...] = (
        *_of_job(),
        Column("operator type", lambda row: row[1].type),
        Column("ran on", lambda row: row[1].place, choose=True),
        Column("operators", lambda row: _count(row[1].count), numeric=True),
        Column("ms per inference", lambda row: number(row[1].total_ms, ms(row[1].total_ms)), numeric=True),
        Column("share", lambda row: number(row[1].share, percent(row[1].share)), numeric=True),
    )
    caption = f"the {_MAX_TYPES} most expensive operator types of each job, from processes that were profiled"
    return table("operators", caption, columns, rows)


def fallback_table(report: ReportData) -> Table:
    """Return the operators that did not run on the delegate, and its reasons, as far as it reports them."""
    rows: list[tuple[JobReport, FallenBack]] = [(job, op) for job in report.jobs for op in job.fallback]
    columns: tuple[Column[tuple[JobReport, FallenBack]], ...] = (
        *_of_job(),
        Column("operator", lambda row: row[1].type, choose=True),
        Column("ran on", lambda row: row[1].place or "not in the profile", choose=True),
        Column("operators", lambda row: number(row[1].count, str(row[1].count or "")), numeric=True),
        Column("ms per inference", lambda row: number(row[1].total_ms, ms(row[1].total_ms)), numeric=True),
        Column("share", lambda row: number(row[1].share, percent(row[1].share or 0)), numeric=True),
        Column("reason given by the delegate", lambda row: _reasons(row[1]), wide=True),
    )
    return table("fallback", "what the delegate left to the CPU, and what it refused", columns, rows)


def _reasons(op: FallenBack) -> str:
    """Return the first reason only; the details of a job have all."""
    more = len(op.reasons) - 1
    return "".join(clean(why, 120) for why in op.reasons[:1]) + (f" (and {more} more)" if more > 0 else "")


# -- sections ---------------------------------------------------------------------------------------------------------


# With more jobs or devices than this, secondary tables are folded.
_MAX_JOBS, _MAX_DEVICES = 40, 4
_METHOD = (
    "Process: one start of the benchmark tool; its latency is the average of its inferences. Median: over the "
    "processes that count; outliers are included.",
    "Winner: at least three reliable processes, and an interval that overlaps with no other delegate's. "
    "Unreliable: measured while the device was throttled or busy; never used for a verdict.",
)
_FACTS = (
    "soc", "gpu", "gles", "vulkan", "vulkan_driver", "nnapi_devices", "quirks", "android", "build_id", "fingerprint",
    "kernel", "abis", "cpu_count", "memory_total_bytes", "storage_free_bytes", "root",
)  # fmt: skip


def _best(subject: RunSubject) -> Iterator[Section]:
    found = choices(subject.report, subject.comparison)
    if found:
        yield Section("best", "Best delegate", (_about(subject.report), page_matrix(found)), "Best delegate")


def _about(report: ReportData) -> Line:
    return Line(f"median latency per inference; {processes_words(report)}", "soft")


def _comparison(subject: RunSubject) -> Iterator[Section]:
    if subject.comparison is not None:
        from devbench.sections import comparison

        yield from comparison.page_section(comparison.Shown(subject.comparison))


def _latency(subject: RunSubject) -> Iterator[Section]:
    report = subject.report
    charts = job_charts(report, "latency")
    if len(report.jobs) > _MAX_JOBS:
        charts = (
            job_charts(report.only([one.key for one in report.devices if not one.virtual], (), ()), "latency") or charts
        )
    if charts:
        note = Line(f"ms per inference. {coverage_note([job.latency for job in report.jobs])}", "soft")
        spread = Fold("Spread between and within processes", lambda: (spread_table(report),))
        yield Section("latency", "Latency", (note, Charts(charts), spread))


def _operators(subject: RunSubject) -> Iterator[Section]:
    report = subject.report
    fallback, operators = fallback_table(report), operators_table(report)
    if not fallback.rows and not operators.rows:
        return
    parts: list[Part] = [_charts(report, "operators", "Operators of each case as charts")]
    parts += [Heading("What fell back to the CPU, and why"), fallback] if fallback.rows else []
    parts += [Fold("Operator types as a table", lambda: (operators,))] if operators.rows else []
    yield Section("operators", "Where the time goes", tuple(parts))


def _memory(subject: RunSubject) -> Iterator[Section]:
    """Yield memory and start-up, with folded tables."""
    report = subject.report
    memory, startup = memory_table(report), startup_table(report)
    parts: list[Part] = []
    if memory.rows:
        parts += [_charts(report, "memory", "Memory as charts"), Fold("Memory as a table", lambda: (memory,)),
                  Line(MEMORY_NOTE, "small")]  # fmt: skip
    if startup.rows:
        parts += [_charts(report, "startup", "Start-up as charts"), Fold("Start-up as a table", lambda: (startup,))]
    if parts:
        yield Section("memory", "Memory and start-up", tuple(parts))


def _charts(report: ReportData, kind: str, words: str) -> Part:
    """Return charts of the jobs; of many jobs they are folded."""
    charts = Charts(job_charts(report, kind))
    return Fold(words, lambda: (charts,)) if len(report.jobs) > _MAX_JOBS and charts.charts else charts


def _pipelines(subject: RunSubject) -> Iterator[Section]:
    if subject.pipelines is not None:
        from devbench.sections import pipeline

        yield Section("pipelines", "Pipelines", tuple(pipeline.page_parts(subject.pipelines)))


def _conditions(subject: RunSubject) -> Iterator[Section]:
    charts = condition_charts(subject.report)
    shown = Charts(charts, first=2)
    folded = len(subject.report.devices) > _MAX_DEVICES
    part = Fold(f"Conditions of {len(charts)} devices as charts", lambda: (shown,)) if folded else shown
    yield Section("conditions", "Conditions", (part,) if charts else ())


def _history(subject: RunSubject) -> Iterator[Section]:
    if subject.changes is not None:
        from devbench.sections import changes

        yield from changes.page_section(subject.changes)


def _jobs(subject: RunSubject) -> Iterator[Section]:
    report = subject.report
    folds = Folds(report.run_id, tuple(map(job_fold, report.jobs)))
    jobs = jobs_table(report)
    counts = {name: sum(job.status == name for job in report.jobs) for name in ("ok", "partly failed", "failed")}
    counts["unreliable"] = sum(job.all_unreliable for job in report.jobs)
    words = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    parts = (Fold("All jobs as a table", lambda: (jobs,)),) if len(report.jobs) > _MAX_JOBS else (jobs,)
    yield Section("jobs", "Jobs", (Line(f"{len(report.jobs):,} jobs: {words}", "soft"), *parts, folds))


def _devices(subject: RunSubject) -> Iterator[Section]:
    report = subject.report
    folds = [
        Fold(device.title + (" virtual" if device.virtual else ""), lambda device=device: _device(device))  # type: ignore[misc]
        for device in report.devices
    ]
    files = Fold("Models, tools and other files", lambda: tuple(_files(report)))
    facts = Facts((("command", report.command), *report.labels.items()))
    yield Section("devices", "Devices and method", (*folds, files, facts, *map(_line, _METHOD)))


def _line(words: str) -> Line:
    return Line(words, "small")


def _device(device: Any) -> Iterator[Part]:
    yield from (Line(str(note), "soft") for note in device.facts.get("notes") or [])
    facts = {key: device.facts[key] for key in _FACTS if device.facts.get(key) not in (None, [])}
    shown = ((key, ", ".join(map(str, one)) if isinstance(one, list) else str(one)) for key, one in facts.items())
    yield Facts((("serial", device.serial), ("profile", device.profile), *shown))


def _files(report: ReportData) -> Iterator[Table]:
    """Yield the models, the tools and the other files, each once."""
    models: dict[str, Any] = {}
    tools: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for record in (job.job for job in report.jobs):
        models.setdefault(record.model.name, record.model)
        tools.setdefault(record.binary.name, record.binary)
        for file in record.files:
            others.setdefault(file.sha256, file)
    size: Column[Any] = Column("size", lambda file: f"{file.size_bytes / 1e6:.2f} MB", numeric=True)
    sha256: Column[Any] = Column("SHA-256", lambda file: file.sha256)
    version: Column[Any] = Column("version", lambda file: file.version)

    def name(title: str) -> Column[Any]:
        return Column(title, lambda file: file.name)

    lists: Mapping[str, tuple[Mapping[str, Any], tuple[Column[Any], ...]]] = {
        "models": (models, (name("model"), size, sha256)),
        "tools": (tools, (name("binary"), version, Column("ABI", lambda file: file.abi), sha256)),
        "other files on the device": (
            others,
            (name("file"), Column("of the", lambda file: file.role), version, size, sha256),
        ),
    }
    for caption, (files, columns) in lists.items():
        yield table(caption, caption, columns, files.values(), seen=0)


PAGE_SECTIONS: tuple[SectionOf[RunSubject], ...] = tuple(
    SectionOf(make, PAGE)
    for make in (
        _best, _comparison, _latency, _operators, _memory, _pipelines, _history, _conditions, _jobs, _devices
    )
)  # fmt: skip
