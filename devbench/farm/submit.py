"""Queue a suite: put its files into the storage and its job into the database. Does not depend on hosts or phones."""

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
    """Queue the suite in a file. Return the submission, the suite and the number of jobs that are queued now.

    Raises:
        InputError: the suite is invalid, or cannot be run on a farm.
        FarmProblem: the farm refuses the submission.
    """
    from devbench.bench.suite import read_suite, suite_plan
    from devbench.results.ci_labels import ci_labels

    suite = read_suite(file)
    job = make_job(farm, suite, suite_plan(suite), {**ci_labels(os.environ), **labels}, storage)
    return submit_job(farm, suite.name, job, wanted, phones=phones, priority=priority, due=due, every=every)


def make_job(farm: Farm, suite: Suite, plan: Plan, labels: Mapping[str, str], storage: str | None) -> dict[str, Any]:
    """Put the files of a suite into the storage and return its job as JSON."""
    farm.check_schema()
    return to_json(from_suite(suite, plan, open_storage(farm, storage), labels))


def submit_job(
    farm: Farm, suite: str, job: Mapping[str, Any], wanted: Mapping[str, str], *, phones: int | None = None,
    priority: int = 0, due: datetime | None = None, every: str = "", night: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Queue a job. With `night`, the farm queues the job only once for that night."""
    statement = "SELECT * FROM farm.submit(%s, %s, %s, %s, %s, %s, %s, %s)"
    row = farm.rows(statement, suite, json.dumps(job), json.dumps(dict(wanted)), phones, priority, due, every, night)[0]
    return {"submission": row["submission"], "suite": suite, "jobs": row["jobs"]}


def wanted_of(texts: Sequence[str]) -> dict[str, str]:
    """Parse texts such as `soc=SM8650*` to patterns by fact; a text without `=` is a pattern for the phone's key.

    Raises:
        InputError: the fact is unknown or given twice, or the pattern is empty.
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
    """Parse a clock time such as `01:00`, which means its next occurrence, or an ISO date with a time.

    A time without a time zone is in the zone of this computer.

    Raises:
        InputError: the text is neither.
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
