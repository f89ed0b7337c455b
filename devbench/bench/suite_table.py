"""What the files of suites (docs/suites.md) may contain, made from the catalogue of options; and their JSON Schema.

Knows no file and no device.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import make_dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, WrapValidator
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from devbench.analysis.accuracy import FLOATS, INTEGERS, Limit
from devbench.bench.planning import MAX_LABEL
from devbench.declare import Option, options_of
from devbench.host.toml_types import ReadBy, Text, Texts, Truth, key, refuse, within
from devbench.host.tomlfile import checker
from devbench.models.files import MAX_KEY
from devbench.options import NightlyOptions, RunOptions

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


def _one_message(what: str) -> Any:
    """One message for every error in a value or within it."""

    def validate(value: Any, inner: Callable[[Any], Any]) -> Any:
        try:
            return inner(value)
        except ValidationError:
            raise refuse(what) from None

    return WrapValidator(validate)


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


def _type(one: Option) -> Any:
    """The type of an option's value in a file."""
    if one.choices:
        return Literal[one.choices]
    known: dict[str, Any] = {
        "text": Text,
        "path": Text,
        "truth": Truth,
        "texts": Texts,
        "table": dict[Annotated[str, ReadBy(_label)], str],
        "files": dict[str, str],
        "shapes": Annotated[list[Any], ReadBy(_shapes, _SHAPES)],
    }
    if one.kind in known:
        return known[one.kind]
    bounds = within(one.minimum, one.maximum, whole=one.kind != "real")
    if one.kind == "numbers":
        return Annotated[list[Annotated[int, bounds]], _one_message("is not a list of numbers of threads")]
    return Annotated[float, bounds]


def _keys(catalogue: type, table: str = "") -> list[Any]:
    """The keys of a table that set options of the catalogue."""
    return [
        (one.key, _type(one), key(one.file_text or one.text, None))
        for one in options_of(catalogue)
        if one.key and one.table == table
    ]


def _accuracy() -> type:
    """The limits by type of output."""
    limits = _keys(Limit)
    floats = make_dataclass(
        "FloatLimits",
        [one for one in limits if one[0] != "most_steps"],
        namespace={"__doc__": "Limits of outputs that are floats."},
    )
    integers = make_dataclass(
        "IntegerLimits",
        [one for one in limits if one[0] == "most_steps"],
        namespace={"__doc__": "Limits of outputs that are whole numbers."},
    )
    keys = [
        (dtype, floats if dtype in FLOATS else integers, key(f"[accuracy.{dtype}] and its limits below", None))
        for dtype in (*FLOATS, *INTEGERS)
    ]
    return make_dataclass("Accuracy", keys, namespace={"UNKNOWN": "is not a type of output with limits"})


@functools.cache
def suite_table(catalogue: type = RunOptions) -> type:
    """The keys of a suite with the options of a catalogue."""
    conditions = _keys(catalogue, "conditions")
    tag = Annotated[str, Field(pattern=r"^[^,]*[^,\s][^,]*$")]
    keys: list[Any] = [
        ("name", Text, key("what the suite is called; a label of its runs", None)),
        (
            "models",
            Annotated[list[Any], ReadBy(_models, _MODELS)],
            key('for example models = ["*.tflite", {path = "b.tflite", name = "unet"}]'),
        ),
        (
            "tags",
            Annotated[list[tag], _one_message("is not a list of words without commas")],
            key("words to find its runs by, kept as their label `tags`", None),
        ),
        (
            "reference",
            Text,
            key("the name of one of the models: what changes in it is the device's drift (docs/compare.md)", None),
        ),
        *_keys(catalogue),
        (
            "conditions",
            make_dataclass("Conditions", conditions),
            key(f"the device's state: {', '.join(name for name, *_ in conditions)}", None),
        ),
        # Older files have these keys outside of the table.
        *conditions,
        (
            "nightly",
            make_dataclass("Nightly", _keys(NightlyOptions)),
            key("what `devbench nightly` does: period, baseline_nights, reports, …", None),
        ),
        ("accuracy", _accuracy(), key("limits by type of output, as [accuracy.float32] least_snr_db = 30", None)),
    ]
    return make_dataclass("Suite", keys, kw_only=True)


class _Schema(GenerateJsonSchema):
    """Writes no defaults into the schema: a key that is left out has no value."""

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def json_schema(catalogue: type = RunOptions) -> dict[str, Any]:
    """A JSON Schema of a suite's file, for editors."""
    found = checker(suite_table(catalogue)).json_schema(schema_generator=_Schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": "devbench suite"}
