"""The tables of a run's page: all jobs, start-up, memory, operators, fallback; knows no form."""

from __future__ import annotations

from typing import Any

from devbench.analysis.stats import Estimate
from devbench.findings.choice import winner_of
from devbench.findings.run import FallenBack, JobReport, OperatorType, ReportData, StartUp
from devbench.metrics import METRICS
from devbench.notices import Effect
from devbench.sections.figures import figure, interval, job_figures, mb, ms, percent, rough_percent, spread_percent
from devbench.sections.tables import LONG, Cell, Column, Table, number, table
from devbench.text import clean

_MAX_TYPES = 12
_STATUS = {"ok": "good", "failed": "bad"}
_JOB: tuple[Column[JobReport], ...] = (
    Column("device", lambda job: job.job.device.title, choose=True),
    Column("model", lambda job: job.subject, choose=True),
    Column("delegate", lambda job: Cell(job.title, link=f"#job-{job.job.number}"), choose=True),
)


def median(value: Estimate | None, kind: str = "") -> Cell:
    """The median of an estimate in ms."""
    return Cell(ms(value.median), value.median, kind) if value else Cell("")


def low(value: Estimate | None) -> Cell:
    """The interval of an estimate, sorted by its lower end."""
    return Cell(interval(value), value.low if value else None)


def share(value: float | None) -> Cell:
    """A share in whole percent."""
    return number(value, rough_percent(value))


def figure_columns(*, only_known: bool = False) -> tuple[Column[JobReport], ...]:
    """A column for each metric of the table of jobs; with `only_known` those that any job has."""

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


def jobs(report: ReportData) -> Table:
    """A row for each job."""
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
    words = [f"{kind}{f' ({count} times)' if count > 1 else ''}: {message}" for kind, message, count in job.failures]
    words += [one.text for one in job.notices if one.effect is not Effect.INFORMATION or one.tally]
    return "; ".join(words)


def spread(report: ReportData) -> Table:
    """How far processes are from each other, and inferences within them; percentiles where the tool printed any."""
    columns: tuple[Column[JobReport], ...] = (
        *_JOB,
        Column("between", lambda job: _spread(job.spread.between_cv_pct), numeric=True),
        Column("robust", lambda job: _spread(job.spread.between_mad_pct), numeric=True),
        Column("within", lambda job: _spread(job.spread.within_pct), numeric=True),
        Column("p50 ms", lambda job: number(job.spread.p50, ms(job.spread.p50)), numeric=True, only_if=_percentiles),
        Column("p95 ms", lambda job: number(job.spread.p95, ms(job.spread.p95)), numeric=True, only_if=_percentiles),
        Column("outliers", lambda job: Cell(str(job.outliers or ""), job.outliers), numeric=True),
    )
    caption = (
        "spread between processes: standard deviation and, robust against single slow ones, scaled median deviation; "
        "within: between the inferences of one process"
    )
    return table("spread", caption, columns, [job for job in report.jobs if job.latency])


def _percentiles(job: JobReport) -> bool:
    return job.spread.p50 is not None or job.spread.p95 is not None


def _spread(value: float | None) -> Cell:
    return number(value, spread_percent(value))


def memory(report: ReportData) -> Table:
    """A row for each job of which any memory is known."""
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
    """The columns of a job, for rows that are a job and something of it."""

    def column(of: Column[JobReport]) -> Column[tuple[JobReport, Any]]:
        return Column(of.title, lambda row: of.cell(row[0]), choose=of.choose)

    return tuple(map(column, _JOB))


def startup(report: ReportData) -> Table:
    """A row for each job and state of the caches."""
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


def operators(report: ReportData) -> Table:
    """The most expensive operator types of each profiled job."""
    rows: list[tuple[JobReport, OperatorType]] = [(job, op) for job in report.jobs for op in job.by_type[:_MAX_TYPES]]
    columns: tuple[Column[tuple[JobReport, OperatorType]], ...] = (
        *_of_job(),
        Column("operator type", lambda row: row[1].type),
        Column("ran on", lambda row: row[1].where, choose=True),
        Column("operators", lambda row: _count(row[1].count), numeric=True),
        Column("ms per inference", lambda row: number(row[1].total_ms, ms(row[1].total_ms)), numeric=True),
        Column("share", lambda row: number(row[1].share, percent(row[1].share)), numeric=True),
    )
    caption = f"the {_MAX_TYPES} most expensive operator types of each job, from processes that were profiled"
    return table("operators", caption, columns, rows)


def fallback(report: ReportData) -> Table:
    """What did not run on the delegate, and why, as far as it said so."""
    rows: list[tuple[JobReport, FallenBack]] = [(job, op) for job in report.jobs for op in job.fallback]
    columns: tuple[Column[tuple[JobReport, FallenBack]], ...] = (
        *_of_job(),
        Column("operator", lambda row: row[1].type, choose=True),
        Column("ran on", lambda row: row[1].where or "not in the profile", choose=True),
        Column("operators", lambda row: number(row[1].count, str(row[1].count or "")), numeric=True),
        Column("ms per inference", lambda row: number(row[1].total_ms, ms(row[1].total_ms)), numeric=True),
        Column("share", lambda row: number(row[1].share, percent(row[1].share or 0)), numeric=True),
        Column("reason given by the delegate", lambda row: _reasons(row[1]), wide=True),
    )
    return table("fallback", "what the delegate left to the CPU, and what it refused", columns, rows)


def _reasons(op: FallenBack) -> str:
    """Only the first is shown here; the details of a job have all."""
    more = len(op.reasons) - 1
    return "".join(clean(why, 120) for why in op.reasons[:1]) + (f" (and {more} more)" if more > 0 else "")
