"""Suites: what to measure, as a TOML file that a team keeps with its models; knows no command line and no device.

Every complaint names the file, the line and the key; a key that is not known comes with the one that was meant.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from devbench.errors import InputError
from devbench.tomlfile import read_toml

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class _Key:
    """A key of a suite: its type in words and as a check, the run's option that it sets, and what it is for."""

    kind: str
    option: str
    help: str


# The names are those of the command line's options, with underscores.
_KEYS: dict[str, _Key] = {
    "name": _Key("text", "", "what the suite is called; a label of its runs"),
    "models": _Key("models", "", "paths and globs, relative to the suite, or {url = …, sha256 = …}"),
    "devices": _Key("texts", "", "serials, host:port, all, virtual, virtual:N"),
    "labels": _Key("table", "", "kept with each run, key = value"),
    "delegates": _Key("texts", "delegates", "names from `devbench delegates`"),
    "delegates_file": _Key("path", "delegates_file", "a file with delegates of your own, relative to the suite"),
    "threads": _Key("numbers", "threads", "numbers of CPU threads"),
    "repetitions": _Key("number", "repetitions", "processes per job that measure latency"),
    "precision": _Key("text", "precision", "add processes until half the interval is within this, such as 2%"),
    "max_repetitions": _Key("number", "most_repetitions", "at most so many, with precision"),
    "num_runs": _Key("number", "num_runs", "inferences per process, at least"),
    "min_secs": _Key("real", "min_secs", "seconds of inferences per process, at least"),
    "max_secs": _Key("real", "max_secs", "seconds after which a phase starts no inference"),
    "warmup_runs": _Key("number", "warmup_runs", "warm-up inferences per process, at least"),
    "warmup_min_secs": _Key("real", "warmup_min_secs", "seconds of warm-up per process, at least"),
    "profile": _Key("truth", "profile", "one more process per job for operators and memory"),
    "cold_starts": _Key("number", "cold_starts", "processes per job that start with empty caches"),
    "require": _Key("text", "require", "full or any"),
    "binary": _Key("text", "binary", "name, file or hash of the benchmark_model"),
    "tool_flags": _Key("texts", "tool_flags", "further flags for the tool, name=value"),
    "timeout": _Key("real", "timeout_s", "deadline of one process in seconds"),
    "cool_down": _Key("real", "cool_down_s", "seconds to wait at most for a device that throttles"),
    "suspect_retries": _Key("number", "suspect_retries", "so many more processes for those in no fit state"),
    "stabilise": _Key("texts", "stabilise", "steps undone afterwards: awake, screen-off, airplane, performance, …"),
    "check_outputs": _Key("truth", "check_outputs", "first compare each delegate's outputs with this machine's"),
    "min_snr": _Key("real", "min_snr_db", "least signal to noise ratio of float outputs in dB"),
}
_JSON_TYPES: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "path": {"type": "string"},
    "number": {"type": "integer", "minimum": 0},
    "real": {"type": "number", "minimum": 0},
    "truth": {"type": "boolean"},
    "texts": {"type": "array", "items": {"type": "string"}},
    "numbers": {"type": "array", "items": {"type": "integer", "minimum": 1}},
    "table": {"type": "object", "additionalProperties": {"type": "string"}},
    "models": {
        "type": "array",
        "items": {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {
                        "url": {"type": "string"},
                        "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                    },
                    "required": ["url", "sha256"],
                    "additionalProperties": False,
                },
            ]
        },
    },
}


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model that is fetched; one with another hash is not used."""

    url: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Suite:
    """What a suite's file asks for.

    Attributes:
        models: paths, in the order of the file, globs expanded and sorted; models to be fetched as such.
        options: the run's options by their name there; those that the file does not set are missing.
    """

    path: Path
    name: str
    models: tuple[str | RemoteModel, ...]
    devices: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def read_suite(path: Path) -> Suite:
    """The suite in a file.

    Raises:
        InputError: names the file, the line, the key and what to do.
    """
    values = read_toml(path)
    reader = _Reader(path, values)
    for key in values:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"keys are {', '.join(_KEYS)}"
            raise reader.wrong(key, "is not a key of a suite", hint)
    checked = {key: reader.value(key, _KEYS[key].kind) for key in values}
    options = {_KEYS[key].option: value for key, value in checked.items() if _KEYS[key].option}
    if "threads" in options:
        options["threads"] = ",".join(map(str, options["threads"]))
    models = reader.models()
    name = str(checked.get("name", path.stem))
    return Suite(
        path=path,
        name=name,
        models=models,
        devices=tuple(checked.get("devices", ())),
        labels={"suite": name, **checked.get("labels", {})},
        options=options,
    )


def json_schema() -> dict[str, Any]:
    """A JSON Schema of a suite's file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "devbench suite",
        "type": "object",
        "properties": {name: {**_JSON_TYPES[key.kind], "description": key.help} for name, key in _KEYS.items()},
        "required": ["models"],
        "additionalProperties": False,
    }


class _Reader:
    """Takes typed values out of one file's table."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self._path = path
        self._values = values
        self._lines = path.read_text("utf-8", "replace").splitlines()

    def value(self, key: str, kind: str) -> Any:
        value = self._values[key]
        number = isinstance(value, int) and not isinstance(value, bool)
        if kind == "models":
            right = isinstance(value, list) and bool(value)
        elif kind in ("text", "path"):
            right = isinstance(value, str) and bool(value)
        elif kind == "truth":
            right = isinstance(value, bool)
        elif kind == "number":
            right = number and value >= 0
        elif kind == "real":
            right = (number or isinstance(value, float)) and value >= 0
        elif kind == "numbers":
            right = isinstance(value, list) and all(
                isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in value
            )
        elif kind == "table":
            right = isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
        else:
            right = isinstance(value, list) and all(isinstance(v, str) for v in value)
        if not right:
            raise self.wrong(key, f"is not {_IN_WORDS[kind]}", _KEYS[key].help)
        if kind == "path":
            return (self._path.parent / value).resolve()
        return tuple(value) if kind in ("texts", "numbers") else value

    def models(self) -> tuple[str | RemoteModel, ...]:
        if "models" not in self._values:
            raise InputError(f"suite {self._path}: has no models", hint='add models = ["*.tflite"]')
        found: list[str | RemoteModel] = []
        for item in self._values["models"]:
            if isinstance(item, str):
                found += self._files(item)
            elif isinstance(item, dict) and set(item) == {"url", "sha256"}:
                found.append(self._remote(str(item["url"]), str(item["sha256"]).lower()))
            else:
                raise self.wrong("models", "holds something else than paths and {url, sha256}", _KEYS["models"].help)
        return tuple(dict.fromkeys(found))

    def _files(self, text: str) -> Sequence[str]:
        if text == "demo" or not any(letter in text for letter in "*?["):
            path = self._path.parent / text
            return [str(path) if path.exists() or text != "demo" else text]
        base = Path(text)
        root = Path(base.anchor) if base.is_absolute() else self._path.parent
        matches = sorted(
            str(path) for path in root.glob(str(base.relative_to(base.anchor) if base.is_absolute() else base))
        )
        if not matches:
            raise self.wrong("models", f"{text!r} matches no file", f"it is looked for from {root}")
        return matches

    def _remote(self, url: str, sha256: str) -> RemoteModel:
        parts = urlsplit(url)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise self.wrong("models", f"{url!r} is not an address", "https://…")
        if not _SHA256.fullmatch(sha256):
            raise self.wrong("models", f"the sha256 of {url} is not 64 hex digits", "sha256sum FILE")
        return RemoteModel(url, sha256)

    def wrong(self, key: str, what: str, hint: str) -> InputError:
        line = next((n for n, text in enumerate(self._lines, 1) if re.match(rf"\s*\[*{re.escape(key)}\b", text)), 0)
        where = f"{self._path}:{line}" if line else str(self._path)
        return InputError(f"suite {where}: {key} {what}", hint=hint)


_IN_WORDS = {
    "text": "a text",
    "path": "a path",
    "truth": "true or false",
    "number": "a whole number",
    "real": "a number",
    "numbers": "a list of numbers of threads",
    "table": "a table of texts",
    "texts": "a list of texts",
    "models": "a list of models",
}
