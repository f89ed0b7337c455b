"""Batteries: values that are defaults or set by a command, and sources whose unit of the current is known."""

from __future__ import annotations

from devbench.device.readings import Battery, parse_battery

PIXEL = """Current Battery Service state:
  AC powered: false
  USB powered: true
  Charge counter: 2532000
  status: 2
  health: 2
  present: true
  level: 84
  scale: 100
  voltage: 4110
  temperature: 336
"""


def test_a_phone_s_battery_is_read() -> None:
    assert parse_battery(PIXEL.splitlines()) == Battery(84, 33.6, 2, charge_raw=2532000, plugged=True)


def test_samsung_s_current_is_in_milliamperes() -> None:
    found = parse_battery((PIXEL + "  mSecPlugTypeSummary: 2\n  current now: -347\n").splitlines())
    assert (found.current_ma, found.current_raw) == (-347.0, None)


def test_another_maker_s_current_is_in_its_own_unit() -> None:
    found = parse_battery((PIXEL + "  current now: -347000\n").splitlines())
    assert (found.current_ma, found.current_raw) == (None, -347000)


def test_without_volts_the_temperature_is_a_default() -> None:
    text = PIXEL.replace("4110", "0").replace("336", "0")
    assert parse_battery(text.splitlines()).temperature_c is None
    assert parse_battery(text.splitlines()).level == 84
    assert parse_battery(text.replace("health: 2", "health: 1").splitlines()) == Battery(plugged=True)


def test_a_battery_at_nought_degrees_is_cold() -> None:
    assert parse_battery(PIXEL.replace("336", "0").splitlines()).temperature_c == 0.0


def test_values_set_by_a_command_are_no_readings() -> None:
    text = PIXEL.replace("state:\n", "state:\n  (UPDATES STOPPED -- use 'reset' to restart)\n")
    assert parse_battery(text.splitlines()) == Battery(overridden=True)
