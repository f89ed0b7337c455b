"""Computes how reliable a device is, from its stored lost connections, unreliable repetitions and failures.

The failures that count are those that a device can cause. A model or a delegate that cannot run does not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from devbench.results.queries import device_outcomes
from devbench.results.selection import Selection

if TYPE_CHECKING:
    from devbench.results.store import Store

PERIOD = timedelta(days=30)
_LOST = "device_lost"
_FAILURES = frozenset({"timeout", "killed", "crash", "output_incomplete"})
# A lost connection counts as this many failed repetitions, since the running work is repeated or missing.
_LOST_WEIGHT = 10


@dataclass(frozen=True, slots=True)
class DeviceHealth:
    """The numbers of a device's repetitions by how they ended.

    Attributes:
        repetitions: all of them.
        unreliable: those that ended well while the device was throttled, busy or nearly out of battery.
        failed: those that ended with a failure that a device can cause.
        lost: those whose connection was lost.
    """

    repetitions: int = 0
    unreliable: int = 0
    failed: int = 0
    lost: int = 0

    @property
    def score(self) -> int:
        """Return the percentage (0 to 100) of repetitions that were reliable and did not fail.

        A lost connection counts as ten failed repetitions. 100 if nothing was measured.
        """
        bad = self.unreliable + self.failed + _LOST_WEIGHT * self.lost
        return round(100 * (1 - bad / (self.repetitions + (_LOST_WEIGHT - 1) * self.lost))) if self.repetitions else 100


def device_health(store: Store, now: datetime) -> dict[str, DeviceHealth]:
    """Return the health of each device with repetitions in the last 30 days, by its key."""
    counts: dict[str, dict[str, int]] = {}
    with store.database.reading() as connection:
        for row in device_outcomes(connection, Selection(since=now - PERIOD)):
            of = counts.setdefault(row.device_key, {"repetitions": 0, "unreliable": 0, "failed": 0, "lost": 0})
            of["repetitions"] += row.n
            if row.failure_kind == _LOST:
                of["lost"] += row.n
            elif row.failure_kind in _FAILURES:
                of["failed"] += row.n
            elif row.status == "ok" and row.verdict == "unreliable":
                of["unreliable"] += row.n
    return {key: DeviceHealth(**of) for key, of in counts.items()}
