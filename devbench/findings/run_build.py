"""Computes from a stored run what a report shows: which repetitions count, medians, operators. Knows no form.

Everything is computed here once, so that all forms of a report agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from devbench.analysis.operators import TypeTotal, counted, type_times
from devbench.analysis.stats import Estimate, Inferences, ProcessSpread, estimate, middle, outliers, spread
from devbench.findings.readings import condition_words
from devbench.findings.run import (
    FallenBack,
    JobReport,
    OperatorRow,
    Process,
    ReportData,
    StartUp,
)
from devbench.findings.timeline_build import build_timelines
from devbench.metrics import METRICS, shown_in
from devbench.notices import Notice
from devbench.results import counting
from devbench.results.counting import JobView, RunView, operator_place_is_xnnpack
from devbench.results.records import JobRecord, OperatorRecord, RepetitionRecord

_KB = 1024


def build_report(view: RunView) -> ReportData:
    """Compute everything that a report shows of a run."""
    devices = {item.job.device.key: item.job.device for item in view.jobs}
    notices = view.all_notices
    jobs = tuple(_job(item, notices) for item in view.jobs)
    return ReportData(
        run_id=view.run.run_id,
        status=view.status,
        end_reason=view.end_reason,
        started_utc=view.run.started_utc,
        finished_utc=view.finished_utc,
        command=view.run.command,
        labels=view.run.labels,
        devbench_version=view.run.devbench_version,
        devices=tuple(devices.values()),
        jobs=jobs,
        timelines=build_timelines(jobs, view.run.started_utc),
        notices=notices,
    )


def _about(job: JobRecord, notices: Sequence[Notice]) -> tuple[Notice, ...]:
    """Return the notices that are about the job."""
    names = {job.model.name, job.subject, job.case, job.device.title}
    return tuple(one for one in notices if one.concerns(job.device.key, job.number, names))


def _job(item: JobView, notices: Sequence[Notice] = ()) -> JobReport:
    job, repetitions = item.job, item.repetitions
    measured, timed = counting.measured(repetitions), counting.timed(repetitions)
    # If no repetition is reliable, all are shown, and the report has a notice.
    fit = [r for r in timed if r.verdict != "unreliable"]
    profiles = [r for r in repetitions if r.purpose == "profile" and r.status == "ok"]
    profile = profiles[-1] if profiles else None
    # The process that has the most facts about the delegate: the profile, else a timed process, else the last one.
    telling = next(iter([*profiles[-1:], *timed[-1:], *repetitions[-1:]]), None)
    runs = [op for op in profile.operators if op.phase == "runs"] if profile else []
    by_type = type_times(runs, xnnpack=operator_place_is_xnnpack(job.delegate, job.options), tool=job.binary.tool)
    processes = _processes(measured, timed)
    return JobReport(
        job=job,
        title=job.delegate_title + (f" · {job.threads} thread{'' if job.threads == 1 else 's'}" if job.threads else ""),
        status=_status(repetitions),
        latency=estimate([process.latency_ms for process in processes if process.counts]),
        spread=_spread(timed),
        p50=_scaled(middle(r.latency_median_us for r in timed), 1e-3),
        p95=_scaled(middle(r.latency_p95_us for r in timed), 1e-3),
        startups=_startups(repetitions),
        processes=processes,
        inferences=sum(r.inferences or 0 for r in timed),
        all_unreliable=bool(measured) and not fit,
        figures=_figures(repetitions, timed, profiles[-1:]),
        init_memory_mb=_highest([r.init_memory_mb for r in profiles or timed]),
        overall_memory_mb=_highest([r.overall_memory_mb for r in profiles or timed]),
        vm_hwm_mb=_scaled(_highest([r.vm_hwm_kb for r in repetitions]), 1 / _KB),
        pss_mb=_scaled(_highest([r.pss_peak_kb for r in repetitions]), 1 / _KB),
        delegation=_delegation(telling),
        nodes=_nodes(telling),
        fallback=_fallback(telling, by_type),
        outputs=tuple(row for r in repetitions for row in r.outputs),
        by_type=by_type,
        operators=_operators(runs, job),
        failures=counting.failure_counts(repetitions),
        conditions=condition_words(repetitions),
        repetitions=repetitions,
        notices=_about(job, notices),
    )


# -- processes --------------------------------------------------------------------------------------------------------


def _processes(measured: Sequence[RepetitionRecord], timed: Sequence[RepetitionRecord]) -> tuple[Process, ...]:
    counting = [(r, r.latency_avg_us) for r in timed if r.latency_avg_us is not None]
    far = {r.index for (r, _), is_far in zip(counting, outliers([us for _, us in counting]), strict=True) if is_far}
    counts = {r.index for r, _ in counting}
    return tuple(
        Process(r, r.latency_avg_us / 1000, r.verdict == "unreliable", r.index in counts, r.index in far)
        for r in measured
        if r.latency_avg_us is not None
    )


def _figures(
    repetitions: Sequence[RepetitionRecord], timed: Sequence[RepetitionRecord], profile: Sequence[RepetitionRecord]
) -> dict[str, float]:
    """Return the metrics of the table of jobs, by name; metrics without a value are left out."""
    warm = next((state.repetitions for state in counting.start_states(repetitions) if not state.cold), ())
    counts: dict[str, Sequence[RepetitionRecord]] = {
        "latency": timed,
        "start": warm,
        "ok": [r for r in repetitions if r.status == "ok"],
        # Without a requested delegate, the share of the time on the delegate has no meaning.
        "profile": [r for r in profile if r.delegate_applied],
    }
    found = {}
    for name in shown_in("jobs"):
        metric = METRICS[name]
        values = [value for r in counts[metric.counts] if (value := metric.of(r)) is not None]
        if values:
            found[name] = max(values) if metric.of_job == "max" else median(values)
    return found


def _spread(timed: Sequence[RepetitionRecord]) -> ProcessSpread:
    known = [(r, r.latency_avg_us) for r in timed if r.latency_avg_us is not None]
    within = [
        Inferences(us, r.latency_std_us, r.inferences)
        for r, us in known
        if r.latency_std_us is not None and r.inferences
    ]
    return spread([us for _, us in known], within)


def _startups(repetitions: Sequence[RepetitionRecord]) -> tuple[StartUp, ...]:
    """Return start-up figures for each state of the caches, the warmest first."""
    found = []
    for state in counting.start_states(repetitions):
        used = state.repetitions
        init = _ms([r.init_us for r in used])
        first, warmup = _ms([r.first_inference_us for r in used]), _ms([r.warmup_avg_us for r in used])
        if init or first or warmup:
            found.append(StartUp(state.file_cache, state.kernel_cache, state.cold, len(used), init, first, warmup))
    return tuple(found)


def _status(repetitions: Sequence[RepetitionRecord]) -> str:
    """Return "ok", "failed", "partly failed", or "not run"."""
    if not repetitions:
        return "not run"
    bad = sum(r.status == "failed" for r in repetitions)
    return "ok" if not bad else "failed" if bad == len(repetitions) else "partly failed"


def _ms(values_us: Sequence[float | None]) -> Estimate | None:
    return estimate([value / 1000 for value in values_us if value is not None])


def _highest(values: Sequence[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _delegation(repetition: RepetitionRecord | None) -> str:
    if repetition is None or repetition.delegate_applied is None:
        return ""
    if repetition.delegate_applied == "none":
        return "not applied"
    parts = []
    if repetition.nodes_delegated is not None:
        parts.append(f"{repetition.nodes_delegated} of {repetition.nodes_total} nodes")
    if repetition.partitions is not None:
        parts.append(f"{repetition.partitions} partition{'' if repetition.partitions == 1 else 's'}")
    return repetition.delegate_applied + (f" ({', '.join(parts)})" if parts else "")


def _nodes(repetition: RepetitionRecord | None) -> str:
    if repetition is None or repetition.delegate_applied is None:
        return ""
    if repetition.delegate_applied == "none":
        return "not applied"
    known = repetition.nodes_delegated is not None
    taken = f"{repetition.nodes_delegated}/{repetition.nodes_total}" if known else repetition.delegate_applied
    count = repetition.partitions
    return taken + ("" if count is None else f", {count} part{'' if count == 1 else 's'}")


def _fallback(repetition: RepetitionRecord | None, by_type: Sequence[TypeTotal]) -> tuple[FallenBack, ...]:
    """Return the operators that stayed on the CPU, and those that the delegate refused, with its reasons."""
    if repetition is None or repetition.delegate_applied is None:
        return ()
    reasons: dict[str, dict[str, None]] = {}
    names: dict[str, str] = {}
    for op in repetition.measurement.get("unsupported_ops") or ():
        name = str(op.get("op", ""))
        names.setdefault(name.casefold(), name)
        reasons.setdefault(name.casefold(), {})[str(op.get("reason", ""))] = None
    whole = repetition.delegate_applied == "none" or not any(kind.place == "delegate" for kind in by_type)
    on_cpu = [] if whole else [kind for kind in by_type if kind.place != "delegate"]
    found = []
    for kind in on_cpu:
        why = reasons.pop(kind.type.casefold(), {})
        found.append(FallenBack(kind.type, kind.place, kind.count, kind.total_ms, kind.share, tuple(why)))
    return (*found, *(FallenBack(names[key], "", None, None, None, tuple(why)) for key, why in reasons.items()))


# -- operators ------------------------------------------------------------------------------------------------------


def _operators(runs: Sequence[OperatorRecord], job: JobRecord) -> tuple[OperatorRow, ...]:
    """Return the runs' operators by time, each counted once."""
    rows = counted(
        runs,
        xnnpack=operator_place_is_xnnpack(job.delegate, job.options),
        calls_of_all_runs=job.binary.tool == "litert",
    )
    whole = sum(total for _, total, _ in rows)
    found = [
        OperatorRow(
            type=op.type.removeprefix("Delegate/"),
            name=op.name,
            node=op.node,
            total_ms=total,
            share=total / whole if whole else 0.0,
            place=place,
        )
        for op, total, place in rows
    ]
    return tuple(sorted(found, key=lambda row: -row.total_ms))
