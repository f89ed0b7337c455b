"""What happens in a session of a pipeline, in which order, by residency; pure, knows no shell and no device.

A session is a list of steps that one script on the device takes: start a stage, wait for one of its marks, let a held
one go on, drop one. A stage is one process of the stock tool, whose own output gives the marks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Residency = Literal["resident", "sequential", "pipelined"]
RESIDENCIES: tuple[Residency, ...] = ("resident", "sequential", "pipelined")
# `warm` ends the first of the tool's two phases, `done` the last one; `gone` is the end of the process.
Mark = Literal["ready", "warm", "done", "gone"]


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage of a session.

    Attributes:
        name: the stage's.
        runs: inferences in all.
        overlapped: of them those at the end during which the next stage loads; they are the tool's second phase.
        held: it waits, loaded, for its turn.
        kept: it stays in memory after its work, to the end of the session.
    """

    name: str
    runs: int
    overlapped: int = 0
    held: bool = False
    kept: bool = False

    @property
    def warmup_runs(self) -> int:
        """Inferences of the tool's first phase; none where the second one has all of them."""
        return self.runs - self.overlapped if self.overlapped else 0

    @property
    def num_runs(self) -> int:
        """Inferences of the tool's second phase."""
        return self.overlapped or self.runs

    @property
    def phases(self) -> int:
        """How many phases have an inference."""
        return 2 if self.warmup_runs else 1


@dataclass(frozen=True, slots=True)
class Start:
    """Begin the process of a stage."""

    stage: int


@dataclass(frozen=True, slots=True)
class Await:
    """Wait for a mark of a stage."""

    stage: int
    mark: Mark


@dataclass(frozen=True, slots=True)
class Go:
    """Let a held stage run."""

    stage: int


@dataclass(frozen=True, slots=True)
class Drop:
    """End the process of a stage, which gives its memory back."""

    stage: int


@dataclass(frozen=True, slots=True)
class Begin:
    """The clock of the end-to-end latency starts."""


Step = Start | Await | Go | Drop | Begin


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """The stages of a session and its steps; it ends with the last stage's `done`."""

    residency: Residency | Literal["alone"]
    stages: tuple[StagePlan, ...]
    steps: tuple[Step, ...]


def plan_alone(name: str, num_runs: int) -> SessionPlan:
    """A stage by itself: its load, its first inference, then `num_runs` steady ones; it ends by itself."""
    stage = StagePlan(name, runs=num_runs + 1, overlapped=num_runs)
    return SessionPlan("alone", (stage,), (Begin(), Start(0), Await(0, "done"), Await(0, "gone")))


def plan_session(
    residency: Residency, names: Sequence[str], runs: Sequence[int], keep: int | None = None, overlap_runs: int = 0
) -> SessionPlan:
    """The plan of a session.

    Args:
        residency: which stages are in memory when.
        names, runs: of the stages, in their order.
        keep: the stage that stays in memory in `pipelined`, and during whose runs the next one loads.
        overlap_runs: last runs of that stage during which the next one loads; all of them where it is as many or more.

    Raises:
        ValueError: `pipelined` without a stage to keep.
    """
    stages = tuple(StagePlan(name, count) for name, count in zip(names, runs, strict=True))
    if residency == "resident":
        return _resident(stages)
    if residency == "sequential":
        steps: list[Step] = [Begin()]
        for number in range(len(stages)):
            steps += _alone(number, wait=True)
        return SessionPlan(residency, _last_kept(stages), _without_last_drop(steps))
    if keep is None:
        raise ValueError("no stage to keep")
    return _pipelined(stages, keep, overlap_runs)


def _alone(number: int, *, wait: bool = False) -> list[Step]:
    """A stage from its start to its end; with `wait` its memory is given back before anything else happens."""
    gone: list[Step] = [Await(number, "gone")] if wait else []
    return [Start(number), Await(number, "done"), Drop(number), *gone]


def _last_kept(stages: Sequence[StagePlan]) -> tuple[StagePlan, ...]:
    """The last stage must still be there when the memory is looked at for the last time."""
    return (*stages[:-1], replace(stages[-1], kept=True))


def _without_last_drop(steps: list[Step]) -> tuple[Step, ...]:
    """The end of the session drops what is left, after a last look at the memory."""
    while isinstance(steps[-1], Drop) or (isinstance(steps[-1], Await) and steps[-1].mark == "gone"):
        steps.pop()
    return tuple(steps)


def _resident(stages: tuple[StagePlan, ...]) -> SessionPlan:
    """All are loaded, one after the other, before the clock starts; all stay."""
    steps: list[Step] = []
    for number in range(len(stages)):
        steps += [Start(number), Await(number, "ready")]
    steps.append(Begin())
    for number in range(len(stages)):
        steps += [Go(number), Await(number, "done")]
    return SessionPlan("resident", tuple(replace(stage, held=True, kept=True) for stage in stages), tuple(steps))


def _pipelined(stages: tuple[StagePlan, ...], keep: int, overlap_runs: int) -> SessionPlan:
    """The kept stage is loaded before the clock starts; those before it come and go; the next loads while it runs."""
    changed = list(stages)
    following = keep + 1 if keep + 1 < len(stages) else None
    steps: list[Step] = [Start(keep), Await(keep, "ready"), Begin()]
    for number in range(keep):
        steps += _alone(number)
    steps.append(Go(keep))
    overlapped = 0
    if following is not None:
        if overlap_runs < stages[keep].runs:
            overlapped = max(1, overlap_runs)
            steps.append(Await(keep, "warm"))
        steps.append(Start(following))
        changed[following] = replace(stages[following], held=True)
    steps.append(Await(keep, "done"))
    changed[keep] = replace(stages[keep], held=True, kept=True, overlapped=overlapped)
    if following is not None:
        steps += [Await(following, "ready"), Go(following), Await(following, "done"), Drop(following)]
        for number in range(following + 1, len(stages)):
            steps += _alone(number)
    return SessionPlan("pipelined", _last_kept(changed), _without_last_drop(steps))
