"""The files that took part in jobs, the model left out: one row a job and file, or each once; knows no report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from devbench.results import schema
from devbench.results.selection import Selection


@dataclass(frozen=True, slots=True)
class UsedFile:
    """A file that cases on a device were measured with. `version` is as the file states it, empty if it does not."""

    device_key: str
    case: str
    role: str
    name: str
    sha256: str
    version: str


# The table that says which jobs used a file, its column with the job, and the file's columns.
Source = tuple[sa.FromClause, "sa.ColumnElement[int]", dict[str, Any]]


def sources() -> tuple[Source, Source]:
    """Where the tool of each job is, and where its other files are."""
    jobs, binaries, used, files = schema.jobs, schema.binaries, schema.job_files, schema.files
    tool = {"role": sa.literal("tool"), **{name: binaries.c[name] for name in ("name", "sha256", "version")}}
    other = {**{name: used.c[name] for name in ("role", "name", "sha256")}, "version": files.c.version}
    return (
        (jobs.join(binaries, binaries.c.sha256 == jobs.c.binary_sha256), jobs.c.id, tool),
        (used.join(files, files.c.sha256 == used.c.sha256).join(jobs, jobs.c.id == used.c.job_id), jobs.c.id, other),
    )


def used_files(connection: sa.Connection, selection: Selection) -> list[UsedFile]:
    """Each file once for each case on a device that used it, however many jobs there were."""
    jobs, cases = schema.jobs, schema.cases
    found = []
    for source, job_id, columns in sources():
        query = sa.select(jobs.c.device_key, jobs.c.case_id, *(value.label(name) for name, value in columns.items()))
        found.append(query.select_from(source).where(*selection.of_job_ids(job_id)).distinct())
    rows = sa.union_all(*found).subquery()
    named = sa.select(
        rows.c.device_key, cases.c.text, *(rows.c[name] for name in ("role", "name", "sha256", "version"))
    )
    return [UsedFile(*row) for row in connection.execute(named.join(cases, cases.c.id == rows.c.case_id))]
