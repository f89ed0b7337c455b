"""Selects runs: filters of queries, and texts of a command line that name runs, moments or ages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import sqlalchemy as sa

from devbench.errors import InputError
from devbench.results import schema
from devbench.results.views import find_run


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters of a query's results; an empty selection selects everything.

    Attributes:
        runs: ids.
        devices: keys.
        models: names.
        delegates: names.
        cases: texts (`cases.py`).
        since, until: limits of the run's start, with a zone; `until` itself is excluded.
        labels: a run must have all of them.
    """

    runs: Sequence[str] = ()
    devices: Sequence[str] = ()
    models: Sequence[str] = ()
    delegates: Sequence[str] = ()
    cases: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def of_runs(self) -> list[sa.ColumnElement[bool]]:
        """Return conditions on the table of runs."""
        runs, labels = schema.runs, schema.labels
        found: list[sa.ColumnElement[bool]] = []
        if self.runs:
            found.append(runs.c.run_id.in_(_several(self.runs)))
        if self.since is not None:
            found.append(runs.c.started_utc >= self.since)
        if self.until is not None:
            found.append(runs.c.started_utc < self.until)
        for key, value in self.labels.items():
            with_label = sa.select(labels.c.run_id).where(labels.c.key == key, labels.c.value == value)
            found.append(runs.c.run_id.in_(with_label))
        return found

    def of_jobs(self) -> list[sa.ColumnElement[bool]]:
        """Return conditions on the tables of runs, jobs and cases."""
        return [*self.of_runs(), *self.of_parts()]

    def of_parts(self) -> list[sa.ColumnElement[bool]]:
        """Return conditions that select single jobs within runs."""
        columns: list[tuple[sa.ColumnElement[Any], Sequence[str]]] = [
            (schema.jobs.c.device_key, self.devices),
            (schema.cases.c.model, self.models),
            (schema.cases.c.delegate, self.delegates),
            (schema.cases.c.text, self.cases),
        ]
        return [column.in_(_several(wanted)) for column, wanted in columns if wanted]

    def of_job_ids(self, job_id: sa.ColumnElement[int]) -> list[sa.ColumnElement[bool]]:
        """Return conditions on a column with the numbers of jobs; empty if all are selected."""
        return [job_id.in_(self.select_jobs(schema.jobs.c.id))] if self.of_jobs() else []

    def select_jobs(self, *columns: Any) -> sa.Select[Any]:
        """Return a query of the jobs, joined with their runs and cases."""
        runs, jobs, cases = schema.runs, schema.jobs, schema.cases
        query = sa.select(*columns).select_from(jobs).join(runs, runs.c.run_id == jobs.c.run_id)
        return query.join(cases, cases.c.id == jobs.c.case_id).where(*self.of_jobs())

    def of_devices(self) -> list[sa.ColumnElement[bool]]:
        """Return conditions on the table of devices."""
        return [schema.devices.c.key.in_(_several(self.devices))] if self.devices else []


def _several(values: Sequence[str]) -> list[str]:
    return [values] if isinstance(values, str) else list(values)


_MOMENT = re.compile(r"\d{4}-\d{2}(-\d{2}(T\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:?\d{2})?)?)?")
_SPAN = ".."


def find_runs(connection: sa.Connection, text: str) -> tuple[str, ...]:
    """Return the runs that `text` names, oldest first.

    Args:
        text: `latest`; an id or the start of one; `key=value` for a label; a month, a day or a minute
            (`2026-11`, `2026-11-20`, `2026-11-20T21:00`, UTC where no zone is given); or a span
            `2026-11-01..2026-11-20`, the last day included, one end of which may be left out.

    Raises:
        InputError: no run matches, or `text` is not the name of a run.
    """
    key, equals, value = text.partition("=")
    if equals:
        return _ids(connection, Selection(labels={key.strip(): value.strip()}), f"with the label {text}")
    first, span, last = text.partition(_SPAN)
    if (span and (first or last)) or _MOMENT.fullmatch(text):
        since = moment(first)[0] if first else None
        until = (moment(last)[1] if last else None) if span else moment(first)[1]
        return _ids(connection, Selection(since=since, until=until), f"of {text}")
    return (find_run(connection, text),)


def _ids(connection: sa.Connection, selection: Selection, words: str) -> tuple[str, ...]:
    runs = schema.runs
    query = sa.select(runs.c.run_id).where(*selection.of_runs()).order_by(runs.c.started_utc, runs.c.run_id)
    found = tuple(connection.execute(query).scalars())
    if not found:
        raise InputError(f"no run {words} in the store", hint="see `devbench runs`")
    return found


def moment(text: str) -> tuple[datetime, datetime]:
    """Return the beginning and the end of a month, a day, a minute or a second."""
    if not _MOMENT.fullmatch(text):
        raise InputError(f"{text!r} is not a date", hint="for example 2026-11-20 or 2026-11-20T21:00")
    month_only = len(text) == len("2026-11")
    try:
        start = datetime.fromisoformat((text + "-01" if month_only else text).replace("Z", "+00:00"))
    except ValueError as error:
        raise InputError(f"{text!r} is not a date: {error}") from None
    if start.tzinfo is None:
        start = start.replace(tzinfo=timezone.utc)
    if month_only:
        return start, (start + timedelta(days=31)).replace(day=1)
    if "T" not in text:
        return start, start + timedelta(days=1)
    return start, start + timedelta(seconds=1 if re.search(r"T\d{2}:\d{2}:", text) else 60)


_AGE = re.compile(r"(\d{1,5})\s*([hdwmy])")
_HOURS = {"h": 1, "d": 24, "w": 7 * 24, "m": 30 * 24, "y": 365 * 24}


def parse_age(text: str) -> timedelta:
    """Parse an age: `90d`, `12w`, `6m` (months of 30 days), `1y` (365 days), `36h`.

    Raises:
        InputError: it has another form.
    """
    found = _AGE.fullmatch(text.strip())
    if not found:
        raise InputError(f"invalid age {text!r}", hint="use for example 90d, 12w, 6m or 1y")
    return timedelta(hours=int(found[1]) * _HOURS[found[2]])
