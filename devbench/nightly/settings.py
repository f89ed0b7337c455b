"""How a nightly is to be done, from a suite's `[nightly]` table and the command line; knows no device and no store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

from devbench.bench.lease_keeper import parse_wait
from devbench.bench.suite import Suite
from devbench.errors import InputError
from devbench.findings.comparison import UNRELIABLE
from devbench.host.tomlfile import wrong

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_SPAN = re.compile(r"([1-9]\d{0,3})([mhd])")
# A night begins at noon, so that none is split by midnight.
_NOON = time(12)


@dataclass(frozen=True, slots=True)
class Period:
    """How often a suite is due: once a night (`span` is `None`), or once in a span of time."""

    span: timedelta | None = None

    def began(self, now: datetime) -> datetime:
        """When the period of `now` began: what was measured since then is not measured again.

        A night is from noon to noon of the time zone of `now`.
        """
        if self.span is not None:
            return now - self.span
        noon = datetime.combine(now.date(), _NOON, now.tzinfo)
        return noon if noon <= now else noon - timedelta(days=1)


@dataclass(frozen=True, slots=True)
class NightlySettings:
    """What a nightly does around its measurements.

    Attributes:
        period: how often a device is measured.
        baseline_nights: compare with the last so many nightly runs of the suite.
        baseline: compare with these runs instead: an id, `latest`, `key=value`, a date; empty for none.
        unreliable: what to do if all repetitions of a side are unreliable, as in `ComparisonSettings`.
        reports: folder of the reports, one below it for each run.
        junit: a further copy of the JUnit XML, at a place that a CI knows.
        device_wait_s: how long to wait for a device that another run has, in seconds.
        keep_raw_days: raw outputs older than that are dropped at the end; `None` keeps all.
    """

    period: Period = Period()
    baseline_nights: int = 7
    baseline: str = ""
    unreliable: str = UNRELIABLE[0]
    reports: Path = Path("reports")
    junit: Path | None = None
    device_wait_s: float = 600.0
    keep_raw_days: int | None = None

    def changed(self, values: Mapping[str, Any]) -> NightlySettings:
        """With the values that are not `None`, by their names in the table; a period is a text there.

        Raises:
            InputError: the period is none, or `unreliable` is not one of its words.
        """
        known = {name: value for name, value in values.items() if value is not None}
        if known.get("unreliable", self.unreliable) not in UNRELIABLE:
            raise InputError(f"unreliable = {known['unreliable']!r} is unknown", hint=f"give {' or '.join(UNRELIABLE)}")
        if "period" in known:
            known["period"] = parse_period(str(known["period"]))
        if "device_wait" in known:
            known["device_wait_s"] = parse_wait(str(known.pop("device_wait")), "device_wait")
        return replace(self, **known)


def parse_period(text: str) -> Period:
    """`night`, or a number of minutes, hours or days: `30m`, `12h`, `7d`.

    Raises:
        InputError: it is something else.
    """
    if text == "night":
        return Period()
    match = _SPAN.fullmatch(text)
    if match is None:
        raise InputError(f"period {text!r} is not known", hint="night, or a time such as 30m, 12h or 7d")
    return Period(timedelta(**{_UNITS[match[2]]: int(match[1])}))


def night_settings(suite: Suite) -> NightlySettings:
    """How the suite's nightly is to be done.

    Raises:
        InputError: names the file, the line and the key of a wrong value.
    """
    settings = NightlySettings()
    for key, value in suite.nightly.items():
        try:
            settings = settings.changed({key: value})
        except InputError as error:
            raise wrong("suite", suite.path, ("nightly", key), f": {error.what}", error.hint) from None
    return settings
