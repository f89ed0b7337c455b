"""The keys of a suite: type, the run's option that each sets, what it is for; and the JSON Schema made of them.

Adding a key is one line here, where its option has a field in the run's input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devbench.analysis.accuracy import FLOATS, INTEGERS
from devbench.bench.limits import LIMITS
from devbench.models.keys import MAX_KEY


@dataclass(frozen=True, slots=True)
class Key:
    """A key: its type in words (a key of `KINDS`), the run's option that it sets, if any, and what it is for."""

    kind: str
    option: str
    help: str


# What can stand in [conditions] or, as in files from before there was that table, at the top.
CONDITIONS: Mapping[str, Key] = {
    "cool_down": Key("real", "cool_down_s", "seconds to wait at most for a device that throttles"),
    "unreliable_retries": Key(
        "number", "unreliable_retries", "extra attempts per job to replace unreliable repetitions"
    ),
    "stabilise": Key("texts", "stabilise", "steps undone afterwards: awake, screen-off, airplane, performance, …"),
}
# What can stand in [nightly]: options of `devbench nightly`, with underscores.
NIGHTLY: Mapping[str, Key] = {
    "period": Key("text", "", "how often it is due: night, or a time such as 12h or 7d"),
    "baseline_nights": Key("number", "", "compare with the last so many nightly runs"),
    "baseline": Key("text", "", "compare with these runs instead: an id, key=value or a date"),
    "unreliable": Key("text", "", "if all repetitions of a side are unreliable: undecided (default) or count"),
    "reports": Key("path", "", "folder of the reports, relative to the suite"),
    "junit": Key("path", "", "a further copy of the JUnit XML, relative to the suite"),
    "device_wait": Key("text", "", "how long to wait for a device that another run has, such as 30m"),
    "keep_raw_days": Key("number", "", "raw outputs older than so many days are dropped"),
}
# The names are those of the command line's options, with underscores.
KEYS: Mapping[str, Key] = {
    "name": Key("text", "", "what the suite is called; a label of its runs"),
    "models": Key(
        "models", "", "paths and globs, relative to the suite, {path = …, name = …} or {url = …, sha256 = …}"
    ),
    "shapes": Key(
        "shapes", "shapes", "shapes of open inputs, each measured: 1x224x224x3, NAME=1x16, or a list of these"
    ),
    "signatures": Key("texts", "signatures", "which signatures to measure, or all"),
    "devices": Key("texts", "", "serials, host:port, tag:NAME, all, virtual, virtual:N"),
    "tags": Key("tags", "", "words to find its runs by, kept as their label `tags`"),
    "reference": Key(
        "text", "", "the name of one of the models: what changes in it is the device's drift (docs/compare.md)"
    ),
    "labels": Key("table", "", "kept with each run, key = value"),
    "delegates": Key("texts", "delegates", "names from `devbench delegates`"),
    "delegates_file": Key("path", "delegates_file", "a file with delegates of your own, relative to the suite"),
    "threads": Key("numbers", "threads", "numbers of CPU threads"),
    "repetitions": Key("number", "repetitions", "processes per job that measure latency"),
    "precision": Key("text", "precision", "add processes until half the interval is within this, such as 2%"),
    "max_repetitions": Key("number", "most_repetitions", "at most so many, with precision"),
    "num_runs": Key("number", "num_runs", "inferences per process, at least"),
    "min_secs": Key("real", "min_secs", "seconds of inferences per process, at least"),
    "max_secs": Key("real", "max_secs", "seconds after which a phase starts no inference"),
    "warmup_runs": Key("number", "warmup_runs", "warm-up inferences per process, at least"),
    "warmup_min_secs": Key("real", "warmup_min_secs", "seconds of warm-up per process, at least"),
    "profile": Key("truth", "profile", "one more process per job for operators and memory"),
    "cold_starts": Key("number", "cold_starts", "processes per job that start with empty caches"),
    "require": Key("text", "require", "full or any"),
    "binary": Key("text", "binary", "name, hash or file (also relative to the suite) of the benchmark_model"),
    "via": Key("text", "via", "shell, or apk for the tool as an app"),
    "tool_flags": Key("texts", "tool_flags", "further flags for the tool, name=value"),
    "timeout": Key("real", "timeout_s", "deadline of one process in seconds"),
    "max_output": Key("number", "max_output_mib", "MiB of output after which a process of the tool is ended"),
    "conditions": Key("conditions", "", "the device's state: cool_down, unreliable_retries, stabilise"),
    **CONDITIONS,
    "check_outputs": Key("truth", "check_outputs", "first compare each delegate's outputs with this machine's"),
    "inputs": Key("table", "inputs", "for that check: name of an input = .npy file, relative to the suite"),
    "min_snr": Key("real", "min_snr_db", "least signal to noise ratio of float outputs in dB"),
    "max_steps": Key("number", "max_steps", "largest difference of integer outputs"),
    "nightly": Key("nightly", "", "what `devbench nightly` does: period, baseline_nights, reports, …"),
    "accuracy": Key("accuracy", "thresholds", "limits by type of output, as [accuracy.float32] least_snr_db = 30"),
}
_FLOAT: Mapping[str, Key] = {
    "least_snr_db": Key("decibel", "", "least signal to noise ratio in dB"),
    "least_cosine": Key("cosine", "", "least cosine of the angle to the reference, -1 to 1"),
    "most_abs": Key("real", "", "largest absolute difference, in the output's unit"),
    "most_rel": Key("real", "", "the same over the largest absolute value of the reference"),
}
_INTEGER: Mapping[str, Key] = {"most_steps": Key("number", "", "largest difference in steps")}
# Kinds that are tables with keys of their own.
TABLES: Mapping[str, Mapping[str, Key]] = {"conditions": CONDITIONS, "nightly": NIGHTLY}
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


def _limits(name: str) -> dict[str, float]:
    limits = LIMITS.get(name)
    return {} if limits is None else {"minimum": limits.least, "maximum": limits.most}


def _object(keys: Mapping[str, Key]) -> dict[str, Any]:
    properties = {name: {**_TYPES[key.kind], **_limits(name), "description": key.help} for name, key in keys.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


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
    "shapes": {"type": "array", "items": {"anyOf": [_SHAPE, {"type": "array", "minItems": 1, "items": _SHAPE}]}},
    "models": {"type": "array", "minItems": 1, "items": {"anyOf": [{"type": "string"}, _LOCAL, _REMOTE]}},
}
_TYPES["conditions"] = _object(CONDITIONS)
_TYPES["nightly"] = _object(NIGHTLY)
_TYPES["accuracy"] = {
    "type": "object",
    "properties": {dtype: _object(keys) for dtype, keys in ACCURACY.items()},
    "additionalProperties": False,
}


def json_schema() -> dict[str, Any]:
    """A JSON Schema of a suite's file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "devbench suite",
        **_object(KEYS),
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
