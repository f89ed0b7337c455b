"""What was measured over all runs, as pandas frames with documented columns and units; knows no report.

Every query takes the same filters (`selection.Selection`) as keywords: `runs` (ids), `devices` (keys), `models`,
`delegates`, `cases` (texts), `since`, `until` (start of the run, with a zone), `labels`. Times in frames are UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from devbench.errors import InputError
from devbench.results import schema
from devbench.results.metrics import OF_REPETITIONS, UNITS
from devbench.results.selection import Selection, find_runs
from devbench.results.store import Store
from devbench.results.views import labels_of

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Unpack

    from devbench.results.selection import Filters

# What says of each row whose it is.
_JOB = ("run_id", "started_utc", "job", "device_key", "device", "virtual", "case", "model", "delegate", "threads")
_SERIES = (*_JOB, "metric", "unit", "value", "low", "high", "n")
_SAMPLES = (*_JOB, "metric", "unit", "repetition", "value")
_LATENCIES = (*_JOB, "repetition", "latency_ms")
_TYPES = (*_JOB, "type", "place", "count", "total_ms", "share")
_OPERATORS = (
    *_JOB, "repetition", "phase", "position", "type", "name", "node", "avg_ms", "first_ms", "pct", "mem_kb",
    "times_called", "inside_delegate",
)  # fmt: skip
_JOBS = (*_JOB, "model_sha256", "binary_sha256", "measured", "ok", "failed", "failure_kind", "failure_message")
_DELEGATION = ("run_id", "job", "device_key", "case", "nodes_delegated", "nodes_total", "partitions", "delegated_share")


class History:
    """The results in a store, for reading.

    Args:
        url: as of `devbench.results.open`.

    Raises:
        InputError: there is no such store.
        EnvironmentProblem: it cannot be read.
    """

    def __init__(self, url: str | None = None) -> None:
        self.store = Store(url, create=False)
        self._database = self.store.database

    def close(self) -> None:
        """Give the connections back."""
        self.store.close()

    def __enter__(self) -> History:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def find_runs(self, text: str) -> tuple[str, ...]:
        """The ids of the runs that `text` names (`selection.find_runs`), oldest first."""
        with self._database.reading() as connection:
            return find_runs(connection, text)

    def runs(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """One row a run, oldest first.

        Columns: run_id, started_utc, finished_utc, status, command, virtual (whether any device is), labels (a dict),
        jobs, failed_jobs (in which no repetition ended well).
        """
        import pandas as pd

        runs, jobs, devices, repetitions = schema.runs, schema.jobs, schema.devices, schema.repetitions
        selection = Selection(**filters)
        ok = sa.select(repetitions.c.job_id).where(repetitions.c.job_id == jobs.c.id, repetitions.c.status == "ok")
        failed = sa.func.count(jobs.c.id).filter(~ok.exists()).label("failed_jobs")
        virtual = sa.select(devices.c.run_id).where(devices.c.run_id == runs.c.run_id, devices.c.virtual.is_(True))
        query = (
            sa.select(
                runs.c.run_id, runs.c.started_utc, runs.c.finished_utc, runs.c.status, runs.c.command,
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
        names = ["run_id", "started_utc", "finished_utc", "status", "command", "virtual", "jobs", "failed_jobs"]
        frame = pd.DataFrame([tuple(row) for row in rows], columns=names)
        for name in ("started_utc", "finished_utc"):
            frame[name] = pd.to_datetime(frame[name], utc=True)
        frame.insert(6, "labels", [labels.get(run_id, {}) for run_id in frame["run_id"]])
        return frame

    def jobs(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """One row a job, oldest first.

        Columns: run_id, started_utc (of the run), job, device_key, device, virtual, case, model, delegate, threads,
        model_sha256, binary_sha256, measured (repetitions for latency that ended well), ok (all that did), failed,
        failure_kind, failure_message (of the last that failed; `None` where none did).
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
            .join(jobs, jobs.c.id == repetitions.c.job_id)
            .join(schema.runs, schema.runs.c.run_id == jobs.c.run_id)
            .join(schema.cases, schema.cases.c.id == jobs.c.case_id)
            .where(*selection.of_jobs())
            .group_by(repetitions.c.job_id)
            .subquery()
        )
        columns: dict[str, Any] = {name: jobs.c[name] for name in ("model_sha256", "binary_sha256")}
        columns |= {name: sa.func.coalesce(sums.c[name], 0) for name in ("measured", "ok", "failed")}
        columns |= {name: repetitions.c[name] for name in ("failure_kind", "failure_message")}
        query = (
            _with_job(columns)
            .join(sums, sums.c.job_id == jobs.c.id, isouter=True)
            .join(repetitions, repetitions.c.id == sums.c.last_failed, isouter=True)
            .where(*selection.of_jobs())
        )
        return self._frame(query.order_by(schema.runs.c.started_utc, jobs.c.id), _JOBS)

    def latencies(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """One row a repetition whose latency counts.

        Columns: run_id, started_utc (of the repetition), job, device_key, device, virtual, case, model, delegate,
        threads, repetition, latency_ms.
        """
        repetitions = schema.repetitions
        columns = {
            "started_utc": repetitions.c.started_utc,
            "repetition": repetitions.c.index,
            "latency_ms": repetitions.c.latency_avg_us / 1000.0,
        }
        return self._of_repetitions(Selection(**filters), columns, _LATENCIES, repetitions.c.counts_latency.is_(True))

    def samples(self, metrics: Sequence[str] = tuple(UNITS), **filters: Unpack[Filters]) -> pd.DataFrame:
        """One row a repetition that counts and metric.

        Columns: run_id, started_utc (of the run), job, device_key, device, virtual, case, model, delegate, threads,
        metric, unit, repetition, value (in the unit). The size of a model stands once a job, as repetition 0.
        """
        import pandas as pd

        selection = Selection(**filters)
        frames = [self._samples_of(metric, selection) for metric in _known(metrics)]
        return pd.concat(frames, ignore_index=True)

    def _samples_of(self, metric: str, selection: Selection) -> pd.DataFrame:
        repetitions = schema.repetitions
        of = OF_REPETITIONS.get(metric)
        if of is None:
            frame = self.series((metric,), **_as_filters(selection)).assign(repetition=0)
            return frame[list(_SAMPLES)]
        column = repetitions.c[of.column]
        which = {
            "latency": repetitions.c.counts_latency.is_(True),
            "start": repetitions.c.counts_start.is_(True),
            "ok": repetitions.c.status == "ok",
        }
        columns = {"repetition": repetitions.c.index, "value": column * of.scale}
        frame = self._of_repetitions(selection, columns, (*_JOB, *columns), which[of.counts], column.is_not(None))
        return frame.assign(metric=metric, unit=of.unit)[list(_SAMPLES)]

    def series(self, metrics: Sequence[str] = tuple(UNITS), **filters: Unpack[Filters]) -> pd.DataFrame:
        """One row a job and metric, ordered by time.

        Columns: run_id, started_utc (of the run), job, device_key, device, virtual, case, model, delegate, threads,
        metric, unit, value (median over the repetitions that count), low, high (its interval; NaN where there is
        none), n (how many repetitions).
        """
        table = schema.job_metrics
        selection = Selection(**filters)
        columns = {name: table.c[name] for name in ("metric", "value", "low", "high", "n")}
        query = _with_job(columns).join(table, table.c.job_id == schema.jobs.c.id)
        frame = self._frame(query.where(table.c.metric.in_(_known(metrics)), *selection.of_jobs()), (*_JOB, *columns))
        frame["unit"] = frame["metric"].map(UNITS)
        return frame[list(_SERIES)].sort_values("started_utc", kind="stable", ignore_index=True)

    def operator_types(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """One row a job and type of operator, from the job's last profile, the dearest first within a job.

        Columns: run_id, started_utc (of the run), job, device_key, device, virtual, case, model, delegate, threads,
        type, place ("delegate", "xnnpack" beside another delegate, "cpu"), count, total_ms (in one inference as
        profiled), share (of the profiled time, 0 to 1).
        """
        table = schema.job_operator_types
        columns = {name: table.c[name] for name in ("type", "place", "count", "total_ms", "share")}
        query = _with_job(columns).join(table, table.c.job_id == schema.jobs.c.id)
        frame = self._frame(query.where(*Selection(**filters).of_jobs()), _TYPES)
        return frame.sort_values(
            ["started_utc", "run_id", "job", "total_ms"], ascending=[True, True, True, False], ignore_index=True
        )

    def operators(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """One row an operator of a profile, as the tool printed it.

        Columns: run_id, started_utc (of the run), job, device_key, device, virtual, case, model, delegate, threads,
        repetition, phase ("init", "runs"), position, type, name, node, avg_ms, first_ms, pct, mem_kb, times_called,
        inside_delegate.
        """
        repetitions, table, names = schema.repetitions, schema.operators, schema.operator_names
        columns = {name: table.c[name] for name in _OPERATORS[len(_JOB) + 1 :] if name not in ("type", "name")}
        columns |= {"repetition": repetitions.c.index, "type": names.c.type, "name": names.c.name}
        query = (
            _with_job(columns)
            .join(repetitions, repetitions.c.job_id == schema.jobs.c.id)
            .join(table, table.c.repetition_id == repetitions.c.id)
            .join(names, names.c.id == table.c.name_id)
            .where(*Selection(**filters).of_jobs())
        )
        frame = self._frame(query, (*_JOB, *columns))
        keys = ["started_utc", "run_id", "job", "repetition", "phase", "position"]
        return frame[list(_OPERATORS)].sort_values(keys, ignore_index=True)

    def delegation(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """One row a job that ran under a delegate, of its last repetition that says what the delegate took.

        Columns: run_id, job, device_key, case, nodes_delegated, nodes_total, partitions, delegated_share (of the nodes,
        0 to 1).
        """
        repetitions = schema.repetitions
        columns = {name: repetitions.c[name] for name in _DELEGATION[4:]}
        frame = self._of_repetitions(
            Selection(**filters),
            columns,
            (*_JOB, *columns),
            repetitions.c.status == "ok",
            repetitions.c.delegate_applied.is_not(None),
        )
        last = frame.drop_duplicates(["run_id", "job"], keep="last")
        return last[list(_DELEGATION)].reset_index(drop=True)

    def conditions(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """One row for each time at which the device's state was read around or during a repetition, in order of time.

        Columns: run_id, started_utc (of the repetition), job, device_key, device, virtual, case, model, delegate,
        threads, purpose, repetition, verdict, moment ("before", "during", "after"), taken_utc, and the readings of
        `device_state.READINGS`, NaN or `None` where the device did not say.
        """
        from devbench.results.device_state import reading_frame

        repetitions, table = schema.repetitions, schema.conditions
        columns = {
            "started_utc": repetitions.c.started_utc,
            "purpose": repetitions.c.purpose,
            "repetition": repetitions.c.index,
            "verdict": repetitions.c.verdict,
            **{name: table.c[name] for name in ("before", "during", "after")},
        }
        query = _with_job(columns).join(repetitions, repetitions.c.job_id == schema.jobs.c.id)
        query = query.join(table, table.c.repetition_id == repetitions.c.id).where(*Selection(**filters).of_jobs())
        return reading_frame(self._frame(query.order_by(repetitions.c.started_utc), [*_JOB, *list(columns)[1:]]))

    def devices(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """One row a device, as it was in the last of the runs.

        Columns: device_key, device (its title), virtual, profile, first_utc, last_utc (start of the first and of the
        last run), runs (how many), facts (a dict).
        """
        from devbench.results.device_state import device_frame

        return device_frame(self._device_rows(Selection(**filters)))

    def device_changes(self, **filters: Unpack[Filters]) -> pd.DataFrame:
        """One row a fact that was another one in the device's run before, in order of time.

        Columns: device_key, started_utc, run_id (of the run that saw the new one), fact (nested ones with dots, such as
        `props.ro.build.id`), before, after (as text; `None` where there was or is none).
        """
        from devbench.results.device_state import change_frame

        return change_frame(self._device_rows(Selection(**filters)))

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

    # -- building frames ----------------------------------------------------------------------------------------

    def _of_repetitions(
        self,
        selection: Selection,
        columns: dict[str, Any],
        order: Sequence[str],
        *conditions: sa.ColumnElement[bool],
    ) -> pd.DataFrame:
        repetitions = schema.repetitions
        query = _with_job(columns).join(repetitions, repetitions.c.job_id == schema.jobs.c.id)
        query = query.where(*conditions, *selection.of_jobs()).order_by(schema.runs.c.started_utc, repetitions.c.id)
        return self._frame(query, list(dict.fromkeys([*_JOB, *columns])))[list(order)]

    def _frame(self, query: sa.Select[Any], names: Sequence[str]) -> pd.DataFrame:
        import pandas as pd

        with self._database.reading() as connection:
            result = connection.execute(query)
            found = list(result.keys())
            assert result.cursor is not None
            # As the driver gives them: turning each time into a Python object costs more than the query.
            rows = result.cursor.fetchall()
        frame = pd.DataFrame.from_records(rows, columns=found)[list(names)]
        for name in ("started_utc",):
            frame[name] = pd.to_datetime(frame[name].astype("int64"), unit="us", utc=True)
        frame["virtual"] = frame["virtual"].astype(bool)
        frame["threads"] = frame["threads"].astype("Int64")
        for name in ("value", "low", "high"):
            if name in frame:
                frame[name] = frame[name].astype("float64")
        return frame


def _with_job(columns: dict[str, Any]) -> sa.Select[Any]:
    runs, jobs, devices, cases = schema.runs, schema.jobs, schema.devices, schema.cases
    whose = {
        "run_id": runs.c.run_id,
        "started_utc": runs.c.started_utc,
        "job": jobs.c.number,
        "device_key": jobs.c.device_key,
        "device": devices.c.title,
        "virtual": devices.c.virtual,
        "case": cases.c.text,
        "model": cases.c.model,
        "delegate": cases.c.delegate,
        "threads": cases.c.threads,
    }
    return (
        sa.select(*(column.label(name) for name, column in {**whose, **columns}.items()))
        .select_from(jobs)
        .join(runs, runs.c.run_id == jobs.c.run_id)
        .join(cases, cases.c.id == jobs.c.case_id)
        .join(devices, sa.and_(devices.c.run_id == jobs.c.run_id, devices.c.key == jobs.c.device_key))
    )


def _known(metrics: Sequence[str]) -> list[str]:
    asked = [metrics] if isinstance(metrics, str) else list(metrics)
    for metric in asked:
        if metric not in UNITS:
            raise InputError(f"there is no metric {metric!r}", hint=f"known are {', '.join(UNITS)}")
    return asked


def _as_filters(selection: Selection) -> Filters:
    from dataclasses import fields

    return {field.name: getattr(selection, field.name) for field in fields(selection)}  # type: ignore[return-value]
