"""Restarts and charges a device before a run and protects its battery, if the run requests it; knows no tool, no store.

A device has restarted if its board is connected again with another boot id, and Android reports that it has booted.
What was done is kept with each job.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from devbench.analysis.reliability import MAX_LOAD_PER_CPU
from devbench.bench.events import Waiting
from devbench.bench.waiting import connections, use, wait_while
from devbench.device.boards import identify_boards
from devbench.device.facts import DeviceFacts, read_facts
from devbench.errors import DevbenchError, EnvironmentProblem

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.bench.plan import Care
    from devbench.device.conditions import Conditions


# The slowest phones take three hours for a charge; Android works on its own for some minutes after a start.
_CHARGE_S, _CALM_S = 4 * 3600.0, 600.0


class BatteryLow(EnvironmentProblem):
    """The battery is below the requested level; trying again later may help."""

    transient = True


def prepare(
    device: Device, care: Care, stop: threading.Event, tell: Callable[[Waiting], None], take: Callable[[], None]
) -> Mapping[str, Mapping[str, float]]:
    """Restart and charge a device if requested; return what was done, which is stored with the options of its jobs.

    Args:
        device: an adb connection; this process has the lease.
        stop: ends the waiting.
        tell: is called with each wait.
        take: takes the lease again after a restart, which ends it.

    Raises:
        NotRestarted, BatteryLow: it could not be done.
        DeviceLost, ShellTimeout, LeaseHeld and the errors of an unfit device.
    """
    done: dict[str, float] = {}
    if care.reboot_s:
        facts = read_facts(device)
        tell(Waiting(device.serial, "restarting", care.reboot_s))
        done["rebooted_s"] = round(restart(device, facts, care.reboot_s, stop), 1)
        take()
        most = MAX_LOAD_PER_CPU * (facts.cpu_count or 1)
        wait_while(device, lambda now: _busy(now, most), _CALM_S, stop, tell)
    if care.charge_to is not None:
        level = care.charge_to
        first: list[int] = []

        def charging(now: Conditions) -> str:
            if now.battery_level is None or now.battery_overridden or now.battery_level >= level:
                return ""
            first.append(now.battery_level)
            if now.battery_plugged is False:
                raise BatteryLow(
                    f"{device.serial}: battery at {now.battery_level} %, below {level} %, and not on a charger",
                    hint="connect a charger, or lower --charge-to",
                )
            return f"charging: battery at {now.battery_level} % of {level} %"

        words = charging(wait_while(device, charging, _CHARGE_S, stop, tell))
        if words and not stop.is_set():
            raise BatteryLow(f"{device.serial}: {words} after {_CHARGE_S / 3600:g} h", hint="check charger and cable")
        done |= {"charged_from": first[0], "charged_to": level} if first else {}
    return {"care": done} if done else {}


def check_battery(device: Device, care: Care, last: tuple[float, Mapping[str, Any]] | None) -> None:
    """Raise an error, which ends the work, if the device's battery is at the level of `--battery-stop` or below.

    Args:
        last: the latest conditions with their time; `None` if none were read.

    Raises:
        BatteryLow: the battery is at that level or below.
    """
    level = last[1].get("battery_level") if last is not None else None
    if care.battery_stop is not None and level is not None and level <= care.battery_stop:
        raise BatteryLow(
            f"{device.serial}: battery at {level} %, stopped as --battery-stop {care.battery_stop} asks for",
            hint="charge it, then measure the rest with `devbench run --resume`",
        )


def _busy(now: Conditions, most: float) -> str:
    if now.load_1min is None or now.load_1min <= most:
        return ""
    return f"waiting until it is calm after the restart: load {now.load_1min:.1f}"


_POLL_S = 1.0
_ANSWER_S = 5.0


class NotRestarted(EnvironmentProblem):
    """The device did not restart, or has not come back."""

    transient = True


def restart(device: Device, facts: DeviceFacts, deadline_s: float, stop: threading.Event | None = None) -> float:
    """Restart a device, which ends the lease on it, and wait until it has booted; return how many seconds that took.

    Args:
        device: an adb connection; it uses the device's new connection afterwards.
        facts: the facts about the device, used to recognise it after the restart.
        deadline_s: how long to wait at most.
        stop: ends the waiting.

    Raises:
        NotRestarted: it has not booted after that time, or the waiting was ended.
        NoSuchDevice, DeviceOffline, DeviceUnauthorized: the request cannot be sent to it.
    """
    began = time.monotonic()
    stop = stop or threading.Event()
    # The restart ends the connection, and nothing else may try to restore it meanwhile.
    recover, device.recover = device.recover, None
    state = "is still running"
    try:
        device.reboot()
        while time.monotonic() - began < deadline_s and not stop.wait(_POLL_S):
            try:
                device.server.ensure_running()
                found, state = _state(device, facts)
            except DevbenchError:
                found, state = False, "has not come back"
            if found:
                return time.monotonic() - began
    finally:
        device.recover = recover
    raise NotRestarted(
        f"{device.serial}: asked to restart, and {state} after {time.monotonic() - began:.0f} s",
        hint="look at its screen; a device of `adb tcpip` does not listen after a restart: use wireless debugging",
    )


def _state(device: Device, facts: DeviceFacts) -> tuple[bool, str]:
    """Return whether the device has booted again, and words for its present state, for an error message."""
    for board in identify_boards(device.server, connections(device)):
        if board.facts is not None and board.key == facts.key:
            if board.facts.identity.boot == facts.identity.boot:
                return False, "is still running"
            use(device, board.entry)
            done = device.shell("getprop sys.boot_completed", timeout_s=_ANSWER_S, doing="booting")
            return done.stdout.strip() == b"1", "has not finished booting"
    return False, "has not come back"
