"""The keys of a suite, most of them from the catalogue of options; and the JSON Schema made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devbench.analysis.accuracy import FLOATS, INTEGERS
from devbench.declare import options_of
from devbench.models.keys import MAX_KEY
from devbench.options import NightlyOptions, RunOptions


@dataclass(frozen=True, slots=True)
class Key:
    """A key: its type in words (a key of `KINDS`), what it is for, the option that it sets, a number's bounds."""

    kind: str
    help: str
    option: str = ""
    minimum: float | None = None
    maximum: float | None = None

    def outside(self, value: object) -> str:
        """What is wrong with a number, in words; empty if it is within the bounds."""
        low, high = self.minimum, self.maximum
        if low is None or high is None or not isinstance(value, (int, float)) or low <= value <= high:
            return ""
        return f"is not between {low:.10g} and {high:.10g}"


def option_keys(catalogue: type, table: str = "") -> dict[str, Key]:
    """The keys of a table of a suite that set options of the catalogue."""
    return {
        one.key: Key(
            one.kind,
            one.file_text or one.text,
            # What the command line may say besides is no option of the suite's plan.
            "" if "suite" in one.beside else one.name,
            one.minimum,
            one.maximum,
        )
        for one in options_of(catalogue)
        if one.key and one.table == table
    }


# What can stand in [nightly].
NIGHTLY = option_keys(NightlyOptions)


def suite_keys(catalogue: type = RunOptions) -> dict[str, Key]:
    """The keys at the top of a suite."""
    conditions = option_keys(catalogue, "conditions")
    return {
        "name": Key("text", "what the suite is called; a label of its runs"),
        "models": Key(
            "models", "paths and globs, relative to the suite, {path = …, name = …} or {url = …, sha256 = …}"
        ),
        "tags": Key("tags", "words to find its runs by, kept as their label `tags`"),
        "reference": Key(
            "text", "the name of one of the models: what changes in it is the device's drift (docs/compare.md)"
        ),
        **option_keys(catalogue),
        "conditions": Key("conditions", f"the device's state: {', '.join(conditions)}"),
        # As in files from before there was that table.
        **conditions,
        "nightly": Key("nightly", "what `devbench nightly` does: period, baseline_nights, reports, …"),
        "accuracy": Key("accuracy", "limits by type of output, as [accuracy.float32] least_snr_db = 30"),
    }


_FLOAT: Mapping[str, Key] = {
    "least_snr_db": Key("decibel", "least signal to noise ratio in dB"),
    "least_cosine": Key("cosine", "least cosine of the angle to the reference, -1 to 1"),
    "most_abs": Key("real", "largest absolute difference, in the output's unit"),
    "most_rel": Key("real", "the same over the largest absolute value of the reference"),
}
_INTEGER: Mapping[str, Key] = {"most_steps": Key("number", "largest difference in steps")}
# What can stand in [accuracy], each a table of its own.
ACCURACY: Mapping[str, Mapping[str, Key]] = {**dict.fromkeys(FLOATS, _FLOAT), **dict.fromkeys(INTEGERS, _INTEGER)}

KINDS: Mapping[str, str] = {
    "text": "a text",
    "path": "a path",
    "truth": "true or false",
    "number": "a whole number",
    "real": "a number of 0 or more",
    "decibel": "a number",
    "cosine": "a number from -1 to 1",
    "numbers": "a list of numbers of threads",
    "table": "a table of texts",
    "files": "a table of texts",
    "texts": "a list of texts",
    "tags": "a list of words without commas",
    "models": "a list of models",
    "shapes": "a list of shapes such as 1x224x224x3",
    "conditions": "a table",
    "nightly": "a table",
    "accuracy": "a table of tables by type of output",
}
_SHAPE: dict[str, Any] = {"type": "string", "pattern": r"^([^\n]+=)?\s*[0-9]+([xX×][0-9]+)*\s*$"}
_TEXTS: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
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


def _object(keys: Mapping[str, Key]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: _property(key) for name, key in keys.items()},
        "additionalProperties": False,
    }


def _property(key: Key) -> dict[str, Any]:
    bounds = {"minimum": key.minimum, "maximum": key.maximum} if key.kind in ("number", "real") else {}
    given = {name: value for name, value in bounds.items() if value is not None}
    return {**_TYPES[key.kind], **given, "description": key.help}


_TYPES: dict[str, dict[str, Any]] = {
    "text": {"type": "string", "minLength": 1},
    "path": {"type": "string", "minLength": 1},
    "number": {"type": "integer", "minimum": 0},
    "real": {"type": "number", "minimum": 0},
    "decibel": {"type": "number"},
    "cosine": {"type": "number", "minimum": -1, "maximum": 1},
    "truth": {"type": "boolean"},
    "texts": _TEXTS,
    "tags": {"type": "array", "items": {"type": "string", "pattern": "^[^,]*[^,\\s][^,]*$"}},
    "numbers": {"type": "array", "items": {"type": "integer", "minimum": 1}},
    "table": {"type": "object", "additionalProperties": {"type": "string"}},
    "files": {"type": "object", "additionalProperties": {"type": "string"}},
    "shapes": {"type": "array", "items": {"anyOf": [_SHAPE, {"type": "array", "minItems": 1, "items": _SHAPE}]}},
    "models": {"type": "array", "minItems": 1, "items": {"anyOf": [{"type": "string"}, _LOCAL, _REMOTE]}},
}
_TYPES["nightly"] = _object(NIGHTLY)
_TYPES["accuracy"] = {
    "type": "object",
    "properties": {dtype: _object(keys) for dtype, keys in ACCURACY.items()},
    "additionalProperties": False,
}


def json_schema(catalogue: type = RunOptions) -> dict[str, Any]:
    """A JSON Schema of a suite's file, for editors."""
    keys = suite_keys(catalogue)
    conditions = _object(option_keys(catalogue, "conditions"))
    top = _object({name: key for name, key in keys.items() if name != "conditions"})
    top["properties"]["conditions"] = {**conditions, "description": keys["conditions"].help}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "devbench suite",
        **top,
        "required": ["models"],
    }


def fits(value: object, kind: str) -> bool:
    """Whether a value of a file is of that kind; what a table holds is looked at on its own."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    real = whole or (isinstance(value, float) and value == value and abs(value) != float("inf"))
    if kind in ("text", "path"):
        return isinstance(value, str) and bool(value)
    if kind == "truth":
        return isinstance(value, bool)
    if kind == "number":
        return whole and value >= 0  # type: ignore[operator]
    if kind in ("real", "decibel", "cosine"):
        least, most = {"real": (0.0, None), "decibel": (None, None), "cosine": (-1.0, 1.0)}[kind]
        return real and (least is None or value >= least) and (most is None or value <= most)  # type: ignore[operator]
    if kind == "numbers":
        return isinstance(value, list) and all(fits(item, "number") and item > 0 for item in value)
    if kind == "tags":
        return isinstance(value, list) and all(isinstance(v, str) and v.strip() and "," not in v for v in value)
    if kind == "shapes":
        return isinstance(value, list) and all(
            isinstance(item, str) or (fits(item, "texts") and bool(item)) for item in value
        )
    if kind == "texts":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, list) and bool(value) if kind == "models" else isinstance(value, dict)
