"""Waits for a device in the middle of a run, if it is too hot or its connection was lost.

The reason for a lost connection is often not the device: another tool may have ended the adb server
(`adb kill-server`), or a cable was moved. An interrupted process is repeated afterwards. Judges no result.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from devbench.adb.device import Device
from devbench.adb.errors import ServerUnavailable
from devbench.adb.server import ADDRESS, READY, DeviceEntry
from devbench.analysis.reliability import Around
from devbench.bench.events import ConnectionLost, Waiting
from devbench.device.boards import identify_boards
from devbench.device.conditions import Conditions, ThermalLimits, from_json, over_limits, read_conditions
from devbench.device.hub import power_cycle
from devbench.errors import DevbenchError, EnvironmentProblem
from devbench.text import clean

if TYPE_CHECKING:
    from devbench.device.facts import DeviceFacts


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
    tell: Callable[[Waiting], None],
) -> Conditions:
    """Wait while the device is over its limits, until the deadline or `stop`; returns the last conditions.

    Raises:
        DeviceLost, ShellTimeout: the device does not answer any more.
    """

    def over(now: Conditions) -> str:
        words = ", ".join(over_limits(now, limits))
        heat = f" (hottest {now.hottest_c:.1f} °C)" if now.hottest_c is not None else ""
        return f"cooling down: {clean(words)}{heat}" if words else ""

    return wait_while(device, over, deadline_s, stop, tell)


def wait_while(
    device: Device,
    why: Callable[[Conditions], str],
    deadline_s: float,
    stop: threading.Event,
    tell: Callable[[Waiting], None],
) -> Conditions:
    """Wait as long as `why` gives a reason, at most until the deadline or `stop`; returns the last conditions.

    Args:
        why: returns the reason for waiting, or an empty text to stop waiting.
        tell: is called with the reason and the remaining seconds.

    Raises:
        DeviceLost, ShellTimeout: the device does not answer any more.
    """
    end = time.monotonic() + deadline_s
    while True:
        now = read_conditions(device)
        left_s = end - time.monotonic()
        reason = why(now)
        if not reason or left_s <= 0 or stop.is_set():
            return now
        tell(Waiting(device.serial, reason, left_s))
        stop.wait(min(_COOL_POLL_S, left_s))


# A server that is down must start, find its devices and be authorized by them; a device must only reconnect.
_SERVER_BACK_S = 60.0
_DEVICE_BACK_S = 20.0
# A phone that restarts takes a minute.
_RESTARTED_S = 120.0
_POLL_S = 0.5
_CONNECT_TIMEOUT_S = 5.0
# Wireless debugging may give a device another name after each connection.
_WIRELESS = "._adb-tls-connect."
# After this many losses without a result in between, the device counts as lost.
_MAX_LOSSES = 5


class Reconnector:
    """Brings the connection to one device back; may be called from several threads.

    Args:
        device: whose connection it is.
        stop: set when the run is to end.
        tell: gets an event when the connection is lost, and when it is back.

    Attributes:
        facts: facts that identify the device; another board on the same connection is not used.
        back_s: how many seconds to wait for the device.
        uptime_s: the uptime of the device if it was found restarted; else `None`.
    """

    def __init__(self, device: Device, stop: threading.Event, tell: Callable[[ConnectionLost], None]) -> None:
        self.facts: DeviceFacts | None = None
        self.back_s = _DEVICE_BACK_S
        self.uptime_s: float | None = None
        self._device = device
        self._stop = stop
        self._tell = tell
        self._losses = 0
        self._over = False
        self._lock = threading.Lock()

    def __call__(self, error: EnvironmentProblem) -> bool:
        """Wait until the device is back; returns whether it is."""
        with self._lock:
            self._losses += 1
            if self._over or self._stop.is_set() or self._losses > _MAX_LOSSES:
                return False
            self._tell(ConnectionLost(self._device.serial, error.what))
            self._over = not self._wait(isinstance(error, ServerUnavailable))
            if not self._over:
                self._tell(ConnectionLost(self._device.serial, error.what, back=True))
            return not self._over

    def pause(self, seconds: float) -> None:
        """Wait that long, or until the run is to end."""
        self._stop.wait(seconds)

    def progress(self) -> None:
        """Reset the count of losses: a result has arrived since the last one."""
        self._losses = 0

    def give_up(self) -> None:
        """Do not wait any more: the run leaves the device."""
        self._over = True

    def _wait(self, server_down: bool) -> bool:
        began, switched = time.monotonic(), False
        while not self._stop.is_set():
            try:
                # This starts the adb server again if it should run on this machine.
                self._device.server.ensure_running()
                back = self._find()
                if back is not None:
                    return back
            except ServerUnavailable:
                server_down = True
            except DevbenchError:
                pass  # it does not answer yet
            if time.monotonic() - began > (max(_SERVER_BACK_S, self.back_s) if server_down else self.back_s):
                if switched or not self._switch_power():
                    return False
                began, switched = time.monotonic(), True
            self._stop.wait(_POLL_S)
        return False

    def _switch_power(self) -> bool:
        """Switch the device's USB port off and on, if that is set up; returns whether it was done."""
        words = ""
        try:
            port = power_cycle(self.facts.key) if self.facts is not None else ""
            words = port and f"the power of its USB port {port} was switched off and on"
        except DevbenchError as error:
            port, words = "", str(error)
        if words:
            self._tell(ConnectionLost(self._device.serial, words))
        return bool(port)

    def _find(self) -> bool | None:
        """Use the device's new connection; return `None` if there is none yet, false if the device has restarted."""
        found = connections(self._device)
        if self.facts is None:
            return self._use(found[0]) if len(found) == 1 else None
        for board in identify_boards(self._device.server, found):
            if board.facts is not None and board.key == self.facts.key:
                was, now = self.facts.identity.boot, board.facts.identity.boot
                if not was or not now or was == now:
                    return self._use(board.entry)
                # After a restart, the device is no longer in the state that the session prepared.
                self.uptime_s = read_conditions(Device.of(self._device.server, board.entry)).uptime_s or 0.0
                return False
        return None

    def expect_restart(self) -> None:
        """Wait for the device as long as a restart takes."""
        self.back_s = _RESTARTED_S

    def _use(self, entry: DeviceEntry) -> bool:
        use(self._device, entry)
        return True


def connections(device: Device) -> list[DeviceEntry]:
    """Return the ready connections that may be the device's new one; connect again to a device over TCP.

    Raises:
        DevbenchError: there is no adb server, or nothing listens at the device's address.
    """
    entries = [entry for entry in device.server.list_devices() if entry.state == READY]
    found = [entry for entry in entries if entry.serial == device.adb_serial]
    if not found and ADDRESS.fullmatch(device.adb_serial):
        # A new server does not know what was connected over TCP.
        device.server.connect(device.adb_serial, timeout_s=_CONNECT_TIMEOUT_S)
    if not found and _WIRELESS in device.adb_serial:
        return [entry for entry in entries if _WIRELESS in entry.serial]
    return found


def use(device: Device, entry: DeviceEntry) -> None:
    """Use a connection of the server's list for the device from now on."""
    device.reconnected(entry.serial, entry.transport_id if entry.by_id else None)
