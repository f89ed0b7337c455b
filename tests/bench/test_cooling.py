"""Waiting for a device that is over its limits: until it is fit, until the time is over, or until the user stops."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from devbench.analysis.reliability import Around
from devbench.bench import waiting
from devbench.bench.events import Waiting
from devbench.bench.waiting import cool_down, limits_passed
from devbench.device.conditions import Conditions, ThermalLimits

NOW = datetime(2026, 11, 23, tzinfo=timezone.utc)
LIMITS = ThermalLimits(thermal_status=1, battery_c=40.0, sensors_c={"skin": 45.0})


def hot(**changes: Any) -> Conditions:
    return Conditions(taken_utc=NOW, **changes)


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `cool_down` on conditions in turn; each is two seconds after the one before."""
    clock = SimpleNamespace(now=100.0, waits=[])

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            clock.waits.append(timeout)
            clock.now += timeout or 0.0
            return False

    def run(*states: Conditions, deadline_s: float = 60.0, stopped: bool = False) -> tuple[Conditions, list[Waiting]]:
        left, told, stop = list(states), [], Stop()
        if stopped:
            stop.set()
        monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: clock.now))
        monkeypatch.setattr(waiting, "read_conditions", lambda device: left.pop(0) if len(left) > 1 else left[0])
        device: Any = SimpleNamespace(serial="SERIAL")
        return cool_down(device, LIMITS, deadline_s, stop, told.append), told

    run.clock = clock  # type: ignore[attr-defined]
    return run


def test_a_fit_device_is_not_waited_for(wait: Any) -> None:
    now, told = wait(hot(thermal_status=1))
    assert (now.thermal_status, told, wait.clock.waits) == (1, [], [])


def test_a_hot_device_is_waited_for_until_it_is_fit(wait: Any) -> None:
    now, told = wait(hot(thermal_status=3, temperatures_c={"soc": 81.25}), hot(battery_temperature_c=41.0), hot())
    assert now == hot()
    assert [one.left_s for one in told] == [60.0, 58.0]
    assert (told[0].serial, told[0].words) == ("SERIAL", "cooling down: thermal status severe (hottest 81.2 °C)")
    assert told[1].words.startswith("cooling down: battery 41.0 °C above 40 °C")
    assert wait.clock.waits == [2.0, 2.0]


def test_the_time_for_waiting_ends(wait: Any) -> None:
    now, told = wait(hot(thermal_status=3), deadline_s=3.0)
    assert now.thermal_status == 3
    assert [one.left_s for one in told] == [3.0, 1.0]
    assert wait.clock.waits == [2.0, 1.0], "no longer than what is left"


def test_the_user_ends_the_waiting(wait: Any) -> None:
    assert wait(hot(thermal_status=3), stopped=True)[1] == []


def test_limits_are_named_once_and_the_thermal_status_is_not_among_them() -> None:
    from devbench.device.conditions import to_json

    before = to_json(hot(thermal_status=3, temperatures_c={"skin": 46.0}))
    after = to_json(hot(temperatures_c={"skin": 46.0}, battery_temperature_c=43.5))
    assert limits_passed(Around(before, after), LIMITS) == ["skin 46.0 °C above 45 °C", "battery 43.5 °C above 40 °C"]
    assert limits_passed(Around(None, None), LIMITS) == []
