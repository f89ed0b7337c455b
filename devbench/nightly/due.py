"""What is due: a new run, one to go on with, or nothing. Pure functions over what the store knows of earlier nights.

The state of a night is kept with its run, as the run's option `nightly`, so that there is one truth: the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from devbench.bench.plan import PLAN

if TYPE_CHECKING:
    from devbench.nightly.settings import Period
    from devbench.results.store import OptionedRun

OPTION = "nightly"
# A night that was cut off is gone on with for so long, also where another period has begun.
_GO_ON_WITHIN = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Night:
    """A nightly run as stored.

    Attributes:
        host: the machine that made it; another one does not go on with it.
        plan: the fingerprint of what was asked for.
        finished: names of the devices on which all of it was done.
        reported: its comparison, report and message are done too.
    """

    run_id: str
    started_utc: datetime
    host: str
    suite: str
    plan: str
    finished: tuple[str, ...] = ()
    reported: bool = False

    def option(self) -> dict[str, Any]:
        """What the run's option holds of it."""
        return {"suite": self.suite, "finished": list(self.finished), "reported": self.reported}


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done. `night` is the one to go on with; `None` for a new one. No `names`: nothing to measure."""

    night: Night | None
    names: tuple[str, ...]

    @property
    def to_report(self) -> bool:
        """Whether there is anything to report: a measurement, or a night that did not come to its report."""
        return bool(self.names) or (self.night is not None and not self.night.reported)


def nights_of(runs: Iterable[OptionedRun], suite: str) -> list[Night]:
    """The nights of a suite among runs, in the order given."""
    found = []
    for run in runs:
        kept = run.options.get(OPTION)
        if not isinstance(kept, dict) or kept.get("suite") != suite:
            continue
        night = Night(
            run_id=run.run_id,
            started_utc=run.started_utc,
            host=run.host,
            suite=suite,
            plan=str(run.options.get(PLAN, "")),
            finished=tuple(map(str, kept.get("finished", ()))),
            reported=bool(kept.get("reported", False)),
        )
        found.append(night)
    return found


def decide(
    nights: Sequence[Night], present: Sequence[str], *, plan: str, period: Period, now: datetime, force: bool
) -> Due:
    """What is due on the devices that are there.

    Args:
        nights: of this suite and this machine, the newest first.
        present: names of the devices that are there.
        plan: the fingerprint of what is asked for today; a night with another one is over.
        period: how often a device is measured.
        now: with the time zone whose nights are meant.
        force: measure again what was measured already; a night that was cut off is still gone on with.
    """
    last = next((night for night in nights if night.plan == plan), None)
    if last is None:
        return Due(None, tuple(present))
    began = period.began(now)
    cut_off = not last.reported and last.started_utc >= min(began, now - _GO_ON_WITHIN)
    if not cut_off and (force or last.started_utc < began):
        return Due(None, tuple(present))
    return Due(last, tuple(name for name in present if name not in last.finished))
