"""Waiting for a device that is over its limits, such as one that is too hot; knows no tool and no store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from devbench.analysis.reliability import Around
from devbench.bench.events import CoolingDown
from devbench.device.conditions import from_json, read_conditions
from devbench.device.limits import ThermalLimits, over_limits
from devbench.text import clean

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.device.conditions import Conditions

_COOL_POLL_S = 2.0


def limits_passed(around: Around, limits: ThermalLimits) -> list[str]:
    """Limits that were exceeded before or after a process, as text, without the thermal status."""
    read = [from_json(sample) for sample in (around.before, around.after) if sample is not None]
    return list(
        dict.fromkeys(words for one in read for words in over_limits(replace(one, thermal_status=None), limits))
    )


def cool_down(
    device: Device,
    limits: ThermalLimits,
    deadline_s: float,
    stop: threading.Event,
    tell: Callable[[CoolingDown], None],
) -> Conditions:
    """Wait while the device is over its limits, until the deadline or `stop`; gives the last conditions.

    Raises:
        DeviceLost, ShellTimeout: the device does not answer any more.
    """
    end = time.monotonic() + deadline_s
    while True:
        now = read_conditions(device)
        left_s = end - time.monotonic()
        over = over_limits(now, limits)
        if not over or left_s <= 0 or stop.is_set():
            return now
        heat = f" (hottest {now.hottest_c:.1f} °C)" if now.hottest_c is not None else ""
        tell(CoolingDown(device.serial, clean(", ".join(over)) + heat, left_s))
        stop.wait(min(_COOL_POLL_S, left_s))
