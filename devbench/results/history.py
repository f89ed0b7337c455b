"""The measurements of all runs as pandas frames with documented columns and units; knows no report.

Every query takes the same filters (`selection.Selection`) as keywords: `runs` (ids), `devices` (keys), `models`,
`delegates`, `cases` (texts), `since`, `until` (start of the run, with a zone), `labels`. Times in frames are UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from devbench.results import schema
from devbench.results.columns import JOB_COLUMNS, Column, frame_of, read_rows, series_rows, with_jobs
from devbench.results.device_state import ChangedFact, device_frame, fact_changes, reading_frame
from devbench.results.queries import (
    Read,
    Unreliable,
    UsedFile,
    by_metric,
    observations,
    sample_rows,
    series,
    sources,
    states_of_cases,
    unreliable_repetitions,
    used_files,
)
from devbench.results.records import OperatorRecord
from devbench.results.selection import Selection, find_runs
from devbench.results.sessions import session_columns, stage_columns
from devbench.results.store import Store
from devbench.results.views import device_titles, labels_of

if TYPE_CHECKING:
    import pandas as pd


Answer = TypeVar("Answer")
_SERIES = (*JOB_COLUMNS, "metric", "unit", "value", "low", "high", "n", "unreliable")
_SAMPLES = (*JOB_COLUMNS, "metric", "unit", "repetition", "value", "unreliable")
_OPERATORS = ("repetition", *(one.name for one in fields(OperatorRecord)))
_DELEGATION = (
    "run_id", "job", "device_key", "case", "nodes_delegated", "nodes_total", "partitions", "delegated_node_share",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunStart:
    """A run: when it started, and its labels."""

    run_id: str
    started_utc: datetime
    labels: Mapping[str, str]


class History(AbstractContextManager["History"]):
    """Reads the results in a store.

    Args:
        url: as of `devbench.results.open_history`.

    Raises:
        InputError: the store does not exist.
        EnvironmentProblem: it cannot be read.
    """

    def __init__(self, url: str | None = None) -> None:
        self.store = Store(url, create=False)
        self._database = self.store.database
        self.store.complete_totals()

    def close(self) -> None:
        """Close the connections."""
        self.store.close()

    def __exit__(self, *error: object) -> None:
        self.close()

    def find_runs(self, text: str) -> tuple[str, ...]:
        """Return the ids of the runs that `text` names (`selection.find_runs`), oldest first."""
        with self._database.reading() as connection:
            return find_runs(connection, text)

    def runs(self, **filters: Any) -> pd.DataFrame:
        """Return one row per run, oldest first.

        Columns: run_id, started_utc, finished_utc, status, end_reason (empty if all was done), command, virtual
        (whether any device is), labels (a dict), jobs, failed_jobs (in which no repetition ended well).
        """
        import pandas as pd

        runs, jobs, devices, repetitions = schema.runs, schema.jobs, schema.devices, schema.repetitions
        selection = Selection(**filters)
        ok = sa.select(repetitions.c.job_id).where(repetitions.c.job_id == jobs.c.id, repetitions.c.status == "ok")
        failed = sa.func.count(jobs.c.id).filter(~ok.exists()).label("failed_jobs")
        virtual = sa.select(devices.c.run_id).where(devices.c.run_id == runs.c.run_id, devices.c.virtual.is_(True))
        names = ("run_id", "started_utc", "finished_utc", "status", "end_reason", "command")
        query = (
            sa.select(
                *(runs.c[name] for name in names),
                virtual.exists().label("virtual"), sa.func.count(jobs.c.id).label("jobs"), failed,
            )
            .join(jobs, jobs.c.run_id == runs.c.run_id, isouter=True)
            .join(schema.cases, schema.cases.c.id == jobs.c.case_id, isouter=True)
            .where(*selection.of_jobs())
            .group_by(runs.c.run_id)
            .order_by(runs.c.started_utc, runs.c.run_id)
        )  # fmt: skip
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
            labels = labels_of(connection)
        frame = pd.DataFrame([tuple(row) for row in rows], columns=[*names, "virtual", "jobs", "failed_jobs"])
        for name in ("started_utc", "finished_utc"):
            frame[name] = pd.to_datetime(frame[name], utc=True)
        frame.insert(7, "labels", [labels.get(run_id, {}) for run_id in frame["run_id"]])
        return frame

    def starts(self, **filters: Any) -> list[RunStart]:
        """Return the runs, oldest first; for years of runs much faster than `runs`, which counts jobs.

        Filters of jobs have no effect here.
        """
        runs = schema.runs
        query = sa.select(runs.c.run_id, runs.c.started_utc).where(*Selection(**filters).of_runs())
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(runs.c.started_utc, runs.c.run_id)).all()
            labels = labels_of(connection)
        return [RunStart(row.run_id, row.started_utc, labels.get(row.run_id, {})) for row in rows]

    def jobs(self, **filters: Any) -> pd.DataFrame:
        """Return one row per job, oldest first.

        Columns: run_id, started_utc (of the run), job, device_key, device, virtual, case, model, delegate, threads,
        model_sha256, binary_sha256, measured (repetitions for latency that ended well), ok (all that did), failed,
        failure_kind, failure_message (of the last that failed; `None` if none did).
        """
        jobs, repetitions = schema.jobs, schema.repetitions
        selection = Selection(**filters)
        ok, failed = repetitions.c.status == "ok", repetitions.c.status == "failed"
        count, last = sa.func.count(), sa.func.max(repetitions.c.id)
        sums = (
            sa.select(
                repetitions.c.job_id,
                count.filter(ok, repetitions.c.purpose == "latency").label("measured"),
                count.filter(ok).label("ok"),
                count.filter(failed).label("failed"),
                last.filter(failed).label("last_failed"),
            )
            .where(*selection.of_job_ids(repetitions.c.job_id))
            .group_by(repetitions.c.job_id)
            .subquery()
        )
        columns: dict[str, Any] = {name: jobs.c[name] for name in ("model_sha256", "binary_sha256")}
        columns |= {name: sa.func.coalesce(sums.c[name], 0) for name in ("measured", "ok", "failed")}
        columns |= {name: repetitions.c[name] for name in ("failure_kind", "failure_message")}
        source = jobs.join(sums, sums.c.job_id == jobs.c.id, isouter=True)
        source = source.join(repetitions, repetitions.c.id == sums.c.last_failed, isouter=True)
        frame = self._read(selection, source, jobs.c.id, columns)
        return frame.sort_values(["started_utc", "run_id", "job"], ignore_index=True)

    def latencies(self, **filters: Any) -> pd.DataFrame:
        """Return one row per repetition whose latency counts.

        Columns: run_id, started_utc (of the repetition), job, device_key, device, virtual, case, model, delegate,
        threads, repetition, latency_ms.
        """
        repetitions = schema.repetitions
        columns = {
            "started_utc": repetitions.c.started_utc,
            "repetition": repetitions.c.index,
            "latency_ms": repetitions.c.latency_avg_us / 1000.0,
        }
        counts = repetitions.c.counts_latency.is_(True)
        frame = self._read(Selection(**filters), repetitions, repetitions.c.job_id, columns, counts)
        return frame.sort_values("started_utc", kind="stable", ignore_index=True)

    def samples(self, metrics: Sequence[str] = (), **filters: Any) -> pd.DataFrame:
        """Return one row per metric and repetition that counts.

        Columns: run_id, started_utc (of the run), job, device_key, device, virtual, case, model, delegate, threads,
        metric, unit, repetition, value (in the unit), unreliable (measured while the device was throttled or busy). The
        size of a model is there once per job, as repetition 0.
        """
        return frame_of(self._by_metric(metrics, sample_rows, filters), _SAMPLES)

    def series(self, metrics: Sequence[str] = (), **filters: Any) -> pd.DataFrame:
        """Return one row per job and metric, ordered by time.

        Columns: run_id, started_utc (of the run), job, device_key, device, virtual, case, model, delegate, threads,
        metric, unit, value (median over the repetitions that count), low, high (its interval; NaN if there is
        none), n (how many repetitions), unreliable (all of them are).
        """
        return frame_of(self._by_metric(metrics, series_rows, filters), _SERIES)

    def series_columns(self, metrics: Sequence[str] = (), **filters: Any) -> list[dict[str, Column]]:
        """Return all series without pandas, as `queries.series` returns them; the first has the columns of `series`."""
        selection = Selection(**filters)
        store = None if selection.of_parts() else self._database.shown
        with self._database.reading() as connection:
            return series(connection, metrics, selection, store)

    def observations(self, metrics: Sequence[str], *, medians: bool, **filters: Any) -> list[dict[str, Column]]:
        """Return values of repetitions or of runs without pandas, as `queries.observations` does."""
        return self._asked(partial(observations, metrics=metrics, medians=medians), filters)

    def _asked(self, query: Callable[[sa.Connection, Selection], Answer], filters: Mapping[str, Any]) -> Answer:
        with self._database.reading() as connection:
            return query(connection, Selection(**filters))

    def _read(
        self,
        selection: Selection,
        source: sa.FromClause,
        job_id: sa.ColumnElement[int],
        columns: dict[str, Any],
        *where: sa.ColumnElement[bool],
    ) -> pd.DataFrame:
        with self._database.reading() as connection:
            rows = read_rows(connection, selection, source, job_id, columns, *where)
            return frame_of(with_jobs(connection, selection, rows))

    def _by_metric(self, metrics: Sequence[str], read: Read, filters: Mapping[str, Any]) -> dict[str, Column]:
        return self._asked(partial(by_metric, metrics=metrics, read=read), filters)

    def pipelines(self, **filters: Any) -> pd.DataFrame:
        """Return one row per session of a whole pipeline, in the order of the runs; the filter `models` takes
        pipelines' names.

        Columns: session, run_id, started_utc (of the run), device_key, device, virtual, case, model (the pipeline's
        name), delegate, threads, residency, repetition, status, failure_kind, failure_message, latency_ms (end to end),
        peak_memory_mb (PSS, NaN if it is not known), unreliable (measured while the device was throttled or busy),
        counts (its numbers are those of the run).
        """
        return frame_of(self._asked(session_columns, filters))

    def pipeline_stages(self, **filters: Any) -> pd.DataFrame:
        """Return one row per stage of each session of `pipelines`, with the columns of the session.

        Further columns: stage, taken_ms (its part of the latency: inferences, waiting for its load, releasing memory).
        """
        return frame_of(self._asked(stage_columns, filters))

    def operator_types(self, **filters: Any) -> pd.DataFrame:
        """Return one row per job and type of operator, from the job's last profile, most expensive first within a job.

        Columns: run_id, started_utc (of the run), job, device_key, device, virtual, case, model, delegate, threads,
        type, place ("delegate", "xnnpack" next to another delegate, "cpu"), count, total_ms (in one inference as
        profiled), share (of the profiled time, 0 to 1).
        """
        table = schema.job_operator_types
        columns = {name: table.c[name] for name in ("type", "place", "count", "total_ms", "share")}
        frame = self._read(Selection(**filters), table, table.c.job_id, columns)
        ascending = {"started_utc": True, "run_id": True, "job": True, "total_ms": False}
        return frame.sort_values(list(ascending), ascending=list(ascending.values()), ignore_index=True)

    def operators(self, **filters: Any) -> pd.DataFrame:
        """Return one row per operator of a profile, as the tool printed it.

        Columns: run_id, started_utc (of the run), job, device_key, device, virtual, case, model, delegate, threads,
        repetition, phase ("init", "runs"), position, type, name, node, avg_ms, first_ms, pct, mem_kb, times_called,
        inside_delegate, is_partition.
        """
        repetitions, table, names = schema.repetitions, schema.operators, schema.operator_names
        elsewhere = {"repetition": repetitions.c.index, "type": names.c.type, "name": names.c.name}
        columns = {name: elsewhere.get(name, table.c.get(name)) for name in _OPERATORS}
        joined = repetitions.join(table, table.c.repetition_id == repetitions.c.id)
        joined = joined.join(names, names.c.id == table.c.name_id)
        frame = self._read(Selection(**filters), joined, repetitions.c.job_id, columns)
        for name in ("inside_delegate", "is_partition"):
            frame[name] = frame[name].astype(bool)
        keys = ["started_utc", "run_id", "job", "repetition", "phase", "position"]
        return frame.sort_values(keys, ignore_index=True)

    def delegation(self, **filters: Any) -> pd.DataFrame:
        """Return one row per job that ran under a delegate, from its last repetition with a known delegation.

        Columns: run_id, job, device_key, case, nodes_delegated, nodes_total, partitions, delegated_node_share (0 to 1).
        """
        repetitions = schema.repetitions
        columns = {"id": repetitions.c.id, **{name: repetitions.c[name] for name in _DELEGATION[4:]}}
        says = (repetitions.c.status == "ok", repetitions.c.delegate_applied.is_not(None))
        frame = self._read(Selection(**filters), repetitions, repetitions.c.job_id, columns, *says)
        last = frame.sort_values(["started_utc", "id"]).drop_duplicates(["run_id", "job"], keep="last")
        return last[list(_DELEGATION)].reset_index(drop=True)

    def files(self, **filters: Any) -> pd.DataFrame:
        """Return one row per job and file that was used in it, without the model.

        Columns: run_id, started_utc (of the run), job, device_key, device, virtual, case, model, delegate, threads,
        role ("tool", "delegate", "input"), name, sha256, version (as the file states it; empty if it does not).
        """
        import pandas as pd

        selection = Selection(**filters)
        found = [self._read(selection, *source) for source in sources()]
        frames = [frame for frame in found if not frame.empty]
        return pd.concat(frames, ignore_index=True) if frames else found[0]

    def used_files(self, **filters: Any) -> list[UsedFile]:
        """Return each file once for each case on a device that used it: `files` without the jobs."""
        return self._asked(used_files, filters)

    def states_of_cases(self, **filters: Any) -> list[tuple[str, str, bool, bool]]:
        """Return the result of `queries.states_of_cases`."""
        return self._asked(states_of_cases, filters)

    def unreliable(self, **filters: Any) -> list[Unreliable]:
        """Return the unreliable repetitions that ended well, and sessions of pipelines likewise, with the reasons."""
        return self._asked(unreliable_repetitions, filters)

    def conditions(self, **filters: Any) -> pd.DataFrame:
        """Return one row per reading of the device's state around or during a repetition, in order of time.

        Columns: run_id, started_utc (of the repetition), job, device_key, device, virtual, case, model, delegate,
        threads, purpose, repetition, verdict, moment ("before", "during", "after"), taken_utc, and the readings of
        `device_state.READINGS`, NaN or `None` if the device did not report them.
        """
        repetitions, table = schema.repetitions, schema.conditions
        columns = {
            "started_utc": repetitions.c.started_utc,
            "purpose": repetitions.c.purpose,
            "repetition": repetitions.c.index,
            "verdict": repetitions.c.verdict,
            **{name: table.c[name] for name in ("before", "during", "after")},
        }
        joined = repetitions.join(table, table.c.repetition_id == repetitions.c.id)
        frame = self._read(Selection(**filters), joined, repetitions.c.job_id, columns)
        return reading_frame(frame.sort_values("started_utc", kind="stable", ignore_index=True))

    def devices(self, **filters: Any) -> pd.DataFrame:
        """Return one row per device, with its state in the last of the runs.

        Columns: device_key, device (its title), virtual, profile, first_utc, last_utc (start of the first and of the
        last run), runs (how many), facts (a dict).
        """
        return device_frame(self._device_rows(Selection(**filters)))

    def device_changes(self, **filters: Any) -> pd.DataFrame:
        """Return one row per fact that differs from the device's previous run, in order of time.

        Columns: device_key, started_utc, run_id (of the run that saw the new one), fact (nested ones with dots, such as
        `props.ro.build.id`), before, after (as text; `None` if there was or is none).
        """
        import pandas as pd

        frame = pd.DataFrame(self.fact_changes(**filters), columns=list(ChangedFact._fields))
        frame["started_utc"] = pd.to_datetime(frame["started_utc"], utc=True)
        return frame

    def fact_changes(self, **filters: Any) -> list[ChangedFact]:
        """Return the rows of `device_changes`."""
        return list(fact_changes(self._device_rows(Selection(**filters))))

    def model_names(self) -> list[str]:
        """Return the keys of all models and the names of all pipelines."""
        return self.store.model_names()

    def device_titles(self) -> dict[str, str]:
        """Return the title of each device by its key, as it was in its last run."""
        with self._database.reading() as connection:
            return device_titles(connection)

    def _device_rows(self, selection: Selection) -> Sequence[Any]:
        runs, devices, documents = schema.runs, schema.devices, schema.documents
        query = (
            sa.select(
                devices.c.key, devices.c.title, devices.c.virtual, devices.c.profile, runs.c.run_id,
                runs.c.started_utc, documents.c.id.label("facts_id"), documents.c.body.label("facts"),
            )
            .join(runs, runs.c.run_id == devices.c.run_id)
            .join(documents, documents.c.id == devices.c.facts_id)
            .where(*selection.of_runs(), *selection.of_devices())
            .order_by(runs.c.started_utc, runs.c.run_id)
        )  # fmt: skip
        with self._database.reading() as connection:
            return connection.execute(query).all()
