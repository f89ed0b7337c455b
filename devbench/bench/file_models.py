"""What the files of suites (docs/suites.md) and pipelines (docs/pipelines.md) may contain, and a suite's JSON Schema.

Most keys are made from the catalogue of options. Knows no file and no device.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from devbench.analysis.accuracy import FLOATS, INTEGERS
from devbench.bench.planning import MAX_LABEL
from devbench.declare import Option, options_of
from devbench.host.toml_types import (
    AnyText,
    ReadBy,
    Text,
    Texts,
    TextTable,
    TomlTable,
    Truth,
    choice,
    number,
    refuse,
    shown,
    words,
)
from devbench.models.files import MAX_KEY
from devbench.options import MAX_THREADS, MOST_IMAGES, RESIDENCIES, NightlyOptions, RunOptions

_SHAPE: dict[str, Any] = {"type": "string", "pattern": r"^([^\n]+=)?\s*[0-9]+([xX×][0-9]+)*\s*$"}
_SHAPES = {"type": "array", "items": {"anyOf": [_SHAPE, {"type": "array", "minItems": 1, "items": _SHAPE}]}}
_NAME: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": MAX_KEY}
_LOCAL: dict[str, Any] = {
    "type": "object",
    "properties": {"path": {"type": "string", "minLength": 1}, "name": _NAME},
    "required": ["path"],
    "additionalProperties": False,
}
_REMOTE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "url": {"type": "string"},
        "sha256": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
        "name": _NAME,
    },
    "required": ["url", "sha256"],
    "additionalProperties": False,
}
_MODELS = {"type": "array", "minItems": 1, "items": {"anyOf": [{"type": "string"}, _LOCAL, _REMOTE]}}


def _models(value: Any) -> Any:
    if not isinstance(value, list) or not value:
        raise refuse("is not a list of models")
    return value


def _label(name: str) -> str:
    if len(name) > MAX_LABEL or not name.strip():
        raise refuse(f"is not a text of 1 to {MAX_LABEL} characters", "shorten it")
    return name


def _shapes(value: Any) -> Any:
    def fits(one: Any) -> bool:
        return isinstance(one, str) or (
            isinstance(one, list) and bool(one) and all(isinstance(text, str) for text in one)
        )

    if not isinstance(value, list) or not all(fits(one) for one in value):
        raise refuse("is not a list of shapes such as 1x224x224x3")
    return value


class FloatLimits(TomlTable):
    """Limits of outputs that are floats."""

    least_snr_db: Annotated[float, number(None, None, whole=False)] = Field(0, description="least SNR in dB")
    least_cosine: Annotated[float, number(-1, 1, whole=False)] = Field(
        0, description="least cosine of the angle to the reference, -1 to 1"
    )
    most_abs: Annotated[float, number(0, None, whole=False)] = Field(
        0, description="largest absolute difference, in the output's unit"
    )
    most_rel: Annotated[float, number(0, None, whole=False)] = Field(
        0, description="the same over the largest absolute value of the reference"
    )


class IntegerLimits(TomlTable):
    """Limits of outputs that are whole numbers."""

    most_steps: Annotated[int, number(0, None, whole=True)] = Field(0, description="largest difference in steps")


class _AccuracyTable(TomlTable):
    unknown = "is not a type of output with limits"


def _limits(dtype: str) -> Any:
    table = FloatLimits if dtype in FLOATS else IntegerLimits
    return table, Field(None, description=f"[accuracy.{dtype}] and its limits below")


ACCURACY: type[TomlTable] = create_model(
    "Accuracy", __base__=_AccuracyTable, **{dtype: _limits(dtype) for dtype in (*FLOATS, *INTEGERS)}
)


def _type(one: Option) -> Any:
    """The type of an option's value in a file."""
    if one.choices:
        return Annotated[str, choice(one.choices)]
    known: dict[str, Any] = {
        "text": Text,
        "path": Text,
        "truth": Truth,
        "texts": Texts,
        "table": dict[Annotated[str, ReadBy(_label)], AnyText],
        "files": TextTable,
        "shapes": Annotated[list[Any], ReadBy(_shapes, _SHAPES)],
    }
    if one.kind in known:
        return known[one.kind]
    bounds = number(one.minimum, one.maximum, whole=one.kind != "real")
    if one.kind == "numbers":
        return Annotated[list[Annotated[int, bounds]], words("is not a list of numbers of threads")]
    return Annotated[float, bounds]


def _fields(catalogue: type, table: str = "") -> dict[str, Any]:
    """The keys of a table that set options of the catalogue."""
    return {
        one.key: (_type(one), Field(None, description=one.file_text or one.text))
        for one in options_of(catalogue)
        if one.key and one.table == table
    }


def suite_model(catalogue: type = RunOptions) -> type[TomlTable]:
    """The model of a suite with the options of a catalogue."""
    conditions = _fields(catalogue, "conditions")
    tag = Annotated[str, Field(pattern=r"^[^,]*[^,\s][^,]*$")]
    fields: dict[str, Any] = {
        "name": (Text, Field(None, description="what the suite is called; a label of its runs")),
        "models": (
            Annotated[list[Any], ReadBy(_models, _MODELS)],
            Field(description='for example models = ["*.tflite", {path = "b.tflite", name = "unet"}]'),
        ),
        "tags": (
            Annotated[list[tag], words("is not a list of words without commas")],
            Field(None, description="words to find its runs by, kept as their label `tags`"),
        ),
        "reference": (
            Text,
            Field(
                None,
                description="the name of one of the models: what changes in it is the device's drift (docs/compare.md)",
            ),
        ),
        **_fields(catalogue),
        "conditions": (
            create_model("Conditions", __base__=TomlTable, **conditions),
            Field(None, description=f"the device's state: {', '.join(conditions)}"),
        ),
        # As in files from before there was that table.
        **conditions,
        "nightly": (
            create_model("Nightly", __base__=TomlTable, **_fields(NightlyOptions)),
            Field(None, description="what `devbench nightly` does: period, baseline_nights, reports, …"),
        ),
        "accuracy": (
            ACCURACY,
            Field(None, description="limits by type of output, as [accuracy.float32] least_snr_db = 30"),
        ),
    }
    return create_model("Suite", __base__=TomlTable, **fields)


class _Schema(GenerateJsonSchema):
    """A key that is left out has no value: there is nothing to show as its default."""

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def json_schema(catalogue: type = RunOptions) -> dict[str, Any]:
    """A JSON Schema of a suite's file, for editors."""
    found = suite_model(catalogue).model_json_schema(schema_generator=_Schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": "devbench suite"}


_MAX_NAME, _MAX_PATH, _MAX_STAGES = 60, 4096, 32
# The keys that the command line may override.
_OPTIONS = {one.name: one for one in options_of(RunOptions) if one.only_pipeline}
_STEPS = number(_OPTIONS["steps"].minimum, _OPTIONS["steps"].maximum, whole=True)


def _text(maximum: int) -> ReadBy:
    def validate(value: Any) -> Any:
        if not isinstance(value, str) or not value.strip() or len(value) > maximum or not value.isprintable():
            raise refuse(f"is not a text of 1 to {maximum} characters")
        return value

    return ReadBy(validate, {"type": "string", "minLength": 1, "maxLength": maximum})


def _count(word: str) -> ReadBy:
    """A number of steps, or a word for one."""

    def validate(value: Any) -> Any:
        if value == word:
            return value
        if isinstance(value, str):
            raise refuse(f"{shown(value)} is not a number")
        return _STEPS.validate(value)

    return ReadBy(validate, {"anyOf": [dict(_STEPS.schema), {"const": word}]})


def _residency(value: Any) -> Any:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not words:
        raise refuse("is not a text or a list of texts")
    for word in words:
        choice(RESIDENCIES).validate(word)
    return value


def _stages(value: Any) -> Any:
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise refuse("is missing or is no list of tables", "begin each stage with [[stage]]")
    if len(value) > _MAX_STAGES:
        raise refuse(f"has {len(value)} stages", f"at most {_MAX_STAGES}")
    return value


class StageTable(TomlTable):
    """A stage."""

    name: Annotated[str, _text(_MAX_NAME)] = Field(description="what the stage is called")
    model: Annotated[str, _text(_MAX_PATH)] = Field(description="the .tflite file, relative to this file")
    runs: Annotated[Any, _count("steps")] = Field(1, description='how often it runs: a number, or "steps"')
    keep: Truth = Field(False, description="true for the stage that stays in memory in pipelined sessions")
    delegate: Annotated[str, _text(_MAX_NAME)] = Field("", description="its own delegate in place of the run's")
    threads: Annotated[int, number(1, MAX_THREADS, whole=True)] = Field(
        1, description=f"its own number of threads, 1 to {MAX_THREADS}"
    )


class PipelineTable(TomlTable):
    """The whole file."""

    name: Annotated[str, _text(_MAX_NAME)] = Field("", description="what the pipeline is called")
    steps: Annotated[int, _STEPS] = Field(20, description="how many steps")
    guidance: Truth = Field(
        False, description="true for classifier-free guidance, which runs the repeated stage twice a step"
    )
    residency: Annotated[Any, ReadBy(_residency, {})] = Field(
        None, description=f"{', '.join(RESIDENCIES)}, or a list of them"
    )
    images: Annotated[int, number(1, MOST_IMAGES, whole=True)] = Field(
        1, description="images in a pipelined session, which keeps one stage in memory"
    )
    overlap_steps: Annotated[Any, _count("auto")] = Field(
        "auto", description='"auto", or during how many of the last steps the next stage loads'
    )
    stage: Annotated[list[StageTable], BeforeValidator(_stages)] = Field(
        description="[[stage]] tables, in the order in which they run"
    )
