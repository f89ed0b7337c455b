"""What a run's page shows, and in which order; knows no form. Its tables are in `run_tables`, its jobs in `run_job`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from devbench.findings.run import MEMORY_NOTE, ReportData
from devbench.sections import run_tables
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
    Tiles,
)
from devbench.sections.figures import coverage_note
from devbench.sections.row_charts import job_charts
from devbench.sections.run_job import job_fold
from devbench.sections.subjects import RunSubject
from devbench.sections.tables import PAGE, Column, Table, Tile, table
from devbench.sections.time_charts import condition_charts

_FACTS = (
    "soc", "gpu", "gles", "vulkan", "vulkan_driver", "nnapi_devices", "quirks", "android", "build_id", "fingerprint",
    "kernel", "abis", "cpu_count", "memory_total_bytes", "storage_free_bytes", "root",
)  # fmt: skip


def _overview(subject: RunSubject) -> Iterator[Section]:
    report = subject.report
    parts: list[Part] = []
    if subject.comparison is not None:
        from devbench.sections import comparison

        parts.append(Line(comparison.verdict_words(subject.comparison), "verdict"))
    decisions = run_tables.decisions(report)
    parts += [Tiles(_tiles(subject)), decisions]
    if decisions.rows:
        words = (
            "Green: the fastest that can be relied on. Where intervals overlap, more repetitions may change the order."
        )
        parts.append(Line(words, "small"))
    yield Section("overview", "Overview", tuple(parts))


def _tiles(subject: RunSubject) -> tuple[tuple[Tile, ...], ...]:
    """A row of what is found against other runs, and one of the run itself."""
    # A run that is shown alone does without the modules of comparisons and histories.
    found: list[Tile] = []
    if subject.comparison:
        from devbench.sections import comparison

        found += comparison.comparison_tiles(subject.comparison)
    if subject.changes:
        from devbench.sections import changes

        found += changes.changes_tiles(subject.changes)
    jobs = subject.report.jobs
    failed = sum(job.status in ("failed", "partly failed") for job in jobs)
    unfit = sum(job.all_unreliable for job in jobs)
    models, devices = len({job.job.model.name for job in jobs}), len(subject.report.devices)
    run = [
        Tile(f"{sum(job.latency is not None for job in jobs):,}", f"of {len(jobs):,} jobs measured"),
        Tile(f"{failed:,}", "failed", "bad" if failed else ""),
        Tile(f"{unfit:,}", "unreliable", "warn" if unfit else ""),
        Tile(f"{models:,}", f"model{'' if models == 1 else 's'}"),
        Tile(f"{devices:,}", f"device{'' if devices == 1 else 's'}"),
    ]
    return tuple(tuple(tiles) for tiles in (found, run) if tiles)


def _comparison(subject: RunSubject) -> Iterator[Section]:
    if subject.comparison is not None:
        from devbench.sections import comparison

        yield from comparison.page_section(comparison.Shown(subject.comparison))


def _latency(subject: RunSubject) -> Iterator[Section]:
    report = subject.report
    charts = job_charts(report, "latency")
    if charts:
        note = Line(coverage_note([job.latency for job in report.jobs]), "soft")
        spread = Fold("Spread", lambda: (run_tables.spread(report),))
        yield Section("latency", "Latency", (note, Charts(charts), spread))


def _operators(subject: RunSubject) -> Iterator[Section]:
    report = subject.report
    fallback, operators = run_tables.fallback(report), run_tables.operators(report)
    if not fallback.rows and not operators.rows:
        return
    parts: list[Part] = [Charts(job_charts(report, "operators"))]
    parts += [Heading("What fell back, and why"), fallback] if fallback.rows else []
    parts += [Heading("Operator types"), operators] if operators.rows else []
    yield Section("operators", "Where the time goes", tuple(parts), "Operators")


def _startup(subject: RunSubject) -> Iterator[Section]:
    found = run_tables.startup(subject.report)
    if found.rows:
        yield Section("startup", "Start-up", (Charts(job_charts(subject.report, "startup")), found))


def _memory(subject: RunSubject) -> Iterator[Section]:
    found = run_tables.memory(subject.report)
    if found.rows:
        charts = Charts(job_charts(subject.report, "memory"))
        yield Section("memory", "Memory", (charts, found, Line(MEMORY_NOTE, "small")))


def _pipelines(subject: RunSubject) -> Iterator[Section]:
    if subject.pipelines is not None:
        from devbench.sections import pipeline

        yield Section("pipelines", "Pipelines", tuple(pipeline.page_parts(subject.pipelines)))


def _conditions(subject: RunSubject) -> Iterator[Section]:
    charts = condition_charts(subject.report)
    yield Section("conditions", "Conditions under the latencies", (Charts(charts, first=2),), "Conditions")


def _history(subject: RunSubject) -> Iterator[Section]:
    if subject.changes is not None:
        from devbench.sections import changes

        yield from changes.page_section(subject.changes)


def _jobs(subject: RunSubject) -> Iterator[Section]:
    folds = Folds(subject.report.run_id, tuple(map(job_fold, subject.report.jobs)))
    yield Section("jobs", "Jobs", (run_tables.jobs(subject.report), folds))


def _devices(subject: RunSubject) -> Iterator[Section]:
    report = subject.report
    folds = [
        Fold(device.title + (" virtual" if device.virtual else ""), lambda device=device: _device(device))  # type: ignore[misc]
        for device in report.devices
    ]
    yield Section("devices", "Devices, models, tools", (*folds, *_files(report)), "Devices")


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
        _overview, _comparison, _latency, _operators, _startup, _memory, _pipelines, _conditions, _history, _jobs,
        _devices,
    )
)  # fmt: skip
