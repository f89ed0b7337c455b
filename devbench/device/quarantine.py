"""Devices of this host that are left out for a while: after several faults within a day, or by request of a person.

Kept as JSON in the data folder, {"KEY": {"faults": [time, …], "why": …, "since": …, "until": …}}, times as ISO 8601
with their zone. A quarantine ends by itself at its time, if it has one. Knows no run and no store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from devbench.errors import EnvironmentProblem
from devbench.host.paths import data_dir
from devbench.host.tables import changing, load
from devbench.text import clean

FAULTS = 3
"""After this many faults within a day a device is left out, for a day."""
_DAY = timedelta(days=1)
_MAX_WHY = 300


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Why a device is left out, since when and until when; `until` is `None` if a person has to end it."""

    why: str
    since: datetime
    until: datetime | None

    @property
    def words(self) -> str:
        """For people: `until 2026-11-29 21:30 UTC: 3 faults within a day`."""
        end = "" if self.until is None else f" until {self.until.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"
        return f"in quarantine{end}: {self.why}"


class Quarantined(EnvironmentProblem):
    """The device is in quarantine."""

    def __init__(self, name: str, found: Quarantine) -> None:
        super().__init__(f"{name} is {found.words}", hint=f"`devbench devices quarantine {name} --end` ends it")


def quarantine_file() -> Path:
    return data_dir() / "quarantine.json"


def in_quarantine(now: datetime | None = None) -> dict[str, Quarantine]:
    """The devices that are left out now, by their keys.

    Raises:
        InputError: the file is damaged.
    """
    now = now or datetime.now(timezone.utc)
    return {key: found for key, entry in _load().items() if (found := _now(entry, now)) is not None}


def note_fault(key: str, words: str, now: datetime | None = None) -> Quarantine | None:
    """Record that a device was lost or hung; returns its quarantine if it has reached the limit of faults.

    Raises:
        InputError: the file is damaged, or cannot be written.
    """
    now = now or datetime.now(timezone.utc)
    with changing(quarantine_file(), _load) as book:
        entry = book.get(key, {})
        faults = [*(one for one in entry.get("faults", ()) if now - _time(one) < _DAY), now.isoformat()]
        book[key] = {**entry, "faults": faults}
        if len(faults) < FAULTS or _now(entry, now) is not None:
            return None
        found = Quarantine(f"{len(faults)} faults within a day; the last: {clean(words, _MAX_WHY)}", now, now + _DAY)
        book[key] = _entry(found)
    return found


def put(key: str, why: str, until: datetime | None) -> None:
    """Leave a device out until that time; without a time, until `end` is called.

    Raises:
        InputError: the file is damaged, or cannot be written.
    """
    with changing(quarantine_file(), _load) as book:
        book[key] = _entry(Quarantine(clean(why, _MAX_WHY), datetime.now(timezone.utc), until))


def end(key: str) -> bool:
    """Use a device again, and forget its faults; returns whether it was left out.

    Raises:
        InputError: the file is damaged, or cannot be written.
    """
    with changing(quarantine_file(), _load) as book:
        return _now(book.pop(key, {}), datetime.now(timezone.utc)) is not None


def to_json(found: Quarantine) -> Mapping[str, Any]:
    """A JSON-ready mapping."""
    until = None if found.until is None else found.until.isoformat()
    return {"why": found.why, "since_utc": found.since.isoformat(), "until_utc": until}


def _entry(found: Quarantine) -> dict[str, Any]:
    values = to_json(found)
    return {"why": found.why, "since": values["since_utc"], "until": values["until_utc"]}


def _load() -> dict[str, dict[str, Any]]:
    return load(quarantine_file(), _checked, "fix it, or delete it: then no device is in quarantine")


def _checked(entry: Any) -> dict[str, Any]:
    read = dict(entry)
    for one in (*read.get("faults", ()), *filter(None, (read.get("since"), read.get("until")))):
        _time(one)
    return read


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return found


def _now(entry: Mapping[str, Any], now: datetime) -> Quarantine | None:
    """The quarantine of an entry, if there is one and it has not ended."""
    if not entry.get("since"):
        return None
    until = _time(entry["until"]) if entry.get("until") else None
    return (
        None
        if until is not None and until <= now
        else Quarantine(clean(entry.get("why", "")), _time(entry["since"]), until)
    )
