"""From a session's log to what the store keeps: times of each stage, memory, and whether the session counts; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Literal

from devbench import numbers
from devbench.analysis.pipeline import memory_over_time, peak_kb
from devbench.bench.pipeline_plan import SessionPlan
from devbench.bench.plan import Case
from devbench.results.records import MemoryKind, PipelineSampleRecord, PipelineStageRecord
from devbench.tool.failures import classify
from devbench.tool.measurement import Failure, FailureKind, Measurement, RunStats
from devbench.tool.parse import parse_text
from devbench.tool.parse.pipeline_log import SessionLog, StageLog

# A hostile or endless log must not fill the store; this is half an hour of ten stages at ten samples per second.
_MAX_SAMPLES = 200_000
_TIMES = ("start_s", "ready_s", "go_s", "warm_s", "done_s", "gone_s")


def session_failure(
    log: SessionLog, plan: SessionPlan, cases: Sequence[Case], argvs: Sequence[Sequence[str]]
) -> Failure | None:
    """Why a session gives no latency, or `None` where it gives one: the first stage that failed, with its name."""
    for number, (stage, case, argv) in enumerate(zip(plan.stages, cases, argvs, strict=True)):
        seen = log.stage(number)
        if seen.start_s is None and log.lost is not None:
            continue
        failure = stage_failure(seen, case, argv)
        if failure is not None:
            return Failure(failure.kind, f"{stage.name}: {failure.message}")
    if end_s(log, plan) is None:
        return Failure(FailureKind.OUTPUT_INCOMPLETE, "the session did not come to its end")
    if any(not _in_order(log.stage(number)) for number in range(len(plan.stages))):
        return Failure(FailureKind.TOOL_ERROR, "the device's clock was set while the session ran")
    return None


def stage_failure(seen: StageLog, case: Case, argv: Sequence[str]) -> Failure | None:
    """Why a stage did not do its part; the session itself ends processes that have done it, before their summary."""
    measured = parse_text(seen.text)
    exit_code = seen.exit_code
    if seen.done_s is not None:
        exit_code = 0
        told = measured.failure
        if told is not None and told.kind in (FailureKind.OUTPUT_INCOMPLETE, FailureKind.KILLED):
            told = None
        average = measured.inference_avg_us if measured.inference_avg_us is not None else 0.0
        measured = replace(measured, status="ok", failure=told, inference_avg_us=average)
    return classify(measured, delegate=case.delegate, require=case.require, exit_code=exit_code, argv=argv)


def end_s(log: SessionLog, plan: SessionPlan) -> float | None:
    """The end of the last stage; `None` where it was not reached.

    A stage of less than a millisecond can be through before it could be stopped: it ends at its turn then.
    """
    last = log.stage(len(plan.stages) - 1)
    if not log.began or last.done_s is None:
        return None
    at = max(last.done_s, last.go_s if last.go_s is not None else last.done_s)
    return at if at > 0 else None


def _in_order(seen: StageLog) -> bool:
    times = [at for at in (getattr(seen, name) for name in _TIMES if name != "go_s") if at is not None]
    return times == sorted(times)


def _wall_ms(seen: StageLog, turn_s: float | None, runs: RunStats | None) -> float | None:
    """From its turn to its end; the tool's own figure for a stage that was through before it could be stopped."""
    if turn_s is None or seen.done_s is None or seen.done_s >= turn_s:
        return _ms(turn_s, seen.done_s)
    average = _phase_ms(runs, "avg_us")
    return None if average is None or runs is None or not runs.count else average * runs.count


def stage_records(
    log: SessionLog, plan: SessionPlan, argvs: Sequence[tuple[str, ...]]
) -> tuple[PipelineStageRecord, ...]:
    """Each stage of a session as the store keeps it; `argvs` are the stages' command lines."""
    found: list[PipelineStageRecord] = []
    alone = plan.residency == "alone"
    for number, (stage, argv) in enumerate(zip(plan.stages, argvs, strict=True)):
        seen = log.stage(number)
        measured = parse_text(seen.text)
        runs = measured.runs
        warm = measured.warmup if stage.warmup_runs else None
        wait_ms = 0.0
        # Of a pipelined session only the stage that stays and the one after it are held.
        if plan.residency == "pipelined" and stage.held and number and plan.stages[number - 1].held:
            wait_ms = max(0.0, _ms(found[-1].done_s, seen.go_s) or 0.0)
        releases = plan.residency == "sequential" and number < len(plan.stages) - 1
        found.append(
            PipelineStageRecord(
                position=stage.position,
                name=stage.name,
                job_number=stage.job_number,
                repeated=stage.repeated,
                runs=stage.runs,
                overlapped_runs=0 if alone else stage.overlapped,
                argv=argv,
                held_by=plan.held_by if stage.kept else "",
                loaded_before=stage.held,
                init_ms=_init_ms(measured, seen.text),
                load_ms=_ms(seen.start_s, seen.ready_s),
                wait_ms=wait_ms,
                wall_ms=_wall_ms(seen, seen.go_s if stage.held else seen.ready_s, runs),
                first_ms=None if stage.held else _phase_ms(warm or runs, "first_us"),
                steady_ms=_phase_ms(runs, "avg_us") if alone else _steady_ms(warm if stage.overlapped else runs),
                overlapped_ms=_phase_ms(runs, "avg_us") if stage.overlapped and not alone else None,
                release_ms=(_ms(seen.done_s, seen.gone_s) or 0.0) if releases else 0.0,
                hwm_kb=log.hwm_kb.get(number),
                **{name: getattr(seen, name) for name in _TIMES},
            )
        )
    return tuple(found)


def _ms(start_s: float | None, end_s: float | None) -> float | None:
    return None if start_s is None or end_s is None else round(1000 * (end_s - start_s), 3)


def _init_ms(measured: Measurement, text: str) -> float | None:
    """Initialisation from the summary, or from the line before it if a held stage has no summary."""
    if measured.init_us is not None:
        return measured.init_us / 1000
    _, found, rest = text.partition("Initialized session in ")
    return numbers.real(rest[:40].partition("ms")[0], above=0, maximum=1e9) if found else None


def _phase_ms(stats: RunStats | None, figure: Literal["first_us", "avg_us"]) -> float | None:
    """A figure of a phase; of a phase of one inference the tool prints only that one's time."""
    if stats is None or not stats.count:
        return None
    us: float | None = getattr(stats, figure)
    us = us if us is not None else stats.curr_us if stats.count == 1 else None
    return None if us is None else us / 1000


def _steady_ms(stats: RunStats | None) -> float | None:
    """The average without the first inference, which is slower and, of a held stage, includes its wait."""
    if stats is None or stats.avg_us is None or stats.first_us is None or not stats.count or stats.count < 2:
        return None
    us = (stats.avg_us * stats.count - stats.first_us) / (stats.count - 1)
    # The tool prints six digits of the average: a long wait can leave nothing of a short inference.
    return max(us, stats.min_us or 0.0) / 1000


def memory_records(
    log: SessionLog, plan: SessionPlan
) -> tuple[tuple[PipelineSampleRecord, ...], MemoryKind | None, int | None]:
    """The samples, whether PSS or RSS is summed, and the largest sum over the live stages."""
    records = (
        PipelineSampleRecord(
            number, plan.stages[stage].position, sample.t_s, sample.pss_kb.get(stage), sample.rss_kb.get(stage)
        )
        for number, sample in enumerate(log.samples)
        for stage in sorted({*sample.pss_kb, *sample.rss_kb})
        if stage < len(plan.stages)
    )
    has_pss = any(sample.pss_kb for sample in log.samples)
    peak = peak_kb(memory_over_time([(sample.pss_kb, sample.rss_kb) for sample in log.samples]))
    kind: MemoryKind | None = None if peak is None else "pss" if has_pss else "rss"
    return tuple(islice(records, _MAX_SAMPLES)), kind, peak
