"""From the database to pandas at the speed of the driver: rows of jobs, and what belongs to them.

Who a row is about (run, device, case) is read once a job and laid beside its rows afterwards: as text in every row it
would take longer than everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from devbench.results import schema
from devbench.results.bulk import fetch
from devbench.results.metrics import OF_REPETITIONS
from devbench.results.selection import Selection

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

# What says of each row whose it is.
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
class Rows:
    """Rows of jobs as columns: whose each is (`jobs.id`), and the values by name."""

    owners: NDArray[np.int64]
    columns: Mapping[str, Any]


def read_rows(
    connection: sa.Connection,
    selection: Selection,
    source: sa.FromClause,
    job_id: sa.ColumnElement[int],
    columns: Mapping[str, Any],
    *where: sa.ColumnElement[bool],
) -> Rows:
    """The rows of a table that belong to the jobs of a selection.

    Args:
        connection: of the store.
        selection: which jobs.
        source: the table with what is joined to it.
        job_id: the column that says whose a row is.
        columns: by their names in the frame.
        where: further conditions.
    """
    import numpy as np

    query = sa.select(job_id.label("job_id"), *(column.label(name) for name, column in columns.items()))
    query = query.select_from(source).where(*where, *selection.of_job_ids(job_id))
    found = fetch(connection, query)
    owners = np.asarray(found.pop("job_id"), dtype="int64")
    return Rows(
        owners,
        {name: as_times(values) if name.endswith("_utc") else column_of(values) for name, values in found.items()},
    )


def sample_rows(connection: sa.Connection, metric: str, selection: Selection) -> Rows:
    """The repetitions that count for a metric, with `repetition` and `value` in its unit."""
    repetitions = schema.repetitions
    of = OF_REPETITIONS.get(metric)
    if of is None:
        rows = series_rows(connection, metric, selection)
        return Rows(rows.owners, {"repetition": 0 * rows.owners, "value": rows.columns["value"]})
    column = repetitions.c[of.column]
    counts = {
        "latency": repetitions.c.counts_latency.is_(True),
        "start": repetitions.c.counts_start.is_(True),
        "ok": repetitions.c.status == "ok",
    }
    columns = {"repetition": repetitions.c.index, "value": column * of.scale}
    where = (counts[of.counts], column.is_not(None))
    return read_rows(connection, selection, repetitions, repetitions.c.job_id, columns, *where)


def series_rows(connection: sa.Connection, metric: str, selection: Selection) -> Rows:
    """The jobs that have a metric, with its median, interval and count."""
    table = schema.job_metrics
    columns = {name: table.c[name] for name in ("value", "low", "high", "n")}
    return read_rows(connection, selection, table, table.c.job_id, columns, table.c.metric == metric)


def with_jobs(connection: sa.Connection, selection: Selection, rows: Rows) -> pd.DataFrame:
    """`JOB_COLUMNS`, then the columns of the rows; one named `started_utc` replaces that of the run."""
    import numpy as np

    jobs = job_frame(connection, selection)
    frame = jobs.take(np.searchsorted(jobs.index.to_numpy(), rows.owners))
    for name, values in rows.columns.items():
        frame[name] = values
    return frame.reset_index(drop=True)


def together(parts: Sequence[Rows]) -> Rows:
    """Rows with the same columns of numbers, one part after the other."""
    import numpy as np

    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    return Rows(np.concatenate([part.owners for part in parts]), columns)


def job_frame(connection: sa.Connection, selection: Selection) -> pd.DataFrame:
    """The columns of `JOB_COLUMNS` for each job, by its number in the table, ascending."""
    import numpy as np
    import pandas as pd

    runs, jobs, devices, cases = schema.runs, schema.jobs, schema.devices, schema.cases
    names = ("id", "run_id", "number", "device_key", "case_id")
    found = fetch(connection, selection.select_jobs(*(jobs.c[name] for name in names)).order_by(jobs.c.id))
    # What many jobs share is read once, and laid beside each of them by its place.
    started = fetch(connection, sa.select(runs.c.run_id, runs.c.started_utc))
    of_cases = fetch(connection, sa.select(cases.c.id, *(cases.c[n] for n in ("text", "model", "delegate", "threads"))))
    of_devices = fetch(connection, sa.select(*(devices.c[n] for n in ("run_id", "key", "title", "virtual"))))
    run = _places(started["run_id"], found["run_id"])
    case = _places(of_cases["id"], found["case_id"])
    device = _places(
        list(zip(of_devices["run_id"], of_devices["key"], strict=True)),
        list(zip(found["run_id"], found["device_key"], strict=True)),
    )
    virtual = np.asarray(of_devices["virtual"], dtype=bool)
    return pd.DataFrame(
        {
            "run_id": words(started["run_id"]).take(run),
            "started_utc": as_times(started["started_utc"]).take(run),
            "job": np.asarray(found["number"], dtype="int64"),
            "device_key": words(of_devices["key"]).take(device),
            "device": words(of_devices["title"]).take(device),
            "virtual": virtual[device],
            "case": words(of_cases["text"]).take(case),
            "model": words(of_cases["model"]).take(case),
            "delegate": words(of_cases["delegate"]).take(case),
            "threads": pd.array(of_cases["threads"], dtype="Int64").take(case),
        },
        index=pd.Index(found["id"], dtype="int64"),
        columns=list(JOB_COLUMNS),
    )


def _places(keys: Sequence[Any], wanted: Sequence[Any]) -> NDArray[np.int64]:
    import numpy as np

    place = {key: number for number, key in enumerate(keys)}
    return np.fromiter(map(place.__getitem__, wanted), dtype="int64", count=len(wanted))


def words(values: Sequence[Any]) -> Any:
    """A column of text, most of which repeats."""
    import pandas as pd

    unique = list(dict.fromkeys(values))
    return pd.array(unique, dtype="str").take(_places(unique, values))


def as_times(values: Sequence[Any]) -> Any:
    """A column of times from microseconds since 1970."""
    import pandas as pd

    return pd.to_datetime(pd.array(values, dtype="Int64"), unit="us", utc=True)


def column_of(values: Sequence[Any]) -> Any:
    """A column as its values are: numbers with NaN where there is none, text, whole numbers, packed JSON."""
    import numpy as np

    first = next((value for value in values if value is not None), None)
    if isinstance(first, str):
        return words(values)
    if isinstance(first, bool):
        return np.asarray(values)
    if isinstance(first, int) and None not in values:
        return np.asarray(values, dtype="int64")
    if first is None or isinstance(first, (int, float)):
        return np.asarray(values, dtype="float64")
    return np.asarray(values, dtype=object)
