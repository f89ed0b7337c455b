"""Suites: what to measure, as a TOML file that a team keeps with its models; and the plan that a suite asks for.

Every error names the file, the line and the key, and for an unknown key the one that was probably meant. Knows no
command line and no device.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from devbench.analysis.accuracy import Thresholds
from devbench.bench.planning import make_plan
from devbench.declare import Option, options_of
from devbench.errors import InputError, OptionError
from devbench.host.masking import mask_url
from devbench.host.tomlfile import At, check, read_toml, wrong
from devbench.models.case_inputs import parse_shapes
from devbench.models.files import GivenModel, check_name, fetch_model, open_models
from devbench.options import NightlyOptions, RunOptions
from devbench.text import near

if TYPE_CHECKING:
    from devbench.bench.plan import Plan
    from devbench.results.store import Store


_SHA256 = re.compile(r"[0-9a-f]{64}")
_MODEL_KEYS = ("path", "url", "sha256", "name")
_MODELS_HINT = 'for example models = ["a.tflite", {path = "b.tflite", name = "unet"}]'


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model to download; a file with another hash is not used.

    `name` is the model's key; if it is empty, the key is made from the URL.
    """

    url: str
    sha256: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """The content of a suite's file.

    Attributes:
        models: in the order of the file, globs expanded and sorted; models to download are not downloaded yet.
        labels: with the suite's name as `suite`, its tags, with commas, as `tags`, and its `reference`.
        options: the run's options by their names in `RunOptions`; those that the file does not set are missing.
        nightly: the values of `[nightly]`, with paths as `Path`.
        thresholds: those of `[accuracy]`.
    """

    path: Path
    name: str
    models: tuple[GivenModel | RemoteModel, ...]
    devices: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    nightly: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Thresholds | None = None


def read_suite(path: Path, catalogue: type = RunOptions) -> Suite:
    """Read a suite from a file; `catalogue` declares the options that it may set.

    Raises:
        InputError: names the file, the line, the key and what to do.
    """
    from devbench.bench.suite_table import suite_table

    values = read_toml(path)
    check("suite", path, values, suite_table(catalogue))
    reader = _Reader(path, values, catalogue)
    name = str(values.get("name", path.stem))
    return Suite(
        path=path,
        name=name,
        models=reader.models(),
        devices=tuple(values.get("devices", ())),
        labels=reader.labels(name),
        options=reader.options(),
        nightly=reader.nightly(),
        thresholds=reader.thresholds(),
    )


class _Reader:
    """Takes values out of one file's tables, which were checked."""

    def __init__(self, path: Path, values: Mapping[str, Any], catalogue: type) -> None:
        self._path = path
        self._values = values
        # Options that the command line may also give are not part of the suite's plan.
        self._options = {one.key: one for one in options_of(catalogue) if one.key and "suite" not in one.beside}

    def options(self) -> dict[str, Any]:
        """The run's options that the file sets."""
        conditions = self._values.get("conditions", {})
        for name in conditions:
            if name in self._values:
                raise self.wrong((name,), "is also in [conditions]", "keep one of the two")
        found = {
            self._options[name].name: self._option(self._options[name], value)
            for name, value in {**self._values, **conditions}.items()
            if name in self._options
        }
        self._need_check(found)
        return found

    def thresholds(self) -> Thresholds | None:
        """The limits of outputs in the file."""
        limits = Thresholds()
        for dtype, figures in self._values.get("accuracy", {}).items():
            limits = limits.changed((dtype,), **figures)
        return limits if "accuracy" in self._values else None

    def nightly(self) -> dict[str, Any]:
        """The values of the file for `devbench nightly`."""
        known = {one.key: one for one in options_of(NightlyOptions)}
        return {name: self._option(known[name], value) for name, value in self._values.get("nightly", {}).items()}

    def _option(self, one: Option, value: Any) -> Any:
        if one.kind == "path":
            return (self._path.parent / value).resolve()
        if one.kind == "files":
            return tuple(
                f"{key}={(self._path.parent / Path(file).expanduser()).resolve()}" for key, file in value.items()
            )
        if one.name == "binary":
            near_file = self._path.parent / value
            # Unlike pathlib's, this is false for a name that is too long.
            return str(near_file.resolve()) if os.path.isfile(near_file) else value  # noqa: PTH113
        if one.kind == "numbers":
            return ",".join(map(str, value))
        if one.kind == "shapes":
            return tuple(self._shapes(one.key, (item,) if isinstance(item, str) else tuple(item)) for item in value)
        return tuple(value) if one.kind == "texts" else value

    def _shapes(self, name: str, texts: tuple[str, ...]) -> tuple[str, ...]:
        try:
            parse_shapes(texts)
        except InputError as error:
            raise self.wrong((name,), f"has {error.what.removeprefix('--input-shape ')}", error.hint) from None
        return texts

    def _need_check(self, options: dict[str, Any]) -> None:
        """Turn the check of outputs on if one of its options is set; refuse these with `check_outputs = false`."""
        for name in ("accuracy", "inputs", "min_snr", "max_steps"):
            if name in self._values and not options.setdefault("check_outputs", True):
                raise self.wrong((name,), "is for the check of outputs", "set check_outputs = true, or leave it out")

    def labels(self, name: str) -> dict[str, str]:
        """The labels of the file with its name, its tags and its reference."""
        own = dict(self._values.get("labels", {}))
        tags = ",".join(dict.fromkeys(tag.strip() for tag in self._values.get("tags", ())))
        if tags and "tags" in own:
            raise self.wrong(("labels", "tags"), "is given together with tags", 'keep one of the two: tags = ["…"]')
        reference = self._values.get("reference")
        if reference and "reference" in own:
            raise self.wrong(("labels", "reference"), "is given together with reference", "keep one of the two")
        found = {"suite": name, "tags": tags, "reference": reference}
        return {**{key: value for key, value in found.items() if value}, **own}

    def models(self) -> tuple[GivenModel | RemoteModel, ...]:
        """The models of the file, each once."""
        found: list[GivenModel | RemoteModel] = []
        names: set[str] = set()
        for number, item in enumerate(self._values["models"]):
            at = ("models", number)
            if isinstance(item, str) and item:
                found += [GivenModel(file, by_pattern=_is_pattern(item)) for file in self._files(at, item)]
                continue
            if not isinstance(item, dict):
                raise self.wrong(at, "may contain only paths, {path, name} and {url, sha256}", _MODELS_HINT)
            for key, value in item.items():
                if key not in _MODEL_KEYS:
                    hint = near(key, _MODEL_KEYS, f"keys are {', '.join(_MODEL_KEYS)}")
                    raise self.wrong((*at, key), "is not a key of models", hint)
                if not isinstance(value, str) or not value:
                    raise self.wrong((*at, key), "is not a text", "write it in quotes")
            name = item.get("name", "")
            why = check_name(name) if name else ""
            why = why or (f"{name!r} is the name of two models" if name and name in names else "")
            if why:
                raise self.wrong((*at, "name"), why, "give each model a short name of its own")
            names.add(name)
            if "path" in item and set(item) <= {"path", "name"}:
                files = self._files((*at, "path"), item["path"])
                if name and len(files) > 1:
                    raise self.wrong(
                        (*at, "name"), f"applies to {len(files)} files", "name one file, or leave name out"
                    )
                found += [GivenModel(file, name, by_pattern=_is_pattern(item["path"])) for file in files]
            elif "path" not in item and {"url", "sha256"} <= set(item):
                found.append(self._remote(at, item["url"], item["sha256"].lower(), name))
            else:
                needed = "needs path alone" if "path" in item else "needs both url and sha256, or path"
                raise self.wrong(at, needed, "name is optional; sha256sum FILE prints the hash")
        return tuple(dict.fromkeys(found))

    def _files(self, at: At, text: str) -> Sequence[str]:
        if not _is_pattern(text):
            path = self._path.parent / text
            return [str(path) if text != "demo" or path.exists() else text]
        base = Path(text)
        root = Path(base.anchor) if base.is_absolute() else self._path.parent
        pattern = str(base.relative_to(base.anchor) if base.is_absolute() else base)
        try:
            # Unlike pathlib's, this one continues if a folder is deleted while it is read.
            matches = sorted(str(root / found) for found in glob.glob(pattern, root_dir=root, recursive=True))  # noqa: PTH207
        except (ValueError, OSError, re.error) as error:
            raise self.wrong(at, f"{text!r} is no pattern: {error}", "for example models/*.tflite") from None
        if not matches:
            raise self.wrong(at, f"{text!r} matches no file", f"it is looked for from {root}")
        return matches

    def _remote(self, at: At, url: str, sha256: str, name: str) -> RemoteModel:
        try:
            parts = urlsplit(url)
            right = parts.scheme in ("https", "http") and bool(parts.hostname)
        except ValueError:
            right = False
        if not right:
            raise self.wrong(at, f"{mask_url(url)!r} is not a URL", "https://…")
        if not _SHA256.fullmatch(sha256):
            raise self.wrong(at, f"the sha256 of {mask_url(url)} is not 64 hex digits", "sha256sum FILE")
        return RemoteModel(url, sha256, name)

    def wrong(self, at: At, what: str, hint: str) -> InputError:
        """An error about a place in the file."""
        return wrong("suite", self._path, at, what, hint)


def located(suite: Suite, error: InputError) -> InputError:
    """The error of a run, with the line of the suite's file that caused it; unchanged if no line can be found."""
    values = read_toml(suite.path)
    if not isinstance(error, OptionError):
        models = [one.get("path", one.get("url")) if isinstance(one, dict) else one for one in values["models"]]
        number = next((number for number, text in enumerate(models) if f"{text}" in error.what), None)
        return (
            error if number is None else wrong("suite", suite.path, ("models", number), f": {error.what}", error.hint)
        )
    one = next(one for one in options_of(RunOptions) if one.name == error.option)
    at: At = (one.table, one.key) if one.key in values.get(one.table, {}) else (one.key,)
    value: Any = values
    for part in at:
        value = value.get(part)
    if value is None:
        return InputError(f"suite {suite.path}: {error.what}", hint=error.hint)
    if one.kind == "files" and error.value:
        at = (*at, error.value.rpartition("=")[0])
    elif isinstance(value, list) and error.value:
        at = (*at, *[number for number, item in enumerate(value) if error.value in item][:1])
    what = error.what.removeprefix(f"{one.shown} ")
    return wrong("suite", suite.path, at, what if what != error.what else f": {what}", error.hint)


def _is_pattern(text: str) -> bool:
    return text != "demo" and any(letter in text for letter in "*?[")


# Guess for the time that a process takes in addition to its inferences; used if no earlier run of the case is stored.
_START_S = 1.5


def suite_plan(suite: Suite) -> Plan:
    """Make the suite's plan; models to download are downloaded.

    Raises:
        InputError: names the file, the line and the key of what a run would refuse.
    """
    models = tuple(
        GivenModel(str(fetch_model(m.url, m.sha256)), m.name, _source(m.url)) if isinstance(m, RemoteModel) else m
        for m in suite.models
    )
    try:
        _check_reference(suite, models)
        return make_plan(
            RunOptions(**suite.options), models=models, base=suite.path.parent, thresholds=suite.thresholds
        )
    except InputError as error:
        raise located(suite, error) from None


def expected_durations(store: Store, plan: Plan) -> list[tuple[float, bool]]:
    """Return for each case how many seconds it takes on a device, and whether that is from earlier runs or guessed."""
    found = []
    for case in plan.cases:
        # Most of a process is what --min-secs asks for, so other threads or shapes are a good guess.
        known = [
            store.typical_duration_s(case.model.name, case.delegate.name, via=plan.via, case=text)
            for text in (case.text(plan.via), None)
        ]
        guess = _START_S + case.options.warmup_min_secs + case.options.min_secs
        each = next((one for one in known if one is not None), guess)
        found.append((each * plan.limits.steps, any(one is not None for one in known)))
    return found


def _source(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname or ''}{unquote(parts.path)}"


def _check_reference(suite: Suite, models: Sequence[GivenModel]) -> None:
    """Refuse a reference case that the suite does not measure: it could not correct anything."""
    reference = suite.labels.get("reference")
    if reference is None:
        return
    names = [model.name for model in open_models(models, suite.path.parent)]
    if reference not in names:
        raise InputError(
            f"suite {suite.path}: reference {reference!r} is not one of its models", hint=f"use {', '.join(names)}"
        )
