"""What a pipeline's file may contain (docs/pipelines.md); knows no file and no device."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from devbench.bench.pipeline_plan import RESIDENCIES
from devbench.declare import options_of
from devbench.host.toml_types import Checked, Table, Truth, number, refuse, shown
from devbench.options import RunOptions
from devbench.text import near

_MAX_NAME, _MAX_PATH, _MAX_THREADS, _MAX_STAGES = 60, 4096, 256, 32
# What the command line may say in place of the file.
_OPTIONS = {one.name: one for one in options_of(RunOptions) if one.only_pipeline}
_STEPS = number(_OPTIONS["steps"].minimum, _OPTIONS["steps"].maximum, whole=True)


def _text(maximum: int) -> Checked:
    def validate(value: Any) -> Any:
        if not isinstance(value, str) or not value.strip() or len(value) > maximum or not value.isprintable():
            raise refuse(f"is not a text of 1 to {maximum} characters")
        return value

    return Checked(validate, {"type": "string", "minLength": 1, "maxLength": maximum})


def _count(word: str) -> Checked:
    """A number of steps, or a word for one."""

    def validate(value: Any) -> Any:
        if value == word:
            return value
        if isinstance(value, str):
            raise refuse(f"{shown(value)} is not a number")
        return _STEPS.validate(value)

    return Checked(validate, {"anyOf": [dict(_STEPS.schema), {"const": word}]})


def _residency(value: Any) -> Any:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise refuse("is not a text or a list of texts")
    for word in words:
        if word not in RESIDENCIES:
            raise refuse(f"{shown(word)} is unknown", near(word, RESIDENCIES, f"use {', '.join(RESIDENCIES)}"))
    return value


def _stages(value: Any) -> Any:
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise refuse("is missing or is no list of tables", "begin each stage with [[stage]]")
    if len(value) > _MAX_STAGES:
        raise refuse(f"has {len(value)} stages", f"at most {_MAX_STAGES}")
    return value


class StageTable(Table):
    """A stage."""

    name: Annotated[str, _text(_MAX_NAME)] = Field(description="what the stage is called")
    model: Annotated[str, _text(_MAX_PATH)] = Field(description="the .tflite file, relative to this file")
    runs: Annotated[Any, _count("steps")] = Field(1, description='how often it runs: a number, or "steps"')
    keep: Truth = Field(False, description="true for the stage that stays in memory in `pipelined`")
    delegate: Annotated[str, _text(_MAX_NAME)] = Field("", description="its own delegate in place of the run's")
    threads: Annotated[int, number(1, _MAX_THREADS, whole=True)] = Field(
        1, description=f"its own number of threads, 1 to {_MAX_THREADS}"
    )


class PipelineTable(Table):
    """The whole file."""

    name: Annotated[str, _text(_MAX_NAME)] = Field("", description="what the pipeline is called")
    steps: Annotated[int, _STEPS] = Field(20, description="how many steps")
    guidance: Truth = Field(
        False, description="true for classifier-free guidance, which runs the repeated stage twice a step"
    )
    residency: Annotated[Any, Checked(_residency, {})] = Field(
        None, description=f"{', '.join(RESIDENCIES)}, or a list of them"
    )
    overlap_steps: Annotated[Any, _count("auto")] = Field(
        "auto", description='"auto", or during how many of the last steps the next stage loads'
    )
    stage: Annotated[list[StageTable], BeforeValidator(_stages)] = Field(
        description="[[stage]] tables, in the order in which they run"
    )
