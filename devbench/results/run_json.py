"""A run out of the JSON file that `devbench run --json` or `devbench show --json` wrote; knows no report.

Such a file may come from anywhere: what it holds is checked against the records' types before any of it is used.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from devbench.errors import InputError
from devbench.host.regular import other_than_file
from devbench.notices import DERIVED, Notice
from devbench.results import writing
from devbench.results.records import (
    BinaryRecord,
    DeviceRecord,
    FileRecord,
    JobRecord,
    ModelRecord,
    OperatorRecord,
    RepetitionRecord,
    RunRecord,
)
from devbench.results.store import JobView, RunView, Store
from devbench.results.totals import total_types, total_up
from devbench.results.views import read_notice

FORMAT = "devbench-run-3"
_MAX_BYTES = 1 << 30


def read_run(path: Path) -> RunView:
    """The run in a file.

    Raises:
        InputError: it cannot be read, or is no such file.
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
        raise InputError(f"{path} is no JSON", hint="give what `devbench run --json` wrote") from None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise InputError(f"{path} is no run of devbench", hint="give what `devbench run --json` wrote")
    try:
        return _run(values)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{path} is damaged: {str(error)[:200]}", hint="write it again with `devbench show --json`"
        ) from None


def add_run(store: Store, view: RunView) -> None:
    """Keep a run in a store that does not have it, all or nothing."""
    with store.transaction() as connection:
        writing.insert_run(connection, view.run)
        writing.insert_notices(connection, view.run.run_id, view.notices)
        jobs = []
        for item in view.jobs:
            jobs.append(writing.insert_job(connection, item.job))
            for repetition in item.repetitions:
                writing.insert_repetition(connection, repetition, totals=False)
        total_up(connection, jobs)
        total_types(connection, jobs)
    finished_utc = view.finished_utc or view.run.started_utc
    store.finish_run(view.run.run_id, view.status, finished_utc, view.end_reason)  # type: ignore[arg-type]


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
            whose = {"run_id": run.run_id, "job_number": job.number, "operators": operators}
            repetitions.append(_record(RepetitionRecord, {**row, **whose}))
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
    """A record of its fields; what a file lacks is the field's default, what it has besides is left."""
    found = {}
    for field in fields(kind):
        if field.name in values:
            found[field.name] = _value(str(field.type), values[field.name], field.name)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise KeyError(f"{field.name} is missing")
    return kind(**found)


def _value(kind: str, value: Any, name: str) -> Any:
    """`value` as what the annotation of a record's field says."""
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
        # What is left are the names of words, such as `Purpose`.
        wanted = {"int": int, "float": int | float, "bool": bool}.get(base, str)
    wrong = not isinstance(value, wanted) or (isinstance(value, bool) and base != "bool")
    if wrong or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"{name} is {value!r:.40}")
    return tuple(value) if base.startswith("tuple") else value


def _time(value: Any) -> datetime:
    found = datetime.fromisoformat(value.replace("Z", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
