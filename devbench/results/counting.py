"""Decides which repetitions of a stored job count, and computes their metrics and notices; knows no database, no
report.

A failed repetition does not count; if the outputs of a job were wrong, no repetition counts. An unreliable repetition
(measured while the device was throttled or busy) counts only if the job has no reliable one. Latency comes from
processes that were not profiled, start-up from processes that found the same state of the caches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from devbench.analysis.reliability import reasons_text
from devbench.analysis.stats import estimate
from devbench.frozen import dataclass
from devbench.grouped import grouped
from devbench.metrics import of_repetitions
from devbench.notices import LEAST_PROCESSES, VIRTUAL_NOTE, Effect, Notice, NoticeKind, Tally
from devbench.results.records import (
    CacheState,
    DeviceRecord,
    JobRecord,
    PipelineSessionRecord,
    RepetitionRecord,
    RunRecord,
)

_WRONG_OUTPUTS = "output_mismatch"


@dataclass(frozen=True, slots=True)
class StartState:
    """The processes of a job that found the caches in one state.

    Attributes:
        file_cache, kernel_cache: their state before; `None` if it is not known or there is no such cache.
        cold: they were started with an emptied cache, or found one empty.
        repetitions: those that count, unreliable ones only if the state has no others.
    """

    file_cache: CacheState | None
    kernel_cache: CacheState | None
    cold: bool
    repetitions: tuple[RepetitionRecord, ...]


def measured(repetitions: Sequence[RepetitionRecord]) -> list[RepetitionRecord]:
    """Return the repetitions that were timed, the unreliable ones included; none if the outputs were wrong."""
    if any(r.failure_kind == _WRONG_OUTPUTS for r in repetitions):
        return []
    return [r for r in repetitions if r.purpose == "latency" and r.status == "ok"]


def timed(repetitions: Sequence[RepetitionRecord]) -> list[RepetitionRecord]:
    """Return the repetitions whose latency counts."""
    return _fit(measured(repetitions))


def start_states(repetitions: Sequence[RepetitionRecord]) -> list[StartState]:
    """Return an entry for each state of the caches, the warmest first; among warm ones, the most frequent first."""
    by_state = grouped(
        ((r.file_cache, r.kernel_cache, r.purpose == "cold" or "cold" in (r.file_cache, r.kernel_cache)), r)
        for r in repetitions
        if r.purpose in ("latency", "cold") and r.status == "ok"
    )
    found = [StartState(*state, tuple(_fit(those))) for state, those in by_state.items()]
    return sorted(found, key=lambda s: (s.cold, (s.file_cache, s.kernel_cache).count("cold"), -len(s.repetitions)))


def started(repetitions: Sequence[RepetitionRecord]) -> list[RepetitionRecord]:
    """Return the repetitions whose init and first inference count: warm ones, in the state that most of them found."""
    warm = next((state for state in start_states(repetitions) if not state.cold), None)
    return list(warm.repetitions) if warm and measured(repetitions) else []


def _fit(repetitions: Sequence[RepetitionRecord]) -> list[RepetitionRecord]:
    return [r for r in repetitions if r.verdict != "unreliable"] or list(repetitions)


# -- metrics and times of a job ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JobMetric:
    """A metric over the repetitions of a job that count.

    Attributes:
        metric: its name; values are in its unit.
        value: the median.
        low, high: its interval; `None` for a single value.
        n: the number of repetitions.
        unreliable: all of them are.
    """

    metric: str
    value: float
    low: float | None
    high: float | None
    n: int
    unreliable: bool


@dataclass(frozen=True, slots=True)
class JobTotals:
    """The metrics of a job, and the ids of the repetitions whose latency and whose start count."""

    metrics: tuple[JobMetric, ...]
    latency: frozenset[int]
    start: frozenset[int]


def total(repetitions: Sequence[Any]) -> JobTotals:
    """Return the metrics of one job over its repetitions: rows of the table of repetitions."""
    timed_ones: Sequence[Any] = timed(repetitions)
    started_ones: Sequence[Any] = started(repetitions)
    counting = {"latency": timed_ones, "start": started_ones, "ok": [r for r in repetitions if r.status == "ok"]}
    metrics = []
    for name, metric in of_repetitions().items():
        known = [r for r in counting[metric.counts] if getattr(r, metric.column) is not None]
        found = estimate([getattr(r, metric.column) * metric.scale for r in known])
        if found is not None:
            low, high = (None, None) if found.coverage is None else (found.low, found.high)
            unreliable = all(r.verdict == "unreliable" for r in known)
            metrics.append(JobMetric(name, found.median, low, high, found.n, unreliable))
    return JobTotals(tuple(metrics), frozenset(r.id for r in timed_ones), frozenset(r.id for r in started_ones))


def operator_place_is_xnnpack(delegate: str, options: Mapping[str, Any]) -> bool:
    """Whether the requested delegate is XNNPACK itself, by its name in the tool's output."""
    names = options.get("reported_as")
    return delegate.startswith("xnnpack") if names is None else "XNNPACK" in names


MEASURE_AGAIN = "measure again on an idle, cool device"


def job_notices(job: JobRecord, repetitions: Sequence[RepetitionRecord]) -> Iterator[Notice]:
    """Yield notices about a job that follow from its repetitions."""
    well, counts, case = measured(repetitions), timed(repetitions), job.case
    about = (job.device.key, job.number)
    bad = [r for r in well if r.verdict == "unreliable"]
    if bad:
        why = reasons_text([reason for r in bad for reason in r.verdict_reasons], counted=False)
        yield unreliable(case, len(bad), len(well), "repetition", why, *about)
    if 0 < len(counts) < LEAST_PROCESSES and counts[0] not in bad:
        text = f"measured {'once' if len(counts) == 1 else 'twice'}: not enough to choose"
        step = "give --repetitions 5 or more"
        yield Notice(NoticeKind.TOO_FEW_PROCESSES, case, text, step, Effect.EXCLUDED, *about)
    if any(r.delegate_applied == "partial" for r in repetitions if r.status == "ok"):
        yield partly_delegated(case, *about)
    if counts and job.delegate != "cpu" and not any(r.outputs for r in repetitions):
        yield outputs_not_checked(job.subject, job.number)


def partly_delegated(case: str, device_key: str, job_number: int | None = None) -> Notice:
    """Return the notice that a delegate took a part of the graph."""
    text, step = "partly delegated: the rest of the graph runs on the CPU", "the report lists what fell back"
    return Notice(NoticeKind.PARTLY_DELEGATED, case, text, step, Effect.INFORMATION, device_key, job_number)


def outputs_not_checked(subject: str, job_number: int | None = None) -> Notice:
    """Return the notice that the outputs of a delegate were not compared with correct ones."""
    text, step = "outputs not checked against this computer's", "add --check-outputs"
    return Notice(NoticeKind.OUTPUTS_NOT_CHECKED, subject, text, step, job_number=job_number)


def unreliable(
    subject: str, concerned: int, total: int, what: str, why: str, device_key: str, job_number: int | None = None
) -> Notice:
    """Return the notice of unreliable repetitions; of no verdict if all of them are.

    Args:
        what: the counted thing in the singular, such as `repetition` or `run of the candidate`.
        why: the reasons as text; may be empty.
    """
    whole = concerned == total
    because = f" ({why})" if why else ""
    end = "; shown because there are no better ones" if whole else " and left out"
    tally = Tally(concerned, total, what, f"unreliable{because}{end}")
    kind = NoticeKind.ALL_UNRELIABLE if whole else NoticeKind.SOME_UNRELIABLE
    effect = Effect.UNDECIDED if whole else Effect.INFORMATION
    return Notice(kind, subject, tally.text, MEASURE_AGAIN, effect, device_key, job_number, tally)


def virtual_devices(devices: Iterable[DeviceRecord]) -> Iterator[Notice]:
    """Yield a notice for each virtual device."""
    for device in {one.key: one for one in devices if one.virtual}.values():
        yield virtual_device(device.key, device.title)


def virtual_device(key: str, title: str) -> Notice:
    """Return the notice that a device is virtual, so its numbers are those of a computer."""
    return Notice(NoticeKind.VIRTUAL_DEVICE, title, VIRTUAL_NOTE, device_key=key)


def failure_counts(
    ran: Iterable[RepetitionRecord | PipelineSessionRecord],
) -> tuple[tuple[str, str, int], ...]:
    """Return kind and message of each failure, and how often it happened."""
    counts = Counter((one.failure_kind, one.failure_message or "") for one in ran if one.failure_kind is not None)
    return tuple((kind, message, count) for (kind, message), count in counts.items())


def job_failed(repetitions: Sequence[RepetitionRecord]) -> bool:
    """Whether a repetition of a job failed, or none was measured.

    A repetition during which the device was lost does not count if a later one with the same purpose exists, since the
    run was then resumed.
    """
    last: dict[str, int] = {}
    for one in repetitions:
        last[one.purpose] = max(one.index, last.get(one.purpose, 0))
    failed = any(
        one.status == "failed" and not (one.failure_kind == "device_lost" and one.index < last[one.purpose])
        for one in repetitions
    )
    return failed or not any(one.status == "ok" for one in repetitions)


LATEST = "latest"


@dataclass(frozen=True, slots=True)
class JobView:
    """A job with its repetitions, in the order in which they ran."""

    job: JobRecord
    repetitions: tuple[RepetitionRecord, ...]


@dataclass(frozen=True, slots=True)
class RunView:
    """A run with everything that was measured in it.

    Attributes:
        notices: the notices that are stored with it.
        end_reason: why it ended; empty if all was done.
    """

    run: RunRecord
    status: str
    finished_utc: datetime | None
    jobs: tuple[JobView, ...]
    notices: tuple[Notice, ...] = ()
    end_reason: str = ""

    @property
    def all_notices(self) -> tuple[Notice, ...]:
        """Return the stored notices, and those that follow from its measurements."""
        derived = [one for item in self.jobs for one in job_notices(item.job, item.repetitions)]
        return (*self.notices, *virtual_devices(item.job.device for item in self.jobs), *derived)


def read_notice(row: Mapping[Any, Any]) -> Notice:
    """Make a notice from its values by name, as they are in a row of the store or in a file.

    Raises:
        ValueError: its kind or its effect is unknown.
    """
    values = {field.name: row[field.name] for field in fields(Notice) if field.name != "tally"}
    return Notice(**{**values, "kind": NoticeKind(values["kind"]), "effect": Effect(values["effect"])})
