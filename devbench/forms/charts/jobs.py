"""Charts of a run's jobs: latency with intervals and single processes, speed-up, start-up, memory, operators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from devbench.analysis.stats import Estimate
from devbench.findings.run import JobReport, Process
from devbench.forms.charts.picture import SERIES, Picture
from devbench.forms.charts.rows import Axis, Bar, Dot, Group, Piece, Row, draw_rows
from devbench.metrics import METRICS
from devbench.sections.charts import ChartedJobs
from devbench.sections.figures import interval, mb, ms, percent
from devbench.text import clean

_MOST_TYPES = 7
_STARTS = (("c3", "cold init"), ("c0", METRICS["init"].title), ("c1", METRICS["first_inference"].title))
_MEMORIES = (("c0", "peak (tool)"), ("c2", "VmHWM (/proc)"), ("c1", "PSS (/proc)"))


def colours(titles: Iterable[str]) -> dict[str, str]:
    """Delegates and threads in order of appearance, each with its colour, the same in all charts of a run."""
    titles = dict.fromkeys(titles)
    return {title: SERIES[number % len(SERIES)] for number, title in enumerate(titles)}


def _axis(shown: ChartedJobs, unit: str, legend: Sequence[tuple[str, str]] = (), **how: object) -> Axis:
    return Axis(unit, tuple(legend), every=shown.every, some=shown.some, **how)  # type: ignore[arg-type]


def _groups(shown: ChartedJobs, row: Callable[[JobReport], Row]) -> list[Group]:
    """Rows by device, and by model where there are several."""
    several = len({job.subject for job in shown.jobs}) > 1
    found: dict[tuple[str, str], list[JobReport]] = {}
    for job in shown.jobs:
        found.setdefault((job.subject, job.job.device.key), []).append(job)
    return [
        Group(
            (f"{clean(model, 80)} · " if several else "") + clean(jobs[0].job.device.title, 70),
            tuple(row(job) for job in jobs),
        )
        for (model, _), jobs in found.items()
    ]


def latency(shown: ChartedJobs, name: str = "latency") -> Picture:
    """A bar for each job with its interval, and under it every process."""
    paint = colours(job.title for job in shown.report.jobs)

    def row(job: JobReport) -> Row:
        found = job.latency
        assert found is not None
        label = ms(found.median) + (" ! unreliable" if job.all_unreliable else "")
        has = found.coverage is not None
        tip = (
            f"{job.title}: {ms(found.median)} ms" + (f" ({interval(found)})" if has else "") + f", {found.n} processes"
        )
        bar = Bar(
            found.median, paint[job.title], label, tip, found.low if has else None, found.high if has else None,
            job.all_unreliable, shown.hatch(job), tuple(_dot(process) for process in job.processes),
        )  # fmt: skip
        return Row(clean(job.title, 60), (bar,))

    words = [
        f"{clean(j.subject, 60)} {clean(j.title, 40)} {ms(j.latency.median)} ms" for j in shown.jobs[:20] if j.latency
    ]
    alt = "Latency by device and delegate, with intervals: " + "; ".join(words)
    note = _latency_note(shown.jobs)
    return draw_rows(name, _title("Latency", shown), alt, _groups(shown, row), _axis(shown, "latency, ms"), note)


def _title(what: str, shown: ChartedJobs) -> str:
    return f"{what}: {shown.title}" if shown.title else what


def _dot(process: Process) -> Dot:
    form = "cross" if not process.counts else "ring" if process.outlier else "dot"
    words = "unreliable, left out" if not process.counts else "far from the others" if process.outlier else ""
    tip = f"repetition {process.repetition.index + 1}: {ms(process.latency_ms)} ms" + (f", {words}" if words else "")
    return Dot(process.latency_ms, form, tip)  # type: ignore[arg-type]


def _latency_note(jobs: Sequence[JobReport]) -> str:
    """What the marks mean, of those that are there."""
    parts = ["Bars: median over processes; whiskers: interval; dots: single processes"]
    processes = [process for job in jobs for process in job.processes]
    if any(process.outlier for process in processes):
        parts.append("hollow dots: far from the others, counted all the same")
    if any(process.unreliable and not process.counts for process in processes):
        parts.append("crosses: unreliable, left out")
    if any(job.all_unreliable for job in jobs):
        parts.append("pale bars: every process unreliable, not to be compared with the others")
    return "; ".join(parts) + "."


def speedup(of: tuple[ChartedJobs, str], name: str = "speedup") -> Picture:
    """How many times faster than the baseline delegate each job is, on its device and with its model.

    Args:
        of: the jobs, and the name of a delegate; if a device and model has several jobs of it, the fastest is meant.
    """
    shown, baseline = of
    paint = colours(job.title for job in shown.report.jobs)
    bases: dict[tuple[str, str], Estimate] = {}
    for job in shown.jobs:
        key = (job.subject, job.job.device.key)
        if (
            job.job.delegate == baseline
            and job.latency
            and (key not in bases or job.latency.median < bases[key].median)
        ):
            bases[key] = job.latency

    def row(job: JobReport) -> Row:
        base = bases.get((job.subject, job.job.device.key))
        if job.latency is None or base is None or not job.latency.median:
            return Row(clean(job.title, 60), (), f"no {baseline} to compare with" if base is None else "not measured")
        found, ratio = job.latency, base.median / job.latency.median
        has = found.coverage is not None and base.coverage is not None and found.low > 0
        own = found is base
        low, high = (base.low / found.high, base.high / found.low) if has and not own else (None, None)
        label = f"{ratio:.2f}×" + (" ! unreliable" if job.all_unreliable else "")
        tip = f"{job.title}: {ratio:.2f} times as fast"
        bar = Bar(ratio, paint[job.title], label, tip, low, high, job.all_unreliable, shown.hatch(job))
        return Row(clean(job.title, 60), (bar,))

    note = f"Median latency of {baseline} over that of the job; whiskers: from the ends of both intervals, too wide."
    alt = f"How many times as fast as {baseline} each delegate is"
    axis = _axis(shown, f"times as fast as {baseline} (logarithmic)", origin=1.0, log=True)
    return draw_rows(name, _title(f"Speed-up over {baseline}", shown), alt, _groups(shown, row), axis, note)


def startup(shown: ChartedJobs, name: str = "startup") -> Picture:
    """Cold init, init and first inference of each job."""

    def row(job: JobReport) -> Row:
        starts = (job.cold.init if job.cold else None, job.init, job.first_inference)
        bars = [
            _bar(found, colour, f"{job.title}, {word}", shown.hatch(job))
            for found, (colour, word) in zip(starts, _STARTS, strict=True)
            if found
        ]
        return Row(clean(job.title, 60), tuple(bars), "not measured")

    cold = any(job.cold for job in shown.jobs)
    legend = _STARTS if cold else _STARTS[1:]
    alt = "Start-up of each job: " + ", ".join(word for _, word in legend) + ", in ms"
    axis = _axis(shown, "ms", legend)
    return draw_rows(name, _title("Start-up", shown), alt, _groups(shown, row), axis)


def _bar(found: Estimate, colour: str, what: str, hatch: bool) -> Bar:
    has = found.coverage is not None
    low, high = (found.low, found.high) if has else (None, None)
    return Bar(found.median, colour, ms(found.median), f"{what}: {ms(found.median)} ms", low, high, hatch=hatch)


def memory(shown: ChartedJobs, name: str = "memory") -> Picture:
    """Peak memory of each job's process."""

    def row(job: JobReport) -> Row:
        values = (job.peak_memory_mb, job.vm_hwm_mb, job.pss_mb)
        bars = [
            Bar(value, colour, mb(value), f"{job.title}, {word}: {mb(value)} MB", hatch=shown.hatch(job))
            for value, (colour, word) in zip(values, _MEMORIES, strict=True)
            if value is not None
        ]
        return Row(clean(job.title, 60), tuple(bars), "not measured")

    alt = "Peak memory of each job's process, in MB"
    return draw_rows(name, _title("Memory", shown), alt, _groups(shown, row), _axis(shown, "MB", _MEMORIES))


def operators(shown: ChartedJobs, name: str = "operators") -> Picture:
    """A bar for each profiled job, split by operator type; the rarest types together."""
    weight: dict[str, float] = {}
    for job in shown.jobs:
        for kind in job.by_type:
            weight[kind.type] = max(weight.get(kind.type, 0.0), kind.share)
    top = sorted(weight, key=lambda kind: -weight[kind])[:_MOST_TYPES]
    paint = dict(zip(top, SERIES, strict=False))
    rest = len(weight) - len(top)

    def row(job: JobReport) -> Row:
        sums = {kind: sum(t.total_ms for t in job.by_type if t.type == kind) for kind in top}
        if rest:
            sums[f"{rest} more types"] = sum(t.total_ms for t in job.by_type if t.type not in paint)
        whole = sum(sums.values())
        pieces = tuple(
            Piece(value, paint.get(kind, "rest"), f"{clean(kind, 60)}: {ms(value)} ms, {percent(value / whole)}")
            for kind, value in sums.items()
            if value
        )
        return Row(clean(job.title, 60), (Bar(whole, "rest", ms(whole), hatch=shown.hatch(job), pieces=pieces),))

    legend = [*((paint[kind], clean(kind, 40)) for kind in top), *([("rest", f"{rest} more types")] if rest else [])]
    alt = "Time per inference by operator type, for each delegate"
    axis = _axis(shown, "ms per inference, profiled processes", legend)
    return draw_rows(name, _title("Where the time goes", shown), alt, _groups(shown, row), axis)
