"""The results store: raw outputs first, then measurements, each repetition in one transaction; knows no device.

SQLite by default, one file in devbench's data folder. One `Store` may be used by several threads.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from devbench.errors import EnvironmentProblem, InputError
from devbench.paths import data_dir
from devbench.results import schema
from devbench.results.artifacts import Artifacts
from devbench.results.records import (
    BinaryRecord,
    DeviceRecord,
    JobRecord,
    ModelRecord,
    OperatorRecord,
    RepetitionRecord,
    RunRecord,
    RunStatus,
)

_BUSY_TIMEOUT_S = 30
_LEAST_PREFIX = 4
LATEST = "latest"


class StoreProblem(EnvironmentProblem):
    """The database cannot be opened, read or written."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as a line of a list."""

    run_id: str
    started_utc: datetime
    finished_utc: datetime | None
    status: str
    jobs: int
    repetitions: int
    failed: int
    devices: tuple[str, ...]
    models: tuple[str, ...]
    virtual: bool
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class JobView:
    """A job with its repetitions, in the order in which they ran."""

    job: JobRecord
    repetitions: tuple[RepetitionRecord, ...]


@dataclass(frozen=True, slots=True)
class RunView:
    """A run with everything that was measured in it."""

    run: RunRecord
    status: str
    finished_utc: datetime | None
    jobs: tuple[JobView, ...]


def new_run_id(now: datetime) -> str:
    """An id that sorts by time and that two machines do not share: `20261123-211503-4f2a`."""
    return f"{now.astimezone(timezone.utc):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class Store:
    """A results store, for use as a context.

    Args:
        url: SQLAlchemy URL or path of an SQLite file; `None` means DEVBENCH_STORE or the user's own store.
        artifacts: folder of the raw outputs; `None` means `artifacts` beside an SQLite file, else in the data folder.

    Raises:
        InputError: the URL makes no sense.
        StoreProblem: the database cannot be opened.
    """

    def __init__(self, url: str | None = None, artifacts: Path | None = None) -> None:
        given = url or os.environ.get("DEVBENCH_STORE") or str(data_dir() / "results.db")
        if "://" not in given:
            given = f"sqlite:///{Path(given).expanduser().absolute()}"
        try:
            self._url = make_url(given)
            self._url.get_dialect()
        except ArgumentError:
            hint = "for example sqlite:///results.db"
            raise InputError(f"--store {given!r} is not the URL of a database that devbench knows", hint=hint) from None
        database = self._url.database
        is_file = self._url.get_backend_name() == "sqlite" and database not in (None, "", ":memory:")
        beside = Path(str(database)).absolute().parent if is_file else data_dir()
        self.artifacts = Artifacts(artifacts or beside / "artifacts")
        self._lock = threading.Lock()
        try:
            if is_file:
                beside.mkdir(parents=True, exist_ok=True)
            self._engine = self._connect()
            with self.transaction() as connection:
                self._prepare(connection)
        except OSError as error:
            raise StoreProblem(f"cannot open the results store {given}: {error.strerror or error}") from None
        except ModuleNotFoundError as error:
            raise InputError(
                f"--store {self._shown()}: needs the Python package {error.name}", hint="install it"
            ) from None

    def _connect(self) -> sa.Engine:
        engine = sa.create_engine(self._url)
        if engine.dialect.name == "sqlite":

            @sa.event.listens_for(engine, "connect")
            def _pragmas(connection: Any, record: Any) -> None:
                # Readers do not wait for a run that writes, and a crash loses nothing that was committed.
                for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
                    connection.execute(f"PRAGMA {pragma}")
                connection.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_S * 1000}")

        return engine

    def _prepare(self, connection: sa.Connection) -> None:
        schema.metadata.create_all(connection)
        found = connection.execute(sa.select(schema.meta.c.value).where(schema.meta.c.key == "schema")).scalar()
        if found is None:
            connection.execute(schema.meta.insert().values(key="schema", value=str(schema.SCHEMA_VERSION)))
        elif found in map(str, range(1, schema.SCHEMA_VERSION)):
            _bring_up(connection, int(found))
        elif found != str(schema.SCHEMA_VERSION):
            raise StoreProblem(
                f"the results store {self._shown()} has schema {found}, this devbench knows {schema.SCHEMA_VERSION}",
                hint="use the devbench that wrote it, or another --store",
            )

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- writing ------------------------------------------------------------------------------------------------

    def create_run(self, run: RunRecord) -> None:
        """Begin a run; its status is `running` until `finish_run`."""
        with self.transaction() as connection:
            connection.execute(schema.runs.insert().values(status="running", **asdict(run)))

    def finish_run(self, run_id: str, status: RunStatus, finished_utc: datetime) -> None:
        """Give a run its end."""
        with self.transaction() as connection:
            where = schema.runs.c.run_id == run_id
            connection.execute(schema.runs.update().where(where).values(status=status, finished_utc=finished_utc))

    def add_job(self, job: JobRecord) -> None:
        """Add a job, and its device, model and binary where they are new."""
        with self.transaction() as connection:
            device = {"run_id": job.run_id, **asdict(job.device)}
            _insert_new(connection, schema.devices, device, ("run_id", "key"))
            _insert_new(connection, schema.models, asdict(job.model), ("sha256",))
            _insert_new(connection, schema.binaries, asdict(job.binary), ("sha256",))
            connection.execute(
                schema.jobs.insert().values(
                    run_id=job.run_id,
                    number=job.number,
                    device_key=job.device.key,
                    model_sha256=job.model.sha256,
                    model_name=job.model.name,
                    binary_sha256=job.binary.sha256,
                    delegate=job.delegate,
                    delegate_title=job.delegate_title,
                    threads=job.threads,
                    require=job.require,
                    options=dict(job.options),
                )
            )

    def add_repetition(self, repetition: RepetitionRecord) -> None:
        """Add a repetition with its operators, all or nothing."""
        values = {name: getattr(repetition, name) for name in _REPETITION_COLUMNS}
        values["argv"] = list(repetition.argv)
        values["outputs"] = list(repetition.outputs)
        values["conditions_during"] = list(repetition.conditions_during)
        values["verdict_reasons"] = list(repetition.verdict_reasons)
        with self.transaction() as connection:
            inserted = connection.execute(schema.repetitions.insert().values(**values))
            assert inserted.inserted_primary_key is not None
            number = inserted.inserted_primary_key[0]
            if repetition.operators:
                rows = [{"repetition_id": number, **asdict(op)} for op in repetition.operators]
                connection.execute(schema.operators.insert(), rows)

    def write_raw(self, run_id: str, name: str, data: bytes) -> str:
        """Keep a raw output before it is parsed; gives its path relative to the artifacts' folder."""
        return self.artifacts.write(run_id, name, data)

    def read_raw(self, raw_path: str) -> bytes:
        """A raw output, as the device gave it."""
        return self.artifacts.read(raw_path)

    # -- reading ------------------------------------------------------------------------------------------------

    def runs(self, limit: int = 20) -> list[RunSummary]:
        """The newest runs, newest first."""
        with self.transaction() as connection:
            order = sa.desc(schema.runs.c.started_utc)
            found = connection.execute(sa.select(schema.runs).order_by(order).limit(limit)).mappings().all()
            return [self._summary(connection, run) for run in found]

    def typical_duration_s(
        self, model_sha256: str, delegate: str, threads: Sequence[int | None] = (), *, via: str = "shell"
    ) -> float | None:
        """What a process of that model under that delegate took, in the middle of the last hundred; `None` for none.

        `threads` restricts it to jobs with these numbers of threads; `None` among them is the tool's own number. `via`
        is "shell" or "apk": starting an app takes longer.
        """
        jobs, repetitions = schema.jobs, schema.repetitions
        query = (
            sa.select(repetitions.c.duration_s)
            .join(jobs, sa.and_(jobs.c.run_id == repetitions.c.run_id, jobs.c.number == repetitions.c.job_number))
            .where(jobs.c.model_sha256 == model_sha256, jobs.c.delegate == delegate, repetitions.c.status == "ok")
            .order_by(sa.desc(repetitions.c.id))
            .limit(100)
        )
        if threads:
            query = query.where(sa.or_(*(jobs.c.threads.is_not_distinct_from(count) for count in threads)))
        query = query.where(sa.func.coalesce(jobs.c.options["via"].as_string(), "shell") == via)
        with self.transaction() as connection:
            found = list(connection.execute(query).scalars())
        return median(found) if found else None

    def run(self, name: str = LATEST) -> RunView:
        """A run by its id, the start of its id, or `latest`.

        Raises:
            InputError: there is none, or more than one.
        """
        with self.transaction() as connection:
            row = self._find(connection, name)
            run_id = row["run_id"]
            run = RunRecord(**{field.name: row[field.name] for field in fields(RunRecord)})
            jobs = self._jobs(connection, run_id)
            return RunView(run, row["status"], row["finished_utc"], jobs)

    def _find(self, connection: sa.Connection, name: str) -> Mapping[str, Any]:
        query = sa.select(schema.runs)
        if name == LATEST:
            query = query.order_by(sa.desc(schema.runs.c.started_utc)).limit(1)
        elif len(name) >= _LEAST_PREFIX:
            query = query.where(schema.runs.c.run_id.startswith(name, autoescape=True)).limit(9)
        else:
            raise InputError(f"run {name!r}: too short to name a run", hint="see `devbench runs`")
        found = connection.execute(query).mappings().all()
        exact = [row for row in found if row["run_id"] == name]
        if len(found) > 1 and not exact:
            raise InputError(
                f"run {name!r} is not the only one of that start", hint=", ".join(row["run_id"] for row in found)
            )
        if not found:
            if name == LATEST:
                raise InputError("there is no run in the store yet", hint="devbench run demo --device virtual")
            raise InputError(f"no run {name!r} in the store", hint="see `devbench runs`")
        return dict((exact or found)[0])

    def _jobs(self, connection: sa.Connection, run_id: str) -> tuple[JobView, ...]:
        job_rows = (
            connection.execute(
                sa.select(schema.jobs).where(schema.jobs.c.run_id == run_id).order_by(schema.jobs.c.number)
            )
            .mappings()
            .all()
        )
        devices = self._by(connection, schema.devices, "key", schema.devices.c.run_id == run_id)
        models = self._by(connection, schema.models, "sha256")
        binaries = self._by(connection, schema.binaries, "sha256")
        repetitions = self._repetitions(connection, run_id)
        views = []
        for row in job_rows:
            model = models[row["model_sha256"]]
            record = JobRecord(
                run_id=run_id,
                number=row["number"],
                device=_record(DeviceRecord, devices[row["device_key"]]),
                model=ModelRecord(model["sha256"], row["model_name"], model["size_bytes"]),
                binary=_record(BinaryRecord, binaries[row["binary_sha256"]]),
                delegate=row["delegate"],
                delegate_title=row["delegate_title"],
                threads=row["threads"],
                require=row["require"],
                options=row["options"],
            )
            views.append(JobView(record, tuple(repetitions.get(row["number"], ()))))
        return tuple(views)

    @staticmethod
    def _by(
        connection: sa.Connection, table: sa.Table, key: str, where: sa.ColumnElement[bool] | None = None
    ) -> dict[str, Mapping[str, Any]]:
        query = sa.select(table) if where is None else sa.select(table).where(where)
        return {row[key]: dict(row) for row in connection.execute(query).mappings()}

    @staticmethod
    def _repetitions(connection: sa.Connection, run_id: str) -> dict[int, list[RepetitionRecord]]:
        table, ops = schema.repetitions, schema.operators
        query = sa.select(table).where(table.c.run_id == run_id).order_by(table.c.id)
        rows = connection.execute(query).mappings().all()
        of: dict[int, list[OperatorRecord]] = {}
        operator_query = (
            sa.select(ops)
            .join(table, table.c.id == ops.c.repetition_id)
            .where(table.c.run_id == run_id)
            .order_by(ops.c.repetition_id, ops.c.phase, ops.c.position)
        )
        for op in connection.execute(operator_query).mappings():
            of.setdefault(op["repetition_id"], []).append(_record(OperatorRecord, op))
        found: dict[int, list[RepetitionRecord]] = {}
        for row in rows:
            values = {name: row[name] for name in _REPETITION_COLUMNS}
            values["argv"] = tuple(row["argv"])
            values["outputs"] = tuple(row["outputs"] or ())
            values["verdict_reasons"] = tuple(row["verdict_reasons"])
            values["conditions_during"] = tuple(row["conditions_during"] or ())
            record = RepetitionRecord(**values, operators=tuple(of.get(row["id"], ())))
            found.setdefault(row["job_number"], []).append(record)
        return found

    @staticmethod
    def _summary(connection: sa.Connection, run: Any) -> RunSummary:
        run_id = run["run_id"]
        jobs, devices, repetitions = schema.jobs, schema.devices, schema.repetitions
        device_rows = connection.execute(
            sa.select(devices.c.title, devices.c.virtual).where(devices.c.run_id == run_id).order_by(devices.c.title)
        ).all()
        names = connection.execute(sa.select(jobs.c.model_name).where(jobs.c.run_id == run_id).distinct()).scalars()
        count = sa.func.count
        failed = count().filter(repetitions.c.status == "failed")
        done, bad = connection.execute(sa.select(count(), failed).where(repetitions.c.run_id == run_id)).one()
        return RunSummary(
            run_id=run_id,
            started_utc=run["started_utc"],
            finished_utc=run["finished_utc"],
            status=run["status"],
            jobs=connection.execute(sa.select(count()).select_from(jobs).where(jobs.c.run_id == run_id)).scalar_one(),
            repetitions=done,
            failed=bad,
            devices=tuple(row.title for row in device_rows),
            models=tuple(sorted(names)),
            virtual=any(row.virtual for row in device_rows),
            labels=run["labels"],
        )

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """A connection whose changes are kept together or not at all."""
        try:
            with self._lock, self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise StoreProblem(
                f"results store {self._shown()}: {reason}", hint="is the path writable, the disk not full?"
            ) from error

    def _shown(self) -> str:
        """The URL without a password."""
        return self._url.render_as_string(hide_password=True)


_REPETITION_COLUMNS = tuple(field.name for field in fields(RepetitionRecord) if field.name != "operators")


def _record(kind: Any, row: Mapping[Any, Any]) -> Any:
    return kind(**{field.name: row[field.name] for field in fields(kind)})


def _bring_up(connection: sa.Connection, version: int) -> None:
    """Add the columns that came after `version`; what is stored stays; older devbenches refuse the store."""
    table = schema.repetitions
    quote = connection.dialect.identifier_preparer.quote
    there = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
    for newer in range(version + 1, schema.SCHEMA_VERSION + 1):
        for name in set(schema.ADDED_COLUMNS[newer]) - there:
            kind = table.c[name].type.compile(connection.dialect)
            connection.execute(sa.text(f"ALTER TABLE {quote(table.name)} ADD COLUMN {quote(name)} {kind}"))
    current = str(schema.SCHEMA_VERSION)
    connection.execute(schema.meta.update().where(schema.meta.c.key == "schema").values(value=current))


def _insert_new(connection: sa.Connection, table: sa.Table, values: Mapping[str, Any], keys: Sequence[str]) -> None:
    where = sa.and_(*(table.c[key] == values[key] for key in keys))
    if connection.execute(sa.select(table.c[keys[0]]).where(where)).first() is None:
        connection.execute(table.insert().values(**values))
