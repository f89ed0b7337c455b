"""Restarts a device and waits until Android has booted there; knows no run and no store.

A device has restarted if its board is connected again with another boot id, and Android reports that it has booted.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from devbench.bench.waiting import connections, use
from devbench.device.boards import identify_boards
from devbench.errors import DevbenchError, EnvironmentProblem

if TYPE_CHECKING:
    from devbench.adb.device import Device
    from devbench.device.facts import DeviceFacts

BOOT_S = 300.0
"""How long a device has to boot if nothing else is requested."""
_POLL_S = 1.0
_ANSWER_S = 5.0


class NotRestarted(EnvironmentProblem):
    """The device did not restart, or has not come back."""

    transient = True


def restart(device: Device, facts: DeviceFacts, deadline_s: float, stop: threading.Event | None = None) -> float:
    """Restart a device and wait until it has booted; the lease on it ends with that. Gives the seconds that it took.

    Args:
        device: an adb connection; it uses the device's new connection afterwards.
        facts: what is known of the device, to find its board again.
        deadline_s: how long at most.
        stop: ends the waiting.

    Raises:
        NotRestarted: it has not booted after that time, or the waiting was ended.
        NoSuchDevice, DeviceOffline, DeviceUnauthorized: it cannot be asked.
    """
    began = time.monotonic()
    stop = stop or threading.Event()
    # Nothing brings the connection back meanwhile: it is to end.
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
    """Whether the device has booted again, and how far it is."""
    for board in identify_boards(device.server, connections(device)):
        if board.facts is not None and board.key == facts.key:
            if board.facts.identity.boot == facts.identity.boot:
                return False, "is still running"
            use(device, board.entry)
            done = device.shell("getprop sys.boot_completed", timeout_s=_ANSWER_S, doing="booting")
            return done.stdout.strip() == b"1", "has not finished booting"
    return False, "has not come back"
