"""Decides what is due: a new run, a run to resume, or nothing. Pure functions over the earlier nights in the store.

The state of a night is stored with its run, as the run's option `nightly`; it is stored nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from devbench.bench.lease_keeper import parse_wait
from devbench.bench.plan import PLAN
from devbench.bench.suite import Suite
from devbench.errors import InputError
from devbench.host.tomlfile import wrong
from devbench.options import NightlyOptions

if TYPE_CHECKING:
    from devbench.results.store import OptionedRun

OPTION = "nightly"
# A night that was cut off is resumed within this time, even if the next period has begun.
_GO_ON_WITHIN = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Night:
    """A nightly run as stored.

    Attributes:
        host: the machine that made it; only this machine resumes it.
        plan: the fingerprint of what was requested.
        finished: names of the devices that were measured completely.
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
        """Return the night as it is stored in the run's option."""
        return {"suite": self.suite, "finished": list(self.finished), "reported": self.reported}


@dataclass(frozen=True, slots=True)
class Due:
    """The work that is due.

    `night` is the night to resume, `None` for a new one. If `names` is empty, nothing is measured.
    """

    night: Night | None
    names: tuple[str, ...]

    @property
    def to_report(self) -> bool:
        """Whether there is anything to report: a measurement, or a night whose report was not finished."""
        return bool(self.names) or (self.night is not None and not self.night.reported)


def nights_of(runs: Iterable[OptionedRun], suite: str) -> list[Night]:
    """Return the nights of a suite among runs, in the order given."""
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
    """Decide what is due on the connected devices.

    Args:
        nights: the nights of this suite and this machine, the newest first.
        present: names of the connected devices.
        plan: the fingerprint of what is requested today; a night with another one is not resumed.
        period: how often a device is measured.
        now: the present time, in the time zone whose nights are meant.
        force: measure again what was measured already; a night that was cut off is resumed nevertheless.
    """
    last = next((night for night in nights if night.plan == plan), None)
    if last is None:
        return Due(None, tuple(present))
    began = period.began(now)
    cut_off = not last.reported and last.started_utc >= min(began, now - _GO_ON_WITHIN)
    if not cut_off and (force or last.started_utc < began):
        return Due(None, tuple(present))
    return Due(last, tuple(name for name in present if name not in last.finished))


_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_SPAN = re.compile(r"([1-9]\d{0,3})([mhd])")
# A night begins at noon, so that none is split by midnight.
_NOON = time(12)


@dataclass(frozen=True, slots=True)
class Period:
    """How often a suite is due: once a night (`span` is `None`), or once in a span of time."""

    span: timedelta | None = None

    def began(self, now: datetime) -> datetime:
        """Return when the period of `now` began; a device measured since then is not measured again.

        A night is from noon to noon of the time zone of `now`.
        """
        if self.span is not None:
            return now - self.span
        noon = datetime.combine(now.date(), _NOON, now.tzinfo)
        return noon if noon <= now else noon - timedelta(days=1)


def parse_period(text: str) -> Period:
    """Parse `night`, or a number of minutes, hours or days: `30m`, `12h`, `7d`.

    Raises:
        InputError: it is something else.
    """
    if text == "night":
        return Period()
    match = _SPAN.fullmatch(text)
    if match is None:
        raise InputError(f"period {text!r} is not known", hint="night, or a time such as 30m, 12h or 7d")
    return Period(timedelta(**{_UNITS[match[2]]: int(match[1])}))


_READ: tuple[tuple[str, Callable[[str], Any]], ...] = (
    ("period", parse_period),
    ("device_wait", partial(parse_wait, name="device_wait")),
)


def night_settings(suite: Suite, given: NightlyOptions | None = None, typed: Collection[str] = ()) -> NightlyOptions:
    """Return the settings of the suite's nightly.

    Args:
        suite: its values count for more than defaults.
        given: the options of the command line.
        typed: the names of those that were typed, which count for more than the suite's values.

    Raises:
        InputError: names the file, the line and the key of a wrong value of the suite, or the option.
    """
    settings = given or NightlyOptions()
    for key, read in _READ:
        read(getattr(settings, key))
        try:
            read(suite.nightly.get(key, getattr(settings, key)))
        except InputError as error:
            raise wrong("suite", suite.path, ("nightly", key), f": {error.what}", error.hint) from None
    return replace(settings, **{name: value for name, value in suite.nightly.items() if name not in typed})
