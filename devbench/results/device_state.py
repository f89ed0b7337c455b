"""Makes frames of devices over time: their state around each process, and changed facts; knows no query."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from devbench.results.column_types import unpack

if TYPE_CHECKING:
    import pandas as pd

# The values that are read from stored conditions; `hottest_c` is the highest of all temperatures.
READINGS = (
    "battery_level", "battery_temperature_c", "battery_charging", "battery_current_ma", "thermal_status", "load_1min",
    "memory_available_bytes", "gpu_khz", "gpu_cap_khz",
)  # fmt: skip
_MOMENTS = ("before", "during", "after")
# Facts that change in every run, or that are reported elsewhere.
_RESTLESS = frozenset(
    {"key", "serial", "title", "storage_free_bytes", "memory_total_bytes", "masks", "limits", "sensors"}
)


def reading_frame(packed: pd.DataFrame) -> pd.DataFrame:
    """Return one row per reading; `packed` is a frame with packed conditions in the columns `before`, `during`,
    `after`.
    """
    import pandas as pd

    others = packed.drop(columns=list(_MOMENTS))
    positions, rows = [], []
    for position, parts in enumerate(zip(*(packed[name] for name in _MOMENTS), strict=True)):
        for moment, part in zip(_MOMENTS, parts, strict=True):
            read = unpack(bytes(part)) if isinstance(part, (bytes, memoryview)) else None
            for one in read if isinstance(read, list) else [read] if read else []:
                hottest = max((one.get("temperatures_c") or {}).values(), default=None)
                values = (one.get(name) for name in READINGS)
                rows.append((moment, one.get("taken_utc"), *values, hottest))
                positions.append(position)
    readings = pd.DataFrame(rows, columns=["moment", "taken_utc", *READINGS, "hottest_c"])
    readings["taken_utc"] = pd.to_datetime(readings["taken_utc"], utc=True, format="ISO8601")
    return pd.concat([others.iloc[positions].reset_index(drop=True), readings], axis=1)


def device_frame(rows: Sequence[Any]) -> pd.DataFrame:
    """Return one row per device; `rows` are devices in runs, in order of time."""
    import pandas as pd

    names = ["key", "title", "virtual", "profile", "run_id", "started_utc", "facts"]
    frame = pd.DataFrame([[getattr(row, name) for name in names] for row in rows], columns=names)
    frame["started_utc"] = pd.to_datetime(frame["started_utc"], utc=True)
    of_devices = frame.groupby("key", sort=False).agg(
        device=("title", "last"), virtual=("virtual", "last"), profile=("profile", "last"),
        first_utc=("started_utc", "first"), last_utc=("started_utc", "last"), runs=("run_id", "count"),
        facts=("facts", "last"),
    )  # fmt: skip
    return of_devices.rename_axis("device_key").reset_index()


class ChangedFact(NamedTuple):
    """A fact of a device that differs from the device's previous run; `None` if there was or is none."""

    device_key: str
    started_utc: datetime
    run_id: str
    fact: str
    before: str | None
    after: str | None


def fact_changes(rows: Iterable[Any]) -> Iterator[ChangedFact]:
    """Yield the changed facts; `rows` are devices in runs, in order of time."""
    last: dict[str, tuple[int, dict[str, str]]] = {}
    for row in rows:
        facts_id, old = last.get(row.key, (None, {}))
        if facts_id == row.facts_id:
            continue
        new = dict(_flat(row.facts))
        last[row.key] = row.facts_id, new
        for fact in sorted(old.keys() | new.keys()) if facts_id is not None else ():
            if old.get(fact) != new.get(fact):
                yield ChangedFact(row.key, row.started_utc, row.run_id, fact, old.get(fact), new.get(fact))


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if not prefix and name in _RESTLESS:
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
