"""Reads jobs, and rows that belong to jobs, from the database into columns at the speed of the driver.

Pandas is imported only if a frame is requested.

Run, device and case are read once per job and joined to its rows afterwards: reading them as text in every row would
take longer than everything else. Times are numpy's `datetime64[us]` in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import sqlalchemy as sa

from devbench.results import schema
from devbench.results.column_types import Words
from devbench.results.engine import fetch
from devbench.results.selection import Selection

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

# The columns that say to which run, device and case a row belongs.
JOB_COLUMNS = (
    "run_id",
    "started_utc",
    "job",
    "device_key",
    "device",
    "virtual",
    "case",
    "model",
    "delegate",
    "threads",
)


@dataclass(frozen=True, slots=True)
class Coded:
    """A column with repeated values:

    the distinct values (text, or whole numbers and `None`), and the index of each row's.
    """

    values: Sequence[Any]
    codes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: NDArray[np.intp]) -> Coded:
        """Return the column with only these rows."""
        return Coded(self.values, self.codes[rows])

    def at(self, row: int) -> Any:
        """Return the value of this column in a row."""
        return self.values[self.codes[row]]


# Columns of whole numbers in which a value may be missing.
_WHOLE = frozenset({"threads"})
# Other columns have one number, time or truth value per row.
Column: TypeAlias = "Coded | NDArray[Any]"
Columns: TypeAlias = Mapping[str, Column]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that belong to jobs: the job of each row (`jobs.id`), and the columns by name."""

    owners: NDArray[np.int64]
    columns: Columns


def read_rows(
    connection: sa.Connection,
    selection: Selection,
    source: sa.FromClause,
    job_id: sa.ColumnElement[int],
    columns: Mapping[str, Any],
    *where: sa.ColumnElement[bool],
) -> Rows:
    """Return the rows of a table that belong to the jobs of a selection.

    Args:
        connection: a connection to the store.
        selection: selects the jobs.
        source: the table with the tables joined to it.
        job_id: the column with the job of a row.
        columns: the columns to read, by name; those whose names end in `_utc` are times.
        where: further conditions.
    """
    query = sa.select(job_id.label("job_id"), *(column.label(name) for name, column in columns.items()))
    query = query.select_from(source).where(*where, *selection.of_job_ids(job_id))
    found = fetch(connection, query)
    owners = np.asarray(found.pop("job_id"), dtype="int64")
    return Rows(
        owners,
        {name: _read_column(name, columns[name].type, values) for name, values in found.items()},
    )


def series_rows(connection: sa.Connection, metric: str, selection: Selection) -> Rows:
    """Read the jobs that have a metric: its median, interval and count, and whether all its values are unreliable."""
    table = schema.job_metrics
    columns = {name: table.c[name] for name in ("value", "low", "high", "n", "unreliable")}
    return with_truth(read_rows(connection, selection, table, table.c.job_id, columns, table.c.metric == metric))


def with_truth(rows: Rows) -> Rows:
    """Convert the column `unreliable` to truth values, because SQLite has numbers."""
    flags = array_of(rows.columns, "unreliable").astype(bool)
    return Rows(rows.owners, {**rows.columns, "unreliable": flags})


def joined(parts: Sequence[Rows]) -> Rows:
    """Join rows with the same columns of numbers, one part after the other."""
    columns = {name: np.concatenate([array_of(part.columns, name) for part in parts]) for name in parts[0].columns}
    return Rows(np.concatenate([part.owners for part in parts]), columns)


def _read_column(name: str, kind: sa.types.TypeEngine[Any], values: Sequence[Any]) -> Column:
    if name.endswith("_utc"):
        return as_times(values)
    # The declared type of the column is used, since an empty column would be taken for numbers.
    return coded(values) if isinstance(kind, Words) else column_of(values)


def with_jobs(connection: sa.Connection, selection: Selection, rows: Rows) -> dict[str, Column]:
    """Add `JOB_COLUMNS` in front of the columns of the rows; a column `started_utc` of the rows replaces that of the
    run.
    """
    return described(connection, jobs_of(connection, selection), rows)


def in_order(columns: Columns) -> dict[str, Column]:
    """Sort the rows by time; rows with the same time keep their order."""
    return taken(columns, np.argsort(array_of(columns, "started_utc"), kind="stable"))


def taken(columns: Columns, rows: NDArray[np.intp]) -> dict[str, Column]:
    """Return all columns with only these rows."""
    return {name: column.take(rows) for name, column in columns.items()}


def coded_of(columns: Columns, name: str) -> Coded:
    """Return the column of that name, whose values repeat."""
    column = columns[name]
    assert isinstance(column, Coded), name
    return column


def array_of(columns: Columns, name: str) -> NDArray[Any]:
    """Return the column of that name, which has a number, a time or a truth value for each row."""
    column = columns[name]
    assert not isinstance(column, Coded), name
    return column


@dataclass(frozen=True, slots=True)
class Jobs:
    """Jobs as stored: ids in ascending order, numbers within the run, and the keys of runs, devices and cases."""

    ids: NDArray[np.int64]
    numbers: NDArray[np.int64]
    runs: Coded
    devices: Coded
    cases: NDArray[np.int64]

    def places(self) -> Coded:
        """Return the run and the device of each job."""
        count = max(len(self.devices.values), 1)
        codes, which = np.unique(self.runs.codes * count + self.devices.codes, return_inverse=True)
        return Coded(
            [(self.runs.values[one // count], self.devices.values[one % count]) for one in codes.tolist()], which
        )


def jobs_of(connection: sa.Connection, selection: Selection) -> Jobs:
    """Return the jobs of a selection."""
    names = ("id", "number", "run_id", "device_key", "case_id")
    query = selection.select_jobs(*(schema.jobs.c[name] for name in names)).order_by(schema.jobs.c.id)
    ids, numbers, runs, devices, cases = fetch(connection, query).values()
    whole = [np.asarray(one, dtype="int64") for one in (ids, numbers, cases)]
    return Jobs(whole[0], whole[1], coded(runs), coded(devices), whole[2])


def described(connection: sa.Connection, of: Jobs, rows: Rows) -> dict[str, Column]:
    """Do the same as `with_jobs` for jobs that are already read."""
    runs, devices, cases = schema.runs, schema.devices, schema.cases
    # Values that many jobs share are read once and joined to the jobs by index.
    started = fetch(connection, sa.select(runs.c.run_id, runs.c.started_utc))
    of_cases = fetch(connection, sa.select(cases.c.id, *(cases.c[n] for n in ("text", "model", "delegate", "threads"))))
    of_devices = fetch(connection, sa.select(*(devices.c[n] for n in ("run_id", "key", "title", "virtual"))))
    run = _places(started["run_id"], of.runs.values)[of.runs.codes]
    case = _places(of_cases["id"], of.cases.tolist())
    places = of.places()
    known = list(zip(of_devices["run_id"], of_devices["key"], strict=True))
    device = _places(known, places.values)[places.codes]
    columns: dict[str, Column] = {
        "run_id": coded(started["run_id"], run),
        "started_utc": as_times(started["started_utc"])[run],
        "job": of.numbers,
        "device_key": of.devices,
        "device": coded(of_devices["title"], device),
        "virtual": np.asarray(of_devices["virtual"], dtype=bool)[device],
        "case": coded(of_cases["text"], case),
        "model": coded(of_cases["model"], case),
        "delegate": coded(of_cases["delegate"], case),
        "threads": coded(of_cases["threads"], case),
    }
    return {**taken(columns, np.searchsorted(of.ids, rows.owners)), **rows.columns}


def _places(keys: Sequence[Any], wanted: Sequence[Any]) -> NDArray[np.int64]:
    place = {key: number for number, key in enumerate(keys)}
    return np.fromiter(map(place.__getitem__, wanted), dtype="int64", count=len(wanted))


def coded(values: Sequence[Any], rows: NDArray[np.int64] | None = None) -> Coded:
    """Make a column of values that mostly repeat: `values[row]` for each of the rows, or all values in their order."""
    unique = list(dict.fromkeys(values))
    codes = _places(unique, values)
    return Coded(unique, codes if rows is None else codes[rows])


def as_times(values: Sequence[Any]) -> NDArray[np.datetime64]:
    """Return a column of times from microseconds since 1970; `None` becomes NaT."""
    if None in values:
        return np.array(values, dtype="datetime64[us]")
    return np.asarray(values, dtype="int64").view("datetime64[us]")


def column_of(values: Sequence[Any]) -> Column:
    """Make a column whose kind follows from the values:

    numbers (NaN if missing), text, whole numbers or packed JSON.
    """
    first = next((value for value in values if value is not None), None)
    if isinstance(first, str):
        return coded(values)
    if isinstance(first, bool):
        return np.asarray(values)
    if isinstance(first, int) and None not in values:
        return np.asarray(values, dtype="int64")
    if first is None or isinstance(first, (int, float)):
        return np.asarray(values, dtype="float64")
    return np.asarray(values, dtype=object)


def frame_of(columns: Columns, names: Iterable[str] | None = None) -> pd.DataFrame:
    """Make a frame of these columns (`None`: all): text of pandas' type, whole numbers with gaps, times in UTC."""
    import pandas as pd

    return pd.DataFrame({name: _series(name, columns[name]) for name in names or columns})


def _series(name: str, column: Column) -> Any:
    import pandas as pd

    if isinstance(column, Coded):
        return pd.array(list(column.values), dtype="Int64" if name in _WHOLE else "str").take(column.codes)
    if column.dtype.kind == "M":
        return pd.DatetimeIndex(column).tz_localize("UTC")
    return column
