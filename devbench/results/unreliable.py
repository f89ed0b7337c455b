"""The unreliable repetitions with their reasons; knows no frame."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from devbench.results import schema
from devbench.results.columns import array_of, coded_of
from devbench.results.pipeline_history import session_columns
from devbench.results.pipeline_schema import pipeline_sessions
from devbench.results.selection import Selection


@dataclass(frozen=True, slots=True)
class Unreliable:
    """A repetition that ended well, measured while the device was throttled or busy.

    Attributes:
        run_id, job, device_key, case: what it is a repetition of; `job` is 0 for a session of a pipeline.
        purpose: as in `RepetitionRecord`; "session" for one of a pipeline.
        reasons: as text.
    """

    run_id: str
    job: int
    device_key: str
    case: str
    purpose: str
    reasons: tuple[str, ...]


def unreliable_repetitions(connection: sa.Connection, selection: Selection) -> list[Unreliable]:
    """Those of the selected jobs in the order in which they were stored, then those of pipelines."""
    runs, jobs, cases = schema.runs, schema.jobs, schema.cases
    repetitions, details = schema.repetitions, schema.details
    query = (
        sa.select(
            runs.c.run_id, jobs.c.number, jobs.c.device_key, cases.c.text, repetitions.c.purpose,
            details.c.verdict_reasons,
        )
        .select_from(repetitions)
        .join(jobs, jobs.c.id == repetitions.c.job_id)
        .join(runs, runs.c.run_id == jobs.c.run_id)
        .join(cases, cases.c.id == jobs.c.case_id)
        .join(details, details.c.repetition_id == repetitions.c.id)
        .where(repetitions.c.verdict == "unreliable", repetitions.c.status == "ok", *selection.of_jobs())
        .order_by(repetitions.c.id)
    )  # fmt: skip
    found = [Unreliable(*row[:5], tuple(map(str, row[5]))) for row in connection.execute(query)]
    return found + _sessions(connection, selection)


def _sessions(connection: sa.Connection, selection: Selection) -> list[Unreliable]:
    columns = session_columns(connection, selection)
    run, device, case = (coded_of(columns, name) for name in ("run_id", "device_key", "case"))
    unreliable = array_of(columns, "unreliable")
    found = {
        number: (run.at(row), 0, device.at(row), case.at(row), "session")
        for row, number in enumerate(array_of(columns, "session").tolist())
        if unreliable[row]
    }
    table = pipeline_sessions
    query = sa.select(table.c.id, table.c.verdict_reasons).where(table.c.verdict == "unreliable")
    query = query.join(schema.runs, schema.runs.c.run_id == table.c.run_id).where(*selection.of_runs())
    reasons = {row.id: tuple(map(str, row.verdict_reasons)) for row in connection.execute(query)} if found else {}
    return [Unreliable(*key, reasons.get(number, ())) for number, key in found.items()]
