"""Which repetitions of a job count, for what: the one place that says so; knows no database and no report.

A failed repetition counts for nothing, and nothing counts of a job whose outputs were wrong. An unreliable one
(measured while the device was throttled or busy) counts only if the job has no better one. Latency comes from processes
that nothing watched, start-up from processes that found the same state of the caches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from devbench.results.records import CacheState

_WRONG_OUTPUTS = "output_mismatch"


class Counted(Protocol):
    """What of a repetition decides whether it counts; as in `RepetitionRecord`."""

    @property
    def purpose(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def failure_kind(self) -> str | None: ...
    @property
    def verdict(self) -> str: ...
    @property
    def file_cache(self) -> CacheState | None: ...
    @property
    def kernel_cache(self) -> CacheState | None: ...


R = TypeVar("R", bound=Counted)


@dataclass(frozen=True, slots=True)
class StartState(Generic[R]):
    """The processes of a job that found the caches in one state.

    Attributes:
        file_cache, kernel_cache: what they found; `None` where it is not known or there is no such cache.
        cold: they were started with an emptied cache, or found one empty.
        repetitions: those that count, unreliable ones only where the state has no others.
    """

    file_cache: CacheState | None
    kernel_cache: CacheState | None
    cold: bool
    repetitions: tuple[R, ...]


def measured(repetitions: Sequence[R]) -> list[R]:
    """Those that were timed, the unreliable ones included; none where the outputs were wrong."""
    if any(r.failure_kind == _WRONG_OUTPUTS for r in repetitions):
        return []
    return [r for r in repetitions if r.purpose == "latency" and r.status == "ok"]


def timed(repetitions: Sequence[R]) -> list[R]:
    """Those whose latency counts."""
    return _fit(measured(repetitions))


def start_states(repetitions: Sequence[R]) -> list[StartState[R]]:
    """One for each state of the caches, the warmest first; of several warm ones that which most processes found."""
    by_state: dict[tuple[CacheState | None, CacheState | None, bool], list[R]] = {}
    for r in repetitions:
        if r.purpose in ("latency", "cold") and r.status == "ok":
            cold = r.purpose == "cold" or "cold" in (r.file_cache, r.kernel_cache)
            by_state.setdefault((r.file_cache, r.kernel_cache, cold), []).append(r)
    found = [StartState(*state, tuple(_fit(those))) for state, those in by_state.items()]
    return sorted(found, key=lambda s: (s.cold, (s.file_cache, s.kernel_cache).count("cold"), -len(s.repetitions)))


def started(repetitions: Sequence[R]) -> list[R]:
    """Those whose init and first inference stand for the job: warm ones in the state that most of them found."""
    warm = next((state for state in start_states(repetitions) if not state.cold), None)
    return list(warm.repetitions) if warm and measured(repetitions) else []


def _fit(repetitions: Sequence[R]) -> list[R]:
    return [r for r in repetitions if r.verdict != "unreliable"] or list(repetitions)
