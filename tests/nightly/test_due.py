"""What is due, night after night, after crashes, with --force, with devices that come late."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from devbench.bench.suite import Suite
from devbench.errors import InputError
from devbench.nightly.due import Due, Night, Period, decide, night_settings, nights_of, parse_period
from devbench.options import NightlyOptions
from devbench.results.store import OptionedRun

ZONE = timezone(timedelta(hours=2))
NOW = datetime(2026, 11, 26, 2, 30, tzinfo=ZONE)


def night(hours_ago: float, *, finished: tuple[str, ...] = ("a",), reported: bool = True, plan: str = "p") -> Night:
    return Night(f"run-{hours_ago:g}", NOW - timedelta(hours=hours_ago), "host", "s", plan, finished, reported)


def due(*nights: Night, present: tuple[str, ...] = ("a",), force: bool = False, period: Period | None = None) -> Due:
    return decide(nights, present, plan="p", period=period or Period(), now=NOW, force=force)


def test_a_night_is_from_noon_to_noon_of_the_local_time() -> None:
    assert Period().began(NOW) == datetime(2026, 11, 25, 12, tzinfo=ZONE)
    assert Period().began(NOW.replace(hour=12)) == datetime(2026, 11, 26, 12, tzinfo=ZONE)
    assert Period().began(NOW.replace(hour=11, minute=59)) == datetime(2026, 11, 25, 12, tzinfo=ZONE)


def test_nothing_was_measured_so_everything_is_due() -> None:
    assert due() == Due(None, ("a",))


def test_what_was_measured_tonight_is_not_due() -> None:
    found = due(night(1))
    assert found.names == ()
    assert not found.to_report


def test_the_next_night_is_a_new_run() -> None:
    assert due(night(20)) == Due(None, ("a",))


def test_force_measures_again() -> None:
    assert due(night(1), force=True) == Due(None, ("a",))


@pytest.mark.parametrize("force", [False, True])
def test_a_night_that_was_cut_off_is_gone_on_with(force: bool) -> None:
    cut = night(1, finished=(), reported=False)
    assert due(cut, force=force) == Due(cut, ("a",))


@pytest.mark.parametrize("force", [False, True])
def test_a_night_that_was_measured_but_not_reported_is_reported(force: bool) -> None:
    found = due(night(1, reported=False), force=force)
    assert (found.names, found.to_report) == ((), True)


def test_a_cut_off_night_is_gone_on_with_after_noon_but_not_for_ever() -> None:
    noon = NOW.replace(hour=12, minute=10)
    cut = Night("r", noon - timedelta(minutes=20), "host", "s", "p", (), False)
    assert decide([cut], ["a"], plan="p", period=Period(), now=noon, force=False).night is cut
    later = noon + timedelta(hours=12)
    assert decide([cut], ["a"], plan="p", period=Period(), now=later, force=False) == Due(None, ("a",))


def test_a_device_that_comes_late_is_measured_into_the_same_night() -> None:
    last = night(1)
    assert due(last, present=("a", "b")) == Due(last, ("b",))


def test_another_plan_is_another_night() -> None:
    assert due(night(1, plan="other")) == Due(None, ("a",))
    assert due(night(1, plan="other"), night(2)).night == night(2)


def test_a_span_counts_from_the_last_start() -> None:
    assert due(night(5), period=parse_period("6h")).names == ()
    assert due(night(7), period=parse_period("6h")) == Due(None, ("a",))


@pytest.mark.parametrize("text", ["", "nights", "0h", "1w", "h", "-1d", "1.5h", "99999d"])
def test_a_period_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="period"):
        parse_period(text)


def test_the_command_line_counts_for_more_and_none_for_nothing() -> None:
    suite = Suite(Path("s.toml"), "s", (), nightly={"baseline_nights": 3, "period": "7d"})
    given = NightlyOptions(baseline_nights=5, period="12h")
    found = night_settings(suite, given, {"period"})
    assert (found.baseline_nights, found.period, found.device_wait) == (3, "12h", "10m")


def test_a_night_is_read_from_the_options_of_its_run() -> None:
    one = night(1, finished=("a", "b"), reported=False)
    options = {"plan": "p", "nightly": one.option()}
    rows = [
        OptionedRun("run-1", one.started_utc, "host", options),
        OptionedRun("x", NOW, "host", {"nightly": 3}),
        OptionedRun("y", NOW, "host", {"nightly": {"suite": "t"}}),
    ]
    assert nights_of(rows, "s") == [one]
