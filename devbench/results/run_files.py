"""Writes a stored run as JSON (everything) and CSV (a row per repetition), and reads a run from such JSON.

A file that is read may come from anywhere: its values are checked against the types of the records before use.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, fields
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import IO, Any

from devbench.errors import InputError
from devbench.host.whole_files import other_than_file, write_whole
from devbench.jsonready import plain
from devbench.notices import DERIVED, VIRTUAL_NOTE, Notice
from devbench.results.counting import JobView, RunView, read_notice
from devbench.results.records import (
    VALUES,
    BinaryRecord,
    DeviceRecord,
    FileRecord,
    JobRecord,
    ModelRecord,
    OperatorRecord,
    RepetitionRecord,
    RunRecord,
)

FORMAT = "devbench-run-3"
_MAX_BYTES = 1 << 30


def read_run(path: Path) -> RunView:
    """Return the run in a file.

    Raises:
        InputError: it cannot be read, or is another kind of file.
    """
    try:
        if other := other_than_file(path):
            raise InputError(f"{path} is {other}", hint="give what `devbench run --json` wrote")
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path} is larger than {_MAX_BYTES >> 30} GiB")
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path} is not JSON", hint="give what `devbench run --json` wrote") from None
    try:
        return read_values(values)
    except InputError as error:
        raise InputError(f"{path} {error.what}", hint=error.hint) from None


def read_values(values: Any) -> RunView:
    """Return the run that `run_to_json` gave.

    Raises:
        InputError: it is another kind of value, or damaged.
    """
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise InputError("is not a run of devbench", hint="give what `devbench run --json` wrote")
    try:
        return _run(values)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"is damaged: {str(error)[:200]}", hint="write it again with `devbench show --json`") from None


def _run(values: Mapping[str, Any]) -> RunView:
    run = _record(RunRecord, values["run"])
    devices = {one["key"]: _record(DeviceRecord, one) for one in values["devices"]}
    jobs = []
    for item in values["jobs"]:
        parts = {
            "run_id": run.run_id,
            "device": devices[item["device"]["key"]],
            "model": _record(ModelRecord, item["model"]),
            "binary": _record(BinaryRecord, item["binary"]),
            "files": tuple(_record(FileRecord, one) for one in item.get("files", ())),
        }
        job = _record(JobRecord, {**item, **parts})
        repetitions = []
        for row in item["repetitions"]:
            operators = tuple(_record(OperatorRecord, op) for op in row.get("operators", ()))
            of_job = {"run_id": run.run_id, "job_number": job.number, "operators": operators}
            repetitions.append(_record(RepetitionRecord, {**row, **of_job}))
        jobs.append(JobView(job, tuple(repetitions)))
    finished = values["run"].get("finished_utc")
    status = str(values["run"].get("status", "done"))
    notices = tuple(one for one in map(_notice, values.get("notices", ())) if one.kind not in DERIVED)
    reason = _value("str", values["run"].get("end_reason", ""), "end_reason")
    return RunView(run, status, None if finished is None else _time(finished), tuple(jobs), notices, reason)


def _notice(values: Mapping[str, Any]) -> Notice:
    texts = {name: _value("str", values[name], name) for name in ("subject", "text", "next_step", "device_key")}
    job_number = _value("int | None", values["job_number"], "job_number")
    return read_notice({**texts, "job_number": job_number, "kind": values["kind"], "effect": values["effect"]})


def _record(kind: type[Any], values: Mapping[str, Any]) -> Any:
    """Return a record; a missing value is the field's default, further values are ignored."""
    found = {}
    for field in fields(kind):
        if field.name in values:
            found[field.name] = _value(str(field.type), values[field.name], field.name)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise KeyError(f"{field.name} is missing")
    return kind(**found)


def _value(kind: str, value: Any, name: str) -> Any:
    """Convert `value` to the type of a record's field."""
    if value is None and kind.endswith("| None"):
        return None
    base = kind.removesuffix(" | None")
    if base == "datetime":
        return _time(value)
    if base.startswith("tuple"):
        wanted: Any = list | tuple
    elif base.startswith("Mapping"):
        wanted = dict
    elif base.endswith("Record"):
        return value
    else:
        # The remaining types are literals, such as `Purpose`.
        wanted = {"int": int, "float": int | float, "bool": bool}.get(base, str)
    wrong = not isinstance(value, wanted) or (isinstance(value, bool) and base != "bool")
    if wrong or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"{name} is {value!r:.40}")
    return tuple(value) if base.startswith("tuple") else value


def _time(value: Any) -> datetime:
    found = datetime.fromisoformat(value.replace("Z", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


REPETITION_COLUMNS = (
    "run_id", "job", "device", "device_key", "virtual", "model", "model_sha256", "case", "delegate", "via", "threads",
    "binary", "binary_version", "binary_sha256", "purpose", "repetition", "status", "failure_kind", "failure_message",
    "exit_code", "started_utc", "duration_s", *VALUES, "verdict", "verdict_reasons", "raw_path",
)  # fmt: skip


def run_to_json(view: RunView) -> dict[str, Any]:
    """Return everything stored about a run, JSON-ready; times are ISO 8601 in UTC, units are in the names."""
    devices = {item.job.device.key: item.job.device for item in view.jobs}
    virtual = any(device.virtual for device in devices.values())
    return {
        "format": FORMAT,
        "virtual": virtual,
        **({"note": VIRTUAL_NOTE} if virtual else {}),
        "run": run_end(view),
        "notices": [plain(asdict(notice)) for notice in view.all_notices],
        "devices": [plain(asdict(device)) for device in devices.values()],
        "jobs": [_job(item) for item in view.jobs],
    }


def run_end(view: RunView) -> dict[str, Any]:
    """Return a run without its jobs, JSON-ready, with its status and the reason of its end."""
    end = {"status": view.status, "end_reason": view.end_reason, "finished_utc": plain(view.finished_utc)}
    return {**plain(asdict(view.run)), **end}


def _job(item: Any) -> dict[str, Any]:
    job = plain(asdict(item.job))
    job["device"] = {"key": item.job.device.key, "title": item.job.device.title, "virtual": item.job.device.virtual}
    del job["run_id"]
    repetitions = []
    for repetition in item.repetitions:
        values = plain(asdict(repetition))
        for repeated in ("run_id", "job_number"):
            del values[repeated]
        repetitions.append(values)
    return {**job, "repetitions": repetitions}


def write_json(view: RunView, path: Path) -> None:
    """Write `run_to_json` to a file.

    Raises:
        EnvironmentProblem: it cannot be written.
    """
    values = run_to_json(view)
    write_whole(path, lambda file: json.dump(values, file, indent=1, ensure_ascii=False))


def repetition_rows(view: RunView) -> list[dict[str, Any]]:
    """Return one mapping per repetition with the keys of `REPETITION_COLUMNS`; a value is `None` if it was not
    measured.
    """
    rows = []
    for item in view.jobs:
        job = item.job
        of_job = {
            "run_id": job.run_id,
            "job": job.number,
            "device": job.device.title,
            "device_key": job.device.key,
            "virtual": job.device.virtual,
            "model": job.model.name,
            "model_sha256": job.model.sha256,
            "case": job.case,
            "delegate": job.delegate,
            "via": job.options.get("via", "shell"),
            "threads": job.threads,
            "binary": job.binary.name,
            "binary_version": job.binary.version,
            "binary_sha256": job.binary.sha256,
        }
        for repetition in item.repetitions:
            own = {name: getattr(repetition, name, None) for name in REPETITION_COLUMNS if name not in of_job}
            own |= {
                "repetition": repetition.index,
                "started_utc": repetition.started_utc.isoformat(),
                "verdict_reasons": "; ".join(repetition.verdict_reasons),
            }
            rows.append({name: {**own, **of_job}[name] for name in REPETITION_COLUMNS})
    return rows


def write_csv(view: RunView, path: Path) -> None:
    """Write a row per repetition to a file; a text that a spreadsheet would run as a formula is quoted.

    Raises:
        EnvironmentProblem: it cannot be written.
    """

    def rows(file: IO[str]) -> None:
        writer = csv.DictWriter(file, REPETITION_COLUMNS)
        writer.writeheader()
        for row in repetition_rows(view):
            writer.writerow({name: _harmless(value) for name, value in row.items()})

    write_whole(path, rows, newline="")


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def record_writers(view: RunView) -> dict[str, Callable[[Path], None]]:
    """Return functions that write the run to a file, by the name of the format."""
    return {"csv": partial(write_csv, view), "json": partial(write_json, view)}
