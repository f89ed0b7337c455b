"""Limits: readings over, at and under them, and readings that are not there."""

from __future__ import annotations

from devbench.device.conditions import Conditions, ThermalLimits, over_limits
from tests.device.transcripts import NOW

WARM = Conditions(NOW, battery_temperature_c=45.5, thermal_status=2, temperatures_c={"skin": 44.1, "CPU0": 70.0})


def test_each_reading_over_its_limit_is_named() -> None:
    limits = ThermalLimits(battery_c=45, sensors_c={"SKIN": 50, "skin": 42})
    assert over_limits(WARM, limits) == (
        "thermal status moderate",
        "battery 45.5 °C above 45 °C",
        "skin 44.1 °C above 42 °C",
    )


def test_a_reading_at_its_limit_is_fit() -> None:
    assert over_limits(WARM, ThermalLimits(2, 45.5, {"skin": 44.1})) == ()


def test_unknown_readings_are_not_held_against_a_device() -> None:
    assert over_limits(Conditions(NOW), ThermalLimits(0, 20, {"skin": 20})) == ()
