"""Thermal status and temperatures: defaults are no readings, and zones of the kernel that are no temperatures."""

from __future__ import annotations

import pytest

from devbench.analysis.reliability import STATUS_PROBLEMS
from devbench.device.readings import is_temperature, parse_thermal

READY = """IsStatusOverride: false
Thermal Status: 2
Cached temperatures:
\tTemperature{mValue=99.0, mType=0, mName=AP, mStatus=3}
HAL Ready: true
Current temperatures from HAL:
\tTemperature{mValue=33.1, mType=0, mName=AP, mStatus=0}
\tTemperature{mValue=-3.4028235E38, mType=1, mName=GPU, mStatus=0}
\tTemperature{mValue=0.0, mType=2, mName=SUBBAT, mStatus=0}
\tTemperature{mValue=61.0, mType=8, mName=soc, mStatus=0}
\tTemperature{mValue=48.5, mType=13, mName=SOC, mStatus=0}
\tTemperature{mValue=30.8, mType=3, mName=test temperature sensor, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=3, mType=1, mName=Temperature{mValue=70.0, mType=0, mName=x, mStatus=0}}
Temperature static thresholds from HAL:
"""


def test_only_what_the_hardware_says_now_counts() -> None:
    found = parse_thermal(READY.splitlines())
    assert (found.status, found.problem) == (2, "")
    assert found.temperatures_c == {"AP": 33.1, "SOC": 48.5}


def test_a_stale_reading_does_not_stand_in_for_sensors_that_are_not_there() -> None:
    lines = READY.replace("=33.1", "=0.0").replace("=48.5", "=NaN").splitlines()
    assert parse_thermal(lines).temperatures_c == {}
    assert parse_thermal([*lines, "zone 41000 cpu-0-0"]).temperatures_c == {"cpu-0-0": 41.0}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (READY.replace("HAL Ready: true", "HAL Ready: false"), "not_ready"),
        ("IsStatusOverride: false\nThermal Status: 0\nCached temperatures:\nHAL Ready: false", "not_ready"),
        (READY.replace("IsStatusOverride: false", "IsStatusOverride: true"), "overridden"),
        ("IsStatusOverride: true\nThermal Status: 3\nHAL Ready: false", "overridden"),
    ],
)
def test_a_default_or_overridden_status_is_no_reading(text: str, problem: str) -> None:
    found = parse_thermal(text.splitlines())
    assert (found.status, found.problem) == (None, problem)
    assert found.problem in STATUS_PROBLEMS


@pytest.mark.parametrize(
    "kind",
    ["soc", "battery_soc", "bms-soc", "fg_soc", "ichg", "vchg_usb", "pm8150b_soc", "pmi8998-soc", "socd", "vbat", "vbat_low", "ibat", "ibat-high", "pm8150b-vbat-lvl0",
     "pm8150b-ibat-lvl1", "pm8150b-bcl-lvl2", "pm7250b-bcl-lvl0", "bcl-lvl", "bcl_vbat", "cpu-0-0-step", "soc-step",
     "gpu-step", "pop-mem-step", "hepta-cpu-max-step", "cpuss0-lowf", "modem-cdev", "gpu-cdev0", "ocp_cpu1",
     "soft_ocp_gpu", "vdroop2", "smpl_gm", "batoilo", "vbus", "battery_voltage", "battery-current", "battery-level",
     "uvlo1", "PMIC_VBAT", "battery_cycle"],
)  # fmt: skip
def test_a_zone_of_volts_amperes_percent_or_steps_is_no_temperature(kind: str) -> None:
    assert not is_temperature(kind)
    assert parse_thermal([f"zone 87 {kind}", f"zone 45000 {kind}"]).temperatures_c == {}


@pytest.mark.parametrize(
    "kind",
    ["tsens_tz_sensor0", "bms", "quiet_therm", "battery", "batt_therm", "xo-therm-usr", "cpu-1-7", "cpu-0-0-usr", "gpuss-0",
     "gpuss-max", "BIG", "LITTLE", "G3D", "TPU", "soc-thermal", "soc_max", "soc-thmzone", "soc_dts0", "ank0-thmzone",
     "mtktscpu", "mtktsbattery", "mtktsAP", "pm8550b_tz", "pm8998_tz", "cluster0", "skin-therm", "usb_pwr_therm", "npu",
     "ddr", "pa-therm0", "charger_therm", "wifi_therm", "nsphvx-0", "aoss-0", "x86_pkg_temp", "isp", "exynos-therm",
     "conn-therm", "cam-flash-therm", "virtual-skin", "modem-lte-sub6-pa1", "pmic_therm", "vdm_therm", "sec-battery"],
)  # fmt: skip
def test_a_zone_of_a_temperature_is_kept(kind: str) -> None:
    assert is_temperature(kind)
