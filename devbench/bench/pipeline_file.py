"""Pipelines: stages, their models, how often each runs and which are in memory when, as a TOML file; knows no device.

Every complaint names the file, the line and the key, as in suites; a key that is not known comes with the one that was
meant. docs/pipelines.md describes the format.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from devbench.bench.pipeline_plan import RESIDENCIES, Residency
from devbench.errors import InputError
from devbench.host.tomlfile import check, read_toml, wrong
from devbench.text import clean, near

KIND = "pipeline"


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage. `runs` is `None` where it runs once or twice a step."""

    name: str
    model: str
    runs: int | None = 1
    keep: bool = False
    delegate: str | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline. `overlap_steps` is `None` for a number chosen by what was measured."""

    name: str
    stages: tuple[Stage, ...]
    steps: int = 20
    guidance: bool = False
    residencies: tuple[Residency, ...] = RESIDENCIES
    overlap_steps: int | None = None
    path: Path | None = None

    @property
    def passes(self) -> int:
        """Inferences of a repeated stage in a step."""
        return 2 if self.guidance else 1

    @property
    def runs(self) -> tuple[int, ...]:
        """Inferences of each stage."""
        return tuple(self.steps * self.passes if stage.runs is None else stage.runs for stage in self.stages)

    @property
    def keep(self) -> int | None:
        """The number of the stage that stays in memory in `pipelined`: the one that says so, else the repeated one."""
        kept = [number for number, stage in enumerate(self.stages) if stage.keep]
        repeated = [number for number, stage in enumerate(self.stages) if stage.runs is None]
        chosen = kept or repeated
        return chosen[0] if len(chosen) == 1 else None

    def changed(
        self, *, steps: int | None = None, guidance: bool | None = None, residency: Sequence[str] = ()
    ) -> Pipeline:
        """The pipeline with what a command line says in place of what the file says.

        Raises:
            InputError: a residency that is not known, or that the stages do not allow.
        """
        given = self
        if steps is not None:
            given = replace(given, steps=steps)
        if guidance is not None:
            given = replace(given, guidance=guidance)
        if residency:
            given = replace(given, residencies=tuple(dict.fromkeys(_residency(word) for word in residency)))
        if "pipelined" in given.residencies and given.keep is None:
            raise InputError(
                f"pipeline {clean(given.name, 80)}: pipelined needs one stage that stays in memory",
                hint="set keep = true at that stage, or choose another residency",
            )
        return given


def _residency(word: str) -> Residency:
    for known in RESIDENCIES:
        if word == known:
            return known
    hint = near(word, RESIDENCIES, f"use {', '.join(RESIDENCIES)}")
    raise InputError(f"residency {clean(word, 40)!r} is unknown", hint=hint)


def read_pipeline(path: Path) -> Pipeline:
    """The pipeline in a file.

    Raises:
        InputError: names the file, the line, the key and what to do.
    """
    from devbench.bench.pipeline_model import PipelineTable

    values = read_toml(path)
    check(KIND, path, values, PipelineTable)
    stages = tuple(_stage(path, number, one) for number, one in enumerate(values["stage"]))
    names = [stage.name for stage in stages]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise wrong(KIND, path, ("stage", number, "name"), f"{name!r} is there twice", "give each its own name")
    kept = [number for number, stage in enumerate(stages) if stage.keep]
    if len(kept) > 1:
        raise wrong(KIND, path, ("stage", kept[1], "keep"), "stands at a second stage", "one stage stays in memory")
    words = values.get("residency", list(RESIDENCIES))
    residencies = tuple(dict.fromkeys(map(_residency, [words] if isinstance(words, str) else words)))
    overlap = values.get("overlap_steps", "auto")
    pipeline = Pipeline(
        name=values.get("name", path.stem),
        stages=stages,
        steps=values.get("steps", 20),
        guidance=values.get("guidance", False),
        residencies=residencies,
        overlap_steps=None if overlap == "auto" else overlap,
        path=path,
    )
    if "pipelined" not in residencies or pipeline.keep is not None:
        return pipeline
    if "residency" in values:
        what = "asks for pipelined, which needs one stage that stays"
        raise wrong(KIND, path, ("residency",), what, "keep = true at it")
    return replace(pipeline, residencies=tuple(one for one in residencies if one != "pipelined"))


def _stage(path: Path, number: int, values: Mapping[str, Any]) -> Stage:
    text = values["model"]
    file = (path.parent / Path(text).expanduser()).resolve()
    if not file.is_file() and text != "demo":
        raise wrong(KIND, path, ("stage", number, "model"), f"{text!r} is not a file", f"it is looked for at {file}")
    model = str(file) if file.is_file() else text
    runs = values.get("runs", 1)
    return Stage(**{**values, "model": model, "runs": None if runs == "steps" else runs})
