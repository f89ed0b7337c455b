"""Pipelines: stages, their models, how often each runs and which are in memory when, as a TOML file; knows no device.

Every complaint names the file, the line and the key, as in suites; a key that is not known comes with the one that was
meant. docs/pipelines.md describes the format.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from devbench.bench.pipeline_plan import RESIDENCIES, Residency
from devbench.bench.suite_keys import fits
from devbench.bench.toml_lines import key_lines
from devbench.errors import InputError
from devbench.text import clean
from devbench.tomlfile import read_toml

MOST_STAGES = 32
MOST_STEPS = 10_000
_MOST_THREADS = 256
_MOST_NAME = 60

_KEYS: Mapping[str, str] = {
    "name": "what the pipeline is called",
    "steps": f"how many steps, 1 to {MOST_STEPS}",
    "guidance": "true for classifier-free guidance, which runs the repeated stage twice a step",
    "residency": f"{', '.join(RESIDENCIES)}, or a list of them",
    "overlap_steps": '"auto", or during how many of the last steps the next stage loads',
    "stage": "[[stage]] tables, in the order in which they run",
}
_STAGE_KEYS: Mapping[str, str] = {
    "name": "what the stage is called",
    "model": "the .tflite file, relative to this file",
    "runs": 'how often it runs: a number, or "steps"',
    "keep": "true for the stage that stays in memory in `pipelined`",
    "delegate": "its own delegate in place of the run's",
    "threads": f"its own number of threads, 1 to {_MOST_THREADS}",
}


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
    near = difflib.get_close_matches(word, RESIDENCIES, n=1)
    hint = f"did you mean {near[0]}?" if near else f"use {', '.join(RESIDENCIES)}"
    raise InputError(f"residency {clean(word, 40)!r} is unknown", hint=hint)


def read_pipeline(path: Path) -> Pipeline:
    """The pipeline in a file.

    Raises:
        InputError: names the file, the line, the key and what to do.
    """
    values = read_toml(path)
    return _Reader(path, values).pipeline()


class _Reader:
    """Takes typed values out of one file's tables."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self._path = path
        self._values = values
        self._lines = key_lines(path.read_text("utf-8", "replace"))

    def pipeline(self) -> Pipeline:
        values = self._values
        self._known((), values, _KEYS)
        found = values.get("stage")
        if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
            raise self._wrong(("stage",), "is missing or is no list of tables", "begin each stage with [[stage]]")
        if len(found) > MOST_STAGES:
            raise self._wrong(("stage",), f"has {len(found)} stages", f"at most {MOST_STAGES}")
        stages = tuple(self._stage(number, one) for number, one in enumerate(found))
        names = [stage.name for stage in stages]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise self._wrong(("stage", number, "name"), f"{name!r} is there twice", "give each its own name")
        kept = [number for number, stage in enumerate(stages) if stage.keep]
        if len(kept) > 1:
            raise self._wrong(("stage", kept[1], "keep"), "stands at a second stage", "one stage stays in memory")
        pipeline = Pipeline(
            name=self._text((), "name", values.get("name", self._path.stem)),
            stages=stages,
            steps=self._whole((), "steps", values.get("steps", 20), MOST_STEPS),
            guidance=self._truth((), "guidance", values.get("guidance", False)),
            residencies=self._residencies(values.get("residency")),
            overlap_steps=self._overlap(values.get("overlap_steps", "auto")),
            path=self._path,
        )
        if "pipelined" in pipeline.residencies and pipeline.keep is None:
            if "residency" in values:
                at: tuple[str | int, ...] = ("residency",)
                raise self._wrong(at, "asks for pipelined, which needs one stage that stays", "keep = true at it")
            rest: tuple[Residency, ...] = tuple(one for one in pipeline.residencies if one != "pipelined")
            pipeline = replace(pipeline, residencies=rest)
        return pipeline

    def _stage(self, number: int, values: Mapping[str, Any]) -> Stage:
        at = ("stage", number)
        self._known(at, values, _STAGE_KEYS)
        for needed in ("name", "model"):
            if needed not in values:
                raise self._wrong(at, f"{number + 1} has no {needed}", f"{needed}: {_STAGE_KEYS[needed]}")
        runs = values.get("runs", 1)
        if runs == "steps":
            count = None
        elif isinstance(runs, str):
            raise self._wrong((*at, "runs"), f"{runs!r} is not a number", f"runs: {_STAGE_KEYS['runs']}")
        else:
            count = self._whole(at, "runs", runs, MOST_STEPS)
        delegate = values.get("delegate")
        threads = values.get("threads")
        return Stage(
            name=self._text(at, "name", values["name"]),
            model=self._model(at, values["model"]),
            runs=count,
            keep=self._truth(at, "keep", values.get("keep", False)),
            delegate=None if delegate is None else self._text(at, "delegate", delegate),
            threads=None if threads is None else self._whole(at, "threads", threads, _MOST_THREADS),
        )

    def _model(self, at: tuple[str | int, ...], value: object) -> str:
        text = self._text(at, "model", value, most=4096)
        path = (self._path.parent / Path(text).expanduser()).resolve()
        if path.is_file():
            return str(path)
        if text == "demo":
            return text
        raise self._wrong((*at, "model"), f"{text!r} is not a file", f"it is looked for at {path}")

    def _residencies(self, value: object) -> tuple[Residency, ...]:
        if value is None:
            return RESIDENCIES
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
            raise self._wrong(("residency",), "is not a text or a list of texts", f"use {_KEYS['residency']}")
        try:
            return tuple(dict.fromkeys(_residency(word) for word in words))
        except InputError as error:
            raise self._wrong(("residency",), f"holds {error.what}", error.hint) from None

    def _overlap(self, value: object) -> int | None:
        if value == "auto":
            return None
        if isinstance(value, str):
            raise self._wrong(("overlap_steps",), f"{value!r} is not a number", f"use {_KEYS['overlap_steps']}")
        return self._whole((), "overlap_steps", value, MOST_STEPS)

    def _text(self, table: tuple[str | int, ...], name: str, value: object, most: int = _MOST_NAME) -> str:
        if not isinstance(value, str) or not value.strip() or len(value) > most or not value.isprintable():
            raise self._wrong((*table, name), f"is not a text of 1 to {most} characters", self._help(table, name))
        return value

    def _truth(self, table: tuple[str | int, ...], name: str, value: object) -> bool:
        if not isinstance(value, bool):
            raise self._wrong((*table, name), "is not true or false", self._help(table, name))
        return value

    def _whole(self, table: tuple[str | int, ...], name: str, value: Any, most: int) -> int:
        if not fits(value, "number") or not 1 <= value <= most:
            raise self._wrong((*table, name), f"is not a whole number from 1 to {most}", self._help(table, name))
        return int(value)

    def _help(self, table: tuple[str | int, ...], name: str) -> str:
        return f"{name}: {(_STAGE_KEYS if table else _KEYS)[name]}"

    def _known(self, table: tuple[str | int, ...], values: Mapping[str, Any], keys: Mapping[str, str]) -> None:
        for name in values:
            if name not in keys:
                raise self._wrong((*table, name), f"is not a key of {table[0] if table else 'a pipeline'}",
                                  _suggestion(name, keys, of_stage=bool(table)))  # fmt: skip

    def _wrong(self, at: tuple[str | int, ...], what: str, hint: str) -> InputError:
        """A complaint about what stands at a path, with its line."""
        path = at
        while path not in self._lines and len(path) > 1:
            path = path[:-1]
        line = self._lines.get(path, 0)
        where = f"{self._path}:{line}" if line else str(self._path)
        shown = ".".join(str(part) for part in at if isinstance(part, str))
        return InputError(f"pipeline {where}: {clean(shown, 80)} {what}", hint=hint)


def _suggestion(name: str, keys: Iterable[str], *, of_stage: bool) -> str:
    known = list(keys)
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    other = _KEYS if of_stage else _STAGE_KEYS
    if name in other:
        return f"{name} belongs " + ("to the top of the file" if of_stage else "into a [[stage]]")
    return f"keys are {', '.join(known)}"
