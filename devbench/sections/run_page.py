"""What a run's page shows, and in which order; knows no form. Its tables are in `run_tables`, its jobs in `run_job`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from devbench.findings.choice import choices
from devbench.findings.run import MEMORY_NOTE, ReportData
from devbench.sections import run_tables
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
from devbench.sections.figures import coverage_note
from devbench.sections.row_charts import job_charts
from devbench.sections.run_job import job_fold
from devbench.sections.subjects import RunSubject
from devbench.sections.tables import PAGE, Column, Table, table
from devbench.sections.time_charts import condition_charts

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
        spread = Fold("Spread between and within processes", lambda: (run_tables.spread(report),))
        yield Section("latency", "Latency", (note, Charts(charts), spread))


def _operators(subject: RunSubject) -> Iterator[Section]:
    report = subject.report
    fallback, operators = run_tables.fallback(report), run_tables.operators(report)
    if not fallback.rows and not operators.rows:
        return
    parts: list[Part] = [_charts(report, "operators", "Operators of each case as charts")]
    parts += [Heading("What fell back to the CPU, and why"), fallback] if fallback.rows else []
    parts += [Fold("Operator types as a table", lambda: (operators,))] if operators.rows else []
    yield Section("operators", "Where the time goes", tuple(parts))


def _memory(subject: RunSubject) -> Iterator[Section]:
    """Memory and start-up, their tables folded."""
    report = subject.report
    memory, startup = run_tables.memory(report), run_tables.startup(report)
    parts: list[Part] = []
    if memory.rows:
        parts += [_charts(report, "memory", "Memory as charts"), Fold("Memory as a table", lambda: (memory,)),
                  Line(MEMORY_NOTE, "small")]  # fmt: skip
    if startup.rows:
        parts += [_charts(report, "startup", "Start-up as charts"), Fold("Start-up as a table", lambda: (startup,))]
    if parts:
        yield Section("memory", "Memory and start-up", tuple(parts))


def _charts(report: ReportData, kind: str, words: str) -> Part:
    """Charts of the jobs; of many jobs they are folded."""
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
    jobs = run_tables.jobs(report)
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
    """The models, the tools and the other files, each once."""
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
