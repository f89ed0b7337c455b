"""Keeps a copy of the totals of a large store in a file; a history then reads only new results from the database.

The copy has the totals of all jobs, and the id of the last repetition that is in them. The next call reads again only
runs with later repetitions, and runs whose totals were incomplete. Totals depend only on repetitions, which are added
and deleted but never changed. Everything is read again if repetitions were deleted, if repetitions with an earlier id
were added, or if the key of a device changed. The file can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from devbench import __version__
from devbench.errors import EnvironmentProblem
from devbench.host.paths import cache_dir
from devbench.host.whole_files import aside
from devbench.metrics import METRICS, stored
from devbench.results import schema
from devbench.results.columns import (
    Coded,
    Column,
    Jobs,
    Rows,
    array_of,
    described,
    in_order,
    jobs_of,
    joined,
    series_rows,
    taken,
)
from devbench.results.selection import Selection

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A store with fewer repetitions is read just as fast without a copy.
LEAST_REPETITIONS = 20_000
# If more than this number of runs changed, everything is read again.
_MOST_RUNS = 500
_NUMBERS = ("value", "low", "high", "n", "unreliable")


def memory_file(*of: str, ending: str = "json") -> Path:
    """Return the cache file for the history of a store or of a suite, named by a hash of `of`."""
    folder = cache_dir() / "history"
    folder.mkdir(exist_ok=True)
    return folder / f"{hashlib.sha256(json.dumps(of).encode('utf-8', 'replace')).hexdigest()[:32]}.{ending}"


@dataclass(frozen=True, slots=True)
class Totals:
    """The totals of all jobs of a store: the numbers of `job_metrics`, and `metric`, the index of their metric."""

    jobs: Jobs
    rows: Rows


@dataclass(frozen=True, slots=True)
class _Known:
    """A copy, with the last id and the number of repetitions at its time, and the runs with incomplete totals."""

    totals: Totals
    last: int
    repetitions: int
    incomplete: list[str]


def kept_series(
    connection: sa.Connection, store: str, metrics: Sequence[str], selection: Selection
) -> dict[str, Column] | None:
    """Return the series of metrics, as `queries.by_metric` does; `None` for a small store or an unknown metric.

    Args:
        connection: sees the store at one moment.
        store: its address, from which the name of the copy's file is made.
        metrics: names.
        selection: conditions on whole runs only.
    """
    known = list(stored())
    totals = _totals(connection, store, known) if set(metrics) <= set(known) else None
    if totals is None:
        return None
    rows, runs = totals.rows, totals.jobs.runs
    keep = np.isin(array_of(rows.columns, "metric"), [known.index(name) for name in metrics])
    if selection.of_runs():
        asked = set(connection.execute(sa.select(schema.runs.c.run_id).where(*selection.of_runs())).scalars())
        chosen = np.asarray([run in asked for run in runs.values], dtype=bool)[runs.codes]
        keep &= chosen[np.searchsorted(totals.jobs.ids, rows.owners)]
    columns = described(connection, totals.jobs, Rows(rows.owners[keep], taken(rows.columns, np.flatnonzero(keep))))
    which = array_of(columns, "metric")
    columns["metric"], columns["unit"] = Coded(known, which), Coded([METRICS[name].unit for name in known], which)
    return in_order(columns)


def _totals(connection: sa.Connection, store: str, metrics: Sequence[str]) -> Totals | None:
    """Return the totals of all jobs, ordered by job; `metric` is an index into `metrics`."""
    table, jobs = schema.repetitions, schema.jobs
    count, last = connection.execute(sa.select(sa.func.count(), sa.func.max(table.c.id)).select_from(table)).one()
    if count < LEAST_REPETITIONS:
        return None
    head = f"{__version__} {' '.join(metrics)}"
    known = _read(store, head)
    changed = None if known is None else _changed_runs(connection, known, count)
    if known is not None and changed == []:
        return known.totals
    totals = _from_store(connection, Selection(runs=changed or ()), metrics)
    if known is not None and changed:
        totals = _merged(known.totals, changed, totals)
    late = sa.select(jobs.c.run_id).join(schema.open_totals, schema.open_totals.c.job_id == jobs.c.id).distinct()
    with suppress(EnvironmentProblem, OSError):
        _write(store, head, _Known(totals, last, count, list(connection.execute(late).scalars())))
    return totals


def _changed_runs(connection: sa.Connection, known: _Known, count: int) -> list[str] | None:
    """Return the runs that differ from the copy; `None` if the copy cannot be used."""
    table, jobs, devices = schema.repetitions, schema.jobs, schema.devices
    there = {tuple(row) for row in connection.execute(sa.select(devices.c.run_id, devices.c.key))}
    later = sa.select(jobs.c.run_id, sa.func.count()).join(table, jobs.c.id == table.c.job_id)
    new = connection.execute(later.where(table.c.id > known.last).group_by(jobs.c.run_id)).all()
    changed = list(dict.fromkeys([*(run for run, _ in new), *known.incomplete]))
    here = there.issuperset(known.totals.jobs.places().values)
    same = here and count == known.repetitions + sum(added for _, added in new)
    return changed if same and len(changed) <= _MOST_RUNS else None


def _from_store(connection: sa.Connection, selection: Selection, metrics: Sequence[str]) -> Totals:
    parts = [series_rows(connection, metric, selection) for metric in metrics]
    which = np.repeat(np.arange(len(parts), dtype="int8"), [len(part.owners) for part in parts])
    whole = joined(parts)
    rows = Rows(whole.owners, {**whole.columns, "metric": which})
    return Totals(jobs_of(connection, selection), _ordered(rows))


def _ordered(rows: Rows) -> Rows:
    order = np.argsort(rows.owners, kind="stable")
    return Rows(rows.owners[order], {name: column.take(order) for name, column in rows.columns.items()})


def _merged(known: Totals, changed: Sequence[str], new: Totals) -> Totals:
    """Return the known totals without those of the changed runs, and the new ones."""
    jobs, rows = known.jobs, known.rows
    stays = ~np.isin(jobs.runs.codes, [code for code, run in enumerate(jobs.runs.values) if run in set(changed)])
    left = stays[np.searchsorted(jobs.ids, rows.owners)]
    ids = np.concatenate([jobs.ids[stays], new.jobs.ids])
    order = np.argsort(ids, kind="stable")

    def together(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([one[stays], other])[order]

    def coded_together(one: Coded, other: Coded) -> Coded:
        values = list(dict.fromkeys([*one.values, *other.values]))
        place = {value: code for code, value in enumerate(values)}
        again = np.asarray([place[value] for value in other.values], dtype="int64")
        return Coded(values, together(one.codes, again[other.codes]))

    both = Jobs(
        ids[order],
        together(jobs.numbers, new.jobs.numbers),
        coded_together(jobs.runs, new.jobs.runs),
        coded_together(jobs.devices, new.jobs.devices),
        together(jobs.cases, new.jobs.cases),
    )
    columns = {
        name: np.concatenate([array_of(rows.columns, name)[left], array_of(new.rows.columns, name)])
        for name in rows.columns
    }
    return Totals(both, _ordered(Rows(np.concatenate([rows.owners[left], new.rows.owners]), columns)))


# -- the file ------------------------------------------------------------------------------------------------------


def _write(store: str, head: str, known: _Known) -> None:
    jobs, rows = known.totals.jobs, known.totals.rows
    said = {
        "of": head, "last": known.last, "repetitions": known.repetitions, "incomplete": known.incomplete,
        "runs": list(jobs.runs.values), "devices": list(jobs.devices.values),
    }  # fmt: skip
    arrays: Mapping[str, Any] = {
        "said": np.frombuffer(json.dumps(said).encode(), dtype="uint8"),
        "ids": jobs.ids, "numbers": jobs.numbers, "cases": jobs.cases, "owners": rows.owners,
        "run_codes": jobs.runs.codes, "device_codes": jobs.devices.codes,
        **{name: array_of(rows.columns, name) for name in (*_NUMBERS, "metric")},
    }  # fmt: skip
    with aside(memory_file(store, ending="npz")) as part, part.open("wb") as file:
        np.savez(file, **arrays)


def _read(store: str, head: str) -> _Known | None:
    """Return the copy; `None` if there is none, it is damaged, or another version of devbench made it."""
    try:
        with np.load(memory_file(store, ending="npz")) as file:
            said = json.loads(file["said"].tobytes())
            if said["of"] != head:
                return None
            jobs = Jobs(
                file["ids"], file["numbers"], Coded(said["runs"], file["run_codes"]),
                Coded(said["devices"], file["device_codes"]), file["cases"],
            )  # fmt: skip
            rows = Rows(file["owners"], {name: file[name] for name in (*_NUMBERS, "metric")})
            return _Known(Totals(jobs, rows), said["last"], said["repetitions"], said["incomplete"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, EnvironmentProblem):
        return None
