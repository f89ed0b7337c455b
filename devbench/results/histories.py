"""Merges and splits the histories of devices at the user's request; no measurement is changed or lost.

The key of a device follows from its identity. That may be wrong: its id was lost with its storage, or two boards have
the same one. So the store has for each run the key under which a device was measured, and the history to which it
belongs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from devbench.errors import InputError
from devbench.results import pipeline_schema, schema
from devbench.results.column_types import content_id
from devbench.results.engine import insert_new, portions
from devbench.results.views import device_titles

if TYPE_CHECKING:
    from devbench.results.selection import Selection

_MAX_LISTED = 8
_MAX_KEY = 80


@dataclass(frozen=True, slots=True)
class Move:
    """The runs to move from one history to another.

    Attributes:
        source, target: keys of the histories.
        runs: ids, in order of time.
        jobs: how many jobs those runs have on the device.
        first_utc, last_utc: start of the first and the last of the runs.
    """

    source: str
    target: str
    runs: tuple[str, ...]
    jobs: int
    first_utc: datetime
    last_utc: datetime


def find_device(connection: sa.Connection, word: str) -> str:
    """Return the key of the one device of the store that a word means: its key, or any part of its title.

    Raises:
        InputError: no device or several devices match.
    """
    titles = device_titles(connection)
    if word in titles:
        return word
    found = [key for key, title in titles.items() if word and word.casefold() in f"{title}\n{key}".casefold()]
    if len(found) == 1:
        return str(found[0])
    listed = ", ".join((found or list(titles))[:_MAX_LISTED])
    if found:
        raise InputError(f"{word!r} means {len(found)} devices of the store: {listed}", hint="name one of them")
    raise InputError(f"no device {word!r} in the store", hint=f"there are {listed}" if listed else "it has no runs yet")


def current_key(connection: sa.Connection, key: str) -> str:
    """Return the key of the history to which a device that calls itself `key` belongs."""
    aliases = schema.device_aliases
    found = connection.execute(sa.select(aliases.c.device_key).where(aliases.c.key == key)).scalar()
    return key if found is None else str(found)


def keys_of_serial(connection: sa.Connection, hardware_serial: str) -> list[str]:
    """Return the keys of all histories of devices with that factory serial number."""
    devices = schema.devices
    of_serial = devices.c.key.startswith(f"{hardware_serial}-", autoescape=True)
    return sorted(connection.execute(sa.select(devices.c.key).where(of_serial).distinct()).scalars())


# -- plans ---------------------------------------------------------------------------------------------


def plan_merge(connection: sa.Connection, into: str, other: str) -> Move:
    """Plan to move the whole history of `other` to that of `into`.

    Raises:
        InputError: they are the same device already, or one run measured both, so they are different devices.
    """
    if into == other:
        raise InputError(f"{into} is one history already", hint="name two devices, see `devbench devices`")
    devices = schema.devices
    both = (
        sa.select(devices.c.run_id)
        .where(devices.c.key.in_([into, other]))
        .group_by(devices.c.run_id)
        .having(sa.func.count() > 1)
        .order_by(devices.c.run_id)
    )
    run_id = connection.execute(both).scalars().first()
    if run_id is not None:
        raise InputError(f"run {run_id} measured {into} and {other}: they are two devices", hint="nothing was changed")
    return _move(connection, other, into, devices.c.key == other)


def plan_split(connection: sa.Connection, key: str, original: str = "") -> list[Move]:
    """Plan to move runs of a history back to the keys under which they were measured; `original`: only to this key.

    Raises:
        InputError: nothing of the history was measured under another key.
    """
    moves = schema.device_moves
    query = sa.select(moves.c.measured_as).where(moves.c.key == key).distinct()
    keys = [was for was in connection.execute(query).scalars() if original in ("", was)]
    if not keys:
        what = f"as {original}" if original else "under another key"
        raise InputError(
            f"nothing of {key} was measured {what}", hint="choose the runs to part with --run, --since or --until"
        )
    devices = schema.devices
    found = []
    for was in sorted(keys):
        of_it = sa.select(moves.c.run_id).where(moves.c.key == key, moves.c.measured_as == was)
        found.append(_move(connection, key, was, (devices.c.key == key) & devices.c.run_id.in_(of_it)))
    return found


def plan_part(connection: sa.Connection, key: str, selection: Selection, target: str = "") -> Move:
    """Plan to move chosen runs of a history to another one, by default to a new key: `KEY.2`.

    Raises:
        InputError: no run of the device is chosen, all are, or one of them measured `target` too.
    """
    devices, runs = schema.devices, schema.runs
    keys = set(connection.execute(sa.select(devices.c.key).distinct()).scalars())
    if not target:
        stem = key[: _MAX_KEY - 4]
        target = next(name for number in range(2, 1000) if (name := f"{stem}.{number}") not in keys)
    if target == key or not 0 < len(target) <= _MAX_KEY:
        raise InputError(f"{target!r} is not another device", hint=f"a name of at most {_MAX_KEY} characters")
    chosen = sa.select(runs.c.run_id).where(*selection.of_runs())
    move = _move(connection, key, target, (devices.c.key == key) & devices.c.run_id.in_(chosen))
    if len(move.runs) == len(_runs(connection, devices.c.key == key)):
        raise InputError(f"these are all runs of {key}", hint="choose a part of them")
    if {run_id for run_id, _ in _runs(connection, devices.c.key == target)} & set(move.runs):
        raise InputError(f"a run measured {key} and {target}: they are two devices", hint="nothing was changed")
    return move


def _runs(connection: sa.Connection, where: sa.ColumnElement[bool]) -> list[tuple[str, datetime]]:
    runs, devices = schema.runs, schema.devices
    query = sa.select(runs.c.run_id, runs.c.started_utc).join(devices, devices.c.run_id == runs.c.run_id).where(where)
    found = connection.execute(query.order_by(runs.c.started_utc, runs.c.run_id))
    return [(row.run_id, row.started_utc) for row in found]


def _move(connection: sa.Connection, source: str, target: str, where: sa.ColumnElement[bool]) -> Move:
    found = _runs(connection, where)
    if not found:
        raise InputError(f"no run of {source} is chosen", hint="see `devbench runs`")
    jobs = schema.jobs
    ids = tuple(run_id for run_id, _ in found)
    count = sum(
        connection.execute(
            sa.select(sa.func.count()).where(jobs.c.device_key == source, jobs.c.run_id.in_(some))
        ).scalar_one()
        for some in portions(ids)
    )
    return Move(source, target, ids, count, found[0][1], found[-1][1])


# -- changes -------------------------------------------------------------------------------------------------------


def merge(connection: sa.Connection, move: Move) -> None:
    """Join a history with another one; later runs of the second device join it, too."""
    moves, aliases = schema.device_moves, schema.device_aliases
    moved = sa.select(moves.c.measured_as).where(moves.c.key == move.source)
    origins = {move.source, *connection.execute(moved.distinct()).scalars()} - {move.target}
    apply(connection, move)
    connection.execute(aliases.delete().where(aliases.c.key.in_([*origins, move.target])))
    connection.execute(aliases.insert(), [{"key": key, "device_key": move.target} for key in sorted(origins)])
    connection.execute(aliases.update().where(aliases.c.device_key == move.source).values(device_key=move.target))


def split(connection: sa.Connection, moves: Sequence[Move]) -> None:
    """Undo a merge: histories go back to the keys under which they were measured, and stay there."""
    aliases = schema.device_aliases
    for move in moves:
        apply(connection, move)
        connection.execute(aliases.delete().where(aliases.c.key == move.target))


def apply(connection: sa.Connection, move: Move) -> None:
    """Move the rows of the runs from one history to the other; the key under which they were measured stays stored."""
    devices, moves = schema.devices, schema.device_moves
    names = [column.name for column in devices.columns]
    owners = (schema.jobs, pipeline_schema.pipeline_sessions)
    for runs in portions(move.runs):
        was = moves.c.run_id.in_(runs) & (moves.c.key == move.source)
        origins = {row.run_id: row.measured_as for row in connection.execute(sa.select(moves).where(was))}
        there = devices.c.run_id.in_(runs) & (devices.c.key == move.source)
        rows = connection.execute(sa.select(devices).where(there)).mappings().all()
        # The device must exist before rows refer to it.
        insert_new(connection, devices, [{name: row[name] for name in names} | _renamed(row, move) for row in rows])
        for table in owners:
            mine = table.c.run_id.in_(runs) & (table.c.device_key == move.source)
            connection.execute(table.update().where(mine).values(device_key=move.target))
        _move_notices(connection, runs, move)
        connection.execute(devices.delete().where(there))
        kept = [
            {"run_id": row["run_id"], "key": move.target, "measured_as": origin}
            for row in rows
            if (origin := origins.get(row["run_id"], move.source)) != move.target
        ]
        insert_new(connection, moves, kept)


def _renamed(row: Mapping[Any, Any], move: Move) -> dict[str, str]:
    """Return the key of a device's row and its title, which ends with the key, as they are after the move."""
    return {"key": move.target, "title": str(row["title"]).replace(f"({move.source})", f"({move.target})")}


def _move_notices(connection: sa.Connection, runs: Sequence[str], move: Move) -> None:
    """Renumber notices of the moved device: a notice's number is computed from its content, which contains the key."""
    notices = schema.notices
    mine = notices.c.run_id.in_(runs) & (notices.c.device_key == move.source)
    rows: list[dict[str, Any]] = [dict(row) for row in connection.execute(sa.select(notices).where(mine)).mappings()]
    connection.execute(notices.delete().where(mine))
    for row in rows:
        row["device_key"] = move.target
        row["id"] = content_id(row["kind"], row["subject"], row["text"], row["device_key"], row["job_number"])
    insert_new(connection, notices, rows)
