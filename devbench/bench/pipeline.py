"""Pipelines: their stages and models, how often each stage runs and when it is in memory; and the steps of a session.

docs/pipelines.md describes the file. Every error names the file, the line and the key, as in suites. A session is a
list of steps that one script on the device performs: start a stage, wait for one of its marks, let a held stage
continue, drop a stage. A stage is one process of the unchanged tool; a mark is a point in its run that its output
shows. Knows no shell and no device.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from devbench.analysis.pipeline import is_pipelined
from devbench.bench.planning import check_choices
from devbench.declare import options_of
from devbench.errors import InputError
from devbench.host.toml_types import Added, ReadBy, Truth, key, made, refuse, shown, within
from devbench.host.tomlfile import check, read_toml, wrong
from devbench.options import MAX_THREADS, MOST_IMAGES, RESIDENCIES, Residency, RunOptions
from devbench.text import clean, near

KIND = "pipeline"
_DEFAULT = RESIDENCIES[:3]
_MAX_NAME, _MAX_PATH, _MAX_STAGES = 60, 4096, 32
_OPTIONS = {one.name: one for one in options_of(RunOptions)}
_STEPS = within(_OPTIONS["steps"].minimum, _OPTIONS["steps"].maximum, whole=True)


def _text(maximum: int) -> ReadBy:
    def validate(value: Any) -> Any:
        if not isinstance(value, str) or not value.strip() or len(value) > maximum or not value.isprintable():
            raise refuse(f"is not a text of 1 to {maximum} characters")
        return value

    return ReadBy(validate)


def _count(word: str) -> ReadBy:
    """Accept a number of steps, or `word`, which is read as `None`."""

    def validate(value: Any) -> Any:
        if value == word:
            return None
        if isinstance(value, str):
            raise refuse(f"{shown(value)} is not a number")
        return _STEPS.validate(value)

    return ReadBy(validate)


def _residencies(value: Any) -> Any:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not words:
        raise refuse("is not a text or a list of texts")
    for word in words:
        if word not in RESIDENCIES:
            raise refuse(f"{shown(word)} is unknown", near(str(word), RESIDENCIES, f"use {' or '.join(RESIDENCIES)}"))
    return tuple(dict.fromkeys(words))


def _stages(value: Any) -> Any:
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise refuse("is missing or is no list of tables", "begin each stage with [[stage]]")
    if len(value) > _MAX_STAGES:
        raise refuse(f"has {len(value)} stages", f"at most {_MAX_STAGES}")
    return value


_Name = Annotated[str, _text(_MAX_NAME)]


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage, a `[[stage]]` of the file. `runs` is `None` if it runs once or twice a step."""

    name: _Name = key("what the stage is called")
    model: Annotated[str, _text(_MAX_PATH)] = key("the .tflite file, relative to this file")
    runs: Annotated[int | None, _count("steps")] = key('how often it runs: a number, or "steps"', 1)
    keep: Truth = key("true for the stage that stays in memory in pipelined sessions", False)
    delegate: _Name | None = key("its own delegate in place of the run's", None)
    threads: Annotated[int | None, within(1, MAX_THREADS, whole=True)] = key(
        f"its own number of threads, 1 to {MAX_THREADS}", None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A pipeline, as its file has it. If `overlap_steps` is `None`, the number is calculated from measurements."""

    name: _Name = key("what the pipeline is called", "")
    steps: Annotated[int, _STEPS] = key("how many steps", 20)
    guidance: Truth = key("true for classifier-free guidance, which runs the repeated stage twice a step", False)
    residencies: Annotated[tuple[Residency, ...], ReadBy(_residencies)] = key(
        f"{', '.join(RESIDENCIES)}, or a list of them", _DEFAULT, alias="residency"
    )
    images: Annotated[int, within(1, MOST_IMAGES, whole=True)] = key(
        "images in a pipelined session, which keeps one stage in memory", 1
    )
    overlap_steps: Annotated[int | None, _count("auto")] = key(
        '"auto", or during how many of the last steps the next stage loads', None
    )
    stages: Annotated[tuple[Stage, ...], ReadBy(_stages, parts=True)] = key(
        "[[stage]] tables, in the order in which they run", alias="stage"
    )
    path: Added[Path | None] = None

    @property
    def passes(self) -> int:
        """How many inferences a repeated stage has per step."""
        return 2 if self.guidance else 1

    @property
    def runs(self) -> tuple[int, ...]:
        """How many inferences each stage has."""
        return tuple(self.steps * self.passes if stage.runs is None else stage.runs for stage in self.stages)

    @property
    def keep(self) -> int | None:
        """Which stage stays in memory in pipelined sessions: the one with `keep` in the file, else the repeated one.

        `None` if there is no such stage, or more than one.
        """
        kept = [number for number, stage in enumerate(self.stages) if stage.keep]
        repeated = [number for number, stage in enumerate(self.stages) if stage.runs is None]
        chosen = kept or repeated
        return chosen[0] if len(chosen) == 1 else None

    def changed(self, given: RunOptions) -> Pipeline:
        """Return the pipeline with the command line's values, which override those of the file.

        Raises:
            InputError: a residency that is not known, or that the stages do not allow.
        """
        check_choices(given)
        changes: dict[str, Any] = {
            "steps": given.steps,
            "guidance": given.guidance,
            "residencies": given.residency or None,
            "images": given.images,
        }
        changed = replace(self, **{name: value for name, value in changes.items() if value is not None})
        wanted = next(filter(is_pipelined, changed.residencies), None)
        if wanted and changed.keep is None:
            raise InputError(
                f"pipeline {clean(self.name, 80)}: {wanted} needs one stage that stays in memory",
                hint="set keep = true at that stage, or choose another residency",
            )
        return changed


def read_pipeline(path: Path) -> Pipeline:
    """Read a pipeline from a file.

    Raises:
        InputError: names the file, the line, the key and what to do.
    """
    values = read_toml(path)
    check(KIND, path, values, Pipeline)
    read: Pipeline = made(Pipeline, values)
    stages = tuple(_with_model(path, number, one) for number, one in enumerate(read.stages))
    names = [stage.name for stage in stages]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise wrong(KIND, path, ("stage", number, "name"), f"{name!r} is there twice", "give each its own name")
    kept = [number for number, stage in enumerate(stages) if stage.keep]
    if len(kept) > 1:
        raise wrong(KIND, path, ("stage", kept[1], "keep"), "is set at a second stage", "one stage stays in memory")
    pipeline = replace(read, name=read.name or path.stem, stages=stages, path=path)
    wanted = next(filter(is_pipelined, pipeline.residencies), None)
    if wanted is None or pipeline.keep is not None:
        return pipeline
    if "residency" in values:
        what = f"asks for {wanted}, which needs one stage that stays"
        raise wrong(KIND, path, ("residency",), what, "set keep = true at that stage")
    return replace(pipeline, residencies=tuple(one for one in pipeline.residencies if not is_pipelined(one)))


def _with_model(path: Path, number: int, stage: Stage) -> Stage:
    """Return the stage with the absolute path of its model, which the file gives relative to its own folder."""
    file = (path.parent / Path(stage.model).expanduser()).resolve()
    # Unlike pathlib's, this is false for a name that is too long.
    if os.path.isfile(file):  # noqa: PTH113
        return replace(stage, model=str(file))
    if stage.model != "demo":
        what = f"{stage.model!r} is not a file"
        raise wrong(KIND, path, ("stage", number, "model"), what, f"it is looked for at {file}")
    return stage


# Marks of a stage: its model is loaded; the first of the two phases of the tool ended; the last one ended; it is gone.
Mark = Literal["ready", "warm", "done", "gone"]


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage of a session.

    Attributes:
        name: the name of the stage.
        runs: how many inferences it has in all.
        position: the number of the stage in the pipeline, from 0.
        job_number: the number of its job in the run.
        repeated: it runs once or twice per step of the pipeline.
        overlapped: how many of its last inferences run while the next stage loads; they are the tool's second phase.
        held: once loaded, it waits for a `go`.
        kept: after its work, it stays in memory until the session ends.
        images: how many images it runs for; the first image's inferences are the tool's first phase.
    """

    name: str
    runs: int
    position: int = 0
    job_number: int = 0
    repeated: bool = False
    overlapped: int = 0
    held: bool = False
    kept: bool = False
    images: int = 1

    @property
    def warmup_runs(self) -> int:
        """How many inferences the tool's first phase has; 0 if all are in the second phase."""
        if self.images > 1:
            return self.runs // self.images
        return self.runs - self.overlapped if self.overlapped else 0

    @property
    def num_runs(self) -> int:
        """How many inferences the tool's second phase has."""
        return self.runs - self.warmup_runs


class SessionStep(NamedTuple):
    """A step of a session.

    `start` begins the process of a stage, `await` waits for its mark, `go` lets a held stage run, `drop` ends the
    process, which frees its memory. `begin` starts the clock of the end-to-end latency. `hold` stops a stage between
    two images, and `sleep` waits `seconds`. `turn` waits until the stage has finished an image after the first one; the
    tool prints nothing then, so it waits as long as the stage ran for the first image, less `seconds`.
    """

    verb: Literal["start", "await", "go", "drop", "begin", "hold", "sleep", "turn"]
    stage: int = 0
    mark: Mark | None = None
    seconds: float = 0.0


BEGIN = SessionStep("begin")


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """The stages of a session and its steps; the session ends with the last stage's `done`.

    Attributes:
        keep: the stage that stays in memory in a pipelined session.
        overlap_runs: how many of the kept stage's runs, for each image, the next stage loads during.
        images: the number of images.
        held_by: how a stage is kept in memory after its work: it waits to write its output, or a signal stops it.
    """

    residency: Residency | Literal["alone"]
    stages: tuple[StagePlan, ...]
    steps: tuple[SessionStep, ...]
    keep: int | None = None
    overlap_runs: int = 0
    images: int = 1
    held_by: Literal["output", "stop"] = "output"

    @property
    def title(self) -> str:
        """The residency as stored, with the number of images if there are several."""
        return self.residency if self.images == 1 else f"{self.residency} x{self.images}"


def plan_alone(stage: StagePlan, num_runs: int) -> SessionPlan:
    """Plan a session of one stage alone: it loads, runs a first inference and `num_runs` steady ones, and ends."""
    stage = replace(stage, runs=num_runs + 1, overlapped=num_runs)
    return SessionPlan(
        "alone",
        (stage,),
        (BEGIN, SessionStep("start", 0), SessionStep("await", 0, "done"), SessionStep("await", 0, "gone")),
    )


def plan_session(
    residency: Residency,
    stages: Sequence[StagePlan],
    keep: int | None = None,
    overlap_runs: int = 0,
    images: int = 1,
    steady_s: float = 0.0,
) -> SessionPlan:
    """Plan a session of the whole pipeline.

    Args:
        residency: which stages are in memory when.
        stages: the stages in the order in which they run.
        keep: the stage that stays in memory in a pipelined session; the next stage loads while it runs.
        overlap_runs: how many of that stage's last runs the next stage loads during; at most all of them.
        images: the number of images of a pipelined session.
        steady_s: the time of one inference of the kept stage; sessions of several images use it to calculate when
            the next stage starts to load.

    Raises:
        ValueError: a pipelined session without a stage to keep.
    """
    if residency == "resident":
        return _resident(stages)
    if residency == "sequential":
        steps = [BEGIN]
        for number in range(len(stages)):
            steps += [*_come_and_go(number), SessionStep("await", number, "gone")]
        return _ended(residency, stages, steps)
    if keep is None:
        raise ValueError("no stage to keep")
    if images > 1:
        return _several_images(residency, stages, keep, overlap_runs, images, steady_s)
    return _pipelined(residency, stages, keep, overlap_runs)


def _come_and_go(number: int) -> list[SessionStep]:
    """Return the steps that start a stage, wait until it has done its work, and drop it."""
    return [SessionStep("start", number), SessionStep("await", number, "done"), SessionStep("drop", number)]


def _ended(residency: Residency, stages: Sequence[StagePlan], steps: list[SessionStep], **more: Any) -> SessionPlan:
    """Return the plan, without the last steps that end the last stage.

    The memory is read one last time at the end of the session, and the last stage must still be in it.
    """
    while steps[-1].verb == "drop" or steps[-1].mark == "gone":
        steps.pop()
    return SessionPlan(residency, (*stages[:-1], replace(stages[-1], kept=True)), tuple(steps), **more)


def _resident(stages: Sequence[StagePlan]) -> SessionPlan:
    """Plan a session in which all stages are loaded before the clock starts, one after the other, and stay loaded."""
    steps: list[SessionStep] = []
    for number in range(len(stages)):
        steps += [SessionStep("start", number), SessionStep("await", number, "ready")]
    steps.append(BEGIN)
    for number in range(len(stages)):
        steps += [SessionStep("go", number), SessionStep("await", number, "done")]
    return _ended("resident", [replace(stage, held=True, kept=True) for stage in stages], steps)


def _pipelined(residency: Residency, stages: Sequence[StagePlan], keep: int, overlap_runs: int) -> SessionPlan:
    """Plan a session in which one stage stays and the next stage loads while it runs.

    The kept stage is loaded before the clock starts. Each stage before it is loaded, run and dropped in turn.
    """
    changed = list(stages)
    following = keep + 1 if keep + 1 < len(stages) else None
    steps = [SessionStep("start", keep), SessionStep("await", keep, "ready"), BEGIN]
    for number in range(keep):
        steps += _come_and_go(number)
    steps.append(SessionStep("go", keep))
    overlapped = 0
    if following is not None:
        if overlap_runs < stages[keep].runs:
            overlapped = max(1, overlap_runs)
            steps.append(SessionStep("await", keep, "warm"))
        steps.append(SessionStep("start", following))
        changed[following] = replace(stages[following], held=True)
    steps.append(SessionStep("await", keep, "done"))
    changed[keep] = replace(stages[keep], held=True, kept=True, overlapped=overlapped)
    if following is not None:
        steps += [SessionStep("await", following, "ready"), SessionStep("go", following)]
        steps += [SessionStep("await", following, "done"), SessionStep("drop", following)]
        for number in range(following + 1, len(stages)):
            steps += _come_and_go(number)
    return _ended(residency, changed, steps, keep=keep, overlap_runs=overlap_runs)


def _several_images(
    residency: Residency, stages: Sequence[StagePlan], keep: int, overlap_runs: int, images: int, steady_s: float
) -> SessionPlan:
    """Plan a pipelined session of several images.

    The kept stage stays for all images and is held between them; the others are loaded and dropped for each image.
    The plan's stages are those of the first image, then, for each further image, all except the kept one.
    """
    kept, others = stages[keep], [number for number in range(len(stages)) if number != keep]
    following = keep + 1 if keep + 1 < len(stages) else None
    changed = list(stages)
    changed[keep] = replace(kept, runs=images * kept.runs, held=True, kept=True, images=images)
    steps = [SessionStep("start", keep), SessionStep("await", keep, "ready"), BEGIN]
    delay_s = 0.0 if following is None else max(0, kept.runs - overlap_runs) * steady_s
    for image in range(images):
        if image:
            changed += [stages[number] for number in others]
        at = {number: number if not image else len(changed) - len(others) + others.index(number) for number in others}
        for number in range(keep):
            steps += _come_and_go(at[number])
        steps.append(SessionStep("go", keep))
        if following is not None:
            changed[at[following]] = replace(stages[following], held=True)
            steps += [SessionStep("sleep", seconds=delay_s)] if delay_s else []
            steps.append(SessionStep("start", at[following]))
        if image == images - 1:
            steps.append(SessionStep("await", keep, "done"))
        else:
            ended = SessionStep("turn", keep, seconds=delay_s) if image else SessionStep("await", keep, "warm")
            steps += [ended, SessionStep("hold", keep)]
        if following is not None:
            steps += [SessionStep("await", at[following], "ready"), SessionStep("go", at[following])]
            steps += [SessionStep("await", at[following], "done"), SessionStep("drop", at[following])]
            for number in range(following + 1, len(stages)):
                steps += _come_and_go(at[number])
    return _ended(residency, changed, steps, keep=keep, overlap_runs=overlap_runs, images=images)
