"""A farm's job as JSON: models by hash, and the options of a suite. Does not depend on the database, hosts or phones.

A job is untrusted JSON: `read` checks every field and refuses anything else. A job contains no paths, addresses,
commands or code. It names files by their SHA-256, and they come only from the farm's storage.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbench.analysis.accuracy import Limit, Thresholds
from devbench.declare import Option, options_of
from devbench.errors import InputError
from devbench.farm import delegates
from devbench.models.files import GivenModel, check_name
from devbench.options import RunOptions
from devbench.results.records import ModelRecord

if TYPE_CHECKING:
    from devbench.bench.plan import Plan
    from devbench.bench.suite import Suite
    from devbench.farm.delegates import Files

FORMAT = "devbench-farm-job-1"
_MAX_MODELS, _MAX_TEXTS, _MAX_TEXT = 200, 200, 400
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Text without path separators, shell metacharacters or control characters.
_WORD = re.compile(r"[^\x00-\x1f\x7f/\\;&|<>$`'\"]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_LABEL = re.compile(r"[^\x00-\x1f\x7f]{0,1000}")
_DTYPE = re.compile(r"[a-z0-9]{1,20}")
# The options that define what to measure. Other options belong to the host, or name a file on it.
OPTIONS: Mapping[str, Option] = {
    one.name: one
    for one in options_of(RunOptions)
    if one.key and one.kind not in ("path", "files", "table") and one.name not in ("device", "label", "binary")
}


@dataclass(frozen=True, slots=True)
class FarmJob:
    """A measurement to be done on a phone.

    Attributes:
        models: the models in the order of the suite; `name` is the model's key.
        options: the run's options, by their names in `OPTIONS`.
        labels: labels that are stored with the run.
        inputs: input values for the output check: the input's name and the SHA-256 of the file.
        limits: the limits of the output check, by the output's data type; `None` for the defaults.
        binary: `name`, `version`, `flavour` and `sha256` of the tool; `None`: each host uses its own.
        delegates: entries of the delegates that devbench does not ship, by name (`farm.delegates`).
    """

    suite: str
    models: tuple[ModelRecord, ...]
    options: Mapping[str, Any]
    labels: Mapping[str, str]
    inputs: tuple[tuple[str, str], ...] = ()
    limits: Mapping[str, Mapping[str, float | None]] | None = None
    binary: Mapping[str, str] | None = None
    delegates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def from_suite(suite: Suite, plan: Plan, files: Files, labels: Mapping[str, str]) -> FarmJob:
    """Return the job of a suite, and put its files into the storage.

    Args:
        suite: the suite, as `read_suite` returns it.
        plan: the suite's plan.
        files: the farm's storage.
        labels: labels in addition to the suite's.

    Raises:
        InputError: the suite uses something that a job cannot contain, such as a path.
    """
    options = dict(suite.options)
    options.pop("delegates_file", None)
    inputs, binary = [], None
    if options.pop("binary", None) is not None:
        from devbench.tool.binaries import find

        one = find(str(suite.options["binary"]))
        binary = {"name": one.name, "version": one.version, "flavour": one.flavour, "sha256": files.put(one.path)}
    for text in options.pop("inputs", ()):
        name, _, path = text.rpartition("=")
        inputs.append((name, files.put(Path(path))))
    models = {case.model.name: case.model for case in plan.cases}
    job = FarmJob(
        suite=suite.name,
        models=tuple(
            ModelRecord(files.put(one.path), name, one.size_bytes, one.operator_count) for name, one in models.items()
        ),
        options=options,
        labels={**suite.labels, **labels},
        inputs=tuple(inputs),
        limits={k: asdict(v) for k, v in suite.thresholds.limits.items()} if suite.thresholds is not None else None,
        binary=binary,
        delegates=delegates.to_json([case.delegate for case in plan.cases], files),
    )
    try:
        return read(to_json(job))
    except InputError as error:
        hint = "on a farm, name only what every host has: no paths"
        raise InputError(f"suite {suite.path}: {error.what}", hint=hint) from None


def to_json(job: FarmJob) -> dict[str, Any]:
    """Return the job as JSON, the form that `read` takes."""
    return {
        "format": FORMAT,
        "suite": job.suite,
        "models": [asdict(one) for one in job.models],
        "options": dict(job.options),
        "labels": dict(job.labels),
        "inputs": [{"name": name, "sha256": sha256} for name, sha256 in job.inputs],
        "limits": job.limits,
        "binary": job.binary,
        "delegates": job.delegates,
    }


def read(values: Any) -> FarmJob:
    """Return a job from JSON. Does not run, open or fetch anything.

    Raises:
        InputError: the JSON is not a job, or contains something that is not allowed in a job.
    """
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise _refused("it is not a job of this devbench's farm")
    if len(values) != 9:
        raise _refused("it has other fields than a job")
    options, labels = _table(values, "options"), _table(values, "labels")
    unknown = next((name for name in options if name not in OPTIONS), None)
    if unknown is not None:
        raise _refused(f"{unknown!r:.80} is not an option of a job")
    if len(labels) > _MAX_TEXTS or not all(_is(_LABEL, text) for pair in labels.items() for text in pair):
        raise _refused("a label is not a short text")
    return FarmJob(
        suite=_word(values["suite"], "suite", _LABEL),
        models=_models(values["models"]),
        options={name: _option(OPTIONS[name], value) for name, value in options.items()},
        labels=labels,
        inputs=_named(values["inputs"]),
        limits=_limits(values["limits"]),
        binary=_binary(values["binary"]),
        delegates=delegates.read(values["delegates"]),
    )


def plan_of(job: FarmJob, files: Files) -> Plan:
    """Return the plan of a job on this host, and fetch its files from the storage.

    Raises:
        InputError: the job has options that a run would refuse.
        EnvironmentProblem: a file cannot be fetched.
    """
    from devbench.bench.planning import make_plan

    options: dict[str, Any] = dict(job.options)
    if job.binary is not None:
        options["binary"] = _installed(job.binary, files)
    if job.delegates:
        options["delegates_file"] = delegates.to_file(job.delegates, files)
    if job.inputs:
        options["inputs"] = tuple(f"{name}={files.fetch(sha256)}" for name, sha256 in job.inputs)
    models = [GivenModel(str(files.fetch(one.sha256)), one.name) for one in job.models]
    limits = None if job.limits is None else Thresholds({k: Limit(**v) for k, v in job.limits.items()})  # type: ignore[arg-type]
    return make_plan(RunOptions(**options), models=models, thresholds=limits)


def _binary(value: Any) -> dict[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"name", "version", "flavour", "sha256"}:
        raise _refused("its binary is not a name, a version, a flavour and a SHA-256")
    for name, text in value.items():
        _word(text, f"the binary's {name}", _SHA256 if name == "sha256" else _NAME)
    return value


def _installed(binary: Mapping[str, str], files: Files) -> str:
    """Install the tool on this host if it is missing, and return its hash. An installed one keeps its name."""
    from devbench.tool.binaries import add, installed

    if all(one.sha256 != binary["sha256"] for one in installed()):
        of = {name: binary[name] for name in ("name", "version", "flavour")}
        add(files.fetch(binary["sha256"]), **of, by_name_only=True)
    return binary["sha256"]


def _option(one: Option, value: Any) -> Any:
    """Check that a value fits the option's kind and bounds, and return it."""
    if value is None:
        return None
    if one.kind == "truth" and isinstance(value, bool):
        return value
    if one.kind in ("number", "real") and type(value) in (int, float) and math.isfinite(value):
        low, high = one.minimum, one.maximum
        if (low is None or value >= low) and (high is None or value <= high):
            return value if one.kind == "real" or isinstance(value, int) else _wrong(one)
    if one.kind in ("text", "numbers") and isinstance(value, str):
        return _word(value, one.key, _WORD)
    if one.kind in ("texts", "shapes") and isinstance(value, (list, tuple)) and len(value) <= _MAX_TEXTS:
        if one.kind == "shapes":
            return tuple(_texts(one, item) for item in value)
        return _texts(one, value)
    return _wrong(one)


def _texts(one: Option, value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or len(value) > _MAX_TEXTS:
        _wrong(one)
    # `external:` would name a library on the host; `_NAME` excludes it.
    return tuple(_word(text, one.key, _NAME if one.name == "delegate" else _WORD) for text in value)


def _wrong(one: Option) -> Any:
    raise _refused(f"{one.key} has a value that it cannot have")


def _models(value: Any) -> tuple[ModelRecord, ...]:
    if not isinstance(value, list) or not value:
        raise _refused("it has no models")
    keys = {one.name for one in fields(ModelRecord)}
    for one in value:
        if not isinstance(one, dict) or set(one) != keys:
            raise _refused("a model is not a name, a SHA-256, a size and a number of operators")
        if type(one["size_bytes"]) is not int or type(one["operators"]) not in (int, type(None)):
            raise _refused("the size of a model is not a number")
    named = _named([{"name": one["name"], "sha256": one["sha256"]} for one in value])
    return tuple(
        ModelRecord(sha256, name, one["size_bytes"], one["operators"])
        for (name, sha256), one in zip(named, value, strict=True)
    )


def _named(value: Any) -> tuple[tuple[str, str], ...]:
    """Check a list of files and return their names and hashes."""
    if not isinstance(value, list) or len(value) > _MAX_MODELS:
        raise _refused("its files are not a list")
    found = []
    for item in value:
        if not isinstance(item, dict) or set(item) != {"name", "sha256"} or not _is(_SHA256, item["sha256"]):
            raise _refused("a file is not a name and a SHA-256")
        name = item["name"]
        if not isinstance(name, str) or check_name(name):
            raise _refused(f"{name!r:.80} is not the name of a file")
        found.append((name, item["sha256"]))
    return tuple(found)


def _limits(value: Any) -> dict[str, dict[str, float | None]] | None:
    if value is None:
        return None
    names = {one.name for one in fields(Limit)}
    if not isinstance(value, dict) or len(value) > _MAX_TEXTS:
        raise _refused("its limits are not a table")
    for dtype, figures in value.items():
        if not _is(_DTYPE, dtype) or not isinstance(figures, dict) or not set(figures) <= names:
            raise _refused("its limits are not those of a check of outputs")
        if not all(one is None or (type(one) in (int, float) and math.isfinite(one)) for one in figures.values()):
            raise _refused("a limit is not a number")
    return value


def _table(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = values.get(name)
    if not isinstance(found, dict):
        raise _refused(f"its {name} are not a table")
    return found


def _word(value: Any, name: str, allowed: re.Pattern[str]) -> str:
    if not _is(allowed, value):
        raise _refused(f"{name} has {value!r:.80}, which no job may have")
    return str(value)


def _is(allowed: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_TEXT and allowed.fullmatch(value) is not None


def _refused(what: str) -> InputError:
    return InputError(f"the farm's job is refused: {what}", hint="submit it again with this devbench")
