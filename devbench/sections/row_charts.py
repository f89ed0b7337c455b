"""Makes bar charts of a run and a comparison: latency, speed-up, start-up, memory, operators, changes.

Charts are made as data (`charts.py`); this file knows no way of drawing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from devbench.analysis.stats import Estimate
from devbench.findings.choice import winner_of
from devbench.findings.run import JobReport, Process, ReportData
from devbench.grouped import grouped
from devbench.metrics import METRICS, shown_in
from devbench.sections.charts import Bar, Group, Point, Row, RowChart, Series, Virtual, family, needs_log
from devbench.sections.figures import half_width, interval, mb, ms, percent
from devbench.sections.waterfall import Step, waterfall
from devbench.text import clean

if TYPE_CHECKING:
    from devbench.findings.comparison import ComparedRow, ComparisonReport

# The largest number of rows of a chart.
_MAX_ROWS = 60
_MAX_CHANGES, _MAX_CAUSES = 24, 8
_STARTS = (Series("init", "s0"), Series("first inference", "s2"))
_MEMORIES = {"peak_memory_mb": "peak reported by the tool", "vm_hwm_mb": "VmHWM", "pss_mb": "PSS"}
_VERDICTS = {
    "regressed": Series("regressed", "worse"), "improved": Series("improved", "better"),
    "undecided": Series("too noisy to call", "warn"), "unchanged": Series("unchanged", "bar"),
}  # fmt: skip
_Jobs = Sequence[JobReport]
_RowsOf = Callable[[JobReport], Iterable[Row]]


def _virtual(virtual: Iterable[bool]) -> Virtual:
    known = set(virtual)
    return "every" if known == {True} else "some" if True in known else ""


def _title(what: str, jobs: _Jobs, part: str = "") -> str:
    """Return the title; it has the model and the device if there is only one: `Latency: small_unet on Pixel 8`."""
    models, devices = dict.fromkeys(job.subject for job in jobs), dict.fromkeys(job.job.device.title for job in jobs)
    model = clean(next(iter(models)), 90) if len(models) == 1 else f"{len(models)} models"
    device = clean(next(iter(devices)), 60) if len(devices) == 1 else f"{len(devices)} devices"
    return f"{what}: {model} on {device}{part}"


def _row(job: JobReport, bars: Iterable[Bar], text: str = "", points: Iterable[Point] = ()) -> Row:
    facets = (("device", job.job.device.title), ("model", job.subject), ("delegate", job.title))
    return Row(job.title, tuple(bars), text, tuple(points), job.all_unreliable, job.virtual, facets)


def _by_device(jobs: _Jobs) -> list[list[JobReport]]:
    """Return the jobs of each model on each device."""
    return list(grouped(((job.subject, job.job.device.key), job) for job in jobs).values())


def _chart(
    name: str, title: str, alt: str, unit: str, series: Sequence[Series], jobs: _Jobs, rows: _RowsOf, **options: Any
) -> RowChart:
    """Return rows by model and device; headings name what the title does not."""
    models, devices = {job.subject for job in jobs}, {job.job.device.key for job in jobs}

    def head(job: JobReport) -> str:
        parts = [clean(job.subject, 80)] if len(models) > 1 else []
        return " · ".join([*parts, clean(job.job.device.title, 70)] if len(devices) > 1 else parts)

    groups = tuple(Group(head(of[0]), tuple(row for job in of for row in rows(job))) for of in _by_device(jobs))
    virtual = _virtual(job.virtual for job in jobs)
    return RowChart(name, title, alt, unit, tuple(series), groups, virtual=virtual, **options)


# -- kinds ------------------------------------------------------------------------------------------------------------


def _latency(name: str, jobs: _Jobs, part: str) -> RowChart:
    """Return a bar for each job with its interval, and under it every process."""
    best = {id(one) for of in _by_device(jobs) if (one := winner_of(of))}

    def rows(job: JobReport) -> Iterator[Row]:
        found = job.latency
        assert found is not None
        low, high = (found.low, found.high) if found.coverage is not None else (None, None)
        text = f"{ms(found.median)}, unreliable" if job.all_unreliable else half_width(found)
        between = f" ({interval(found)})" if low is not None else ""
        words = f"{job.title}: {ms(found.median)} ms{between}, {found.n} process{'' if found.n == 1 else 'es'}"
        colour = "bar-win" if id(job) in best else ""
        yield _row(job, [Bar(found.median, 0, text, words, low, high, colour)], points=map(_point, job.processes))

    processes = [process for job in jobs for process in job.processes]
    parts = ["Bars: median over processes; lines: interval; dots: processes"]
    parts += ["strong bar: best delegate"] if best else []
    parts += ["hollow dots: outliers, included in the median"] if any(one.outlier for one in processes) else []
    if any(one.unreliable and not one.counts for one in processes):
        parts.append("crosses: unreliable processes, not counted")
    if any(job.all_unreliable for job in jobs):
        parts.append("dashed outline: all processes unreliable, not to be compared")
    alt = "Latency by device and delegate, with intervals: " + "; ".join(
        f"{clean(job.subject, 60)} {clean(job.title, 40)} {ms(job.latency.median)} ms"
        for job in jobs[:20]
        if job.latency
    )
    log = needs_log(job.latency.median for job in jobs if job.latency)
    return _chart(
        name, _title("Latency", jobs, part), alt, "ms per inference", [Series("median", "bar")], jobs, rows,
        note="; ".join(parts) + ".", log=log,
    )  # fmt: skip


def _point(process: Process) -> Point:
    return Point(
        process.latency_ms, "unreliable" if not process.counts else "outlier" if process.outlier else "counted"
    )


def speedup(name: str, jobs: _Jobs, baseline: str) -> RowChart:
    """Return how many times as fast as the baseline delegate each job is, on its device and with its model.

    Args:
        name: the name of the file.
        jobs: measured ones.
        baseline: the name of a delegate; if a device and model has several jobs of it, the fastest is meant.
    """
    bases: dict[tuple[str, str], Estimate] = {}
    for job in jobs:
        key = (job.subject, job.job.device.key)
        if job.job.delegate == baseline and job.latency:
            bases[key] = min(bases.get(key, job.latency), job.latency, key=lambda one: one.median)
    ratios: list[float] = []

    def rows(job: JobReport) -> Iterator[Row]:
        base, found = bases.get((job.subject, job.job.device.key)), job.latency
        if base is None or found is None or not found.median:
            yield _row(job, (), "not measured" if base else f"no {baseline} to compare with")
            return
        ratios.append(base.median / found.median)
        known = found is not base and found.coverage is not None and base.coverage is not None and found.low > 0
        ends = (base.low / found.high, base.high / found.low) if known else (None, None)
        text = f"{ratios[-1]:.2f}×"
        words = f"{job.title}: {ratios[-1]:.2f} times as fast as {baseline}"
        yield _row(job, [Bar(ratios[-1], 0, text + (", unreliable" if job.all_unreliable else ""), words, *ends)])

    note = f"Median latency of {baseline} divided by that of the job; lines: from the ends of both intervals."
    made = _chart(
        name, _title(f"Speed-up over {baseline}", jobs), f"How many times as fast as {baseline} each delegate is",
        f"times as fast as {baseline}", [Series("speed-up", "bar")], jobs, rows, note=note,
    )  # fmt: skip
    return replace(made, log=needs_log(ratios))


def _startup(name: str, jobs: _Jobs, part: str) -> RowChart:
    """Return a chart of init followed by first inference; cold starts have separate rows."""

    def rows(job: JobReport) -> Iterator[Row]:
        for start, kind in ((job.warm, ""), (job.cold, ", cold")):
            values = ((start.init, start.first_inference), _STARTS) if start else ((), ())
            known = [(n, found) for n, (found, _) in enumerate(zip(*values, strict=True)) if found]
            if known:
                bars = [
                    Bar(one.median, n, ms(one.median), f"{job.title}{kind}, {_STARTS[n].name}: {ms(one.median)} ms")
                    for n, one in known
                ]
                row = _row(job, bars, ms(sum(bar.value for bar in bars)))
                yield replace(row, label=f"{job.title}{kind}")

    alt = "Start-up of each job: init and first inference, in ms"
    title = _title("Start-up to the first result", jobs, part)
    return _chart(name, title, alt, "ms", _STARTS, jobs, rows, stacked=True)


def _memory(name: str, jobs: _Jobs, part: str) -> RowChart:
    """Return the first of the tool's peak, VmHWM and PSS that any job has."""
    attribute, what = next(
        (one for one in _MEMORIES.items() if any(getattr(job, one[0]) is not None for job in jobs)), ("pss_mb", "PSS")
    )

    def rows(job: JobReport) -> Iterator[Row]:
        value = getattr(job, attribute)
        bars = [] if value is None else [Bar(value, 0, mb(value), f"{job.title}: {mb(value)} MB")]
        yield _row(job, bars, "" if bars else "not measured")

    alt = f"Peak memory of each job's process: {what}, in MB"
    title = _title("Peak memory", jobs, part)
    return _chart(name, title, alt, f"MB, {what}", [Series(what, "bar")], jobs, rows)


def _operators(name: str, jobs: _Jobs, part: str) -> RowChart:
    """Return a bar for each profiled job, in pieces by family of operators."""
    weights: dict[Series, float] = {}
    for job in jobs:
        for one in job.by_type:
            of = family(one.type)
            weights[of] = weights.get(of, 0.0) + one.share
    series = sorted(weights, key=lambda one: (one.name == "other", -weights[one]))

    def rows(job: JobReport) -> Iterator[Row]:
        whole = sum(one.total_ms for one in job.by_type) or 1.0
        bars = []
        for number, of in enumerate(series):
            types = sorted((o for o in job.by_type if family(o.type) == of), key=lambda one: -one.total_ms)
            total = sum(one.total_ms for one in types)
            if total:
                named = ", ".join(f"{one.type} {ms(one.total_ms)}" for one in types[:4])
                more = f", {len(types) - 4} more types" if len(types) > 4 else ""
                words = f"{job.title}, {of.name}: {ms(total)} ms, {percent(total / whole)} ({named}{more})"
                bars.append(Bar(total, number, ms(total), words))
        yield _row(job, bars, ms(whole))

    title, alt = (
        _title("Where the time goes", jobs, part),
        "Time per inference by family of operators, for each delegate",
    )
    return _chart(name, title, alt, "ms per inference, profiled processes", series, jobs, rows, stacked=True)


_Make = Callable[[str, _Jobs, str], RowChart]
# How each kind is made, and which jobs have something to show.
KINDS: Mapping[str, tuple[_Make, Callable[[JobReport], bool]]] = {
    "latency": (_latency, lambda job: job.latency is not None),
    "operators": (_operators, lambda job: bool(job.by_type)),
    "startup": (_startup, lambda job: any(start.init or start.first_inference for start in job.startups)),
    "memory": (_memory, lambda job: any(v is not None for v in (job.peak_memory_mb, job.vm_hwm_mb, job.pss_mb))),
}


def job_charts(report: ReportData, kind: str) -> tuple[RowChart, ...]:
    """Return charts of one kind, a model after the other; phones and virtual devices have charts of their own.

    A model with more jobs than fit into one chart has several.
    """
    make, wanted = KINDS[kind]
    models: dict[tuple[str, bool], dict[str, list[JobReport]]] = {}
    for job in filter(wanted, report.jobs):
        models.setdefault((job.subject, job.virtual), {}).setdefault(job.job.device.key, []).append(job)
    shown: list[tuple[list[JobReport], str]] = []
    for devices in models.values():
        portions: list[list[JobReport]] = [[]]
        for jobs in devices.values():
            if portions[-1] and len(portions[-1]) + len(jobs) > _MAX_ROWS:
                portions.append([])
            portions[-1] += jobs[:_MAX_ROWS]
        of = len(portions)
        shown += [(one, f" ({at} of {of})" if of > 1 else "") for at, one in enumerate(portions, start=1)]
    return tuple(make(f"{kind}-{number}", jobs, part) for number, (jobs, part) in enumerate(shown, start=1))


def whole_chart(report: ReportData, kind: str, over: str = "cpu") -> RowChart | None:
    """Return one chart of all jobs, the first ones if there are many; `over` is what a speed-up is compared with."""
    make, wanted = KINDS["latency" if kind == "speedup" else kind]
    jobs = list(filter(wanted, report.jobs))
    rest = f" (first {_MAX_ROWS} of {len(jobs)} jobs)" if len(jobs) > _MAX_ROWS else ""
    if not jobs:
        return None
    return speedup(kind, jobs[:_MAX_ROWS], over) if kind == "speedup" else make(kind, jobs[:_MAX_ROWS], rest)


# -- comparison -------------------------------------------------------------------------------------------------------


def comparison_charts(report: ComparisonReport) -> tuple[RowChart, ...]:
    """Return the largest changes of each metric that changed anywhere, or could not be decided."""
    found = []
    for metric in shown_in("comparison"):
        rows = [row for row in report.rows if row.metric == metric and row.comparison.change is not None]
        rows = [row for row in rows if not row.comparison.reason]
        told = [row for row in rows if row.comparison.verdict != "unchanged"]
        if told:
            largest = sorted(told, key=lambda row: -abs(row.comparison.change or 0.0))[:_MAX_CHANGES]
            found.append(_changes(metric, largest, len(rows), report.baseline.title))
    return tuple(found)


def _changes(metric: str, rows: Sequence[ComparedRow], of: int, baseline: str) -> RowChart:
    largest = sorted(rows, key=lambda row: -(row.comparison.change or 0.0))
    devices = grouped((row.device, _changed(row)) for row in largest)
    unit = f"change from the baseline, {'percentage points' if METRICS[metric].absolute else '%'}"
    title = f"Changes of {METRICS[metric].title} from {clean(baseline, 60)}"
    named = ", ".join(f"{clean(row.case, 60)} {100 * (row.comparison.change or 0.0):+.1f} %" for row in rows[:8])
    note = f"The largest changes, {len(rows)} of {of} checks; lines: 95 % interval."
    groups = tuple(Group(clean(device, 70), tuple(those)) for device, those in devices.items())
    virtual = _virtual(row.virtual for row in rows)
    return RowChart(
        f"changes-{metric}", title, f"{title}: {named}", unit, tuple(_VERDICTS.values()), groups, note, virtual=virtual
    )


def _changed(row: ComparedRow) -> Row:
    found = row.comparison
    change = 100 * (found.change or 0.0)
    low, high = (100 * end for end in found.interval) if found.interval else (None, None)
    name = row.case + (f" · {row.operator_type}" if row.operator_type else "")
    words = f"{name}: {change:+.1f} %, {_VERDICTS[found.verdict].name}"
    number = list(_VERDICTS).index(found.verdict)
    bar = Bar(change, number, f"{change:+.1f}".replace("-", "−"), words, low, high)
    facets = (("device", row.device), ("model", row.model))
    return Row(name, (bar,), virtual=row.virtual, facets=facets)


def waterfalls(rows: Iterable[ComparedRow]) -> tuple[RowChart, ...]:
    """Return for each regressed latency with an explanation how types of operators add up to the new latency."""
    wanted = [row for row in rows if row.metric == "latency" and row.explanation and row.explanation.causes]
    return tuple(_waterfall(f"waterfall-{number}", row) for number, row in enumerate(wanted, start=1))


def _waterfall(name: str, row: ComparedRow) -> RowChart:
    # It imports NumPy, which a run without a comparison does not need.
    from devbench.sections.comparison_cells import case_words

    was, now = row.comparison.baseline.median or 0.0, row.comparison.candidate.median or 0.0
    # The delegation as a whole is the sum of the types that it moved.
    causes = [one for one in row.explanation.causes if one.kind != "delegation"] if row.explanation else []
    steps = [(f"{clean(one.name, 40)}, {one.kind}", one.change_ms) for one in causes[:_MAX_CAUSES]]
    steps.append(("everything else", now - was - sum(change for _, change in steps)))
    level, changes = was, [Step("before", was, f"{ms(was)} ms")]
    for label, change in steps:
        level += change
        changes.append(Step(label, max(level, 0.0), f"{'−' if change < 0 else '+'}{ms(abs(change))}"))
    title = f"{clean(case_words(row, {row.device: row.device}), 140)}: from {ms(was)} to {ms(now)} ms"
    note = "Each bar begins where the one above ended. Types of operators are from processes that were profiled."
    made = waterfall(name, title, "ms per inference", changes, note=note, virtual="every" if row.virtual else "")
    end = Row("now", (Bar(now, 0, f"{ms(now)} ms", f"now: {ms(now)} ms"),), virtual=row.virtual)
    return replace(made, groups=(replace(made.groups[0], rows=(*made.groups[0].rows, end)),))
