"""Queueing a suite: its files into the storage, its job into the database. Knows no host and no phone."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbench.errors import InputError
from devbench.farm.database import Farm
from devbench.farm.job import from_suite, to_json
from devbench.farm.status import open_storage

if TYPE_CHECKING:
    from devbench.bench.plan import Plan
    from devbench.bench.suite import Suite

_FACTS = ("soc", "model", "android", "sdk", "abi", "title", "host", "device")


def submit_suite(
    farm: Farm,
    file: Path,
    wanted: Mapping[str, str],
    *,
    phones: int | None,
    priority: int,
    due: datetime | None,
    every: str,
    labels: Mapping[str, str],
    storage: str | None,
) -> dict[str, Any]:
    """Queue the suite in a file; returns submission, suite and the number of jobs that are queued now.

    Raises:
        InputError: the suite is wrong, or nothing of it can be a job.
        FarmProblem: the farm refuses it.
    """
    from devbench.bench.suite import read_suite, suite_plan
    from devbench.results.ci_labels import ci_labels

    suite = read_suite(file)
    job = make_job(farm, suite, suite_plan(suite), {**ci_labels(os.environ), **labels}, storage)
    return submit_job(farm, suite.name, job, wanted, phones=phones, priority=priority, due=due, every=every)


def make_job(farm: Farm, suite: Suite, plan: Plan, labels: Mapping[str, str], storage: str | None) -> dict[str, Any]:
    """The job of a suite, whose files are in the storage then."""
    farm.check_schema()
    return to_json(from_suite(suite, plan, open_storage(farm, storage), labels))


def submit_job(
    farm: Farm, suite: str, job: Mapping[str, Any], wanted: Mapping[str, str], *, phones: int | None = None,
    priority: int = 0, due: datetime | None = None, every: str = "", night: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Queue a job; one for a night is queued once."""
    statement = "SELECT * FROM farm.submit(%s, %s, %s, %s, %s, %s, %s, %s)"
    row = farm.rows(statement, suite, json.dumps(job), json.dumps(dict(wanted)), phones, priority, due, every, night)[0]
    return {"submission": row["submission"], "suite": suite, "jobs": row["jobs"]}


def wanted_of(texts: Sequence[str]) -> dict[str, str]:
    """Patterns by the name of a fact, of `soc=SM8650*`; a word without `=` is a pattern of phones' keys.

    Raises:
        InputError: there is no such fact, or it is given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, equals, pattern = text.partition("=")
        if not equals:
            key, pattern = "device", text
        if key not in _FACTS or not pattern or key in found:
            raise InputError(f"--devices {text!r} cannot be used", hint=f"KEY=PATTERN, each once: {', '.join(_FACTS)}")
        found[key] = pattern
    return found


def next_time(text: str | None) -> datetime | None:
    """The next time that a clock shows `01:00`, or a date with a time; without a zone, of this computer.

    Raises:
        InputError: it is neither.
    """
    if text is None:
        return None
    now = datetime.now().astimezone()
    try:
        if len(text) <= 5:
            clock = datetime.strptime(text, "%H:%M").time()
            today = datetime.combine(now.date(), clock).astimezone()
            return today if today > now else datetime.combine(now.date() + timedelta(days=1), clock).astimezone()
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise InputError(f"--at {text!r} is not a time", hint="for example 01:00, or 2026-12-01T01:00") from None
