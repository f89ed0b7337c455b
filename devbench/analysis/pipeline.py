"""Estimates the latency of a pipeline from its single stages, and explains the difference from a session. Pure
functions.

All times are milliseconds. A stage that runs n times takes its first inference and n - 1 steady ones. The next stage
may load meanwhile, in one thread. If the running stage uses all cores, the load slows it down. The estimate leaves out
waiting and the time between stages; a measured session shows them.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from devbench import numbers
from devbench.frozen import dataclass
from devbench.options import RESIDENCIES, Residency

# Loading starts earlier by this factor, because it takes longer while another stage runs, and waiting for it costs more
# than a little memory.
_LOAD_MARGIN = 1.25
_CONTENTION = "contention with the next stage's load"


def is_pipelined(residency: str) -> bool:
    """Whether one stage stays in memory and another one loads while a stage runs."""
    return residency.startswith("pipelined")


def residency_of(text: str) -> tuple[Residency, int]:
    """Parse the text of a session, such as `pipelined x3`, into the residency and the number of images."""
    name, _, images = text.partition(" x")
    return next(one for one in RESIDENCIES if one == name), numbers.whole(images, minimum=1) or 1


@dataclass(frozen=True, slots=True)
class Alone:
    """A stage measured by itself.

    Attributes:
        runs: the number of its inferences in the pipeline.
        load_ms: from the start of its process until it is loaded and initialised.
        init_ms: initialisation as the tool reports it, a part of the load.
        first_ms, steady_ms: the first inference, and the average of those after it.
    """

    name: str
    runs: int
    load_ms: float
    first_ms: float
    steady_ms: float
    init_ms: float | None = None

    @property
    def compute_ms(self) -> float:
        """Return the time of all its inferences."""
        return self.first_ms + (self.runs - 1) * self.steady_ms if self.runs else 0.0


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a latency: the number of its stage (`None` if it belongs to no stage), what it is, and its time."""

    stage: int | None
    what: str
    ms: float


@dataclass(frozen=True, slots=True)
class Timed:
    """The times of a stage in a session; `None` if the stage did not reach that point.

    Attributes:
        load_ms: from the start of its process until it is loaded.
        loaded_before: it was loaded before the clock started, or while another stage ran.
        wait_ms: the time that the session waited for its load, after the end of the stage before.
        wall_ms: from its turn to the end of its last inference.
        steady_ms: the average of its inferences, except the first and those during the next stage's load.
        overlapped_ms, overlapped_runs: average and number of the inferences during the next stage's load.
        release_ms: until its memory was released, if the session waited for that.
    """

    name: str
    runs: int
    load_ms: float | None = None
    loaded_before: bool = False
    wait_ms: float = 0.0
    wall_ms: float | None = None
    steady_ms: float | None = None
    overlapped_ms: float | None = None
    overlapped_runs: int = 0
    release_ms: float = 0.0

    @property
    def on_path_ms(self) -> float:
        """Return the time that the session waited for its load:

        all of it, or the rest if it began before the stage's turn.
        """
        return self.wait_ms if self.loaded_before else self.load_ms or 0.0

    @property
    def taken_ms(self) -> float:
        """Return its part of the end-to-end latency: inferences, waiting for its load, releasing its memory."""
        return (self.wall_ms or 0.0) + self.on_path_ms + self.release_ms

    @property
    def contention_ms(self) -> float | None:
        """Return the time by which the next stage's load slowed it down; `None` if nothing was loaded meanwhile."""
        if self.overlapped_ms is None or self.steady_ms is None:
            return None
        return self.overlapped_runs * (self.overlapped_ms - self.steady_ms)


def overlap_runs(next_load_ms: float, steady_ms: float, runs: int) -> int:
    """Return how many last runs of a stage give the next one enough time to load: at least 1, at most all."""
    if steady_ms <= 0:
        return max(1, runs)
    return max(1, min(runs, math.ceil(_LOAD_MARGIN * next_load_ms / steady_ms)))


def processes_of(stages: Sequence[Alone], keep: int | None, images: int) -> list[tuple[int, Alone]]:
    """Return the processes of a session of several images, each with its stage's number.

    The kept stage has one process.
    """
    first = [(at, replace(one, runs=images * one.runs) if at == keep else one) for at, one in enumerate(stages)]
    return first + [(at, one) for at, one in enumerate(stages) if at != keep] * (images - 1)


def compose(
    residency: Residency,
    stages: Sequence[Alone],
    keep: int | None = None,
    overlap: int = 0,
    images: int = 1,
    full_cores: int = 0,
) -> list[Part]:
    """Estimate the end-to-end latency; return its parts in the order of time.

    Args:
        residency: which stages are loaded when.
        stages: each measured alone.
        keep: the stage that stays in memory in a pipelined session.
        overlap: the number of last runs of that stage, for each image, during which the next stage loads.
        images: the number of images of a pipelined session; parts are numbered as `processes_of` gives them.
        full_cores: the number of cores of the device if the kept stage's threads take all of them; else 0.
    """
    parts: list[Part] = []
    for number, (position, stage) in enumerate(processes_of(stages, keep, images)):
        if is_pipelined(residency) and keep is not None and position == keep + 1:
            window = overlap_window_ms(stages[keep], overlap)
            parts.append(Part(number, "load beyond the overlap", max(0.0, stage.load_ms - window)))
        elif residency == "sequential" or (is_pipelined(residency) and position != keep):
            parts.append(Part(number, "load", stage.load_ms))
        parts.append(Part(number, "inferences", stage.compute_ms))
        if full_cores and is_pipelined(residency) and position == keep and keep + 1 < len(stages):
            during = min(stages[keep + 1].load_ms, overlap_window_ms(stages[keep], overlap))
            parts.append(Part(number, _CONTENTION, images * during / full_cores))
    return parts


def overlap_window_ms(stage: Alone, overlap: int) -> float:
    """Return the time of a stage's last `overlap` runs."""
    return stage.compute_ms if overlap >= stage.runs else overlap * stage.steady_ms


def total_ms(parts: Sequence[Part]) -> float:
    """Return the sum of the parts."""
    return sum(part.ms for part in parts)


def explain(
    measured_ms: float,
    timed: Sequence[Timed],
    residency: Residency,
    stages: Sequence[Alone],
    keep: int | None = None,
    overlap: int = 0,
    images: int = 1,
    full_cores: int = 0,
) -> list[Part]:
    """Explain why a measured latency differs from the estimate of `compose`:

    return parts that add up to the difference.
    """
    estimated = compose(residency, stages, keep, overlap, images, full_cores)
    whole_overlap = keep is not None and overlap >= stages[keep].runs
    parts: list[Part] = []
    accounted = 0.0
    for number, (stage, (_, alone)) in enumerate(zip(timed, processes_of(stages, keep, images), strict=True)):
        expected = {part.what: part.ms for part in estimated if part.stage == number}
        wall = stage.wall_ms or 0.0
        accounted += stage.taken_ms
        if not stage.loaded_before:
            parts.append(
                Part(number, "load, compared with the stage alone", stage.on_path_ms - expected.get("load", 0.0))
            )
        elif stage.wait_ms or expected.get("load beyond the overlap"):
            late = stage.wait_ms - expected.get("load beyond the overlap", 0.0)
            parts.append(Part(number, "waiting for its load, compared with the estimate", late))
        rest = wall - alone.compute_ms
        # If all inferences ran during the load, their times include the cost of the load.
        contention, expected_ms = stage.contention_ms, expected.get(_CONTENTION, 0.0)
        rest -= expected_ms if contention is None else contention
        if contention is not None:
            compared = ", compared with the estimate" if expected_ms else ""
            parts.append(Part(number, _CONTENTION + compared, contention - expected_ms))
        if stage.steady_ms is not None and alone.runs > 1:
            slower = (alone.runs - 1) * (stage.steady_ms - alone.steady_ms)
            during = is_pipelined(residency) and number == keep and whole_overlap
            with_load = " (all during the next stage's load)" if during else ""
            parts.append(Part(number, f"steady inferences, compared with the stage alone{with_load}", slower))
            rest -= slower
        parts.append(Part(number, "first inference and inputs, compared with the stage alone", rest))
        if stage.release_ms:
            parts.append(Part(number, "releasing its memory", stage.release_ms))
    parts.append(Part(None, "between stages: script, process starts, signals", measured_ms - accounted))
    return parts


@dataclass(frozen=True, slots=True)
class Share:
    """The share of a stage in the end-to-end latency, waiting for its load included."""

    stage: int
    ms: float
    share: float
    per_run_ms: float


def shares(measured_ms: float, timed: Sequence[Timed]) -> list[Share]:
    """Return the shares of all stages; the rest up to 1 is the time between the stages."""
    found = []
    for number, stage in enumerate(timed):
        taken, wall = stage.taken_ms, stage.wall_ms or 0.0
        found.append(Share(number, taken, taken / measured_ms if measured_ms else 0.0, wall / max(1, stage.runs)))
    return found


@dataclass(frozen=True, slots=True)
class Fewer:
    """The estimate of `compose` at another number of steps."""

    steps: int
    guidance: bool
    ms: float
    repeated_share: float


def fewer_steps(
    residency: Residency,
    stages: Sequence[Alone],
    repeated: Sequence[bool],
    keep: int | None,
    overlap: int | None,
    choices: Sequence[tuple[int, bool]],
    full_cores: int = 0,
) -> list[Fewer]:
    """Estimate the latency (`compose`) for other numbers of steps, with and without guidance.

    Args:
        residency, stages, keep, full_cores: as for `compose`.
        repeated: for each stage, whether it is run at each step.
        overlap: a fixed number of overlapped runs; `None` to choose it for each.
        choices: pairs of a number of steps and whether guidance is used.
    """
    found = []
    for steps, guidance in choices:
        runs = steps * (2 if guidance else 1)
        changed = [replace(s, runs=runs) if many else s for s, many in zip(stages, repeated, strict=True)]
        over = overlap
        if is_pipelined(residency) and keep is not None and keep + 1 < len(changed):
            kept = changed[keep]
            overlap = kept.runs if residency == "pipelined-early" else overlap
            over = min(overlap, kept.runs) if overlap is not None else None
            if over is None:
                over = overlap_runs(changed[keep + 1].load_ms, kept.steady_ms, kept.runs)
        parts = compose(residency, changed, keep, over or 0, full_cores=full_cores)
        whole = total_ms(parts)
        many = sum(part.ms for part in parts if part.stage is not None and repeated[part.stage])
        found.append(Fewer(steps, guidance, whole, many / whole if whole else 0.0))
    return found


def memory_over_time(samples: Sequence[tuple[Mapping[int, int], Mapping[int, int]]]) -> list[dict[int, int]]:
    """Return the memory of each stage at each time in kB: PSS if it is known, else an estimate.

    Reading PSS of processes with gigabytes takes long, so it is read less often than RSS. In between, PSS of a stage is
    its RSS minus the shared memory (RSS - PSS) at the reading with the nearest RSS, because a process shares less at
    its start than later. If PSS is never read, RSS is used, which is at least as large.

    Args:
        samples: PSS and RSS by stage, in the order of time.
    """
    shared: dict[int, list[tuple[int, int]]] = {}
    for pss, rss in samples:
        for stage in pss.keys() & rss.keys():
            bisect.insort(shared.setdefault(stage, []), (rss[stage], max(rss[stage] - pss[stage], 0)))

    def shared_kb(stage: int, rss_kb: int) -> int:
        readings = shared.get(stage, [])
        at = bisect.bisect(readings, (rss_kb,))
        nearest = readings[max(0, at - 1) : at + 1]
        return min(nearest, key=lambda reading: abs(reading[0] - rss_kb), default=(0, 0))[1]

    return [{**{stage: max(kb - shared_kb(stage, kb), 0) for stage, kb in rss.items()}, **pss} for pss, rss in samples]


def peak_kb(samples: Sequence[Mapping[int, int]]) -> int | None:
    """Return the largest sum over all stages of any sample; `None` if there is no sample."""
    return max((sum(sample.values()) for sample in samples if sample), default=None)
