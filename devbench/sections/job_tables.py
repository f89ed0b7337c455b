"""The tables of a run: what to ship, all jobs, start-up, memory, operators and what fell back; knows no template."""

from __future__ import annotations

from collections.abc import Sequence

from devbench.analysis.stats import Estimate
from devbench.findings.run import FallenBack, JobReport, ReportData, fastest
from devbench.metrics import METRICS
from devbench.sections.tables import LONG, Cell, Column, Table, table
from devbench.sections.words import figure, interval, job_figures, mb, ms, percent, rough_percent, spread_percent
from devbench.text import clean

_JOB = (Column("device", choose=True), Column("model", choose=True), Column("delegate", choose=True))
_MOST_TYPES_EACH = 12
_STATUS = {"ok": "good", "failed": "bad"}


def _job(job: JobReport) -> tuple[Cell, Cell, Cell]:
    return (
        Cell(job.job.device.title),
        Cell(job.subject),
        Cell(job.title, link=f"#job-{job.job.number}"),
    )


def _time(value: Estimate | None, kind: str = "") -> Cell:
    return Cell(ms(value.median), value.median, kind) if value else Cell("")


def _number(value: float | None, text: str) -> Cell:
    return Cell(text, value) if value is not None else Cell("")


def decisions(report: ReportData) -> Table:
    """For each model and device the fastest delegate, beside the next one and beside the plain CPU."""
    rows = []
    for model, device, jobs in report.groups:
        known = [job for job in jobs if job.latency and job.output_verdict != "wrong"]
        fit = [job for job in known if not (job.all_unreliable or job.excluded)]
        ordered = sorted(fit or known, key=lambda job: job.latency.median if job.latency else 0.0)
        failed = sum(job.status == "failed" for job in jobs)
        unfit = sum(job.all_unreliable for job in jobs)
        words = [f"{failed} of {len(jobs)} failed"] if failed else []
        words += [f"{unfit} of {len(jobs)} unreliable"] if unfit else []
        words += ["excluded, see the warnings"] if any(job.excluded for job in jobs) else []
        words += [] if fit else ["nothing here can be relied on"]
        note = Cell("; ".join(words), kind="bad" if failed else "warn")
        if not ordered or ordered[0].latency is None:
            rows.append((Cell(device.title), Cell(model), Cell("none measured", kind="bad"), *[Cell("")] * 5, note))
            continue
        best, found = ordered[0], ordered[0].latency
        kind, mark = ("best", "") if fit else ("warn", " ⚠")
        plain = [job.latency.median for job in fit if job.job.delegate == "cpu" and job.latency]
        gain = min(plain) / found.median if plain and found.median and best.job.delegate != "cpu" else None
        rows.append(
            (
                Cell(device.title),
                Cell(model),
                Cell(best.title + mark, kind=kind, link=f"#job-{best.job.number}"),
                _time(found),
                Cell(interval(found), found.low),
                _number(gain, f"{gain:.1f}×" if gain else ""),
                Cell(_next(found, ordered[1:2])),
                _number(best.on_delegate, rough_percent(best.on_delegate)),
                note,
            )
        )
    columns = (
        *_JOB[:2], Column("fastest", choose=True), Column("latency ms", numeric=True), Column("interval", numeric=True),
        Column("× plain CPU", numeric=True), Column("next"), Column("on delegate", numeric=True),
        Column("beware", wide=True),
    )  # fmt: skip
    return table("decisions", "the fastest delegate of each model on each device", columns, rows)


def _next(best: Estimate, others: Sequence[JobReport]) -> str:
    """The next one, and how far behind it is."""
    for other in others:
        if other.latency and best.median:
            behind = f"{other.title}, {100 * (other.latency.median / best.median - 1):+.0f} %"
            return behind + (" (intervals overlap)" if overlap(best, other.latency) else "")
    return ""


def overlap(one: Estimate, other: Estimate) -> bool:
    """Whether the intervals of two estimates have a value in common."""
    return one.low <= other.high and other.low <= one.high


def jobs(report: ReportData) -> Table:
    """A row for each job."""
    best = {id(job) for _, _, those in report.groups if (job := fastest(those))}
    rows = []
    for job in report.jobs:
        latency, kind = job.latency, "best" if id(job) in best else "warn" if job.all_unreliable else ""
        number = Cell(str(job.job.number), job.job.number, link=f"#job-{job.job.number}")
        text = ("⚠ " if job.all_unreliable else "") + ms(latency.median) if latency else "–"
        rows.append(
            (
                number,
                *_job(job),
                Cell(text, latency.median if latency else None, kind),
                Cell(interval(latency), latency.low if latency else None),
                Cell(str(latency.n) if latency else "0", latency.n if latency else 0),
                *(_number(job.figures.get(name), figure(job.figures.get(name), name)) for name in job_figures()),
                Cell(job.delegation),
                Cell(job.output_verdict, kind="bad" if job.output_verdict == "wrong" else ""),
                Cell(job.status, kind=_STATUS.get(job.status, "warn")),
                Cell(_beware(job), kind="bad" if job.failures else "warn"),
            )
        )
    columns = (
        Column("job", numeric=True), *_JOB, Column("latency ms", numeric=True), Column("interval", numeric=True),
        Column("processes", numeric=True), *(Column(METRICS[name].heading, numeric=True) for name in job_figures()),
        Column("delegation"), Column("outputs"),
        Column("status", choose=True), Column("beware", wide=True),
    )  # fmt: skip
    caption = "all jobs; follow a job to its details and raw outputs"
    return table("jobs", caption, columns, rows, LONG)


def _beware(job: JobReport) -> str:
    words = [f"{kind}{f' ({count} times)' if count > 1 else ''}: {message}" for kind, message, count in job.failures]
    if job.unreliable:
        words.append(("not to be compared with the others: " if job.all_unreliable else "") + job.unreliable)
    return "; ".join(words)


def spread(report: ReportData) -> Table:
    """How far processes are from each other, and inferences within them; percentiles where the tool printed any."""
    timed = [job for job in report.jobs if job.latency]
    known = any(job.spread.p50 is not None or job.spread.p95 is not None for job in timed)
    rows = []
    for job in timed:
        of = job.spread
        shares = (of.between_cv_pct, of.between_mad_pct, of.within_pct)
        percentiles = (_number(of.p50, ms(of.p50)), _number(of.p95, ms(of.p95))) if known else ()
        outliers = Cell(str(job.outliers or ""), job.outliers)
        rows.append((*_job(job), *(_number(one, spread_percent(one)) for one in shares), *percentiles, outliers))
    columns = (
        *_JOB, Column("between", numeric=True), Column("robust", numeric=True), Column("within", numeric=True),
        *((Column("p50 ms", numeric=True), Column("p95 ms", numeric=True)) if known else ()),
        Column("outliers", numeric=True),
    )  # fmt: skip
    caption = (
        "spread between processes: standard deviation and, robust against single slow ones, scaled median deviation; "
        "within: between the inferences of one process"
    )
    return table("spread", caption, columns, rows)


def startup(report: ReportData) -> Table:
    """A row for each job and state of the caches."""
    rows = []
    for job in report.jobs:
        for start in job.startups:
            steady = job.latency if start is job.warm else None
            rows.append(
                (
                    *_job(job),
                    Cell(start.caches, kind="cold" if start.cold else ""),
                    Cell(str(start.processes), start.processes),
                    _time(start.init),
                    Cell(interval(start.init), start.init.low if start.init else None),
                    _time(start.first_inference),
                    _time(start.warmup),
                    _time(steady),
                )
            )
    columns = (
        *_JOB, Column("caches", choose=True), Column("processes", numeric=True), Column("init", numeric=True),
        Column("interval", numeric=True), Column("first inference", numeric=True), Column("warm-up", numeric=True),
        Column("steady", numeric=True),
    )  # fmt: skip
    caption = "ms, medians over processes; the warm-up's average holds the first inference; steady is the latency"
    return table("startup", caption, columns, rows)


def memory(report: ReportData) -> Table:
    """A row for each job of which any memory is known."""
    rows = []
    for job in report.jobs:
        values = (job.peak_memory_mb, job.vm_hwm_mb, job.pss_mb, job.init_memory_mb, job.overall_memory_mb)
        if any(value is not None for value in values):
            rows.append((*_job(job), *(_number(value, mb(value)) for value in values)))
    columns = (
        *_JOB, Column("peak (tool)", numeric=True), Column("VmHWM (/proc)", numeric=True),
        Column("PSS (/proc)", numeric=True), Column("init", numeric=True), Column("overall", numeric=True),
    )  # fmt: skip
    caption = "MB; peak, VmHWM and PSS are absolute, init and overall are growths of the high-water mark"
    return table("memory", caption, columns, rows)


def operators(report: ReportData) -> Table:
    """The dearest operator types of each profiled job."""
    rows = [
        (
            *_job(job), Cell(kind.type), Cell(kind.where), Cell(str(kind.count), kind.count),
            _number(kind.total_ms, ms(kind.total_ms)), _number(kind.share, percent(kind.share)),
        )
        for job in report.jobs
        for kind in job.by_type[:_MOST_TYPES_EACH]
    ]  # fmt: skip
    columns = (
        *_JOB, Column("operator type"), Column("ran on", choose=True), Column("operators", numeric=True),
        Column("ms an inference", numeric=True), Column("share", numeric=True),
    )  # fmt: skip
    caption = f"the dearest {_MOST_TYPES_EACH} operator types of each job, from processes that were profiled"
    return table("operators", caption, columns, rows)


def _reasons(op: FallenBack) -> str:
    """The first one; a job's details have them all."""
    more = len(op.reasons) - 1
    return "".join(clean(why, 120) for why in op.reasons[:1]) + (f" (and {more} more)" if more > 0 else "")


def fallback(report: ReportData) -> Table:
    """What did not run on the delegate, and why, as far as it said so."""
    rows = [
        (
            *_job(job), Cell(op.type), Cell(op.where or "not in the profile"), _number(op.count, str(op.count or "")),
            _number(op.total_ms, ms(op.total_ms)),
            _number(op.share, percent(op.share) if op.share is not None else ""), Cell(_reasons(op)),
        )
        for job in report.jobs
        for op in job.fallback
    ]  # fmt: skip
    columns = (
        *_JOB, Column("operator", choose=True), Column("ran on", choose=True), Column("operators", numeric=True),
        Column("ms an inference", numeric=True), Column("share", numeric=True),
        Column("refused, in the delegate's words", wide=True),
    )  # fmt: skip
    return table("fallback", "what the delegate left to the CPU, and what it refused", columns, rows)
